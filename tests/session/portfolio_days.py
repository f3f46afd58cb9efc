"""Portfolios of the random market: strategies that meet in the same symbols, on both sides."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl
from session.days import (
    ACTIONS,
    CALENDAR,
    FEATURES,
    SYMBOLS,
    TIMEFRAME,
    Contrarian,
    known_before,
    rules,
)

from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.session.day_plan import plan_portfolio_day
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.opening import opening_of
from harmony_pipeline.session.plan import MemberPlan, SessionPlan


class Trend(Contrarian):
    """With the last two bars."""

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        return super().signals(features).with_columns(side=-pl.col("side"))


class Failing(Contrarian):
    """Says what `Contrarian` says, and raises at the first bar from `hour` (UTC) on."""

    def __init__(self, hour: int = 16) -> None:
        super().__init__()
        self.hour = hour

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        if features["timestamp"].dt.hour().max() >= self.hour:  # type: ignore[operator]
            raise ZeroDivisionError("a strategy with a fault")
        return super().signals(features)


def three(**changes: Any) -> tuple[MemberPlan, ...]:
    """Two that agree more often than not, and one against them; their exits differ."""
    signal, barriers = (rules(exits, **changes) for exits in ("signal", "barriers"))
    return (
        MemberPlan("slow", Contrarian(0.004), barriers),
        MemberPlan("fast", Contrarian(0.001), signal),
        MemberPlan("against", Trend(0.006), barriers),
    )


def three_of_their_own(**changes: Any) -> tuple[MemberPlan, ...]:
    """The same, each with a bracket, a size and limits of its own."""
    slow = rules(
        "barriers",
        {
            "horizon_bars": 3,
            "bracket": {"profit_take": 0.5, "stop_loss": 2.0},
            "risk": {"sizing": "stop_distance", "risk_per_trade": 0.01, "max_daily_loss": 0.004},
        },
        **changes,
    )
    fast = rules(
        "signal",
        {"risk": {"sizing": "fixed_value", "size_value": 2_000.0, "max_open_positions": 2}},
        **changes,
    )
    against = rules(
        "barriers",
        {
            "horizon_bars": 9,
            "bracket": {"touch": "close"},
            "risk": {
                "max_position": 0.1,
                "symbol_cooldown_minutes": 200.0,
                "max_daily_loss": 0.002,
            },
        },
        **changes,
    )
    return (
        MemberPlan("slow", Contrarian(0.004), slow),
        MemberPlan("fast", Contrarian(0.001), fast),
        MemberPlan("against", Trend(0.006), against),
    )


def portfolio_plan(
    day: date,
    ledger: Ledger,
    bars: pl.DataFrame,
    members: Sequence[MemberPlan],
    weights: Sequence[float] | None = None,
    watched: Sequence[str] = SYMBOLS,
    account: str = "paper",
    **options: Any,
) -> SessionPlan:
    """The plan of one day of a portfolio, opened from the ledger."""
    start = CALENDAR.session_open(day) - timedelta(hours=6)
    states = known_before(start, bars)
    chosen: TradingRules = members[0].rules
    return plan_portfolio_day(
        day, opening_of(ledger, account, day, chosen.initial_cash), watched,
        portfolio="together", members=members,
        weights=weights or [1.0 / len(members)] * len(members),
        feature_set=FEATURES, feature_states=states, calendar=CALENDAR, timeframe=TIMEFRAME,
        actions=ACTIONS, **options,
    )  # fmt: skip
