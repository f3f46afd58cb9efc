"""A trading day put together from frames, replayed or traded: where plans are made.

A session opens with what the one before it closed with: cash, positions with their brackets and
bars held, working orders. Without one before, with the initial cash and nothing else. A symbol that
is held or has a working order stays in the session until it is flat, chosen today or not; so does
the one that it becomes today.

>>> opening = opening_of(ledger, "paper", day, rules.initial_cash)
>>> symbols = opening.symbols(watched)                     # load the day's bars of these
>>> plan = plan_day(day, opening, watched, ...)
>>> result = replay_day(plan, bars, ledger)
>>> twin = backtest_day(plan, bars)                        # compare(result, twin).equal is True
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.backtest.event_driver import run_machine_backtest
from harmony_pipeline.backtest.input_arrays import SIGNAL_DTYPES
from harmony_pipeline.backtest.shared_account import Member, run_shared_backtest
from harmony_pipeline.backtest.shared_machines import MachineInputs
from harmony_pipeline.backtest.simulator import BacktestResult, run_backtest
from harmony_pipeline.errors import DataError, NotReady
from harmony_pipeline.execution.brokers.base import Broker
from harmony_pipeline.execution.brokers.simulated import SimulatedBroker
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.features.news_columns import NewsTotals
from harmony_pipeline.features.state import State, States, states_by_symbol
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.lives import empty_events, relevant_events, symbols_of
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES
from harmony_pipeline.models.trained import TrainedModel
from harmony_pipeline.portfolio.kernel_types import ORDER_OPEN
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.sleeves import (
    SharedRules,
    Sleeves,
    moved_state,
    symbol_of,
    with_keys_of_symbols,
)
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.scanner.intraday import IntradayScan
from harmony_pipeline.session.clock import Clock, ReplayClock
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.live_signals import complete_signals
from harmony_pipeline.session.open_orders import carried_orders
from harmony_pipeline.session.plan import SCALE, MemberPlan, SessionPlan
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.runner import Supervision, run_session
from harmony_pipeline.session.stream import BarStream, ReplayStream
from harmony_pipeline.session.watch_list import is_watched
from harmony_pipeline.strategies.base import (
    Stepwise,
    Strategy,
    checked_signals,
    signals_of,
    strategy_rows,
)

_DAY = 86_400_000_000  # microseconds
# a symbol without a bar for so long trades no more; a weekly bar is up to a week old
STILL_TRADED = timedelta(days=14)


@dataclass(frozen=True)
class Opening:
    """What a day starts with, cut down to the symbols that matter: those held, those with a
    working order, and those that may not be entered yet. owners: the strategies of a portfolio,
    whose slots `state` has; none: one strategy had the account, and it has symbols.
    """

    account: str
    state: TradingState
    previous_session_id: str | None
    owners: tuple[str, ...] = ()

    @property
    def held(self) -> tuple[str, ...]:
        """Symbols that the session must see, whatever is chosen today."""
        names = self.state.symbols
        return tuple(sorted({*map(symbol_of, names)})) if self.owners else names

    def state_of(self, sleeves: Sleeves) -> TradingState:
        """The state as a session of these strategies takes it over: each keeps what it has. Raises
        DataError where one that is not there holds something.
        """
        if self.owners == sleeves.strategies:
            return self.state
        return moved_state(self.state, self.owners, sleeves)

    def symbols(self, watched: Iterable[str]) -> tuple[str, ...]:
        """Everything that the session needs bars of."""
        return tuple(sorted({*self.held, *watched}))


def opening_of(ledger: Ledger, account: str, day: date, initial_cash: float) -> Opening:
    """The closing state of the account's latest session before `day`. Raises DataError when that
    one never ended.
    """
    previous = ledger.previous_session(account, day)
    if previous is None:
        return Opening(account, TradingState.opening([], initial_cash), None)
    snapshot = ledger.snapshot(previous.session_id)
    if snapshot is None:
        raise DataError(
            f"session {previous.session_id} has no closing state, so {day} cannot open: run it"
            " again"
        )
    return Opening(
        account,
        restricted(TradingState.from_dict(snapshot.body["trading"])),
        previous.session_id,
        tuple(snapshot.body.get("strategies", ())),
    )


def restricted(state: TradingState) -> TradingState:
    """A state of its own with only the symbols that are held, have a working order or may not be
    entered for a while yet, so that states do not grow with every symbol ever watched.
    """
    state = state.pruned()
    positions = state.portfolio.positions
    tomorrow = (int(state.portfolio.account["date"][0]) + 1) * _DAY
    busy = (
        (positions["quantity"] != 0.0)
        | (positions["entry_working"] == 1)
        | (positions["paused_until"] > tomorrow)
        | (positions["own_paused_until"] > tomorrow)
        | (positions["intent_until"] > tomorrow)
        | (state.exchange.orders["status"] == ORDER_OPEN).any(axis=1)
    )
    return state.only(np.flatnonzero(busy))


def plan_day(
    day: date,
    opening: Opening,
    watched: Sequence[str],
    *,
    strategy_name: str,
    strategy: Strategy,
    rules: TradingRules,
    feature_set: FeatureSet,
    feature_states: States,
    calendar: Calendar,
    timeframe: str,
    actions: pl.DataFrame,
    lives: pl.DataFrame | None = None,
    uses_model: bool = False,
    model: TrainedModel | None = None,
    threshold: float = 0.0,
    regimes: pl.DataFrame | None = None,
    history: pl.DataFrame | None = None,
    factors: Mapping[str, float] | None = None,
    flatten_at_close: bool = False,
    members: Sequence[MemberPlan] = (),
    selected: Sequence[str] | None = None,
    scans: Sequence[IntradayScan] = (),
    stop_limit_bps: float | None = None,
) -> SessionPlan:
    """The plan of one day; of a portfolio see `plan_portfolio_day`. `feature_states` may name more
    symbols than are needed, `actions` and `lives` reach back as far as they like. Raises DataError
    when `day` is no session, or a feature state lies inside it.
    """
    behind, due = _events_around(opening, empty_events() if lives is None else lives, watched, day)
    symbols = tuple(sorted({*opening.symbols(watched), *symbols_of(due)}))
    states = _states_of(symbols, feature_states, feature_set, (day, calendar, timeframe))
    return SessionPlan(
        date=day,
        account=opening.account,
        symbols=symbols,
        strategy_name=strategy_name,
        strategy=strategy,
        rules=rules,
        feature_set=feature_set,
        feature_states=states,
        opening=_opening_state(opening, members, symbols, behind, model),
        calendar=calendar,
        timeframe=timeframe,
        actions=actions.filter(pl.col("symbol").is_in(list(symbols)) & (pl.col("date") <= day)),
        lives=pl.concat([_events_naming(symbols, behind), due]),
        uses_model=uses_model,
        model=model,
        threshold=threshold,
        regimes=regimes,
        history=history,
        factors=dict(factors or {}),
        flatten_at_close=flatten_at_close,
        previous_session_id=opening.previous_session_id,
        members=tuple(members),
        selected=selected if selected is None else tuple(sorted(selected)),
        scans=tuple(scans),
        stop_limit_bps=stop_limit_bps,
    )


def _states_of(
    symbols: Sequence[str],
    states: States,
    feature_set: FeatureSet,
    day: tuple[date, Calendar, str],
) -> dict[str, State]:
    """Those of the symbols. Raises DataError when one lies inside the day, or when features compare
    the symbols with one that is not among them.
    """
    known = states_by_symbol(states, feature_set)
    if feature_set.compares:
        _refuse_unheard(symbols, known, day[0])
    found = {symbol: known[symbol] for symbol in symbols if symbol in known}
    _refuse_states_inside(day[0], found, day[1], day[2])
    return found


def _refuse_unheard(symbols: Sequence[str], states: Mapping[str, State], day: date) -> None:
    """Features that compare symbols are those of research only if the session hears every symbol
    that trades.
    """
    since = datetime.combine(day, time(), UTC) - STILL_TRADED
    unheard = sorted(
        symbol
        for symbol, state in states.items()
        if symbol not in symbols and state.timestamp >= since
    )
    if unheard:
        raise DataError(
            f"the session of {day} does not hear {', '.join(unheard[:5])}"
            f"{f' and {len(unheard) - 5} more' if len(unheard) > 5 else ''}, with which"
            " features.names compares its symbols: give plan_day every symbol of the market, and"
            " those that may be entered as `selected`"
        )


def plan_portfolio_day(
    day: date,
    opening: Opening,
    watched: Sequence[str],
    *,
    portfolio: str,
    members: Sequence[MemberPlan],
    weights: Sequence[float],
    **shared: Any,
) -> SessionPlan:
    """The plan of one day of several strategies on one account, by the rule of
    portfolio/sleeves.py. weights: the share of the equity of each member on that day. shared:
    what `plan_day` takes and members do not have of their own.
    """
    sleeves = Sleeves(tuple(member.name for member in members))
    own = [member.rules for member in members]
    rules = SharedRules.shared(sleeves, own, ((day, tuple(weights)),))
    first = members[0]
    models = {member.model.model_id: member.model for member in members if member.model}
    return plan_day(
        day,
        opening,
        watched,
        strategy_name=portfolio,
        strategy=first.strategy,
        rules=rules,
        uses_model=bool(models),
        model=next(iter(models.values())) if len(models) == 1 else None,
        history=first.history,
        members=members,
        **shared,
    )


def _events_around(
    opening: Opening, events: pl.DataFrame, watched: Sequence[str], day: date
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Ends and changes of symbols that the opening's books have behind them, and those that the day
    meets.
    """
    since = opening.state.booked_until(day)
    ahead = events.filter(pl.col("date") > since)
    return (
        events.filter(pl.col("date") <= since),
        relevant_events(ahead, opening.symbols(watched), day),
    )


