"""What the metrics need of an equity curve, in one pass over it.

Sums are added in NumPy's own order (numpy/_core/src/umath/loops_utils.h.src, pairwise_sum, 2.5), so
that a mean is, bit for bit, that of `numpy.mean`.
"""

from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation

BLOCK_ROWS = 128  # NumPy adds so many numbers in a row, in eight sums
_MOST_HALVINGS = 64  # of the longest array there can be


class CurveFigures(NamedTuple):
    """Sums over the rows of a curve. `exposure` is the sum of gross exposure over equity; `held`
    counts the rows with any gross exposure, `solvent` those with equity above zero; `drawdown` is
    the least of all.
    """

    equity: float
    exposure: float
    held: int
    solvent: int
    drawdown: float


class FigureSums(NamedTuple):
    """The figures of a curve whose rows come block by block, in order: `next_block` says how many
    rows the next one has.

    `place` holds the first row that has not come yet, the place on the path from the whole curve to
    its block, and the counts of rows that are held and solvent. Of each part on the path: its rows,
    whether its first half is done, and the sums of that half. `whole` holds the sums at the end,
    and the least drawdown.
    """

    place: IntArray
    rows: IntArray
    halved: BoolArray
    totals: FloatArray
    exposures: FloatArray
    whole: FloatArray


_ROW, _DEPTH, _HELD, _SOLVENT = range(4)


def figure_sums(rows: int) -> FigureSums:
    """Before the first of `rows` rows."""
    place, parts = np.zeros(4, np.int64), np.zeros(_MOST_HALVINGS, np.int64)
    parts[0] = rows
    halved, (totals, exposures) = np.zeros(len(parts), np.bool_), np.empty((2, len(parts)))
    return FigureSums(place, parts, halved, totals, exposures, np.array([0.0, 0.0, np.inf]))


@inlined_kernel
def next_block(sums: FigureSums) -> tuple[int, int]:
    """The first row of the next block, and how many there are; 0: the curve is over."""
    depth, rows = sums.place[_DEPTH], sums.rows
    if sums.place[_ROW] >= rows[0]:
        return rows[0], 0
    while rows[depth] > BLOCK_ROWS:
        sums.halved[depth] = False
        rows[depth + 1] = _first_half(rows[depth])
        depth += 1
    sums.place[_DEPTH] = depth
    return sums.place[_ROW], rows[depth]


@inlined_kernel
def add_block(sums: FigureSums, equity: FloatArray, gross: FloatArray) -> None:
    """Take the rows of the next block."""
    held, solvent = 0, 0
    for row in range(len(equity)):
        held += gross[row] > 0.0
        solvent += equity[row] > 0.0
    place, rows, depth = sums.place, sums.rows, sums.place[_DEPTH]
    place[_HELD] += held
    place[_SOLVENT] += solvent
    place[_ROW] += len(equity)
    total, exposure = _sums(equity, gross)
    while depth > 0 and sums.halved[depth - 1]:
        depth -= 1
        total, exposure = sums.totals[depth] + total, sums.exposures[depth] + exposure
    if depth > 0:
        sums.totals[depth - 1], sums.exposures[depth - 1] = total, exposure
        sums.halved[depth - 1] = True
        rows[depth] = rows[depth - 1] - _first_half(rows[depth - 1])
    else:
        sums.whole[0], sums.whole[1] = total, exposure
    place[_DEPTH] = depth


@inlined_kernel
def lower_to(sums: FigureSums, drawdown: float) -> None:
    """Take the drawdown of a row, or the least of several."""
    sums.whole[2] = min(sums.whole[2], drawdown)


def figures_of(sums: FigureSums) -> CurveFigures | None:
    """The figures; None where not every row has come, or there is none."""
    if sums.place[_ROW] != sums.rows[0] or not sums.rows[0]:
        return None
    held, solvent = (int(sums.place[which]) for which in (_HELD, _SOLVENT))
    equity, exposure, drawdown = sums.whole.tolist()
    return CurveFigures(equity, exposure, held, solvent, drawdown)


def curve_figures(
    equity: FloatArray, gross: FloatArray, drawdown: FloatArray
) -> CurveFigures | None:
    """The figures of a curve; None of one without any row."""
    sums = figure_sums(len(equity))
    _add_all(sums, equity, gross, drawdown)
    return figures_of(sums)


@kernel_without_allocation
def _add_all(sums: FigureSums, equity: FloatArray, gross: FloatArray, drawdown: FloatArray) -> None:
    row, count = next_block(sums)
    while count > 0:
        add_block(sums, equity[row : row + count], gross[row : row + count])
        row, count = next_block(sums)
    for place in range(len(drawdown)):
        lower_to(sums, drawdown[place])


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
