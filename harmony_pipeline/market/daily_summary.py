"""One row a symbol and session, written at ingest, so that scans and studies read days and not
minutes.

The premarket columns hold what was known at the scan time of that session: bars of the part `pre`
that had *ended* by then. Sums are taken in time order, so the same bars give the same bits, however
they were cut or ordered.

Bars are sorted by symbol and time, so one compiled pass walks from session to session without
grouping or searching.
"""

from datetime import time
from typing import NamedTuple

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.frames import sort_rows
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market import session_position
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.session_parts import OUTSIDE, POST, PRE, REGULAR
from harmony_pipeline.market.session_position import (
    DAY,
    POST_CLOSE,
    first_session,
    part_of,
    seconds_of,
    sessions_of,
)
from harmony_pipeline.market.text_columns import run_starts
from harmony_pipeline.schemas import DAILY_SUMMARY, TIME

# all that a summary looks at
READ = ("symbol", "timestamp", "open", "high", "low", "close", "volume", "adjustment_factor")
_SECOND, _DAY, _DAILY = 1_000_000, 86_400_000_000, 86_400
_NEVER = np.iinfo(np.int64).max
# What the pass fills, in order: whole numbers, then reals.
_WHOLE = ("symbol", "session", "bars", "regular_bars", "last_timestamp", "premarket_bars")
SYMBOL, SESSION, BARS, REGULAR_BARS, LAST, EARLY_BARS = range(len(_WHOLE))
_REAL = (
    *("open", "high", "low", "close", "volume", "adjustment_factor"),
    *("premarket_volume", "premarket_high", "premarket_low", "premarket_last", "postmarket_volume"),
)
(
    OPEN,
    HIGH,
    LOW,
    CLOSE,
    VOLUME,
    FACTOR,
    EARLY_VOLUME,
    EARLY_HIGH,
    EARLY_LOW,
    EARLY_LAST,
    LATE_VOLUME,
) = range(len(_REAL))


class _Bars(NamedTuple):
    """Columns of bars sorted by symbol and time; `begin` [symbols + 1] is where each
    symbol begins.
    """

    begin: IntArray
    stamp: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    factor: FloatArray


def summarise(
    bars: pl.DataFrame, calendar: Calendar, timeframe: str, scan_time: str
) -> pl.DataFrame:
    """`bars` (schemas.BARS, at least the columns READ) as schemas.DAILY_SUMMARY.

    `scan_time` is HH:MM on the exchange's clock. Any set of whole symbols gives the rows of these
    symbols. Raises ConfigError when `scan_time` is no time of day.
    """
    clock = _parse_clock(scan_time)
    if not bars.height:
        return DAILY_SUMMARY.empty()
    calendar = calendar.for_timeframe(timeframe)
    rows = sort_rows(bars.select(READ).rechunk(), ("symbol", "timestamp"))
    begin = run_starts(rows["symbol"])
    columns = _Bars(
        begin,
        rows["timestamp"].cast(pl.Int64).to_numpy(),
        *(rows[name].to_numpy() for name in READ[2:]),
    )
    cutoffs = calendar.table.select(_instant("date", clock, calendar.zone))["date"]
    known_until = cutoffs.to_physical().fill_null(np.iinfo(np.int64).min).to_numpy()
    seconds, sessions = seconds_of(timeframe), sessions_of(calendar)
    days = _count_sessions(columns, seconds, sessions)
    wholes, reals = np.empty((len(_WHOLE), days), np.int64), np.empty((len(_REAL), days))
    found = _sum_sessions(columns, seconds, sessions, known_until, wholes, reals)
    whole = dict(zip(_WHOLE, wholes[:, :found], strict=True))
    symbol, session = whole.pop("symbol"), whole.pop("session")
    table = {
        "symbol": rows["symbol"].gather(begin[symbol]),
        "date": calendar.table["date"].gather(session),
        "scan_time": cutoffs.gather(session),
        "expected_regular_bars": (
            calendar.expected_bars(timeframe)["expected_regular_bars"].gather(session)
        ),
        **{name: pl.Series(values) for name, values in whole.items()},
        **{
            name: pl.Series(values, nan_to_null=True)
            for name, values in zip(_REAL, reals[:, :found], strict=True)
        },
    }
    return DAILY_SUMMARY.conform(pl.DataFrame(table))


