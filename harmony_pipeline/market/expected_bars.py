"""The regular bars that the calendar expects: one slot a bar, session after session.

A slot is the start of a bar that `Calendar.with_session` would call `regular`. Each session has as
many as `Calendar.expected_bars`, through half-days, late opens, lunch breaks and both changes of
the clock.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES, TIMEFRAME_SECONDS
from harmony_pipeline.schemas import TIME

# what counts as the same time of day: activity changes little within half an hour
BUCKET_SECONDS = 1800


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
    table = calendar.table.with_columns(before=pl.col("post_close").shift())
    target, stop = (int(table["date"].search_sorted(day, side="left")) for day in (first, end))
    begin = max(0, target - past_sessions)
    sessions = table[begin : max(stop, begin)]
    expected = _slots_of(sessions.lazy(), calendar, timeframe)
    if known_until is not None:
        expected = expected.filter(pl.col("bar_end") <= known_until)
    rows = expected.collect(engine="in-memory")
    session = rows["session"].to_numpy().astype(np.int64)
    return Slots(
        timeframe,
        sessions["date"],
        rows["timestamp"].dt.epoch("us").to_numpy().astype(np.int64),
        session,
        rows["bucket"].to_numpy().astype(np.int64),
        int(np.searchsorted(session, target - begin)),
    )


def _slots_of(sessions: pl.LazyFrame, calendar: Calendar, timeframe: str) -> pl.LazyFrame:
    """session, timestamp, bar_end, bucket; sorted by timestamp."""
    numbered = sessions.with_row_index("session")
    if timeframe in LONG_TIMEFRAMES:
        stamp = pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(TIME)
        return numbered.select("session", timestamp=stamp, bar_end="close", bucket=pl.lit(0))
    step = TIMEFRAME_SECONDS[timeframe]
    rows = (
        _on_session_grid(numbered, step)
        if calendar.grid.from_session
        else _on_clock_grid(numbered, calendar, step)
    )
    wall = pl.col("open").dt.convert_time_zone(calendar.zone).dt.replace_time_zone(None)
    # The time of day runs on in elapsed time from the open, so that buckets stay whole where the
    # clock changes within a session.
    clock = (wall - pl.col("date").cast(pl.Datetime("us"))).dt.total_seconds() + (
        pl.col("timestamp") - pl.col("open")
    ).dt.total_seconds()
    rows = rows.with_columns(bucket=clock.floordiv(max(step, BUCKET_SECONDS)))
    return rows.select(
        "session", "timestamp", "bar_end", bucket=pl.col("bucket") - pl.col("bucket").min()
    ).sort("timestamp")


def _on_clock_grid(numbered: pl.LazyFrame, calendar: Calendar, step: int) -> pl.LazyFrame:
    """Bars on the exchange's clock. Within a session the grid runs in elapsed time, as bars do."""
    midnight = pl.col("date").cast(pl.Datetime("us")) + timedelta(
        seconds=calendar.grid.offset_minutes * 60 % step
    )
    clock = (
        pl.col("open").dt.convert_time_zone(calendar.zone).dt.replace_time_zone(None) - midnight
    ).dt.total_seconds()
    rows = _split_into_bars(
        numbered.with_columns(
            start=pl.col("open") - pl.duration(seconds=clock % step), stop="close"
        ),
        step,
    )
    idle = (pl.col("timestamp") >= pl.col("break_start")) & (
        pl.col("timestamp") + timedelta(seconds=step) <= pl.col("break_end")
    )
    # a bar that reaches over from the session before belongs to that one
    taken = pl.col("timestamp") < pl.col("before")
    return rows.filter(~(idle.fill_null(value=False) | taken.fill_null(value=False)))


def _on_session_grid(numbered: pl.LazyFrame, step: int) -> pl.LazyFrame:
    """Bars from the start of each stretch: the morning, and the afternoon after lunch."""
    morning = numbered.with_columns(start="open", stop=pl.coalesce("break_start", "close"))
    afternoon = numbered.filter(pl.col("break_end").is_not_null()).with_columns(
        start="break_end", stop="close"
    )
    return _split_into_bars(pl.concat([morning, afternoon]), step)


def _split_into_bars(stretches: pl.LazyFrame, step: int) -> pl.LazyFrame:
    """`start` to `stop` as bars of `step` seconds (timestamp, bar_end); the last may be short."""
    count = ((pl.col("stop") - pl.col("start")).dt.total_seconds() + step - 1) // step
    rows = stretches.with_columns(at=pl.int_ranges(0, count)).explode("at")
    rows = rows.with_columns(
        timestamp=(pl.col("start") + pl.duration(seconds=pl.col("at") * step)).cast(TIME)
    )
    return rows.with_columns(
        bar_end=pl.min_horizontal(pl.col("timestamp") + timedelta(seconds=step), "stop")
    )
