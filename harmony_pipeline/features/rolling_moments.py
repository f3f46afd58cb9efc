"""Rolling sums of the first four powers over the last N values, in O(1) a bar: skewness and
kurtosis.

The blocks and the reference are those of `rolling_window.py`.

Layout of the state: next position to write, values seen (up to N), reference, four sums of this
block, then N values and N of each sum.
"""

import math
from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.kernel import inlined_kernel

HEAD = 7
_NEXT = np.uint64(1)


class MomentCursor(NamedTuple):
    """The next position to write (0 to N-1), the number of values (0 to N), N, the reference, and
    the sums of powers of this block.
    """

    at: int
    filled: int
    length: int
    reference: float
    first: float
    second: float
    third: float
    fourth: float


@inlined_kernel
def load_moments(window: FloatArray) -> MomentCursor:
    """The cursor at the head of a window."""
    w = window
    return MomentCursor(int(w[0]), int(w[1]), (w.size - HEAD) // 5, w[2], w[3], w[4], w[5], w[6])


@inlined_kernel
def save_moments(window: FloatArray, cursor: MomentCursor) -> None:
    """Write the cursor to the head of its window."""
    window[0], window[1], window[2] = cursor.at, cursor.filled, cursor.reference
    window[3], window[4] = cursor.first, cursor.second
    window[5], window[6] = cursor.third, cursor.fourth


@inlined_kernel
def roll_moments(series: FloatArray, window: FloatArray, sums: FloatArray) -> None:
    """Write the four sums of the window after each number into the rows of `sums` [4, numbers or
    more]; NaN until there are N. The series has no NaN.
    """
    c, first = load_moments(window), 0
    length = np.uint64(c.length)
    while first < series.size:
        stop = min(first + c.length - 1 - c.at, series.size)
        reference = series[first] if c.filled == 0 else c.reference
        s1, s2, s3, s4 = c.first, c.second, c.third, c.fourth
        # unsigned, since a place that may be negative is tested at every use
        bar, end, place = np.uint64(first), np.uint64(stop), np.uint64(HEAD + c.at)
        while bar < end:
            window[place] = series[bar]
            d = series[bar] - reference
            square = d * d
            s1 += d
            s2 += square
            s3 += square * d
            s4 += square * square
            left = place + length + _NEXT  # what is left of the block before
            sums[0, bar], sums[1, bar] = window[left] + s1, window[left + length] + s2
            left += length + length
            sums[2, bar], sums[3, bar] = window[left] + s3, window[left + length] + s4
            place += _NEXT
            bar += _NEXT
        if c.filled < c.length:
            sums[:, first:stop] = np.nan
        known = stop - first
        filled = min(c.filled + known, c.length)
        c = MomentCursor(c.at + known, filled, c.length, reference, s1, s2, s3, s4)
        if stop < series.size:  # the number that ends the block
            _sum_block(window, length, series[stop])
            c = MomentCursor(0, c.length, c.length, series[stop], 0.0, 0.0, 0.0, 0.0)
            for row in range(4):
                sums[row, stop] = window[HEAD + (1 + row) * c.length]
        first = stop + 1
    save_moments(window, c)


@inlined_kernel
def _sum_block(window: FloatArray, length: np.uint64, value: float) -> None:
    """Take the number that ends a block, and sum up the block from its end."""
    place = np.uint64(HEAD) + length
    window[place - _NEXT] = value
    s1, s2, s3, s4 = 0.0, 0.0, 0.0, 0.0
    for _ in range(length):
        place -= _NEXT
        d = window[place] - value
        square = d * d
        s1 += d
        s2 += square
        s3 += square * d
        s4 += square * square
        left = place + length
        window[left], window[left + length] = s1, s2
        left += length + length
        window[left], window[left + length] = s3, s4


@inlined_kernel
def shape(sums: FloatArray, share: float, i: int) -> tuple[float, float]:
    """(skewness m3 / m2^1.5, excess kurtosis m4 / m2^2 - 3) of the population of bar i; 0 in a flat
    window, NaN where the sums are; share = 1 / N. Without a branch, so that in a loop the compiler
    takes several bars at once.

    A variance below 1e-14 of the square from which it was taken is rounding, and counts as flat.
    """
    a, b, c, d = sums[0, i] * share, sums[1, i] * share, sums[2, i] * share, sums[3, i] * share
    square = a * a
    variance = b - square
    third = c - 3.0 * a * b + 2.0 * square * a
    fourth = d - 4.0 * a * c + 6.0 * square * b - 3.0 * square * square
    flat = variance <= 1e-14 * b
    skew, kurt = third / (variance * math.sqrt(variance)), fourth / (variance * variance) - 3.0
    return 0.0 if flat else skew, 0.0 if flat else kurt
