"""A frame of bars as the matrices that kernels read, checked on the way.

The columns are read where Polars holds them. Adjusted prices, sessions and the checks of prices are
made block by block, so that a block stays in the processor's cache and symbols can be read by
several threads.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray, read_only
from harmony_pipeline.errors import DataError
from harmony_pipeline.features.kernel_inputs import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    REGULAR,
    ROWS,
    SESSION_DAY,
    START,
    VOLUME,
)
from harmony_pipeline.kernel import inlined_kernel, kernel
from harmony_pipeline.lent_memory import lend_floats
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.text_columns import run_starts
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES
from harmony_pipeline.text import clock_time

REGULAR_SESSION = "regular"
_PRICES = ("open", "high", "low", "close")
REALS = (*_PRICES, "volume", "adjustment_factor")
_NEEDED = ("symbol", "timestamp", "session", *REALS)
_TIME = pl.Datetime("us", "UTC")
_DAY = 86_400_000_000  # microseconds


class Sessions(NamedTuple):
    """The first row of every run of equal session kinds and the number of rows; whether the run is
    regular; the end of each session of the calendar in microseconds and its day since 1970-01-01.
    Without ends a bar belongs to the UTC day on which it starts.
    """

    starts: IntArray
    is_regular: BoolArray
    ends: IntArray
    days: IntArray

    def first_stamps(self, days: IntArray) -> IntArray:
        """The earliest start of a bar of the session of each of `days`, or of the next session
        where one is none.
        """
        if self.ends.size == 0:
            return days * _DAY
        begins = np.concatenate([[np.iinfo(np.int64).min], self.ends])
        return np.asarray(begins[np.searchsorted(self.days, days, side="left")], np.int64)


@dataclass(frozen=True)
class BarColumns:
    """`starts` has the first row of every symbol and the number of rows, `symbols` their names.

    `reals` are open, high, low, close, volume and adjustment factor.
    """

    symbols: tuple[str, ...]
    starts: IntArray
    stamps: IntArray
    reals: tuple[FloatArray, ...]
    sessions: "Sessions"

    @staticmethod
    def of(bars: pl.DataFrame, calendar: Calendar, timeframe: str) -> "BarColumns":
        """The columns of `bars`. Raises DataError unless its rows are sorted by symbol and
        timestamp and lie within the calendar.
        """
        missing = [name for name in _NEEDED if name not in bars.columns]
        if missing:
            raise DataError(
                f"bars lack the column(s) {', '.join(missing)}: features are computed from the"
                " table `bars`"
            )
        _refuse_nulls(bars)
        starts = run_starts(bars["symbol"])
        session_starts = run_starts(bars["session"])
        sessions = bars["session"].gather(session_starts[:-1])
        stamps = bars["timestamp"].dt.cast_time_unit("us").to_physical().to_numpy()
        ends, days = _sessions(calendar, timeframe)
        columns = BarColumns(
            tuple(bars["symbol"].gather(starts[:-1]).to_list()),
            starts,
            read_only(stamps),
            tuple(read_only(bars[name].cast(pl.Float64).to_numpy()) for name in REALS),
            Sessions(session_starts, (sessions == REGULAR_SESSION).to_numpy(), ends, days),
        )
        columns._check_order(bars)
        if ends.size and stamps.size and int(stamps[starts[1:] - 1].max()) >= ends[-1]:
            raise DataError(
                f"calendar {calendar.name} ends with {calendar.table['date'][-1]}, before the"
                " latest bar"
            )
        return columns

    def _check_order(self, bars: pl.DataFrame) -> None:
        falls = [
            int(self.starts[place])
            for place, (name, later) in enumerate(pairwise(self.symbols), start=1)
            if later <= name
        ]
        fall = min(
            [row for row in (_first_fall(self.stamps, self.starts), *falls) if row >= 0] or [-1]
        )
        if fall >= 0:
            raise DataError(
                f"bars row {fall} ({row_name(bars, fall)}) is not after the row before it: sort by"
                " symbol and timestamp, one bar each"
            )

    def fill(self, start: int, matrix: FloatArray) -> int:
        """Fill the matrix [ROWS, n] with the adjusted bars from row `start` on; return the first
        row that kernels cannot read, or -1.
        """
        return int(fill_bars(matrix, start, self.reals, self.stamps, self.sessions))


def in_one_piece(bars: pl.DataFrame) -> pl.DataFrame:
    """`bars` with each time and number in one piece of memory, which is used again later.

    A file is read in pieces. Kernels want one array, and Polars would make it of fresh memory.
    """
    names = [
        name
        for name in ("timestamp", *REALS)
        if bars[name].n_chunks() > 1
        and bars[name].dtype in (_TIME, pl.Float64())
        and not bars[name].null_count()
    ]
    rows = dict(zip(names, lend_floats(len(names), bars.height), strict=True))

    def fill(name: str) -> pl.Series:
        begin = 0
        for chunk in bars[name].get_chunks():
            part = chunk.to_physical().to_numpy().view(np.float64)
            rows[name][begin : begin + part.size] = part
            begin += part.size
        return bars_column(name, rows[name], bars[name].dtype)

    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        return bars.with_columns(pool.map(fill, names))


def bars_column(name: str, values: FloatArray, dtype: pl.DataType) -> pl.Series:
    """The memory of `values` as a column of 8-byte numbers, without a copy."""
    import pyarrow as pa

    kind = pa.float64() if dtype.is_float() else pa.int64()
    series = pl.from_arrow(pa.Array.from_buffers(kind, values.size, [None, pa.py_buffer(values)]))
    assert isinstance(series, pl.Series)
    return series.alias(name).cast(dtype)


def row_name(bars: pl.DataFrame, row: int) -> str:
    """Symbol and time of a row, for a message."""
    return f"{bars['symbol'][row]} {clock_time(bars['timestamp'][row])}"


def price_fault(bars: pl.DataFrame, row: int) -> DataError:
    """The refusal of a row with a number that no bar can have."""
    return DataError(
        f"bars row {row} ({row_name(bars, row)}) has a price or factor that is not above 0, or"
        " a volume below 0: quarantine it first"
    )


def _refuse_nulls(bars: pl.DataFrame) -> None:
    for name in ("symbol", "timestamp", "session"):
        if bars[name].null_count():
            row = int(bars[name].is_null().arg_max() or 0)
            raise DataError(f"bars row {row} has no {name}: quarantine it first")


def _sessions(calendar: Calendar, timeframe: str) -> tuple[IntArray, IntArray]:
    if timeframe in LONG_TIMEFRAMES:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    ends = calendar.table["post_close"].dt.cast_time_unit("us").to_physical().to_numpy()
    days = calendar.table["date"].to_physical().to_numpy().astype(np.int64)
    return ends.astype(np.int64), days


@kernel
def _first_fall(stamps: IntArray, starts: IntArray) -> int:
    """The first row that is not later than the row before it, of the same symbol; -1: none."""
    for run in range(starts.size - 1):
        # counted without an exit, so that the compiler compares several at once
        earlier = stamps[starts[run] : starts[run + 1] - 1]
        later = stamps[starts[run] + 1 : starts[run + 1]]
        rises = 0
        for i in range(later.size):
            rises += later[i] > earlier[i]
        if rises < later.size:
            for i in range(later.size):
                if later[i] <= earlier[i]:
                    return int(starts[run] + 1 + i)
    return -1


@inlined_kernel
def _is_sound(
    opening: float, high: float, low: float, close: float, volume: float, factor: float
) -> bool:
    """Without `and`, which would be branches: the compiler checks several bars at once."""
    positive = (opening > 0.0) & (high > 0.0) & (low > 0.0) & (close > 0.0) & (factor > 0.0)
    finite = (opening < np.inf) & (high < np.inf) & (low < np.inf) & (close < np.inf)
    return bool(positive & finite & (factor < np.inf) & (volume >= 0.0) & (volume < np.inf))


@kernel
def fill_bars(
    matrix: FloatArray,
    start: int,
    reals: tuple[FloatArray, ...],
    stamps: IntArray,
    sessions: Sessions,
) -> int:
    """Adjusted bars from row `start` on, all of one symbol, and the first row that has a price or
    factor that is not above 0 and finite, or a volume below 0 (-1: none).
    """
    count = matrix.shape[1]
    stop = start + count
    opening, high, low = reals[0][start:stop], reals[1][start:stop], reals[2][start:stop]
    close, volume, factor = reals[3][start:stop], reals[4][start:stop], reals[5][start:stop]
    sound = 0
    for i in range(count):  # once through the columns: they come from memory
        sound += _is_sound(opening[i], high[i], low[i], close[i], volume[i], factor[i])
        matrix[OPEN, i] = opening[i] * factor[i]
        matrix[HIGH, i] = high[i] * factor[i]
        matrix[LOW, i] = low[i] * factor[i]
        matrix[CLOSE, i] = close[i] * factor[i]
        matrix[VOLUME, i] = volume[i] / factor[i]
        matrix[START, i] = stamps[start + i]
    if sound < count:
        for i in range(count):
            if not _is_sound(opening[i], high[i], low[i], close[i], volume[i], factor[i]):
                return start + i
    _fill_days(matrix[SESSION_DAY], stamps[start:stop], sessions.ends, sessions.days)
    run = np.searchsorted(sessions.starts, start, side="right") - 1
    at = 0
    while at < count:
        until = min(sessions.starts[run + 1] - start, count)
        regular = 1.0 if sessions.is_regular[run] else 0.0
        for i in range(at, until):
            matrix[REGULAR, i] = regular
        at, run = until, run + 1
    return -1


@kernel
def _fill_days(row: FloatArray, stamps: IntArray, ends: IntArray, days: IntArray) -> None:
    """The day of the first session that ends after the bar begins."""
    if ends.size == 0:
        for i in range(stamps.size):
            row[i] = stamps[i] // _DAY
        return
    i, session = 0, np.searchsorted(ends, stamps[0], side="right")
    while i < stamps.size:
        day, end = days[session], ends[session]
        while i < stamps.size and stamps[i] < end:
            row[i] = day
            i += 1
        session += 1


def matrix_of(count: int) -> FloatArray:
    """Room for the bars of a block."""
    return np.empty((ROWS, count))
