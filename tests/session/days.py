"""A small random market for session tests: bars that gap, split, pay dividends, go missing; a
strategy that trades a lot.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.state import State
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.settings import BacktestSettings
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.schemas import CORPORATE_ACTIONS
from harmony_pipeline.session.day_plan import plan_day, states_before
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.opening import opening_of
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.strategies.base import Strategy
from harmony_pipeline.strategies.settings import StrategySettings
from harmony_pipeline.testing import stepped_day

TIMEFRAME = "30Min"
CALENDAR = Calendar.of("XNYS")
SYMBOLS = ("AAA", "BBB", "CCC")
# a half-day (3 July) and a holiday (4 July) lie ahead
FIRST, FIRST_TRADED = date(2024, 6, 24), date(2024, 6, 26)
DAYS = CALENDAR.sessions(FIRST_TRADED, date(2024, 7, 6))
SPLIT_DAY, DIVIDEND_DAY = date(2024, 6, 28), date(2024, 7, 2)
ACTIONS = pl.DataFrame(
    {
        "symbol": ["AAA", "BBB"],
        "date": [SPLIT_DAY, DIVIDEND_DAY],
        "kind": ["split", "dividend"],
        "value": [1.5, 0.4],
    },
    schema=CORPORATE_ACTIONS.dtypes,
)
FEATURES = FeatureSet.of(("volatility_20", "momentum_2", "log_return"))


class Contrarian(stepped_day.Contrarian):
    """Trades smaller moves. A session asks `sides` of each moment, a backtest `signals` of the day;
    0 on small moves, so positions also end by signal.
    """

    def __init__(self, threshold_move: float = 0.002) -> None:
        super().__init__(threshold_move)


class ContrarianInFrames(Contrarian):
    """The same in expressions: a session gives it a frame of each moment."""

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        move = pl.col("momentum_2")
        side = (
            pl.when(move > self.threshold_move)
            .then(-1)
            .when(move < -self.threshold_move)
            .then(1)
            .otherwise(0)
        )
        warm = move.is_not_null() & pl.col("volatility_20").is_not_null()
        # asked at every bar of hundreds of days: one query, and no plan of it is better than another
        return (
            features.lazy()
            .filter(warm)
            .select(
                "symbol",
                "timestamp",
                side=side.cast(pl.Int8),
                strength=(move.abs() * 100).clip(0.2, 1.0),
            )
            .sort("symbol", "timestamp")
            .collect(optimizations=pl.QueryOptFlags.none())
        )


def market(seed: int = 3, symbols: Sequence[str] = SYMBOLS) -> pl.DataFrame:
    """BARS from FIRST on, extended hours too; the odd bar is missing, volume is thin enough for
    partial fills.
    """
    generator = np.random.default_rng(seed)
    frames = []
    for symbol in symbols:
        rows: list[tuple[Any, ...]] = []
        price, factor = float(generator.uniform(20, 60)), 1.0
        for day in CALENDAR.sessions(FIRST, DAYS[-1] + timedelta(days=1)):
            if symbol == "AAA" and day == SPLIT_DAY:
                price, factor = price / 1.5, factor * 1.5
            if symbol == "BBB" and day == DIVIDEND_DAY:
                factor *= price / (price - 0.4)
                price -= 0.4
            price *= float(np.exp(generator.normal(0, 0.01)))  # overnight
            start = CALENDAR.session_open(day) - timedelta(minutes=30)
            while start < CALENDAR.session_close(day) + timedelta(minutes=30):
                opened = round(price * float(np.exp(generator.normal(0, 0.001))), 2)
                closed = round(opened * float(np.exp(generator.normal(0, 0.006))), 2)
                high = round(max(opened, closed) * (1 + abs(float(generator.normal(0, 0.002)))), 2)
                low = round(min(opened, closed) * (1 - abs(float(generator.normal(0, 0.002)))), 2)
                price = closed
                if generator.random() > 0.03:
                    rows.append(
                        (
                            symbol,
                            start,
                            opened,
                            high,
                            low,
                            closed,
                            float(generator.integers(400, 9000)),
                            factor,
                        )
                    )
                start += timedelta(minutes=30)
        frames.append(
            pl.DataFrame(
                rows,
                schema=[
                    "symbol",
                    "timestamp",
                    "open",
                    "high",
                    "low",
                    "close",
                    "volume",
                    "adjustment_factor",
                ],
                orient="row",
            )
        )
    bars = pl.concat(frames).with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC")), timeframe=pl.lit(TIMEFRAME)
    )
    return (
        CALENDAR.with_session(bars, TIMEFRAME)
        .filter(pl.col("session").is_not_null())
        .sort("symbol", "timestamp")
    )


def rules(
    exits: str = "barriers",
    own: Mapping[str, Any] | None = None,
    **changes: Any,
) -> TradingRules:
    """Trading rules with tight brackets and visible costs; `changes` go to ExecutionNoiseSettings,
    RiskSettings or CostSettings by name, `own` to what the strategy has of its own.
    """
    risk = RiskSettings(
        **{
            "minimum_order_value": 100.0,
            **{k: v for k, v in changes.items() if k in RiskSettings.model_fields},
        }
    )
    costs = CostSettings(
        **{
            "fee_per_share": 0.005,
            **{k: v for k, v in changes.items() if k in CostSettings.model_fields},
        }
    )
    luck = ExecutionNoiseSettings(
        **{k: v for k, v in changes.items() if k in ExecutionNoiseSettings.model_fields}
    )
    labels = LabelSettings(
        **{
            "horizons_bars": (6,),
            "profit_take": 1.2,
            "stop_loss": 0.8,
            **{k: v for k, v in changes.items() if k in LabelSettings.model_fields},
        }
    )
    strategy = StrategySettings.model_validate(
        {"use": "tests:Contrarian", "exits": exits, **(own or {})}
    )
    backtest = BacktestSettings(
        **{
            "initial_cash": 50_000.0,
            **{k: v for k, v in changes.items() if k in BacktestSettings.model_fields},
        }
    )
    a_session = CALENDAR.bars_per_session(TIMEFRAME)
    return TradingRules.of(
        risk, costs, luck, labels, strategy, backtest, bars_per_session=a_session
    )


_states: dict[tuple[int, datetime, str, str], tuple[pl.DataFrame, dict[str, State]]] = {}


def known_before(
    start: datetime,
    bars: pl.DataFrame,
    features: FeatureSet = FEATURES,
    timeframe: str = TIMEFRAME,
) -> dict[str, State]:
    """Copies of the feature states before a moment, which are computed once: a day of the same bars
    is planned for each kind of rules.
    """
    key = (id(bars), start, features.hash, timeframe)
    if key not in _states:  # the bars are kept, so that no others take their place in memory
        _states[key] = bars, states_before(start, bars, features, None, CALENDAR, timeframe)
    return {
        symbol: State(state.timestamp, state.vector.copy())
        for symbol, state in _states[key][1].items()
    }


def plan_of(
    day: date,
    ledger: Ledger,
    bars: pl.DataFrame,
    chosen: TradingRules,
    strategy: Strategy | None = None,
    watched: Sequence[str] = SYMBOLS,
    **options: Any,
) -> SessionPlan:
    """The plan of one day of the random market, opened from the ledger."""
    features = options.pop("feature_set", FEATURES)
    start = CALENDAR.session_open(day) - timedelta(hours=6)
    states = known_before(start, bars, features)
    opening = opening_of(ledger, "paper", day, chosen.initial_cash)
    return plan_day(
        day, opening, watched, strategy_name="contrarian", strategy=strategy or Contrarian(),
        rules=chosen, feature_set=features, feature_states=states,
        calendar=CALENDAR, timeframe=TIMEFRAME, actions=ACTIONS, **options,
    )  # fmt: skip


def fresh_ledger(folder: Path) -> Ledger:
    """A ledger in a folder of its own."""
    return Ledger(folder / "ledger.sqlite")


def at(text: str) -> datetime:
    """`2024-06-26 14:00` as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
