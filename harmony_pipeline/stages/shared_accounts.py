"""The backtest of a portfolio: strategies of the settings on one account (docs/portfolios.md)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import polars as pl

from harmony_pipeline.backtest.event_driver import run_machine_backtest
from harmony_pipeline.backtest.metrics import daily_returns
from harmony_pipeline.backtest.runs import Market
from harmony_pipeline.backtest.shared_account import Member, simulate_shared
from harmony_pipeline.backtest.simulator import BacktestResult, SessionReturns
from harmony_pipeline.backtest.table_columns import RunLabel
from harmony_pipeline.portfolio.allocation import Weights, weight_schedule
from harmony_pipeline.portfolio.settings import SharedAccountSettings
from harmony_pipeline.robustness.execution_stress import ExecutionDraw
from harmony_pipeline.schemas import REAL, TIME
from harmony_pipeline.strategies.settings import StrategySettings


@dataclass(frozen=True)
class Account:
    """A portfolio that is ready to run: its market, its members in order and their weights."""

    market: Market
    members: Mapping[str, Member]
    weights: Weights

    def run(self, label: RunLabel) -> BacktestResult:
        """The backtest, from cash."""
        return simulate_shared(self.market, self.members, self.weights, None, label)

    def run_draw(self, draw: ExecutionDraw) -> BacktestResult:
        """The backtest under the circumstances of the draw, with the same weights."""
        members = {
            name: replace(one, signals=draw.signals(one.signals), rules=draw.rules(one.rules))
            for name, one in self.members.items()
        }
        label = f"draw-{draw.draw}"
        return replace(self, members=members).run(RunLabel(label, label, "", {}))


def account_weights(
    settings: SharedAccountSettings,
    market: Market,
    members: Mapping[str, Member],
    own_markets: Mapping[str, Market],
    next_session: date | None = None,
) -> Weights:
    """The weights over the sessions of `market`, and the one after them. own_markets: that of each
    member by itself, which begins later where it waits for its first model.
    """
    returns = {}
    if settings.allocation == "inverse_volatility":
        returns = {name: _returns_alone(own_markets[name], one) for name, one in members.items()}
    after = [] if next_session is None else [next_session]
    return weight_schedule(settings, _sessions(market) + after, returns)


def _returns_alone(market: Market, member: Member) -> pl.DataFrame:
    """Timestamp and return of each session of the strategy by itself, from cash."""
    if market.first is None:
        return pl.DataFrame(schema={"timestamp": TIME, "return": REAL})
    if member.machine is None:
        return SessionReturns(market, member.rules).of(member.signals)
    inputs, calendar = member.machine, market.calendar
    alone = run_machine_backtest(
        inputs.make(), inputs.bars, inputs.features, market.actions, member.rules, calendar,
        market.timeframe, lives=market.events, until=market.last,
    )  # fmt: skip
    return daily_returns(alone.equity, calendar, member.rules.initial_cash, market.timeframe)


def account_parameters(
    settings: SharedAccountSettings, strategies: Mapping[str, StrategySettings]
) -> dict[str, Any]:
    """Everything that makes this account another trial, as plain values."""
    values: dict[str, Any] = {
        "strategies": ", ".join(settings.strategies),
        "allocation": settings.allocation,
    }
    if settings.allocation == "inverse_volatility":
        values["window_sessions"] = settings.window_sessions
        values["rebalance_sessions"] = settings.rebalance_sessions
    values |= {f"weight.{name}": weight for name, weight in settings.weights.items()}
    for name in settings.strategies:
        own = strategies[name].parameters
        values |= {f"{name}.{key}": value for key, value in own.items()}
    return values


def _sessions(market: Market) -> list[date]:
    """Dates of the sessions that have bars, in order."""
    stamps = market.bars.rows.select(pl.col("timestamp").unique().sort())
    dated = market.calendar.with_session(stamps, market.timeframe)
    return dated["session_date"].drop_nulls().unique().sort().to_list()
