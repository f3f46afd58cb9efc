"""Two years of real hourly bars, with Apple's 7-for-1 split and both companies' dividends: the
twins agree and a year cut in days is the same year.
"""

from datetime import UTC, datetime

import polars as pl
import pytest
from backtest.naive import Naive
from backtest.random_markets import CALENDAR, TIMEFRAME, Market, micros, rules, run
from backtest.real_markets import apple_and_ibm


@pytest.fixture(scope="module")
def market(market_data):
    return apple_and_ibm(market_data)


@pytest.mark.parametrize(
    ("exits", "entry"), [("barriers", "open"), ("signal", "open"), ("barriers", "close")]
)
def test_real_bars_give_the_same_trades_to_the_plain_simulator(market, exits, entry):
    chosen = rules(exits=exits, horizon=16, labels={"entry": entry})
    result = run(market, chosen)
    said = {(row["symbol"], row["timestamp"]): row for row in market.signals.iter_rows(named=True)}
    listed = []
    for bar in (
        CALENDAR.with_session(market.bars, TIMEFRAME)
        .sort("timestamp", "symbol")
        .iter_rows(named=True)
    ):
        signal = said.get((bar["symbol"], bar["timestamp"]), {})
        row = {name: bar[name] for name in ("symbol", "open", "high", "low", "close", "volume")}
        row |= {
            "at": micros(bar["timestamp"]),
            "end": micros(bar["bar_end"]),
            "date": bar["session_date"],
            "factor": bar["adjustment_factor"],
        }
        listed.append(
            row
            | {
                "signal": signal.get("side"),
                "strength": signal.get("strength"),
                "volatility": signal.get("volatility"),
                "probability": None,
                "model": None,
            }
        )
    flat = chosen.risk.model_dump() | chosen.costs.model_dump() | chosen.luck.model_dump()
    flat["lot_size"] = 1.0
    flat |= {
        name: getattr(chosen, name)
        for name in (
            "barriers",
            "horizon",
            "profit_take",
            "stop_loss",
            "minimum_barrier_bps",
            "vertical_sessions",
            "close_touch",
            "entry_at_close",
        )
    }
    flat |= {
        name: getattr(chosen, name)
        for name in ("delisting_recovery", "presume_delisted_after_sessions")
    }
    naive = Naive(flat, ["AAPL", "IBM"], chosen.initial_cash).run(listed, market.actions.rows())
    assert result.equity["equity"].to_list() == [equity / 10_000 for _, equity, *_ in naive.curve]
    assert sorted(result.fills.select("fill_id", "quantity", "price").rows()) == sorted(
        (fill[0], fill[4], fill[5]) for fill in naive.fills
    )
    assert result.trades.height > 100


def test_a_position_is_carried_through_apples_split(market):
    split = datetime(2014, 6, 9, tzinfo=UTC)
    long = market.signals.with_columns(side=pl.lit(1, dtype=pl.Int8)).filter(
        pl.col("timestamp") > datetime(2014, 5, 1, tzinfo=UTC)
    )
    result = run(Market(market.bars, long, market.actions), rules(exits="signal"))
    trade = result.trades.filter(pl.col("symbol") == "AAPL").row(0, named=True)
    held = result.state.portfolio.positions[result.state.symbols.index("AAPL")]["quantity"]
    assert held == 7.0 * trade["quantity"]
    around = result.equity.filter(
        pl.col("timestamp").is_between(split.replace(day=6), split.replace(day=10))
    )
    assert (around["equity"].pct_change().drop_nulls().abs() < 0.01).all()
    # the summer's dividends on the shares that were held then: 0.47 a share of the new ones, and
    # IBM's
    assert (
        result.equity["cash"]
        .diff()
        .filter(
            result.equity["timestamp"].is_between(
                datetime(2014, 8, 7, tzinfo=UTC), datetime(2014, 8, 8, tzinfo=UTC)
            )
        )
        .max()
        > 0.4 * held
    )