@kernel
def _session_end(sessions: IntArray, at: int, seconds: int) -> int:
    """The first moment at which no bar of session `at` can start."""
    if at >= sessions.shape[1]:
        return _NEVER
    return int((sessions[DAY, at] + 1) * _DAY if seconds == _DAILY else sessions[POST_CLOSE, at])


@kernel
def _count_sessions(bars: _Bars, seconds: int, sessions: IntArray) -> int:
    """The largest possible number of pairs of symbol and session."""
    days = 0
    for symbol in range(bars.begin.size - 1):
        over = -_NEVER
        for row in range(bars.begin[symbol], bars.begin[symbol + 1]):
            if bars.stamp[row] >= over:
                days += 1
                over = _session_end(
                    sessions, first_session(sessions, bars.stamp[row], seconds), seconds
                )
    return int(days)


@kernel
def _sum_sessions(
    bars: _Bars,
    seconds: int,
    sessions: IntArray,
    known_until: IntArray,
    wholes: IntArray,
    reals: FloatArray,
) -> int:
    """Fill one column of `wholes` (rows as _WHOLE) and `reals` (rows as _REAL) a symbol and
    session.

    Returns the number of columns. NaN means none. Bars outside every session do not count. The
    values of a session are looked up when it begins: a calendar call for each bar would cost ten
    times the sums.

    Over 60 lines because a call for each bar that passes arrays costs several times what its sums
    do (`kernel.py` says why).
    """
    length, day = seconds * _SECOND, -1
    for symbol in range(bars.begin.size - 1):
        at, current, over = 0, -1, -_NEVER
        opens, closes, until = 0, 0, 0
        for row in range(bars.begin[symbol], bars.begin[symbol + 1]):
            stamp = bars.stamp[row]
            if stamp >= over:
                at = first_session(sessions, stamp, seconds)
                over = _session_end(sessions, at, seconds)
                if at < sessions.shape[1]:
                    opens, closes, until = (
                        sessions[session_position.SESSION_OPEN, at],
                        sessions[session_position.SESSION_CLOSE, at],
                        known_until[at],
                    )
            if (
                seconds != _DAILY
                and stamp >= opens
                and stamp < closes
                and at < sessions.shape[1]
                and sessions[session_position.BREAK_START, at] == _NEVER
            ):
                part = REGULAR
            else:
                part = part_of(sessions, at, stamp, seconds)
            if part == OUTSIDE:
                continue
            if at != current:
                current = at
                day += 1
                wholes[:, day], reals[:, day] = 0, np.nan
                wholes[SYMBOL, day], wholes[SESSION, day] = symbol, at
                reals[VOLUME, day] = reals[EARLY_VOLUME, day] = reals[LATE_VOLUME, day] = 0.0
            wholes[BARS, day] += 1
            wholes[LAST, day], reals[FACTOR, day] = stamp, bars.factor[row]
            high, low, close, volume = (
                bars.high[row],
                bars.low[row],
                bars.close[row],
                bars.volume[row],
            )
            if part == REGULAR:
                first = wholes[REGULAR_BARS, day] == 0
                if first:
                    reals[OPEN, day] = bars.open[row]
                reals[HIGH, day] = high if first else max(reals[HIGH, day], high)
                reals[LOW, day] = low if first else min(reals[LOW, day], low)
                reals[CLOSE, day] = close
                reals[VOLUME, day] += volume
                wholes[REGULAR_BARS, day] += 1
            elif part == PRE and min(stamp + length, opens) <= until:
                first = wholes[EARLY_BARS, day] == 0
                reals[EARLY_HIGH, day] = high if first else max(reals[EARLY_HIGH, day], high)
                reals[EARLY_LOW, day] = low if first else min(reals[EARLY_LOW, day], low)
                reals[EARLY_LAST, day] = close
                reals[EARLY_VOLUME, day] += volume
                wholes[EARLY_BARS, day] += 1
            elif part == POST:
                reals[LATE_VOLUME, day] += volume
    return day + 1


def _parse_clock(text: str) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"scanner.as_of is '{text}', expected a time of day on the exchange's clock such as"
            " 09:25"
        ) from None


def _instant(date: str, clock: time, zone: str) -> pl.Expr:
    wall = pl.col(date).dt.combine(pl.lit(clock), time_unit="us")
    return (
        wall.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        .dt.convert_time_zone("UTC")
        .cast(TIME)
    )
