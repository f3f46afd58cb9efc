"""The position of an instant: its part of the session and its slot on the calendar's grid.

`bar_grid.py` defines slots. The bar of a slot never holds two parts of a session: the hour 09:00 of
New York has one bar before the open and one after it, both stamped 09:00. The bar is known at
`end`, which is the next start of the grid, or the end of its part if that comes first. Days on
which clocks change are cut by the wall clock, so their bars may be an hour longer or shorter. On
the session's grid slots start with their stretch and run in elapsed time.
"""

import math
from datetime import timedelta

import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.schemas import TIME

DAY_SECONDS = 86_400
_SECOND, _MINUTE, _MINUTE_SECONDS = 1_000_000, 60_000_000, 60


def slots(stamps: pl.Series, seconds: int | None, calendar: Calendar) -> pl.DataFrame:
    """One row an instant: session_date, session, slot, begin and end (UTC), all null outside every
    session.

    `slot` is the stamp of the bar that holds the instant. `begin` is the later of the slot and the
    start of the part, so it identifies the bar. With `seconds` None each part is one bar.
    """
    # Sessions begin on whole minutes and slots on whole parts of one, so instants of one such part
    # share an answer; on a tape those stand together.
    part = math.gcd(seconds or _MINUTE_SECONDS, _MINUTE_SECONDS) * _SECOND
    shared = stamps.cast(TIME).to_physical() // part
    runs = shared.rle().struct.field("value")
    if 2 * len(runs) > len(shared):
        return _slots(stamps.cast(TIME), seconds, calendar)
    return _slots((runs * part).cast(TIME), seconds, calendar)[shared.rle_id()]


def _slots(stamps: pl.Series, seconds: int | None, calendar: Calendar) -> pl.DataFrame:
    rows = calendar.parts(stamps)
    if seconds and calendar.grid.from_session:
        floor, end = (
            _floor_to_stretch(seconds),
            pl.min_horizontal(pl.col("slot") + timedelta(seconds=seconds), "stretch_end"),
        )
    elif seconds:
        offset = calendar.grid.offset_minutes
        floor = floor_to_clock(pl.col("stamp"), seconds, calendar.zone, offset)
        end = pl.min_horizontal(
            slot_end(pl.col("slot"), seconds, calendar.zone, offset), "part_end"
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


def _floor_to_stretch(seconds: int) -> pl.Expr:
    """The latest start of a bar in the instant's stretch of the session."""
    passed = (pl.col("stamp") - pl.col("stretch_start")).dt.total_microseconds()
    return pl.col("stretch_start") + (passed - passed % (seconds * _SECOND)).cast(pl.Duration("us"))


def floor_to_clock(stamp: pl.Expr, seconds: int, zone: str, offset_minutes: int = 0) -> pl.Expr:
    """The latest grid moment that is not after `stamp` (UTC).

    The grid is `offset + n * seconds` after midnight on the wall clock of `zone`.
    """
    passed = _since_midnight(stamp, zone) - offset_minutes * _MINUTE
    return _at_same_wall(
        stamp, stamp - (passed % (seconds * _SECOND)).cast(pl.Duration("us")), zone
    )


def slot_end(slot: pl.Expr, seconds: int, zone: str, offset_minutes: int = 0) -> pl.Expr:
    """The next grid moment. Without an offset the last slot of a day ends at midnight."""
    length = pl.lit(seconds * _SECOND)
    if not offset_minutes:
        length = pl.min_horizontal(length, DAY_SECONDS * _SECOND - _since_midnight(slot, zone))
    return _at_same_wall(slot, slot + length.cast(pl.Duration("us")), zone)


def _since_midnight(stamp: pl.Expr, zone: str) -> pl.Expr:
    """Microseconds on the wall clock of `zone`."""
    return stamp.dt.convert_time_zone(zone).dt.replace_time_zone(None).dt.epoch("us") % (
        DAY_SECONDS * _SECOND
    )


def _at_same_wall(known: pl.Expr, moved: pl.Expr, zone: str) -> pl.Expr:
    """`moved`, corrected by the hour that the clock changed between `known` and `moved`."""
    return moved + (_offset(known, zone) - _offset(moved, zone))


def _offset(stamp: pl.Expr, zone: str) -> pl.Expr:
    local = stamp.dt.convert_time_zone(zone)
    return (local.dt.base_utc_offset() + local.dt.dst_offset()).cast(pl.Duration("us"))
