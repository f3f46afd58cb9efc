"""The books of a run as it begins, with room in their logs, and what it has written at its end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from harmony_pipeline.backtest.books import Books, cursor_at_start, scratch, spare_rows
from harmony_pipeline.backtest.curve_spans import SPAN
from harmony_pipeline.backtest.input_arrays import NEVER
from harmony_pipeline.backtest.logs import (
    APPLICATIONS,
    CARRIED,
    EVENTS,
    FILLS,
    FIRST_BAR,
    ORDERS,
    PLACES,
    SPANS,
    TRADES,
    TRIPS,
    UNDECIDED,
    Curve,
    empty_curve,
)
from harmony_pipeline.backtest.result_writing import ResultWriting
from harmony_pipeline.backtest.round_trip_log import ROUND_TRIP
from harmony_pipeline.backtest.runs import Run
from harmony_pipeline.lent_memory import ArrayRoom
from harmony_pipeline.portfolio.corporate_actions import first_actions
from harmony_pipeline.portfolio.kernel_types import (
    APPLIED,
    ENDING,
    ORDER,
    ORDER_EVENT,
    ORDER_OPEN,
    PARTIALLY_FILLED,
    REPORT,
    TRADE,
    Records,
    records,
)
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.state import TradingState

_EPOCH = date(1970, 1, 1)
_FIRST_LOG_ROWS = 1 << 16  # untouched pages cost nothing
_SPARE_LOG_ROWS = 64  # of logs that are not kept: few, so that they stay in the cache


@dataclass(frozen=True)
class Logs:
    """What a run wrote, and its first and last moments (0: it had no bar). The rows of `curve` are
    there once `writing` has told its figures.
    """

    orders: Records
    fills: Records
    trades: Records
    applied: Records
    events: Records
    trips: Records
    curve: Curve
    writing: ResultWriting
    start: int
    end: int
    last_date: int | None
    carried: int = 0
    """The first rows of `orders` are those that worked when the run began."""


def opened_books(
    run: Run, rules: TradingRules, stretches: Sequence[tuple[int, Records]], keeps_tables: bool
) -> tuple[Books, Curve]:
    """The books at the start: orders that already work have their row in the log."""
    state = run.state
    count = len(state.symbols)
    works = state.exchange.orders["status"] == ORDER_OPEN
    carried = state.exchange.orders[works] if works.any() else records(0, ORDER)
    spare = int(spare_rows(count, len(run.lives), len(run.actions)))
    room = spare + len(carried) + (_FIRST_LOG_ROWS if keeps_tables else _SPARE_LOG_ROWS)
    place = ArrayRoom(room * ORDER.itemsize)
    intents, reports = scratch(count)
    at = np.zeros(PLACES, dtype=np.int64)
    at[FIRST_BAR], at[UNDECIDED] = NEVER, -1
    books = Books(
        positions=state.portfolio.positions,
        account=state.portfolio.account,
        orders=state.exchange.orders,
        keys=state.exchange.keys,
        rules=stretches[0][1] if stretches else rules.records(state.symbols),
        actions=run.actions,
        next_action=first_actions(run.actions, count),
        lives=run.lives,
        intents=intents,
        reports=reports,
        endings=records(2, ENDING),
        order_log=place.empty(room, ORDER),  # of logs, nothing is read that was not written
        fill_log=place.empty(room, REPORT),
        trade_log=place.empty(room, TRADE),
        applied_log=place.empty(room, APPLIED),
        event_log=place.empty(room, ORDER_EVENT),
        span_log=place.empty(room, SPAN),
        trip_log=place.empty(room, ROUND_TRIP),
        busy=works.any(axis=1) | (state.portfolio.positions["quantity"] != 0.0),
        at=at,
        keeps_logs=keeps_tables,
    )
    _carry(state, carried, books)
    moves = len(run.bars.at) + len(run.moments)
    days = min(moves, len(run.sessions.date) + len(run.moments))
    rows = moves if keeps_tables else 0
    return books, empty_curve(rows, days, has_moments=not run.is_alone)


def _carry(state: TradingState, carried: Records, books: Books) -> None:
    """Orders that already work get their row in the log."""
    if not len(carried):
        return
    log = books.order_log
    log[: len(carried)] = carried
    log["ticket"][: len(carried)] = np.arange(len(carried))
    log["status"][: len(carried)] = np.where(carried["fills"] > 0, PARTIALLY_FILLED, ORDER_OPEN)
    for row, order in enumerate(carried):
        state.exchange.orders[order["symbol"], order["role"]]["ticket"] = row
    books.at[ORDERS] = books.at[CARRIED] = len(carried)


def with_room(books: Books) -> Books:
    """The books with every log doubled that is too full for one more timestamp."""
    spare = int(spare_rows(len(books.positions), len(books.lives), len(books.actions)))
    at = books.at
    return books._replace(
        order_log=_roomier(books.order_log, int(at[ORDERS]), spare),
        fill_log=_roomier(books.fill_log, int(at[FILLS]), spare),
        trade_log=_roomier(books.trade_log, int(at[TRADES]), spare),
        applied_log=_roomier(books.applied_log, int(at[APPLICATIONS]), spare),
        event_log=_roomier(books.event_log, int(at[EVENTS]), spare),
        span_log=_roomier(books.span_log, int(at[SPANS]), spare),
        trip_log=_roomier(books.trip_log, int(at[TRIPS]), spare),
    )


def _roomier(log: Records, used: int, spare: int) -> Records:
    if len(log) - used >= spare:
        return log
    grown = np.empty(2 * len(log), log.dtype)
    grown[:used] = log[:used]
    return grown


def rule_stretches(run: Run, rules: TradingRules) -> Iterator[tuple[int, Records]]:
    """(end, RULES records) of each stretch of time within which no instrument changes, from the
    first bar on. Terms change with the session.
    """
    if not len(run.bars.at):
        return
    sessions, symbols = run.sessions, run.state.symbols
    earliest = cursor_at_start(run.bars, run.signals).at.min()
    place = int(np.searchsorted(sessions.until, earliest, side="right"))
    began = _EPOCH + timedelta(days=int(sessions.date[place]))
    changes = [day for day in rules.changes(symbols) if day > began]
    places = np.searchsorted(sessions.date, [(day - _EPOCH).days for day in changes])
    ends = [*(int(sessions.until[place - 1]) for place in places), NEVER]
    for day, end in zip([began, *changes], ends, strict=True):
        yield end, rules.records(symbols, day)
