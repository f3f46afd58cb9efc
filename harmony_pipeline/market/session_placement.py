"""The session date of daily and weekly bars, whatever the vendor's stamp.

Vendors stamp a day at midnight UTC, at midnight on the exchange's clock, at the close, or at the
open, which for futures and currencies lies on the evening before (23:00Z, 22:00Z). Rules, in this
order:

1. A stamp at midnight UTC, or written as midnight, means the date that it shows.
2. An instant inside a session (from its open to the end of its late trading) means that session,
   except in the last two hours of a session that is followed by another the same evening: vendors
   keep 21:00Z all year, which is the open in summer and an hour before it in winter.
3. Other instants are read in one way in a whole file: as the sessions that open within a day after
   them, or as those that closed within a day before them, whichever is more frequent. On a tie the
   date on the exchange's clock counts.

A week is Monday to Sunday and has the date of its first session. A Sunday without trading belongs
to the week that it begins: read the other way, a bar stamped at its start would be known a week too
early.
"""

from datetime import timedelta

import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.schemas import TIME

_A_DAY, _LATE = timedelta(days=1), timedelta(hours=2)
_SUNDAY = 7


def session_midnights(
    instant: pl.Series, written: pl.Series, calendar: Calendar, timeframe: str
) -> pl.Series:
    """Midnight UTC of the session date of each stamp; of its week's first for weekly bars."""
    dates = _session_dates(instant, written, calendar)
    if timeframe == "1Week":
        dates = _week_dates(dates, calendar)
    midnight = dates.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return midnight.cast(TIME).alias("timestamp")


def _session_dates(instant: pl.Series, written: pl.Series, calendar: Calendar) -> pl.Series:
    at, wall = pl.col("instant"), pl.col("written")
    shown = (
        pl.when(at.dt.time() == pl.time(0))
        .then(at.dt.date())
        .when(wall.dt.time() == pl.time(0))
        .then(wall.dt.date())
    )
    rows = pl.DataFrame({"instant": instant, "written": written})
    dates = rows.select(pl.when(at.is_not_null()).then(shown).alias("date"))["date"]
    others = dates.is_null() & instant.is_not_null()
    if not others.any():
        return dates
    moved = _dates_of_instants(instant.filter(others), calendar)
    return dates.scatter(others.arg_true(), moved)


def _dates_of_instants(stamps: pl.Series, calendar: Calendar) -> pl.Series:
    """Session dates by rules 2 and 3."""
    table, last = calendar.table, calendar.table.height - 1
    row = table["post_close"].search_sorted(stamps, side="right").clip(0, last).cast(pl.Int64)
    around = {
        "last": table[(row - 1).clip(0)],
        "next": table[row],
        "following": table[(row + 1).clip(0, last)],
    }
    columns = [
        part[name].alias(f"{which}_{name}")
        for which, part in around.items()
        for name in ("date", "pre_open", "close", "post_close")
    ]
    rows = pl.DataFrame([stamps.alias("at"), *columns])
    at = pl.col("at")
    inside = (at >= pl.col("next_pre_open")) & (at < pl.col("next_post_close"))
    late = pl.lit(value=False)
    if calendar.day_start < timedelta():
        late = inside & (at >= pl.col("next_post_close") - _LATE)
    rows = rows.with_columns(inside=inside & ~late, late=late)
    opens = pl.when("late").then("following_pre_open").otherwise("next_pre_open")
    opening = pl.when("late").then("following_date").otherwise("next_date")
    closed = (pl.col("last_close") <= at) & (pl.col("last_close") > at - _A_DAY)
    rows = rows.with_columns(
        forward=pl.when((opens > at) & (opens < at + _A_DAY)).then(opening),
        backward=pl.when("late").then("next_date").when(closed).then("last_date"),
        local=at.dt.convert_time_zone(calendar.zone).dt.date(),
    )
    outside = rows.filter(~pl.col("inside"))
    forward, backward = (outside[name].count() for name in ("forward", "backward"))
    chosen = "local" if forward == backward else ("forward" if forward > backward else "backward")
    date = pl.when("inside").then("next_date").otherwise(pl.coalesce(chosen, "local"))
    return rows.select(date.alias("date"))["date"]


def _week_dates(dates: pl.Series, calendar: Calendar) -> pl.Series:
    """The first session date of each date's week."""
    weeks = calendar.weeks.table.select("date", week=pl.col("date").dt.truncate("1w"))
    on_sundays = bool((calendar.table["date"].tail(400).dt.weekday() == _SUNDAY).any())
    day = pl.col("day")
    if not on_sundays:
        day = pl.when(day.dt.weekday() == _SUNDAY).then(day + _A_DAY).otherwise(day)
    rows = dates.to_frame("day").select("day", week=day.dt.truncate("1w"))
    found = rows.join(weeks, on="week", how="left", maintain_order="left")
    return found.select(pl.coalesce("date", "day").alias("date"))["date"]
