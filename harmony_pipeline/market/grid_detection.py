"""Detection of the grid on which bars start, from the stamps inside sessions.

The grid with more stamps is chosen, and the clock's grid on a tie. If neither fits half of them and
nine in ten share one offset from the hour, that offset is the grid. Minutes lie on both grids and
need no detection. `grids_differ` returns for which calendars and lengths it matters.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.market.bar_grid import CLOCK, BarGrid
from harmony_pipeline.market.bar_time import slots
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES, TIMEFRAME_SECONDS
from harmony_pipeline.schemas import TIME

_SESSION = BarGrid("session")
_SAME_SHARE = 0.99  # of sessions: a late open once in ten years makes no other grid
_POOR, _SURE = 0.5, 0.9
_SECOND, _MINUTE_SECONDS, _DAY_SECONDS = 1_000_000, 60, 86_400


@dataclass(frozen=True)
class DetectedGrid:
    """The grid that fits best, and how many stamps lie on each of the two."""

    grid: BarGrid
    stamps: int
    on_clock: int
    on_session: int

    def evidence(self) -> str:
        """`28 of 28 stamps lie on the session's grid, 0 on the clock's`."""
        return (
            f"{self.on_session} of {self.stamps} stamps lie on the session's grid, {self.on_clock}"
            " on the clock's"
        )


@cache
def grids_differ(calendar: Calendar, timeframe: str) -> bool:
    """Whether the clock's grid and the session's are two for bars of this length."""
    if timeframe in LONG_TIMEFRAMES:
        return False
    step = TIMEFRAME_SECONDS[timeframe]
    starts = [pl.col(name) for name in ("pre_open", "open", "break_end", "close")]
    on_clock = [(_wall(start, calendar.zone) % (step * _SECOND) == 0) for start in starts]
    same = pl.all_horizontal(each.fill_null(value=True) for each in on_clock)
    return bool(calendar.table.select(same.mean()).item() < _SAME_SHARE)


def detect_grid(stamps: pl.Series, calendar: Calendar, timeframe: str) -> DetectedGrid | None:
    """The grid of the distinct `stamps`; None if none of them lies inside a session."""
    distinct = stamps.cast(TIME).unique().sort()
    inside = distinct.filter(calendar.parts(distinct)["session"].is_not_null())
    if not len(inside):
        return None
    step = TIMEFRAME_SECONDS[timeframe]
    on_clock = _wall_seconds(inside, calendar.zone) % step == 0
    # On the clock a bar may start before the open, in no part of the session: it counts too.
    early = _count_straddling(distinct, calendar, step)
    on_session = (slots(inside, step, calendar.on_grid(_SESSION))["slot"] == inside).to_numpy()
    clock, session, count = int(on_clock.sum()) + early, int(on_session.sum()), len(inside) + early
    grid = _SESSION if session > clock else CLOCK
    if max(clock, session) < _POOR * count:
        offsets = np.bincount(_wall_seconds(inside, calendar.zone) % step)
        minutes, seconds = divmod(int(offsets.argmax()), _MINUTE_SECONDS)
        if offsets.max() >= _SURE * len(inside) and not seconds:
            grid = BarGrid("clock", minutes)
    return DetectedGrid(grid, count, clock, session)


def _count_straddling(distinct: pl.Series, calendar: Calendar, step: int) -> int:
    """Number of stamps on the clock's grid outside every part whose bar extends into one."""
    outside = distinct.filter(calendar.parts(distinct)["session"].is_null())
    if not len(outside):
        return 0
    aligned = outside.filter(pl.Series(_wall_seconds(outside, calendar.zone) % step == 0))
    last_moment = aligned.to_physical() + (step * _SECOND - 1)
    return int(calendar.parts(last_moment.cast(TIME))["session"].is_not_null().sum())


def _wall(moment: pl.Expr, zone: str) -> pl.Expr:
    return moment.dt.convert_time_zone(zone).dt.replace_time_zone(None).dt.epoch("us")


def _wall_seconds(stamps: pl.Series, zone: str) -> IntArray:
    """Whole seconds on the wall clock. A stamp between two seconds lies on no grid and gives -1."""
    wall = stamps.to_frame("at").select(_wall(pl.col("at"), zone))["at"].to_numpy()
    return np.where(wall % _SECOND == 0, wall // _SECOND % _DAY_SECONDS, -1)
