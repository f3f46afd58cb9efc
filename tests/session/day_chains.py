"""Days of the random market traded one after the other, and the one long backtest over them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from session import days
from session.days import CALENDAR, DAYS, FEATURES, TIMEFRAME, fresh_ledger, plan_of

from harmony_pipeline.backtest.simulator import BacktestResult, run_backtest
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.session.day_backtest import backtest_day
from harmony_pipeline.session.divergence import compare
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.live_signals import complete_signals
from harmony_pipeline.session.reconcile import reconcile
from harmony_pipeline.session.replay import broker_as_left, replay_day
from harmony_pipeline.session.result import SessionResult

FILL_COLUMNS = [
    "order_id",
    "symbol",
    "timestamp",
    "side",
    "quantity",
    "price",
    "reference_price",
    "fee",
    "slippage",
    "liquidity",
]
CURVE_COLUMNS = ["timestamp", "equity", "cash", "drawdown"]


def run_days(
    ledger: Ledger, chosen: TradingRules, bars: pl.DataFrame, **options: Any
) -> list[SessionResult]:
    """Every day in turn, each compared with its own backtest."""
    results, plans = [], []
    for day in DAYS:
        plan = plan_of(day, ledger, bars, chosen, **options)
        result = replay_day(plan, bars, ledger)
        twin = backtest_day(plan, bars)
        divergence = compare(result, twin)
        assert divergence.equal, divergence.summary()
        assert (
            divergence.table.height
            >= result.orders.height + result.fills.height + result.equity.height
        )
        closing, expected = result.closing.pruned(), twin.state.pruned()
        assert closing.portfolio.to_dict() == expected.portfolio.to_dict()
        assert closing.exchange.to_dict() == expected.exchange.to_dict()
        results.append(result)
        plans.append(plan)
    for plan in plans:  # each day's books as they were closed, whatever came later
        assert reconcile(ledger, plan.session_id, broker_as_left(plan, ledger)).agrees
    return results


def whole_backtest(
    folder: Path,
    bars: pl.DataFrame,
    chosen: TradingRules,
    lives: pl.DataFrame | None = None,
    **options: Any,
) -> BacktestResult:
    """One backtest over all the days, of the signals that research makes of them at once."""
    plan = plan_of(DAYS[0], fresh_ledger(folder), bars, chosen, **options)
    traded = bars.filter(pl.col("session_date") >= DAYS[0])
    features = compute_features(traded, FEATURES, plan.feature_states, CALENDAR, TIMEFRAME).table
    signals = complete_signals(plan, plan.strategy.signals(features), features)
    return run_backtest(
        traded, signals, days.ACTIONS, chosen, CALENDAR, TIMEFRAME, lives=lives, book="paper"
    )


def together(results: Sequence[SessionResult], name: str) -> pl.DataFrame:
    """One table of all the sessions."""
    return pl.concat(getattr(result, name) for result in results)


def assert_same_course(
    results: Sequence[SessionResult], whole: BacktestResult, within: float = 0.0
) -> None:
    """The sessions filled what the long backtest filled, and their equity took its course, but for
    `within` of cash and equity.
    """
    live = together(results, "fills").select(FILL_COLUMNS).sort(FILL_COLUMNS)
    assert live.equals(whole.fills.select(FILL_COLUMNS).sort(FILL_COLUMNS))
    curve = together(results, "equity").select(CURVE_COLUMNS)
    expected = whole.equity.select(CURVE_COLUMNS)
    if within == 0.0:
        assert curve.equals(expected)
        return
    assert curve["timestamp"].equals(expected["timestamp"])
    for name in ("equity", "cash"):
        assert (curve[name] - expected[name]).abs().max() <= within, name
