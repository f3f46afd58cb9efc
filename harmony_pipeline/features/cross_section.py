"""Columns that compare the symbols that have a bar at one moment: rank, z-score, market, sector.

A kernel reads rows in order of (moment, symbol): `(moments, sectors, in_market, x, values)`.
`moments` [moments + 1] has the first row of each moment and the number of rows, `sectors` [rows]
the number of each row's sector (-1: none is known), `in_market` [rows] whether the row is part of
the market: every row, or those of the benchmark alone. `x` [rows] is the column that is compared,
NaN where it is not known. Nothing is carried from one moment to the next, and every sum runs in
order of symbol, so research and a session get the same bits.

A row without a value has none here either, and no other row sees it. A mean is taken of the
distances from its first term, so that equal values differ from their mean by exactly 0.
"""

import math

import numpy as np

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
from harmony_pipeline.kernel import inlined_kernel, kernel


@kernel
def cross_rank(
    moments: IntArray, sectors: IntArray, in_market: BoolArray, x: FloatArray, values: FloatArray
) -> None:
    """(symbols below + half of the other symbols that are equal) / (symbols - 1), 0 lowest and 1
    highest; 0.5 for one symbol alone.
    """
    for moment in range(moments.size - 1):
        start, stop = moments[moment], moments[moment + 1]
        known = np.empty(stop - start)
        count = 0
        for i in range(start, stop):
            if not math.isnan(x[i]):
                known[count] = x[i]
                count += 1
        ordered = np.sort(known[:count])
        for i in range(start, stop):
            if math.isnan(x[i]):
                values[i] = np.nan
            elif count == 1:
                values[i] = 0.5
            else:
                below = np.searchsorted(ordered, x[i], side="left")
                through = np.searchsorted(ordered, x[i], side="right")
                values[i] = 0.5 * (below + through - 1) / (count - 1)


@kernel
def cross_z(
    moments: IntArray, sectors: IntArray, in_market: BoolArray, x: FloatArray, values: FloatArray
) -> None:
    """(x - mean) / sample deviation among the symbols; 0 where all are equal, or one is alone."""
    for moment in range(moments.size - 1):
        start, stop = moments[moment], moments[moment + 1]
        first, mean, count = _mean(x, in_market, start, stop, whole=True)
        squares = 0.0
        for i in range(start, stop):
            if not math.isnan(x[i]):
                squares += (x[i] - first - mean) ** 2
        deviation = math.sqrt(squares / (count - 1)) if count > 1 else 0.0
        for i in range(start, stop):
            if math.isnan(x[i]):
                values[i] = np.nan
            else:
                values[i] = (x[i] - first - mean) / deviation if deviation > 0.0 else 0.0


@kernel
def market_relative(
    moments: IntArray, sectors: IntArray, in_market: BoolArray, x: FloatArray, values: FloatArray
) -> None:
    """The distance of x from the market's mean of x; not known where no symbol of the market has a
    value.
    """
    for moment in range(moments.size - 1):
        start, stop = moments[moment], moments[moment + 1]
        first, mean, count = _mean(x, in_market, start, stop, whole=False)
        for i in range(start, stop):
            values[i] = x[i] - first - mean if count else np.nan


@kernel
def market_return(
    moments: IntArray, sectors: IntArray, in_market: BoolArray, x: FloatArray, values: FloatArray
) -> None:
    """The market's mean of x, on every row; not known where no symbol of it has a value."""
    for moment in range(moments.size - 1):
        start, stop = moments[moment], moments[moment + 1]
        first, mean, count = _mean(x, in_market, start, stop, whole=False)
        for i in range(start, stop):
            values[i] = first + mean if count else np.nan


@kernel
def sector_relative(
    moments: IntArray, sectors: IntArray, in_market: BoolArray, x: FloatArray, values: FloatArray
) -> None:
    """The distance of x from its mean among the symbols of the sector, 0 for one alone; not known
    where the sector is not.
    """
    number = 1 + (sectors.max() if sectors.size else 0)
    firsts, sums, counts = np.empty(number), np.empty(number), np.empty(number, np.int64)
    for moment in range(moments.size - 1):
        start, stop = moments[moment], moments[moment + 1]
        sums[:], counts[:] = 0.0, 0
        for i in range(start, stop):
            sector = sectors[i]
            if sector < 0 or math.isnan(x[i]):
                continue
            if counts[sector] == 0:
                firsts[sector] = x[i]
            sums[sector] += x[i] - firsts[sector]
            counts[sector] += 1
        for i in range(start, stop):
            sector = sectors[i]
            if sector < 0 or math.isnan(x[i]):
                values[i] = np.nan
            else:
                values[i] = x[i] - firsts[sector] - sums[sector] / counts[sector]


@inlined_kernel
def _mean(
    x: FloatArray, in_market: BoolArray, start: int, stop: int, whole: bool
) -> tuple[float, float, int]:
    """The first known value, the mean distance from it, and the number of known values; of all rows
    or of those of the market.
    """
    first, total, count = 0.0, 0.0, 0
    for i in range(start, stop):
        if math.isnan(x[i]) or not (whole or in_market[i]):
            continue
        if count == 0:
            first = x[i]
        total += x[i] - first
        count += 1
    return first, total / count if count else 0.0, count
