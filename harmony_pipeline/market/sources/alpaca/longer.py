"""Longer bars out of streamed minutes, each handed out when its time is over, and again when a
minute of it is corrected.

A bar is made of the last version of its own minutes alone, on the clock's grid, premarket and
regular minutes of one clock hour together, as Alpaca cuts its own hours. A bar that says what was
handed out before is not handed out again. Pure: it is handed the present.
"""

from datetime import UTC, datetime, timedelta

import polars as pl

from harmony_pipeline.market.bar_time import floor_to_clock, slot_end
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.simulation.resample import resample_session_bars
from harmony_pipeline.market.sources.base import SOURCE_BAR_DTYPES
from harmony_pipeline.market.timeframes import TIMEFRAME_SECONDS

_KEY = ("symbol", "timestamp")
_REMEMBERED = timedelta(days=1)


class Longer:
    """Minutes in, bars of size `timeframe` out; both in SOURCE_BAR_DTYPES."""

    def __init__(self, calendar: Calendar, timeframe: str) -> None:
        self._calendar, self._timeframe = calendar, timeframe
        self._minutes = pl.DataFrame(schema=SOURCE_BAR_DTYPES)
        self._given = pl.DataFrame(schema=SOURCE_BAR_DTYPES)
        self._open: set[datetime] = set()
        """starts of bars with minutes that were not handed out yet"""

    @property
    def size(self) -> timedelta:
        """Length of a bar."""
        return timedelta(seconds=TIMEFRAME_SECONDS[self._timeframe])

    @property
    def waiting(self) -> bool:
        """Whether a bar has begun, or changed, and was not handed out."""
        return bool(self._open)

    def add(self, minutes: pl.DataFrame) -> None:
        """Take in minutes, or new versions of them."""
        if not minutes.height:
            return
        known = (
            pl.concat([self._minutes, minutes])
            .unique(_KEY, keep="last", maintain_order=True)
            .sort(_KEY)
        )
        # Whole slots are forgotten: half of one would sum to another bar.
        self._minutes = known.filter(self._slot() > pl.col("timestamp").max() - _REMEMBERED)
        self._open.update(minutes.select(self._slot().unique())["timestamp"].to_list())

    def over(self, now: datetime) -> list[pl.DataFrame]:
        """The bars that have ended by `now` and say something new, a frame a timestamp, oldest
        first.
        """
        size = TIMEFRAME_SECONDS[self._timeframe]
        if not self._open:
            return []
        starts = pl.DataFrame(
            {"timestamp": sorted(self._open)}, schema={"timestamp": SOURCE_BAR_DTYPES["timestamp"]}
        )
        ended = starts.filter(slot_end(pl.col("timestamp"), size, self._calendar.zone) <= now)[
            "timestamp"
        ].to_list()
        if not ended:
            return []
        self._open.difference_update(ended)
        bars = resample_session_bars(
            self._minutes.filter(self._slot().is_in(ended)), self._calendar, "1Min", self._timeframe
        ).select(SOURCE_BAR_DTYPES.keys())
        new = bars.join(
            self._given,
            on=list(SOURCE_BAR_DTYPES),
            how="anti",
            nulls_equal=True,
            maintain_order="left",
        ).sort("timestamp", "symbol")
        given = pl.concat([self._given, new])
        self._given = given.filter(pl.col("timestamp") > pl.col("timestamp").max() - _REMEMBERED)
        return new.partition_by("timestamp", maintain_order=True) if new.height else []

    def _slot(self) -> pl.Expr:
        return floor_to_clock(
            pl.col("timestamp"), TIMEFRAME_SECONDS[self._timeframe], self._calendar.zone
        )


def floor_to(moment: datetime, size: timedelta) -> datetime:
    """The latest multiple of `size` (an hour or less) on the clock that is not after `moment`."""
    return moment - (moment - datetime.min.replace(tzinfo=UTC)) % size