def _opening_state(
    opening: Opening,
    members: Sequence[MemberPlan],
    symbols: Sequence[str],
    behind: pl.DataFrame,
    model: TrainedModel | None,
) -> TradingState:
    """The state that the session opens with, of all its symbols, or of all their slots."""
    sleeves = Sleeves(tuple(member.name for member in members))
    found = opening.state_of(sleeves)
    models = {each.model_id for each in (model, *(one.model for one in members)) if each}
    if not members:
        state = found.extended(symbols, sorted(models))
        state.mark_ended(behind)
        return state
    state = with_keys_of_symbols(found.extended(sleeves.slots(symbols), sorted(models)))
    state.mark_ended(sleeves.frame(behind, ("symbol", "successor")))
    return state


def _refuse_states_inside(
    day: date, states: Mapping[str, State], calendar: Calendar, timeframe: str
) -> None:
    """Raises DataError when `day` is no session, or a state knows a bar of it already."""
    first = (
        calendar.schedule(day, calendar.next_session(day))["pre_open"][0]
        if calendar.is_session(day)
        else calendar.session_open(day)
    )
    if timeframe in LONG_TIMEFRAMES:
        return
    late = [symbol for symbol, state in states.items() if state.timestamp >= first]
    if late:
        raise DataError(
            f"the feature state of {late[0]} ({states[late[0]].timestamp}) lies inside the session"
            f" of {day}: use states_before(day)"
        )


