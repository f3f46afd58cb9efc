"""Slots are those of a query over the sessions, on every calendar, grid and size of bars."""

from datetime import date, timedelta

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from market.raw_rows import utc

from harmony_pipeline.market.bar_grid import CLOCK, BarGrid
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.expected_bars import BUCKET_SECONDS, find_slots
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES, TIMEFRAME_SECONDS
from harmony_pipeline.schemas import TIME

CALENDARS = ("XNYS", "XBOM", "XTKS", "XHKG", "XSHG", "CMES", "METALS", "FX", "24/7")
SIZES = ("15Sec", "1Min", "5Min", "30Min", "1Hour", "1Day", "1Week")
FIRST = date(1980, 1, 1)  # of the calendars
moments = st.none() | st.integers(0, 40 * 86_400).map(lambda seconds: timedelta(seconds=seconds))


@given(
    st.sampled_from(CALENDARS),
    st.sampled_from(SIZES),
    st.sampled_from([CLOCK, BarGrid("session"), BarGrid("clock", 15)]),
    st.just(FIRST) | st.dates(FIRST - timedelta(days=9), date(2026, 1, 1)),
    st.sampled_from([-3, 0, 1, 4, 40]),
    st.sampled_from([0, 2, 20]),
    moments,
)
def test_slots_are_those_of_a_query(
    name: str, size: str, grid: BarGrid, first: date, days: int, past: int, known: timedelta | None
) -> None:
    calendar = Calendar.of(name, grid)
    end = first + timedelta(days=min(days, 2) if size == "15Sec" else days)
    until = None if known is None else utc(first.year, first.month, first.day) + known
    found = find_slots(calendar, size, first, end, past, until)
    sessions, target = sessions_between(calendar, size, first, end, past)
    expected = slots_of(sessions.lazy(), calendar, size)
    if until is not None:
        expected = expected.filter(pl.col("bar_end") <= until)
    rows = expected.collect()
    assert found.dates.equals(sessions["date"])
    assert found.stamp.tolist() == rows["timestamp"].to_physical().to_list()
    assert found.session.tolist() == rows["session"].to_list()
    assert found.bucket.tolist() == rows["bucket"].to_list()
    assert found.target == int((rows["session"].cast(pl.Int64) < target).sum())
    assert all(one.dtype == np.int64 for one in (found.stamp, found.session, found.bucket))


# --- the query ------------------------------------------------------------------------------------


def sessions_between(
    calendar: Calendar, size: str, first: date, end: date, past: int
) -> tuple[pl.DataFrame, int]:
    """The sessions with those before them, and which is the first that is no earlier one."""
    table = calendar.for_timeframe(size).table.with_columns(before=pl.col("post_close").shift())
    rows = table.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    target = rows.filter(pl.col("date") < first).height
    begin, stop = max(0, target - past), rows.filter(pl.col("date") < end).height
    kept = pl.col("row").is_between(begin, stop, closed="left")
    return rows.filter(kept).drop("row"), target - begin


def slots_of(sessions: pl.LazyFrame, calendar: Calendar, timeframe: str) -> pl.LazyFrame:
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
