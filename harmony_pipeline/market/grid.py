"""Where on the exchange's clock an instant falls: the part of the session, and the slot of a grid that starts at midnight.

The law: a slot never holds two parts of a session (the hour 09:00 of New York has one slot before the open and one after it, both stamped
09:00), and it is known at `end`: the end of the slot, or that of its part where this comes first. Days on which clocks change
are cut by the clock on the wall, so their slots may be an hour longer or shorter.
"""

import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.schemas import TIME

DAY_MINUTES = 1440
_MINUTE = 60_000_000


def slots(stamps: pl.Series, minutes: int | None, calendar: Calendar) -> pl.DataFrame:
    """One row an instant: session_date, session, slot (what its bar is stamped), begin and end (UTC), all null outside every session.

    `begin` is the slot or the start of the part, whichever is later, and so tells slots apart. `minutes` None makes one slot of each part.
    """
    # Sessions and slots begin on whole minutes, so instants of one minute share an answer; on a tape those stand together.
    minute = stamps.cast(TIME).to_physical() // _MINUTE
    runs = minute.rle().struct.field("value")
    if 2 * len(runs) > len(minute):
        return _slots(stamps.cast(TIME), minutes, calendar)
    return _slots((runs * _MINUTE).cast(TIME), minutes, calendar)[minute.rle_id()]


def _slots(stamps: pl.Series, minutes: int | None, calendar: Calendar) -> pl.DataFrame:
    rows = calendar.parts(stamps)
    floor = floor_to_clock(pl.col("stamp"), minutes, calendar.zone) if minutes else pl.col("part_start")
    end = pl.min_horizontal(slot_end(pl.col("slot"), minutes, calendar.zone), "part_end") if minutes else pl.col("part_end")
    inside = pl.col("session").is_not_null()
    return (
        rows.with_columns(stamps.alias("stamp"))
        .with_columns(pl.when(inside).then(floor).alias("slot"))
        .select("session_date", "session", "slot", begin=pl.when(inside).then(pl.max_horizontal("slot", "part_start")), end=end)
    )


def floor_to_clock(stamp: pl.Expr, minutes: int, zone: str) -> pl.Expr:
    """The latest moment of the grid `midnight + n * minutes` on the wall clock of `zone` that is not after `stamp` (UTC)."""
    local = stamp.dt.convert_time_zone(zone)
    wall = local.dt.replace_time_zone(None).dt.epoch("us") % (DAY_MINUTES * 60_000_000)
    return _at_same_wall(stamp, stamp - (wall % (minutes * 60_000_000)).cast(pl.Duration("us")), zone)


def slot_end(slot: pl.Expr, minutes: int, zone: str) -> pl.Expr:
    """The next moment of the grid; the last slot of a day ends at midnight."""
    local = slot.dt.convert_time_zone(zone)
    wall = local.dt.replace_time_zone(None).dt.epoch("us") % (DAY_MINUTES * 60_000_000)
    length = pl.min_horizontal(pl.lit(minutes * 60_000_000), DAY_MINUTES * 60_000_000 - wall)
    return _at_same_wall(slot, slot + length.cast(pl.Duration("us")), zone)


def _at_same_wall(known: pl.Expr, moved: pl.Expr, zone: str) -> pl.Expr:
    """`moved`, put right by the hour that the clock gained or lost on the way from `known`."""
    return moved + (_offset(known, zone) - _offset(moved, zone))


def _offset(stamp: pl.Expr, zone: str) -> pl.Expr:
    local = stamp.dt.convert_time_zone(zone)
    return (local.dt.base_utc_offset() + local.dt.dst_offset()).cast(pl.Duration("us"))
