"""Where a bar stands in its exchange's day, row by row: the compiled twin of `Calendar.with_session` and of the timeframe's grid.

Rows of a symbol come in time order, so the session is found by walking on from the last row's, never by searching.
"""

from functools import cache

import numpy as np
import numpy.typing as npt
import polars as pl

from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.calendars import Calendar

Integers = npt.NDArray[np.int64]
OUTSIDE, PRE, REGULAR, POST = 0, 1, 2, 3
PARTS = (None, "pre", "regular", "post")
_NEVER = np.iinfo(np.int64).max
_MINUTE, _DAY = 60_000_000, 86_400_000_000
_DAILY = 1440


# Rows of the calendar's matrix, one column a session: microseconds UTC, the day's number since 1970, the clock's shift inside an hour. One matrix
# and not eight arrays, since every array that a compiled function is handed costs compile time.
PRE_OPEN, OPEN, CLOSE, POST_CLOSE, BREAK_START, BREAK_END, DAY, CLOCK = 0, 1, 2, 3, 4, 5, 6, 7


@cache
def sessions_of(calendar: Calendar) -> Integers:
    """The calendar as a matrix. CLOCK is what must be added to UTC to stand on the exchange's hour: 30 minutes in Mumbai, 0 in New York."""
    table = calendar.table
    local = pl.col("open").dt.convert_time_zone(calendar.zone).dt.replace_time_zone(None).dt.epoch("us")
    columns = [pl.col(name).dt.epoch("us").fill_null(_NEVER) for name in ("pre_open", "open", "close", "post_close", "break_start", "break_end")]
    columns += [pl.col("date").cast(pl.Int32).cast(pl.Int64), ((local - pl.col("open").dt.epoch("us")) % (60 * _MINUTE)).alias("clock")]
    return np.ascontiguousarray(table.select(columns).to_numpy().T.astype(np.int64))


@kernel
def first_session(sessions: Integers, stamp: int, minutes: int) -> int:
    """The first session that is not over when a bar starts at `stamp`; the number of sessions when all are."""
    if minutes == _DAILY:
        return int(np.searchsorted(sessions[DAY], stamp // _DAY))
    return int(np.searchsorted(sessions[POST_CLOSE], stamp, side="right"))


@kernel
def next_session(sessions: Integers, at: int, stamp: int, minutes: int) -> int:
    """The same, walking on from `at`, which was right for an earlier stamp."""
    count = sessions.shape[1]
    if minutes == _DAILY:
        while at < count and sessions[DAY, at] < stamp // _DAY:
            at += 1
    else:
        while at < count and sessions[POST_CLOSE, at] <= stamp:
            at += 1
    return at


@kernel
def part_of(sessions: Integers, at: int, stamp: int, minutes: int) -> int:
    """OUTSIDE, PRE, REGULAR or POST."""
    if at >= sessions.shape[1]:
        return OUTSIDE
    if minutes == _DAILY:
        return REGULAR if sessions[DAY, at] == stamp // _DAY else OUTSIDE
    end = stamp + minutes * _MINUTE
    if end <= sessions[PRE_OPEN, at] or (stamp >= sessions[BREAK_START, at] and end <= sessions[BREAK_END, at]):
        return OUTSIDE
    if end <= sessions[OPEN, at]:
        return PRE
    return REGULAR if stamp < sessions[CLOSE, at] else POST


@kernel
def end_of_part(sessions: Integers, at: int, part: int, minutes: int) -> int:
    """The moment before which bars that follow one in this part of this session start in it too; 0 where lunch makes that hard to tell."""
    if sessions[BREAK_START, at] != _NEVER or minutes == _DAILY:
        return 0
    if part == PRE:
        return int(sessions[OPEN, at] - minutes * _MINUTE + 1)
    return int(sessions[CLOSE, at] if part == REGULAR else sessions[POST_CLOSE, at])


@kernel
def on_grid(sessions: Integers, at: int, stamp: int, minutes: int) -> bool:
    """Whether a bar may start at `stamp`: midnight UTC of daily bars, else a multiple of the timeframe on the exchange's clock."""
    if minutes == _DAILY:
        return stamp % _DAY == 0
    return bool((stamp + sessions[CLOCK, min(at, sessions.shape[1] - 1)]) % (minutes * _MINUTE) == 0)
