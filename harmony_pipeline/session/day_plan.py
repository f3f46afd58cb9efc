"""The plan of one trading day, for a replayed and for a live session.

A session opens with what the one before it closed with: cash, positions with their brackets and
bars held, working orders (session/opening.py). A symbol that is held or has a working order stays
in the session until it is flat, chosen today or not; so does the one that it becomes today.

>>> opening = opening_of(ledger, "paper", day, rules.initial_cash)
>>> symbols = opening.symbols(watched)                     # load the day's bars of these
>>> plan = plan_day(day, opening, watched, ...)
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.features.news_columns import NewsTotals
from harmony_pipeline.features.state import State, States, states_by_symbol
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.lives import empty_events, relevant_events, symbols_of
from harmony_pipeline.market.sectors import Sectors
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES
from harmony_pipeline.models.trained import TrainedModel
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.sleeves import SharedRules, Sleeves, with_keys_of_symbols
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.scanner.intraday import IntradayScan
from harmony_pipeline.session.opening import Opening
from harmony_pipeline.session.plan import MemberPlan, SessionPlan
from harmony_pipeline.strategies.base import Strategy

# a symbol without a bar for so long trades no more; a weekly bar is up to a week old
STILL_TRADED = timedelta(days=14)


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
    sectors: Sectors | None = None,
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
        compute_features(needed, feature_set, known, calendar, timeframe, news, sectors).states,
        feature_set,
    )
