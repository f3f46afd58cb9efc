"""Bars and events as the arrays that the kernels of the labels walk.

Regular bars of all symbols lie one symbol after the other, each in order of time; a position is an
index into that order. Nothing is copied where the frames have that order already. A *segment* is
what one security has of it: a symbol's bars, up to where another security takes the symbol over.
"""

from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harmony_pipeline.arrays import FloatArray, IntArray, read_only
from harmony_pipeline.errors import DataError
from harmony_pipeline.kernel import inlined_kernel, kernel, kernel_without_allocation
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.instruments import Instruments
from harmony_pipeline.market.session_position import (
    BREAK_START,
    DAY,
    POST_CLOSE,
    SESSION_CLOSE,
    first_session,
    next_session,
    seconds_of,
    sessions_of,
)
from harmony_pipeline.market.text_columns import run_starts
from harmony_pipeline.schemas import TIME

_PRICES = ("open", "high", "low", "close", "adjustment_factor")
_SECOND, _DAILY = 1_000_000, 86_400
Sides = NDArray[np.int8]
Sessions = NDArray[np.int32]
Positions = NDArray[np.int32]


class Prices(NamedTuple):
    """Raw prices of the regular bars and their forward adjustment factors."""

    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    factor: FloatArray


class Grids(NamedTuple):
    """TICK records by term and symbol: those of term t and symbol s are `records[t * symbols + s]`.
    A term begins on each of the days `changes` (days since 1970); term 0 is before all of them.
    """

    records: NDArray[np.void]
    changes: IntArray
    symbols: int


class BarEnds(NamedTuple):
    """What the end of a regular bar follows from: the calendar's sessions (session_position.py),
    the bar's length in seconds, and whether a lunch break ends bars.
    """

    sessions: IntArray
    seconds: int
    halves: bool


@dataclass(frozen=True)
class MarketArrays:
    """`starts`: the first position of each symbol and the number of bars; `cuts`: the position
    after the last bar of each segment.
    """

    names: tuple[str, ...]
    starts: IntArray
    cuts: IntArray
    at: IntArray  # microseconds since 1970
    ends: BarEnds
    prices: Prices

    @staticmethod
    def of(
        bars: pl.DataFrame,
        calendar: Calendar,
        timeframe: str,
        securities_begin: pl.DataFrame | None = None,
    ) -> "MarketArrays":
        """The regular bars of `bars` (schemas.BARS). Raises DataError when a key is repeated."""
        rows, starts = sorted_by_key(_regular(bars), "bars")
        names = tuple(rows["symbol"].gather(starts[:-1]).to_list())
        at = _array(rows["timestamp"].cast(TIME).cast(pl.Int64))
        own = calendar.for_timeframe(timeframe)
        ends = BarEnds(sessions_of(own), seconds_of(timeframe), own.grid.from_session)
        prices = Prices(*(_array(rows[name].cast(pl.Float64)) for name in _PRICES))
        market = MarketArrays(names, starts, read_only(starts[1:].copy()), at, ends, prices)
        return market._cut(securities_begin)

    @cached_property
    def session(self) -> Sessions:
        """The number of each bar's session in the calendar."""
        found = np.empty(len(self.at), np.int32)
        _number_sessions(self.ends, self.starts, self.at, found)
        return read_only(found)

    @property
    def days(self) -> IntArray:
        """Days since 1970 by number of session."""
        days: IntArray = self.ends.sessions[DAY]
        return days

    def _cut(self, begins: pl.DataFrame | None) -> "MarketArrays":
        """With a segment's end where another security takes a symbol over."""
        if begins is None or not begins.height:
            return self
        runs = dict(zip(self.names, pairwise(self.starts.tolist()), strict=True))
        mine = begins.filter(pl.col("symbol").is_in(list(runs))).select(
            "symbol", pl.col("date").to_physical()
        )
        stops = [
            int(first + np.searchsorted(self.days[self.session[first:end]], day))
            for symbol, day in mine.iter_rows()
            for first, end in [runs[symbol]]
        ]
        cuts = np.unique(np.concatenate([self.starts[1:], np.array(stops, np.int64)]))
        # a security that begins with the first bar cuts nothing off
        return replace(self, cuts=read_only(cuts[cuts > 0]))

    def grids(self, instruments: Instruments) -> Grids:
        """The ticks of the symbols' instruments, term by term."""
        changes = instruments.changes(list(self.names))
        terms = [instruments.grids(self.names, day) for day in [date.min, *changes]]
        days = [(day - date(1970, 1, 1)).days for day in changes]
        return Grids(np.concatenate(terms), np.array(days, np.int64), len(self.names))


