"""Rolling sums of products of two series over the last N bars, in O(1) a bar.

The blocks and references are those of `rolling_window.py`, for both series. From the sums follow
covariance, correlation and the line of least squares.

Layout of the state: next position to write, values seen (up to N), two references, five sums of
this block, then N values of each series and N of each sum.
"""

import math
from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.kernel import inlined_kernel

HEAD = 9
PART = 128  # bars whose sums are kept until the quotients and roots of all are taken
_ONE = np.uint64(1)
X, Y, XX, YY, XY, X_REFERENCE, Y_REFERENCE = range(7)
SUMS, WITH_REFERENCES = 5, 7


class PairCursor(NamedTuple):
    """The next position to write (0 to N-1), the number of pairs (0 to N), N, both references, and
    the sums of this block: x, y, xx, yy, xy.
    """

    at: int
    filled: int
    length: int
    x_reference: float
    y_reference: float
    x: float
    y: float
    xx: float
    yy: float
    xy: float


@inlined_kernel
def load_pairs(window: FloatArray) -> PairCursor:
    """The cursor at the head of a window."""
    w = window
    length = (w.size - HEAD) // 7
    return PairCursor(int(w[0]), int(w[1]), length, w[2], w[3], w[4], w[5], w[6], w[7], w[8])


@inlined_kernel
def save_pairs(window: FloatArray, cursor: PairCursor) -> None:
    """Write the cursor to the head of its window."""
    window[0], window[1] = cursor.at, cursor.filled
    window[2], window[3] = cursor.x_reference, cursor.y_reference
    window[4], window[5] = cursor.x, cursor.y
    window[6], window[7], window[8] = cursor.xx, cursor.yy, cursor.xy


@inlined_kernel
def roll_pairs(x: FloatArray, y: FloatArray, window: FloatArray, sums: FloatArray) -> None:
    """Write the sums of the window after each pair into `sums` [SUMS, bars or more], and where it
    is [WITH_REFERENCES, ..] the references. All are NaN until there are N pairs, and on a bar of
    which x or y is NaN, which takes no place.
    """
    cursor, first = load_pairs(window), 0
    while first < x.size:
        stop = min(first + cursor.length - 1 - cursor.at, x.size)
        begun, before = first, cursor.filled
        cursor, first = _walk_block(x, y, window, cursor, sums, first, stop)
        if before == cursor.length and sums.shape[0] == WITH_REFERENCES:
            for i in range(begun, first):
                sums[X_REFERENCE, i], sums[Y_REFERENCE, i] = cursor.x_reference, cursor.y_reference
        elif before < cursor.length:
            sums[:, begun:first] = np.nan
        if first < x.size:  # the bar that ends the block, or one without a value
            if math.isnan(x[first]) or math.isnan(y[first]):
                sums[:, first] = np.nan
            else:
                cursor = _end_block(window, cursor, x[first], y[first])
                for row in range(XY + 1):
                    sums[row, first] = window[HEAD + (2 + row) * cursor.length]
                if sums.shape[0] == WITH_REFERENCES:
                    sums[X_REFERENCE, first], sums[Y_REFERENCE, first] = x[first], y[first]
            first += 1
    save_pairs(window, cursor)


@inlined_kernel
def _walk_block(
    x: FloatArray,
    y: FloatArray,
    window: FloatArray,
    cursor: PairCursor,
    sums: FloatArray,
    first: int,
    stop: int,
) -> tuple[PairCursor, int]:
    """The same for bars within a block, up to the first without a value, and the place of that."""
    c = cursor
    begins = c.filled == 0 and first < stop and not (math.isnan(x[first]) or math.isnan(y[first]))
    x_reference = x[first] if begins else c.x_reference
    y_reference = y[first] if begins else c.y_reference
    tx, ty, txx, tyy, txy = c.x, c.y, c.xx, c.yy, c.xy
    # unsigned, since a place that may be negative is tested at every use
    length, place = np.uint64(c.length), np.uint64(HEAD + c.at)
    bar, end = np.uint64(first), np.uint64(stop)
    sums_x, sums_y, sums_xx, sums_yy, sums_xy = sums[X], sums[Y], sums[XX], sums[YY], sums[XY]
    while bar < end:
        if math.isnan(x[bar]) or math.isnan(y[bar]):
            break
        window[place], window[place + length] = x[bar], y[bar]
        dx, dy = x[bar] - x_reference, y[bar] - y_reference
        tx += dx
        ty += dy
        txx += dx * dx
        tyy += dy * dy
        txy += dx * dy
        # and the sums of what is left of the block before
        left = place + length + length + _ONE
        sums_x[bar] = window[left] + tx
        sums_y[bar] = window[left + length] + ty
        left += length + length
        sums_xx[bar] = window[left] + txx
        sums_yy[bar] = window[left + length] + tyy
        sums_xy[bar] = window[left + length + length] + txy
        place += _ONE
        bar += _ONE
    known = int(bar) - first
    filled = min(c.filled + known, c.length)
    sums_now = (x_reference, y_reference, tx, ty, txx, tyy, txy)
    return PairCursor(c.at + known, filled, c.length, *sums_now), first + known


@inlined_kernel
def _end_block(window: FloatArray, cursor: PairCursor, x: float, y: float) -> PairCursor:
    """Take the pair that ends a block, and sum up the block from its end."""
    length = np.uint64(cursor.length)
    place = np.uint64(HEAD) + length
    window[place - _ONE], window[place + length - _ONE] = x, y
    sx, sy, sxx, syy, sxy = 0.0, 0.0, 0.0, 0.0, 0.0
    for _ in range(length):
        place -= _ONE
        dx, dy = window[place] - x, window[place + length] - y
        sx += dx
        sy += dy
        sxx += dx * dx
        syy += dy * dy
        sxy += dx * dy
        left = place + length + length
        window[left], window[left + length] = sx, sy
        left += length + length
        window[left], window[left + length], window[left + length + length] = sxx, syy, sxy
    return PairCursor(0, cursor.length, cursor.length, x, y, 0.0, 0.0, 0.0, 0.0, 0.0)


@inlined_kernel
def comoments(sums: FloatArray, share: float, i: int) -> tuple[float, float, float]:
    """(xx, yy, xy): sums of squares and of products of the distances from the means of bar i, NaN
    where the sums are; share = 1 / N. Without a branch, so that in a loop the compiler takes
    several bars at once.
    """
    x, y = sums[X, i], sums[Y, i]
    xx, yy = sums[XX, i] - x * (x * share), sums[YY, i] - y * (y * share)
    return 0.0 if xx < 0.0 else xx, 0.0 if yy < 0.0 else yy, sums[XY, i] - x * (y * share)


@inlined_kernel
def roll_correlation(
    x: FloatArray, y: FloatArray, window: FloatArray, sums: FloatArray, values: FloatArray
) -> None:
    """Pearson's correlation of the last N pairs, -1 to 1; 0 where one of the two does not move.
    `sums`: room for [SUMS, PART], or for as many bars as there are.
    """
    share = 1.0 / load_pairs(window).length
    for first in range(0, values.size, PART):
        part = values[first : first + PART]
        roll_pairs(x[first : first + PART], y[first : first + PART], window, sums)
        for i in range(part.size):
            xx, yy, xy = comoments(sums, share, i)
            product = math.sqrt(xx) * math.sqrt(yy)
            ratio = 0.0 if product == 0.0 else xy / product
            ratio = 1.0 if ratio > 1.0 else ratio
            part[i] = -1.0 if ratio < -1.0 else ratio
