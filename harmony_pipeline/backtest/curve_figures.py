"""What the metrics need of an equity curve, in one pass over it.

Sums are added in NumPy's own order (numpy/_core/src/umath/loops_utils.h.src, pairwise_sum, 2.5), so
that a mean is, bit for bit, that of `numpy.mean`.
"""

from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.kernel import inlined_kernel, kernel

_BLOCK = 128  # NumPy adds so many numbers in a row, in eight sums
_DEPTH = 64  # halvings of the longest array there can be


class CurveFigures(NamedTuple):
    """Sums over the rows of a curve. `exposure` is the sum of gross exposure over equity; `held`
    counts the rows with any gross exposure, `solvent` those with equity above zero.
    """

    equity: float
    exposure: float
    held: int
    solvent: int


@kernel
def curve_figures(equity: FloatArray, gross: FloatArray) -> CurveFigures:
    """The figures of a curve of one row or more."""
    held, solvent, start, depth = 0, 0, 0, 0
    # the path from the whole to the block at hand: rows of each part, whether its first half is
    # done, and the sums of that half
    rows, halved = np.empty(_DEPTH, np.int64), np.zeros(_DEPTH, np.bool_)
    totals, exposures = np.empty(_DEPTH), np.empty(_DEPTH)
    rows[0] = len(equity)
    while True:
        while rows[depth] > _BLOCK:
            halved[depth] = False
            rows[depth + 1] = _first_half(rows[depth])
            depth += 1
        levels, values = equity[start : start + rows[depth]], gross[start : start + rows[depth]]
        start += rows[depth]
        for row in range(len(levels)):
            held += values[row] > 0.0
            solvent += levels[row] > 0.0
        total, exposure = _sums(levels, values)
        while depth > 0 and halved[depth - 1]:
            depth -= 1
            total, exposure = totals[depth] + total, exposures[depth] + exposure
        if depth == 0:
            return CurveFigures(total, exposure, held, solvent)
        totals[depth - 1], exposures[depth - 1], halved[depth - 1] = total, exposure, True
        rows[depth] = rows[depth - 1] - _first_half(rows[depth - 1])


@inlined_kernel
def _first_half(count: int) -> int:
    half = count // 2
    return half - half % 8


@inlined_kernel
def _sums(equity: FloatArray, gross: FloatArray) -> tuple[float, float]:
    """The sums of equity and of gross / equity of a block."""
    if len(equity) >= 8:
        return _sums_of_eights(equity, gross)
    # NumPy begins with -0.0, so that a sum of -0.0 alone keeps its sign
    total, exposure = -0.0, -0.0
    for row in range(len(equity)):
        total += equity[row]
        exposure += gross[row] / equity[row]
    return total, exposure


@inlined_kernel
def _sums_of_eights(equity: FloatArray, gross: FloatArray) -> tuple[float, float]:
    """The sums of equity and of gross / equity of 8 to 128 rows, eight of each at a time."""
    e0, e1, e2, e3 = equity[0], equity[1], equity[2], equity[3]
    e4, e5, e6, e7 = equity[4], equity[5], equity[6], equity[7]
    x0, x1, x2, x3 = gross[0] / e0, gross[1] / e1, gross[2] / e2, gross[3] / e3
    x4, x5, x6, x7 = gross[4] / e4, gross[5] / e5, gross[6] / e6, gross[7] / e7
    whole = len(equity) // 8
    for block in range(1, whole):
        levels, values = equity[8 * block : 8 * block + 8], gross[8 * block : 8 * block + 8]
        e0, e1, e2, e3 = e0 + levels[0], e1 + levels[1], e2 + levels[2], e3 + levels[3]
        e4, e5, e6, e7 = e4 + levels[4], e5 + levels[5], e6 + levels[6], e7 + levels[7]
        x0, x1 = x0 + values[0] / levels[0], x1 + values[1] / levels[1]
        x2, x3 = x2 + values[2] / levels[2], x3 + values[3] / levels[3]
        x4, x5 = x4 + values[4] / levels[4], x5 + values[5] / levels[5]
        x6, x7 = x6 + values[6] / levels[6], x7 + values[7] / levels[7]
    total = ((e0 + e1) + (e2 + e3)) + ((e4 + e5) + (e6 + e7))
    exposure = ((x0 + x1) + (x2 + x3)) + ((x4 + x5) + (x6 + x7))
    for row in range(8 * whole, len(equity)):
        total += equity[row]
        exposure += gross[row] / equity[row]
    return total, exposure