class EventArrays(NamedTuple):
    """Events on regular bars, sorted by symbol and time. `position` is that of the event's bar."""

    position: Positions
    side: Sides
    volatility: FloatArray


def place_events(
    events: pl.DataFrame, market: MarketArrays, bars: pl.DataFrame
) -> tuple[pl.DataFrame, EventArrays]:
    """The events (symbol, timestamp, side, volatility) that can become trades, and their arrays;
    those on bars of extended hours are left out.

    Raises DataError for an event without a bar, a repeated key, and a side or a volatility that is
    none.
    """
    table, starts = sorted_by_key(_valid(events), "events")
    at = _array(table["timestamp"].cast(TIME).cast(pl.Int64))
    side = _array(table["side"].cast(pl.Int8))
    volatility = _array(table["volatility"].cast(pl.Float64))
    if not _usable(side, volatility):
        _refuse_events(table)
    position = np.empty(table.height, np.int32)
    place = {name: number for number, name in enumerate(market.names)}
    unmatched = 0
    for first, end in pairwise(starts.tolist()):
        number = place.get(table["symbol"][first])
        begin, stop = (0, 0) if number is None else market.starts[number : number + 2]
        unmatched += _match(at[first:end], market.at[begin:stop], begin, position[first:end])
    if not unmatched:
        return table, EventArrays(position, side, volatility)
    regular = position >= 0
    _require_bars(table.filter(~regular), bars)
    return (
        table.filter(regular),
        EventArrays(position[regular], read_only(side[regular]), read_only(volatility[regular])),
    )


def sorted_by_key(frame: pl.DataFrame, what: str) -> tuple[pl.DataFrame, IntArray]:
    """`frame` sorted by symbol and time, and the first row of each symbol with the number of rows
    at the end. Raises DataError when a key is repeated.
    """
    starts = run_starts(frame["symbol"])
    names = frame["symbol"].gather(starts[:-1])
    stamps = _array(frame["timestamp"].cast(TIME).cast(pl.Int64))
    falls, row = _check_order(stamps, starts)
    if falls or (len(names) > 1 and not (names.slice(1) > names.head(-1)).all()):
        return sorted_by_key(frame.sort("symbol", "timestamp", maintain_order=True), what)
    if row >= 0:
        symbol, when = frame["symbol"][row], frame["timestamp"][row]
        raise DataError(
            f"{what}: {symbol} at {when} is there more than once; (symbol, timestamp) must be"
            " unique"
        )
    return frame, read_only(starts)


@kernel_without_allocation
def _check_order(at: IntArray, starts: IntArray) -> tuple[bool, int]:
    """Whether a row is earlier than the one before it in its run, and the last row at the same time
    as the one before it; -1: there is none.
    """
    falls, repeated = 0, -1
    for run in range(len(starts) - 1):
        stamps = at[starts[run] : starts[run + 1]]
        earlier, later, stays = stamps[:-1], stamps[1:], 0
        for row in range(len(later)):
            falls += later[row] < earlier[row]
            stays += later[row] == earlier[row]
        if stays > 0:
            for row in range(len(later)):
                if later[row] == earlier[row]:
                    repeated = starts[run] + row + 1
    return falls > 0, repeated


def _regular(bars: pl.DataFrame) -> pl.DataFrame:
    session = bars["session"]
    chosen = bars.select("symbol", "timestamp", *_PRICES)
    if session.null_count() == 0:
        kinds = session.gather(run_starts(session)[:-1])
        if (kinds == "regular").all():
            return chosen
    return chosen.filter(session == "regular")


@kernel
def _number_sessions(ends: BarEnds, starts: IntArray, at: IntArray, found: Sessions) -> None:
    count = ends.sessions.shape[1]
    for run in range(len(starts) - 1):
        here = first_session(ends.sessions, at[starts[run]], ends.seconds)
        for row in range(starts[run], starts[run + 1]):
            here = min(next_session(ends.sessions, here, at[row], ends.seconds), count - 1)
            found[row] = here


