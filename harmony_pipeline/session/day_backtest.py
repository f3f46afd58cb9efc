"""The backtest of a session's day from the same opening state: what the session is judged by."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

import polars as pl

from harmony_pipeline.backtest.event_driver import run_machine_backtest
from harmony_pipeline.backtest.input_arrays import SIGNAL_DTYPES
from harmony_pipeline.backtest.shared_account import Member, run_shared_backtest
from harmony_pipeline.backtest.shared_machines import MachineInputs
from harmony_pipeline.backtest.simulator import BacktestResult, run_backtest
from harmony_pipeline.execution.brokers.simulated import put_order
from harmony_pipeline.execution.lifecycle import Order
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.portfolio.kernel_types import ORDER_OPEN, ROLE_NAMES
from harmony_pipeline.portfolio.sleeves import SharedRules
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.session.live_signals import complete_signals
from harmony_pipeline.session.plan import SCALE, MemberPlan, SessionPlan
from harmony_pipeline.session.replay import day_bars
from harmony_pipeline.session.watch_list import is_watched
from harmony_pipeline.strategies.base import Stepwise, checked_signals, signals_of, strategy_rows


def day_signals(plan: SessionPlan, bars: pl.DataFrame) -> pl.DataFrame:
    """The signals that research makes of the whole day at once, from the plan's feature states; of
    a plan with one strategy.
    """
    frame = day_bars(plan, bars)
    features = _features_of_day(plan, frame)
    if plan.history is None:
        primary = signals_of(plan.strategy, features, lambda: frame, plan.strategy_name)
    else:
        rows = pl.concat([plan.history, strategy_rows(plan.strategy, frame, features)])
        made = checked_signals(plan.strategy, rows, plan.strategy_name)
        primary = made.join(
            features.select("symbol", "timestamp"), on=["symbol", "timestamp"], how="semi"
        )
    return complete_signals(plan, primary, features)


def _features_of_day(plan: SessionPlan, frame: pl.DataFrame) -> pl.DataFrame:
    """The features of the day's bars, from the states that the plan begins with."""
    return compute_features(
        frame,
        plan.feature_set,
        plan.feature_states,
        plan.calendar,
        plan.timeframe,
        plan.news,
        plan.sectors,
    ).table


def backtest_day(
    plan: SessionPlan,
    bars: pl.DataFrame,
    silent: Collection[str] = (),
    working: Iterable[Order] = (),
) -> BacktestResult:
    """The backtest of the plan's day from the same opening state: what the session is judged by. A
    machine with `on_fill` runs event by event. silent: strategies of a portfolio that say nothing,
    because they cannot be run. working: the orders that the session began with
    (`SessionResult.began_with`), since those at a broker outside are not in the plan's opening.
    """
    frame = day_bars(plan, bars)
    plan = replace(plan, opening=_opening(plan, working))
    if plan.members:
        return _portfolio_day(plan, frame, silent)
    regular = frame.filter(pl.col("session") == "regular")
    options: dict[str, Any] = {
        "state": plan.opening,
        "lives": plan.lives,
        "backtest_id": f"{plan.session_id}-backtest",
        "book": plan.account,
    }
    if isinstance(plan.strategy, Stepwise) and plan.strategy.hears_fills:
        features = _features_of_day(plan, frame)
        features = features.with_columns(
            volatility=SCALE, selected=is_watched(plan, features, frame)
        )
        return run_machine_backtest(
            plan.strategy.machine(), frame, features, plan.actions,
            plan.rules, plan.calendar, plan.timeframe, **options,
        )  # fmt: skip
    return run_backtest(
        regular,
        _watched_only(plan, day_signals(plan, frame), frame),
        plan.actions,
        plan.rules,
        plan.calendar,
        plan.timeframe,
        **options,
    )


def _opening(plan: SessionPlan, working: Iterable[Order]) -> TradingState:
    """The plan's opening with these orders at the exchange, where they are not there already."""
    exchange = plan.opening.exchange.copy()
    rows = {slot: row for row, slot in enumerate(plan.slot_names)}
    rules = plan.rules.records(plan.opening.symbols, plan.date)
    for order in working:
        terms = order.terms
        row = rows[terms.slot]
        record = exchange.orders[row, ROLE_NAMES.index(terms.role)]
        if record["status"] == ORDER_OPEN:
            continue
        put_order(record, terms, ORDER_OPEN, rows, plan.opening.portfolio.models, rules[row])
        record["quantity"], record["fills"] = order.quantity, len(order.executions)
        record["remaining"] = order.remaining
    return replace(plan.opening, exchange=exchange)


def _portfolio_day(
    plan: SessionPlan, frame: pl.DataFrame, silent: Collection[str]
) -> BacktestResult:
    assert isinstance(plan.rules, SharedRules)
    members = {
        member.name: Member(pl.DataFrame(schema=SIGNAL_DTYPES), member.rules)
        if member.name in silent
        else _member(plan, member, frame)
        for member in plan.members
    }
    return run_shared_backtest(
        members,
        frame.filter(pl.col("session") == "regular"),
        plan.actions,
        plan.rules.weights,
        plan.calendar,
        plan.timeframe,
        plan.opening,
        backtest_id=f"{plan.session_id}-backtest",
        book=plan.account,
        lives=plan.lives,
    )


def _member(plan: SessionPlan, member: MemberPlan, frame: pl.DataFrame) -> Member:
    """A member as the backtest of the day has it."""
    alone = plan.alone(member)
    chosen = None if member.symbols is None else list(member.symbols)
    if isinstance(member.strategy, Stepwise) and member.strategy.hears_fills:
        features = _features_of_day(plan, frame).with_columns(volatility=SCALE)
        features = features.with_columns(selected=is_watched(plan, features, frame))
        if chosen is not None:
            features = features.with_columns(pl.col("selected") & pl.col("symbol").is_in(chosen))
        inputs = MachineInputs(member.strategy.machine, frame, features)
        return Member(pl.DataFrame(schema=SIGNAL_DTYPES), member.rules, inputs)
    signals = _watched_only(plan, day_signals(alone, frame), frame)
    if chosen is not None:
        side = pl.when(pl.col("symbol").is_in(chosen)).then("side").otherwise(pl.lit(0, pl.Int8))
        signals = signals.with_columns(side=side)
    return Member(signals, member.rules)


def _watched_only(plan: SessionPlan, signals: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
    """`signals` without a side where the scanner had not selected the symbol by the bar's end."""
    watched = is_watched(plan, signals, frame)
    side = pl.when(watched).then("side").otherwise(pl.lit(0, pl.Int8))
    return signals.with_columns(side=side)
