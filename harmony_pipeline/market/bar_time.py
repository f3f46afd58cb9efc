"""The position of an instant: its part of the session and its slot on the calendar's grid.

`bar_grid.py` defines slots. The bar of a slot never holds two parts of a session: the hour 09:00 of
New York has one bar before the open and one after it, both stamped 09:00. The bar is known at
`end`, which is the next start of the grid, or the end of its part if that comes first. Days on
which clocks change are cut by the wall clock, so their bars may be an hour longer or shorter. On
the session's grid slots start with their stretch and run in elapsed time.
"""

from datetime import timedelta

import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.schemas import TIME

DAY_MINUTES = 1440
_MINUTE = 60_000_000


def slots(stamps: pl.Series, minutes: int | None, calendar: Calendar) -> pl.DataFrame:
    """One row an instant: session_date, session, slot, begin and end (UTC), all null outside every
    session.

    `slot` is the stamp of the bar that holds the instant. `begin` is the later of the slot and the
    start of the part, so it identifies the bar. With `minutes` None each part is one bar.
    """
    # Sessions and slots begin on whole minutes, so instants of one minute share an answer; on a
    # tape those stand together.
    minute = stamps.cast(TIME).to_physical() // _MINUTE
    runs = minute.rle().struct.field("value")
    if 2 * len(runs) > len(minute):
        return _slots(stamps.cast(TIME), minutes, calendar)
    return _slots((runs * _MINUTE).cast(TIME), minutes, calendar)[minute.rle_id()]


def _slots(stamps: pl.Series, minutes: int | None, calendar: Calendar) -> pl.DataFrame:
    rows = calendar.parts(stamps)
    if minutes and calendar.grid.from_session:
        floor, end = (
            _floor_to_stretch(minutes),
            pl.min_horizontal(pl.col("slot") + timedelta(minutes=minutes), "stretch_end"),
        )
    elif minutes:
        offset = calendar.grid.offset_minutes
        floor = floor_to_clock(pl.col("stamp"), minutes, calendar.zone, offset)
        end = pl.min_horizontal(
            slot_end(pl.col("slot"), minutes, calendar.zone, offset), "part_end"
        )
    else:
        floor, end = pl.col("part_start"), pl.col("part_end")
    inside = pl.col("session").is_not_null()
    return (
        rows.with_columns(stamps.alias("stamp"))
        .with_columns(pl.when(inside).then(floor).alias("slot"))
        .select(
            "session_date",
            "session",
            "slot",
            begin=pl.when(inside).then(pl.max_horizontal("slot", "part_start")),
            end=end,
        )
    )


def _floor_to_stretch(minutes: int) -> pl.Expr:
    """The latest start of a bar in the instant's stretch of the session."""
    passed = (pl.col("stamp") - pl.col("stretch_start")).dt.total_microseconds()
    return pl.col("stretch_start") + (passed - passed % (minutes * _MINUTE)).cast(pl.Duration("us"))


def floor_to_clock(stamp: pl.Expr, minutes: int, zone: str, offset_minutes: int = 0) -> pl.Expr:
    """The latest grid moment that is not after `stamp` (UTC).

    The grid is `offset + n * minutes` after midnight on the wall clock of `zone`.
    """
    passed = _since_midnight(stamp, zone) - offset_minutes * _MINUTE
    return _at_same_wall(
        stamp, stamp - (passed % (minutes * _MINUTE)).cast(pl.Duration("us")), zone
    )


def slot_end(slot: pl.Expr, minutes: int, zone: str, offset_minutes: int = 0) -> pl.Expr:
    """The next grid moment. Without an offset the last slot of a day ends at midnight."""
    length = pl.lit(minutes * _MINUTE)
    if not offset_minutes:
        length = pl.min_horizontal(length, DAY_MINUTES * _MINUTE - _since_midnight(slot, zone))
    return _at_same_wall(slot, slot + length.cast(pl.Duration("us")), zone)


def _since_midnight(stamp: pl.Expr, zone: str) -> pl.Expr:
    """Microseconds on the wall clock of `zone`."""
    return stamp.dt.convert_time_zone(zone).dt.replace_time_zone(None).dt.epoch("us") % (
        DAY_MINUTES * _MINUTE
    )


def _at_same_wall(known: pl.Expr, moved: pl.Expr, zone: str) -> pl.Expr:
    """`moved`, corrected by the hour that the clock changed between `known` and `moved`."""
    return moved + (_offset(known, zone) - _offset(moved, zone))


def _offset(stamp: pl.Expr, zone: str) -> pl.Expr:
    local = stamp.dt.convert_time_zone(zone)
    return (local.dt.base_utc_offset() + local.dt.dst_offset()).cast(pl.Duration("us"))
