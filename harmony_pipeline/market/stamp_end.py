"""Bars that are stamped at their end: how to detect them, and how to move them to their start.

A file of bars stamped at their end has, in session after session, a bar at the end of the first
slot (09:31, 10:30), one at the close (16:00) and none at the open. Bars stamped at their start have
one at the open. Extended hours hide the difference, and so do markets that never close.

End-stamped data read as start-stamped is one bar late, which is safe. Start-stamped data read as
end-stamped would be known before it happened. So `auto` moves bars only where the stamps cannot be
starts, because bars at a close would lie outside every session. Otherwise a note names the setting.
"""

from datetime import timedelta
from functools import lru_cache
from typing import Literal

import polars as pl

from harmony_pipeline.market.bar_grid import CLOCK, BarGrid
from harmony_pipeline.market.bar_time import slots
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.grid_detection import detect_grid, grids_differ
from harmony_pipeline.market.timeframes import TIMEFRAME_SECONDS
from harmony_pipeline.schemas import TIME

Evidence = Literal["none", "likely", "certain"]
_NEARLY_ALL, _NEARLY_NONE = 0.8, 0.02
_MOMENT = pl.duration(microseconds=1)


def end_evidence(stamps: pl.Series, calendar: Calendar, timeframe: str) -> Evidence:
    """The evidence in a file's stamps that they are ends: `certain` if they cannot be starts. A
    market whose sessions follow each other without a break gives none.
    """
    if _never_closes(calendar):
        return "none"
    step = pl.duration(seconds=TIMEFRAME_SECONDS[timeframe])
    distinct = stamps.cast(TIME).unique().drop_nulls().sort().to_frame("at")
    dates = calendar.session_dates(distinct["at"] - _duration(microseconds=1))
    found = distinct.with_columns(dates.alias("date")).drop_nulls()
    if not found.height:
        return "none"
    sessions = calendar.table.select("date", "open", "close", "post_close").filter(
        pl.col("date").is_between(found["date"].min(), found["date"].max())
    )
    rows = found.join(sessions, on="date", how="left", maintain_order="left")
    at = pl.col("at")
    within = (at >= pl.col("open")) & (at <= pl.col("close"))
    inside, endless = rows.select(
        inside=within.all(), endless=(pl.col("close") == pl.col("open")).any()
    ).row(0)
    if not inside or endless:
        return "none"
    by_day = rows.group_by("date").agg(
        opening=(at == pl.col("open")).any(),
        first=(at == pl.col("open") + step).any() | (at == _next_hour(step)).any(),
        closing=(at == pl.col("close")).any(),
        late=(pl.col("post_close") > pl.col("close")).first(),
    )
    shares = by_day.select(pl.col("opening", "first", "closing").mean()).row(0)
    if shares[0] > _NEARLY_NONE or min(shares[1:]) < _NEARLY_ALL:
        return "none"
    return "likely" if by_day["late"].any() else "certain"


def bar_starts_of_ends(stamps: pl.Series, calendar: Calendar, timeframe: str) -> pl.Series:
    """The start of each bar that is stamped at its end. A short last bar starts on its grid too."""
    seconds = TIMEFRAME_SECONDS[timeframe]
    plain = stamps - _duration(seconds=seconds)
    if not grids_differ(calendar.on_grid(CLOCK), timeframe):
        return plain.alias("timestamp")
    found = detect_grid(plain, calendar, timeframe)
    if found is None or found.grid != BarGrid("session"):
        return plain.alias("timestamp")
    own = slots(stamps - _duration(microseconds=1), seconds, calendar.on_grid(found.grid))["slot"]
    table = pl.DataFrame({"plain": plain, "own": own.cast(TIME)})
    return table.select(pl.coalesce("own", "plain").alias("timestamp"))["timestamp"]


def _next_hour(step: pl.Expr) -> pl.Expr:
    """The end of the first bar on the clock's grid, which may begin before the open."""
    return (pl.col("open") + _MOMENT).dt.truncate("1h") + step


@lru_cache(maxsize=64)
def _never_closes(calendar: Calendar) -> bool:
    table = calendar.table.tail(100)
    return bool((table["close"].head(99) == table["open"].tail(99)).mean() > _NEARLY_ALL)  # type: ignore[operator]


def _duration(*, seconds: int = 0, microseconds: int = 0) -> pl.Series:
    """One duration, to add to every row of a column."""
    length = timedelta(seconds=seconds, microseconds=microseconds)
    return pl.Series("duration", [length], dtype=pl.Duration("us"))