def _events_naming(symbols: Sequence[str], events: pl.DataFrame) -> pl.DataFrame:
    """The changes of symbol and delistings from or to one of these symbols."""
    before, after = pl.col("symbol"), pl.col("successor")
    return events.filter(
        before.is_in(list(symbols)) | after.is_in(list(symbols)).fill_null(value=False)
    )


def states_before(
    start: datetime,
    bars: pl.DataFrame,
    feature_set: FeatureSet,
    states: States,
    calendar: Calendar,
    timeframe: str,
    news: NewsTotals | None = None,
) -> dict[str, State]:
    """Feature states after each symbol's last bar before `start`, continued from `states` over
    `bars` (sorted as the BARS table; later ones are ignored).
    """
    known = states_by_symbol(states, feature_set)
    # One join, since a condition a symbol would look at every row once for each symbol.
    saved = pl.DataFrame(
        {"symbol": list(known), "saved_at": [state.timestamp for state in known.values()]},
        schema={"symbol": pl.String(), "saved_at": bars.schema["timestamp"]},
    )
    before = bars.filter(pl.col("timestamp") < start).join(
        saved, on="symbol", how="left", maintain_order="left"
    )
    needed = before.filter(
        pl.col("saved_at").is_null() | (pl.col("timestamp") > pl.col("saved_at"))
    ).drop("saved_at")
    return states_by_symbol(
        compute_features(needed, feature_set, known, calendar, timeframe, news).states, feature_set
    )


