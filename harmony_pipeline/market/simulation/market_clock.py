"""The sessions of the simulated market, and the share of a day's variance and volume in each bar.

Shares are defined minute by minute and summed into bars, so a day has the same variance and volume
at every bar size. Full days sum to 1 in both. Half-days keep the full day's rate and so sum to
less. Bars lie on a grid that starts at midnight on the exchange's clock, as in `Calendar`. There is
no bar without an open minute.

Shapes (Wood, McInish and Ord 1985; Admati and Pfleiderer 1988): in regular hours volume is U-shaped
and volatility is high after the open. Activity rises before the open and fades after the close.
Markets that never close have a daily wave instead.
"""

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.session_parts import POST, PRE, REGULAR
from harmony_pipeline.market.timeframes import TIMEFRAME_MINUTES

MINUTE_US = 60_000_000
DAY_MINUTES = 1440

# Shares of a day's close-to-close variance in US equities; about a third lies outside regular hours
# (French and Roll 1986).
NIGHT, BEFORE_OPEN, OPENING, AFTER_CLOSE = 0.15, 0.11, 0.06, 0.06
# a weekend or holiday brings more news than a night, though far less than its hours (French and
# Roll 1986)
LONG_NIGHT = 1.25
EXTENDED_VOLUME = 0.012  # of a day's volume, before the open and again after the close


class ClockArrays(NamedTuple):
    """The clock as arrays: one row a session, then one row a bar of each distinct kind of day.

    stamp [us]: the origin of bar offsets; ordinal: date as a day number; day: kind of day, its bars
    are `bounds[day]:bounds[day + 1]`; night: variance share between the sessions. Per bar: offset
    [us], begin and end [minutes from the open], part, variance and volume (shares of a day),
    opening (variance share of the opening auction), absent (probability that it was not recorded).
    """

    stamp: IntArray
    ordinal: IntArray
    day: IntArray
    night: FloatArray
    bounds: IntArray
    offset: IntArray
    begin: IntArray
    end: IntArray
    part: IntArray
    variance: FloatArray
    volume: FloatArray
    opening: FloatArray
    absent: FloatArray


@dataclass(frozen=True, eq=False)
class MarketClock:
    """Sessions of the simulated market in order, with their bars."""

    dates: pl.Series
    arrays: ClockArrays

    def sessions(self, first: date, end: date) -> tuple[int, int]:
        """Numbers of the sessions in `first <= date < end`, half-open."""
        begin, stop = (int(self.dates.search_sorted(day, side="left")) for day in (first, end))
        return begin, max(begin, stop)

    def bars_between(self, begin: int, end: int) -> int:
        """Number of bars that sessions `begin <= session < end` can have."""
        days = self.arrays.day[begin:end]
        return int((self.arrays.bounds[days + 1] - self.arrays.bounds[days]).sum())


class _Kind(NamedTuple):
    """What distinguishes sessions, in minutes from the open.

    Fields: time before it, its length, time after the close, the break, the open's time on the
    clock.
    """

    before: int
    length: int
    after: int
    break_start: int
    break_end: int
    clock: int


def build_clock(
    calendar: Calendar,
    timeframe: str,
    first: date,
    end: date,
    *,
    extended_hours: bool,
    missing_minute_probability: float,
) -> MarketClock:
    """The clock of sessions in `first <= date < end` at one bar size."""
    rows = calendar.table.filter((pl.col("date") >= first) & (pl.col("date") < end))
    if not extended_hours or timeframe == "1Day":
        rows = rows.with_columns(pre_open="open", post_close="close")
    opens, kinds = rows["open"].dt.epoch("us").to_numpy(), _kinds(rows, calendar.zone)
    distinct = sorted(set(kinds))
    number = {kind: index for index, kind in enumerate(distinct)}
    full = max((kind.length for kind in distinct), default=1)
    days = [_bars_of(kind, timeframe, full, missing_minute_probability) for kind in distinct]
    midnights = rows["date"].cast(pl.Datetime("us")).dt.epoch("us").to_numpy()
    columns = [
        np.concatenate([day[column] for day in days]) if days else np.empty(0)
        for column in range(8)
    ]
    offset, begin, stop, part = (np.ascontiguousarray(column, np.int64) for column in columns[:4])
    variance, volume, opening, absent = (
        np.ascontiguousarray(column, np.float64) for column in columns[4:]
    )
    arrays = ClockArrays(
        stamp=np.ascontiguousarray(midnights if timeframe == "1Day" else opens, np.int64),
        ordinal=np.ascontiguousarray(rows["date"].cast(pl.Int32).to_numpy(), np.int64),
        day=np.array([number[kind] for kind in kinds], np.int64),
        night=_nights(
            rows, extended_hours and timeframe != "1Day" and any(kind.before for kind in distinct)
        ),
        bounds=np.cumsum([0, *(len(day[0]) for day in days)]).astype(np.int64),
        offset=offset,
        begin=begin,
        end=stop,
        part=part,
        variance=variance,
        volume=volume,
        opening=opening,
        absent=absent,
    )
    return MarketClock(rows["date"], arrays)


