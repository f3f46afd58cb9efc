"""The regular bars that the calendar expects: one slot a bar, session after session.

A slot is the start of a bar that `Calendar.with_session` would call `regular`. Each session has as
many as `Calendar.expected_bars`, through half-days, late opens, lunch breaks and both changes of
the clock.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

import numpy as np
import polars as pl

from harmony_pipeline.arrays import BoolArray, IntArray
from harmony_pipeline.instants import micros
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.session_hours import NEVER, SessionHours
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES, TIMEFRAME_SECONDS

# what counts as the same time of day: activity changes little within half an hour
BUCKET_SECONDS = 1800
_SECOND = 1_000_000  # microseconds


@dataclass(frozen=True)
class Slots:
    """Slots in time order.

    `stamp` is microseconds UTC, `session` a row of `dates`, and `bucket` the time of day on the
    exchange's clock, from 0. `target` is the first slot to be judged. Slots before it are the past
    from which activity is learned.
    """

    timeframe: str
    dates: pl.Series
    stamp: IntArray
    session: IntArray
    bucket: IntArray
    target: int

    @property
    def buckets(self) -> int:
        """Number of times of day."""
        return int(self.bucket.max()) + 1 if len(self.bucket) else 1

    @property
    def session_bounds(self) -> IntArray:
        """The first slot of each session, and the end of the last."""
        return np.searchsorted(self.session, np.arange(len(self.dates) + 1))


def find_slots(
    calendar: Calendar,
    timeframe: str,
    first: date,
    end: date,
    past_sessions: int = 0,
    known_until: datetime | None = None,
) -> Slots:
    """Slots of the sessions in `first <= date < end` and of `past_sessions` before them.

    Slots whose bar ends after `known_until` are left out.
    """
    calendar = calendar.for_timeframe(timeframe)
    target = calendar.hours.row_of(first)
    begin = max(0, target - past_sessions)
    stop = max(calendar.hours.row_of(end), begin)
    hours = calendar.hours.cut(begin, stop)
    if timeframe in LONG_TIMEFRAMES:
        bars = _Bars(np.arange(hours.open.size), hours.midnight, hours.close)
        bucket = np.zeros(hours.open.size, np.int64)
    else:
        step = TIMEFRAME_SECONDS[timeframe] * _SECOND
        on_grid = _on_session_grid if calendar.grid.from_session else _on_clock_grid
        bars = on_grid(hours, step, calendar.grid.offset_minutes * 60 * _SECOND)
        bucket = _time_of_day(bars, hours, max(step, BUCKET_SECONDS * _SECOND))
    if known_until is not None:
        known = bars.end <= micros(known_until)
        bars, bucket = bars.where(known), bucket[known]
    return Slots(
        timeframe,
        calendar.table["date"][begin:stop],
        bars.start,
        bars.session,
        bucket,
        int(np.searchsorted(bars.session, target - begin)),
    )


class _Bars(NamedTuple):
    """Bars in time order: row of their session, start and end (microseconds UTC)."""

    session: IntArray
    start: IntArray
    end: IntArray

    def where(self, kept: BoolArray) -> "_Bars":
        """Some of them."""
        return _Bars(self.session[kept], self.start[kept], self.end[kept])


def _time_of_day(bars: _Bars, hours: SessionHours, width: int) -> IntArray:
    """The bucket of each bar, from 0. The time of day runs on in elapsed time from the open, so
    that buckets stay whole where the clock changes within a session.
    """
    clock = (hours.wall_open - hours.midnight - hours.open)[bars.session] + bars.start
    bucket = clock // width
    return bucket - bucket.min() if bucket.size else bucket


def _on_clock_grid(hours: SessionHours, step: int, offset: int) -> _Bars:
    """Bars on the exchange's clock. Within a session the grid runs in elapsed time, as bars do."""
    late = (hours.wall_open - hours.midnight - offset % step) % step
    bars = _split_into_bars(np.arange(hours.open.size), hours.open - late, hours.close, step)
    at = bars.session
    idle = (bars.start >= hours.break_start[at]) & (bars.start + step <= hours.break_end[at])
    # a bar that reaches over from the session before belongs to that one
    taken = bars.start < hours.before[at]
    return bars.where(~(idle | taken))


def _on_session_grid(hours: SessionHours, step: int, _offset: int) -> _Bars:
    """Bars from the start of each stretch: the morning, and the afternoon after lunch."""
    every = np.arange(hours.open.size)
    ends_early = hours.break_start != -NEVER
    morning = np.where(ends_early, hours.break_start, hours.close)
    later = every[hours.break_end != -NEVER]
    bars = _split_into_bars(
        np.concatenate([every, later]),
        np.concatenate([hours.open, hours.break_end[later]]),
        np.concatenate([morning, hours.close[later]]),
        step,
    )
    return _Bars(*(column[np.argsort(bars.start, kind="stable")] for column in bars))


def _split_into_bars(session: IntArray, start: IntArray, stop: IntArray, step: int) -> _Bars:
    """`start` to `stop` of each stretch as bars of `step`; its last one may be short."""
    count = np.maximum((stop - start + step - 1) // step, 0)
    stretch = np.repeat(np.arange(session.size), count)
    number = np.arange(stretch.size) - np.repeat(np.cumsum(count) - count, count)
    begins = start[stretch] + number * step
    return _Bars(session[stretch], begins, np.minimum(begins + step, stop[stretch]))
