"""The position of a bar in its exchange's day: the compiled form of `Calendar.with_session` and of
the timeframe's grid.

Rows of a symbol come in time order, so each session is found from the last row's session without a
search.
"""

from functools import cache

import numpy as np
import polars as pl

from harmony_pipeline.arrays import ByteArray, IntArray
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.session_parts import OUTSIDE, POST, PRE, REGULAR
from harmony_pipeline.market.timeframes import TIMEFRAME_SECONDS

_NEVER = np.iinfo(np.int64).max
_SECOND, _MINUTE, _HOUR, _DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000
NEAR_OPEN, NEAR_CLOSE = 1, 2
_DAILY = 86_400


# Rows of the calendar's matrix, one column a session: microseconds UTC, the day's number since
# 1970, the shifts of the grid inside an hour, and REACH. It is one matrix and not a dozen arrays,
# since every array argument of a compiled function costs compile time.
PRE_OPEN, SESSION_OPEN, SESSION_CLOSE, POST_CLOSE, BREAK_START, BREAK_END, DAY = 0, 1, 2, 3, 4, 5, 6
SHIFT_PRE, SHIFT_OPEN, SHIFT_AFTERNOON, SHIFT_POST, REACH = 7, 8, 9, 10, 11


@cache
def sessions_of(calendar: Calendar) -> IntArray:
    """The calendar as a matrix; weekly bars need `calendar.weeks`.

    A shift is what must be added to UTC so that the starts of the grid are multiples of a bar's
    length. On the clock's grid it is 30 minutes in Mumbai and 0 in New York. On the session's grid
    it makes the start of each stretch such a multiple. REACH is the longest time that a bar may
    extend into the next part and still belong to it: unbounded on the clock's grid, 0 on the
    session's.
    """
    hour = 60 * _MINUTE
    names = ("pre_open", "open", "close", "post_close", "break_start", "break_end")
    columns = [pl.col(name).dt.epoch("us").fill_null(_NEVER) for name in names]
    columns.append(pl.col("date").cast(pl.Int32).cast(pl.Int64).alias("day"))
    if calendar.grid.from_session:
        starts = ("pre_open", "open", "break_end", "close")
        columns += [
            (-pl.col(name).dt.epoch("us").fill_null(0) % hour).alias(f"from_{name}")
            for name in starts
        ]
        columns.append(pl.lit(1, pl.Int64).alias("reach"))
    else:
        local = (
            pl.col("open")
            .dt.convert_time_zone(calendar.zone)
            .dt.replace_time_zone(None)
            .dt.epoch("us")
        )
        shift = (
            local - pl.col("open").dt.epoch("us") - calendar.grid.offset_minutes * _MINUTE
        ) % hour
        columns += [shift.alias(f"shift_{number}") for number in range(4)]
        columns.append(pl.lit(_DAY, pl.Int64).alias("reach"))
    return np.ascontiguousarray(calendar.table.select(columns).to_numpy().T.astype(np.int64))


def seconds_of(timeframe: str) -> int:
    """A bar's length for kernels. Weekly bars are days of the calendar of weeks."""
    return min(TIMEFRAME_SECONDS[timeframe], _DAILY)


@kernel
def first_session(sessions: IntArray, stamp: int, seconds: int) -> int:
    """The first session that is not over when a bar starts at `stamp`; the number of sessions if
    all are.
    """
    if seconds == _DAILY:
        return int(np.searchsorted(sessions[DAY], stamp // _DAY))
    return int(np.searchsorted(sessions[POST_CLOSE], stamp, side="right"))


@kernel
def next_session(sessions: IntArray, at: int, stamp: int, seconds: int) -> int:
    """The same, from `at`, which was right for an earlier stamp."""
    count = sessions.shape[1]
    if seconds == _DAILY:
        while at < count and sessions[DAY, at] < stamp // _DAY:
            at += 1
    else:
        while at < count and sessions[POST_CLOSE, at] <= stamp:
            at += 1
    return at


@kernel
def part_of(sessions: IntArray, at: int, stamp: int, seconds: int) -> int:
    """OUTSIDE, PRE, REGULAR or POST."""
    if at >= sessions.shape[1]:
        return OUTSIDE
    if seconds == _DAILY:
        return REGULAR if sessions[DAY, at] == stamp // _DAY else OUTSIDE
    end = stamp + min(seconds * _SECOND, sessions[REACH, at])
    if end <= sessions[PRE_OPEN, at] or (
        stamp >= sessions[BREAK_START, at] and end <= sessions[BREAK_END, at]
    ):
        return OUTSIDE
    if end <= sessions[SESSION_OPEN, at]:
        return PRE
    return REGULAR if stamp < sessions[SESSION_CLOSE, at] else POST


@kernel
def end_of_part(sessions: IntArray, at: int, part: int, seconds: int) -> int:
    """The end of this part of this session: later bars that start before it start in it too.

    0 where a lunch break makes it unclear.
    """
    if sessions[BREAK_START, at] != _NEVER or seconds == _DAILY:
        return 0
    if part == PRE:
        return int(sessions[SESSION_OPEN, at] - min(seconds * _SECOND, sessions[REACH, at]) + 1)
    return int(sessions[SESSION_CLOSE, at] if part == REGULAR else sessions[POST_CLOSE, at])


@kernel
def grid_shift(sessions: IntArray, at: int, stamp: int) -> int:
    """What to add to `stamp` so that the starts of the grid are multiples of a bar's length."""
    at = min(at, sessions.shape[1] - 1)
    if stamp < sessions[SESSION_OPEN, at]:
        return int(sessions[SHIFT_PRE, at])
    if stamp >= sessions[SESSION_CLOSE, at]:
        return int(sessions[SHIFT_POST, at])
    return int(sessions[SHIFT_AFTERNOON if stamp >= sessions[BREAK_END, at] else SHIFT_OPEN, at])


@kernel
def on_grid(sessions: IntArray, at: int, stamp: int, seconds: int) -> bool:
    """Whether a bar may start at `stamp`: midnight UTC for daily bars, else on the grid."""
    if seconds == _DAILY:
        return stamp % _DAY == 0
    return bool((stamp + grid_shift(sessions, at, stamp)) % (seconds * _SECOND) == 0)


@kernel
def edges(sessions: IntArray, stamps: IntArray) -> ByteArray:
    """Whether each instant lies in the first (NEAR_OPEN) or last (NEAR_CLOSE) hour of regular
    trading; 0 for neither.

    The first hour wins.
    """
    found = np.zeros(stamps.size, np.uint8)
    for row in range(stamps.size):
        stamp = stamps[row]
        at = int(np.searchsorted(sessions[POST_CLOSE], stamp, side="right"))
        if (
            at == sessions.shape[1]
            or not sessions[SESSION_OPEN, at] <= stamp < sessions[SESSION_CLOSE, at]
        ):
            continue
        if sessions[BREAK_START, at] <= stamp < sessions[BREAK_END, at]:
            continue
        if stamp - sessions[SESSION_OPEN, at] < _HOUR:
            found[row] = NEAR_OPEN
        elif sessions[SESSION_CLOSE, at] - stamp <= _HOUR:
            found[row] = NEAR_CLOSE
    return found