@inlined_kernel
def session_near(ends: BarEnds, here: int, start: int) -> int:
    """The session of a bar that starts at `start`, looked for from `here` on, both ways."""
    sessions = ends.sessions
    if ends.seconds == _DAILY:
        day = start // (_DAILY * _SECOND)
        while here > 0 and sessions[DAY, here - 1] >= day:
            here -= 1
        while here < sessions.shape[1] - 1 and sessions[DAY, here] < day:
            here += 1
        return here
    while here > 0 and sessions[POST_CLOSE, here - 1] > start:
        here -= 1
    while here < sessions.shape[1] - 1 and sessions[POST_CLOSE, here] <= start:
        here += 1
    return here


@inlined_kernel
def end_of_bar(ends: BarEnds, here: int, start: int) -> int:
    """The end of a regular bar of the session `here`, as `Calendar.with_session` has it."""
    sessions, end = ends.sessions, start + ends.seconds * _SECOND
    if ends.seconds == _DAILY:
        if sessions[DAY, here] == start // (_DAILY * _SECOND):
            return int(sessions[SESSION_CLOSE, here])
    elif start < sessions[SESSION_CLOSE, here]:
        end = min(end, sessions[SESSION_CLOSE, here])
        if ends.halves and start < sessions[BREAK_START, here]:
            end = min(end, sessions[BREAK_START, here])
    return end


@kernel_without_allocation
def _match(at: IntArray, bars: IntArray, begin: int, position: Positions) -> int:
    """Write the position of each event's bar, -1 where there is none, and return how many have
    none. Events and bars are those of one symbol, and rise; `begin` is the first bar's position.
    """
    if at.size == bars.size:  # an event on every bar, mostly
        differ = 0
        for row in range(at.size):
            differ += at[row] != bars[row]
            position[row] = begin + row
        if differ == 0:
            return 0
    bar = unmatched = 0
    for row in range(at.size):
        while bar < bars.size and bars[bar] < at[row]:
            bar += 1
        found = bar < bars.size and bars[bar] == at[row]
        position[row] = begin + bar if found else -1
        unmatched += not found
    return unmatched


@kernel_without_allocation
def _usable(side: Sides, volatility: FloatArray) -> bool:
    bad = 0
    for row in range(len(side)):
        bad += not (side[row] == 1 or side[row] == -1)
        bad += not (0.0 <= volatility[row] < np.inf)
    return bad == 0


def _valid(events: pl.DataFrame) -> pl.DataFrame:
    chosen = events.select("symbol", "timestamp", "side", "volatility")
    if chosen["side"].null_count() or chosen["volatility"].null_count():
        _refuse_events(chosen)
    if chosen["side"].dtype != pl.Int8 and not chosen["side"].is_in([-1, 1]).all():
        _refuse_events(chosen)
    return chosen


def _refuse_events(events: pl.DataFrame) -> None:
    """Raise DataError for the first event whose side or volatility is none."""
    row = events.filter(
        ~pl.col("side").is_in([-1, 1]).fill_null(False)
        | ~(pl.col("volatility").is_finite() & (pl.col("volatility") >= 0.0)).fill_null(False)
    ).row(0, named=True)
    raise DataError(
        f"events: {row['symbol']} at {row['timestamp']} has side {row['side']} and volatility"
        f" {row['volatility']}; side must be -1 or 1 and volatility a number >= 0: make events"
        " with events_from_signals"
    )


def _require_bars(events: pl.DataFrame, bars: pl.DataFrame) -> None:
    """Raise DataError when one of the events has no bar of any session."""
    elsewhere = events.join(bars, on=["symbol", "timestamp"], how="anti", maintain_order="left")
    if elsewhere.height:
        row = elsewhere.row(0, named=True)
        raise DataError(
            f"{elsewhere.height} event(s) have no bar, first {row['symbol']} at {row['timestamp']}:"
            " pass the bars of the events' whole span"
        )


def _array(values: pl.Series) -> NDArray[Any]:
    return read_only(np.ascontiguousarray(values.to_numpy()))