def _kinds(rows: pl.DataFrame, zone: str) -> list[_Kind]:
    start = pl.col("open")
    minutes = {
        "before": start - pl.col("pre_open"),
        "length": pl.col("close") - start,
        "after": pl.col("post_close") - pl.col("close"),
        "break_start": pl.coalesce(pl.col("break_start"), start) - start,
        "break_end": pl.coalesce(pl.col("break_end"), start) - start,
    }
    clock = (
        start.dt.convert_time_zone(zone).dt.replace_time_zone(None).dt.epoch("us")
        // MINUTE_US
        % DAY_MINUTES
    )
    table = rows.select(
        **{name: value.dt.total_minutes() for name, value in minutes.items()}, clock=clock
    )
    return [_Kind(*row) for row in table.rows()]


def _bars_of(
    kind: _Kind, timeframe: str, full: int, missing: float
) -> tuple[npt.NDArray[np.generic], ...]:
    """offset, begin, end, part, variance, volume, opening and absent of each bar of one kind of
    day.
    """
    minute = np.arange(-kind.before, kind.length + kind.after)
    part = np.where(minute < 0, PRE, np.where(minute < kind.length, REGULAR, POST))
    variance, volume = _shapes(kind, minute, part, full)
    step = TIMEFRAME_MINUTES[timeframe]
    bar = np.zeros(len(minute), np.int64) if timeframe == "1Day" else (minute + kind.clock) // step
    number, position = np.unique(bar, return_inverse=True)
    begin = np.zeros(1, np.int64) if timeframe == "1Day" else number * step - kind.clock
    end = np.array([kind.length]) if timeframe == "1Day" else begin + step
    bar_part = np.where(end <= 0, PRE, np.where(begin < kind.length, REGULAR, POST))
    bar_variance, bar_volume = (
        np.bincount(position, share, len(number)) for share in (variance, volume)
    )
    opening = np.where(
        (bar_part == REGULAR) & (np.cumsum(bar_part == REGULAR) == 1),
        OPENING if kind.before else 0.0,
        0.0,
    )
    absent = (
        missing ** np.bincount(position, minlength=len(number))
        if missing > 0.0
        else np.zeros(len(number))
    )
    kept = bar_volume > 0.0
    return tuple(
        column[kept]
        for column in (
            begin * MINUTE_US,
            begin,
            end,
            bar_part,
            bar_variance,
            bar_volume,
            opening,
            absent,
        )
    )


def _shapes(
    kind: _Kind, minute: IntArray, part: IntArray, full: int
) -> tuple[FloatArray, FloatArray]:
    """Variance and volume of each minute, in shares of a full day."""
    through = np.where(part == REGULAR, (minute + 0.5) / kind.length, 0.5)
    if kind.length >= DAY_MINUTES:
        wave = 1.0 + 0.35 * np.sin(2.0 * np.pi * (through - 0.35))
        return wave / wave.sum(), wave / wave.sum()
    swing = 1.0 + 2.4 * np.exp(-through / 0.05) + 0.5 * np.exp(-(1.0 - through) / 0.04)
    activity = 0.75 + 1.7 * np.exp(-through / 0.06) + 1.9 * np.exp(-(1.0 - through) / 0.05)
    in_break = (minute >= kind.break_start) & (minute < kind.break_end)
    regular = (part == REGULAR) & ~in_break
    pace = kind.length / full
    variance = _scale_to(swing, regular, pace * (1.0 - NIGHT - BEFORE_OPEN - OPENING - AFTER_CLOSE))
    volume = _scale_to(activity, regular, pace)
    if kind.before:
        waking = np.exp((minute + 0.0) / 120.0)
        variance, volume = (
            variance + _scale_to(waking, part == PRE, BEFORE_OPEN),
            volume + _scale_to(waking, part == PRE, EXTENDED_VOLUME),
        )
    if kind.after:
        fading = np.exp(-(minute - kind.length) / 60.0)
        variance, volume = (
            variance + _scale_to(fading, part == POST, AFTER_CLOSE),
            volume + _scale_to(fading, part == POST, EXTENDED_VOLUME),
        )
    return variance, volume


def _scale_to(shape: FloatArray, where: BoolArray, total: float) -> FloatArray:
    kept = np.where(where, shape, 0.0)
    return kept * (total / float(kept.sum()))


def _nights(rows: pl.DataFrame, extended: bool) -> FloatArray:
    """Variance share between each session and the one before it; 0 where trading never stops."""
    closed = (
        (rows["pre_open"] - rows["post_close"].shift(1))
        .dt.total_minutes()
        .fill_null(DAY_MINUTES // 2)
        .to_numpy()
    )
    share = NIGHT if extended else NIGHT + BEFORE_OPEN + OPENING + AFTER_CLOSE
    return np.asarray(
        np.where(closed <= 0, 0.0, np.where(closed > 2 * DAY_MINUTES, LONG_NIGHT, 1.0) * share),
        np.float64,
    )