def day_bars(plan: SessionPlan, bars: pl.DataFrame) -> pl.DataFrame:
    """The plan's part of a BARS frame: its symbols, its session date, with session_date and
    bar_end, sorted by symbol and time.
    """
    mine = bars.filter(pl.col("symbol").is_in(list(plan.symbols)))
    if "bar_end" not in mine.columns:
        mine = plan.calendar.with_session(mine, plan.timeframe)
    return mine.filter(
        (pl.col("session_date") == plan.date) & pl.col("session").is_not_null()
    ).sort("symbol", "timestamp", maintain_order=True)


def simulated_broker(plan: SessionPlan, ledger: Ledger) -> SimulatedBroker:
    """The simulated exchange as the plan opens it: its working orders under the names that the
    ledger knows, its books from the opening portfolio.
    """
    opening = plan.opening
    shares = {
        slot: float(position["quantity"])
        for slot, position in zip(plan.slot_names, opening.portfolio.positions, strict=True)
    }
    return SimulatedBroker(
        opening.exchange,
        plan.rules.records(opening.symbols, plan.date),
        opening.portfolio.models,
        int(opening.portfolio.account[0]["cash"]),
        shares,
        carried_orders(plan, ledger, in_process=True),
        [(name, symbol) for name in plan.by_strategy for symbol in plan.symbols],
    )


def broker_as_left(plan: SessionPlan, ledger: Ledger) -> SimulatedBroker:
    """The simulated broker of a session as that session left it, with books of its own. Raises
    NotReady before the session has begun.
    """
    saved = ledger.snapshot(plan.session_id)
    if saved is None or saved.body["exchange"] is None:
        raise NotReady(
            f"session {plan.session_id} has left no simulated exchange behind: run it first"
        )
    broker = simulated_broker(plan, ledger)
    broker.restore(saved.body["exchange"])
    return broker


def replay_day(
    plan: SessionPlan, bars: pl.DataFrame, ledger: Ledger, supervision: Supervision | None = None
) -> SessionResult:
    """Run the plan over the day's bars at full speed against the simulated exchange."""
    frame = day_bars(plan, bars)
    if frame.is_empty():
        raise DataError(
            f"there are no bars of {', '.join(plan.symbols) or 'any symbol'} on {plan.date}: ingest"
            " that day first"
        )
    clock = ReplayClock(frame["timestamp"].min())  # type: ignore[arg-type]
    with ledger.reproducible():
        return run_session(
            plan,
            ledger,
            simulated_broker(plan, ledger),
            ReplayStream(frame, clock),
            clock,
            supervision,
        )


def trade_day(
    plan: SessionPlan,
    ledger: Ledger,
    broker: Broker,
    stream: BarStream,
    clock: Clock,
    supervision: Supervision,
) -> SessionResult:
    """Run the plan over a live stream, supervised: lock, heartbeat, kill switch, signals,
    freshness.
    """
    return run_session(plan, ledger, broker, stream, clock, supervision)


def day_signals(plan: SessionPlan, bars: pl.DataFrame) -> pl.DataFrame:
    """The signals that research makes of the whole day at once, from the plan's feature states; of
    a plan with one strategy.
    """
    frame = day_bars(plan, bars)
    features = compute_features(
        frame, plan.feature_set, plan.feature_states, plan.calendar, plan.timeframe, plan.news
    ).table
    if plan.history is None:
        primary = signals_of(plan.strategy, features, lambda: frame, plan.strategy_name)
    else:
        rows = pl.concat([plan.history, strategy_rows(plan.strategy, frame, features)])
        made = checked_signals(plan.strategy, rows, plan.strategy_name)
        primary = made.join(
            features.select("symbol", "timestamp"), on=["symbol", "timestamp"], how="semi"
        )
    return complete_signals(plan, primary, features)


def backtest_day(
    plan: SessionPlan, bars: pl.DataFrame, silent: Collection[str] = ()
) -> BacktestResult:
    """The backtest of the plan's day from the same opening state: what the session is judged by. A
    machine with `on_fill` runs event by event. silent: strategies of a portfolio that say nothing,
    because they cannot be run.
    """
    frame = day_bars(plan, bars)
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
        features = compute_features(
            frame, plan.feature_set, plan.feature_states, plan.calendar, plan.timeframe, plan.news
        ).table
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
        features = compute_features(
            frame, plan.feature_set, plan.feature_states, plan.calendar, plan.timeframe, plan.news
        ).table.with_columns(volatility=SCALE)
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
