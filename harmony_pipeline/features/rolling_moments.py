"""Rolling sums of the first four powers over the last N values, in O(1) a bar: skewness and
kurtosis.

The blocks and the reference are those of `rolling_window.py`.

Layout of the state: next position to write, values seen (up to N), reference, four sums of this
block, then N values and N of each sum.
"""

import math
from typing import NamedTuple

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.kernel import inlined_kernel

HEAD = 7


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
def push_moment(window: FloatArray, cursor: MomentCursor, value: float) -> MomentCursor:
    """Replace the oldest value by `value`."""
    at, length, c = cursor.at, cursor.length, cursor
    filled = min(c.filled + 1, length)
    window[HEAD + at] = value
    if at + 1 < length:
        reference = value if c.filled == 0 else c.reference
        d = value - reference
        square = d * d
        return MomentCursor(
            at + 1,
            filled,
            length,
            reference,
            c.first + d,
            c.second + square,
            c.third + square * d,
            c.fourth + square * square,
        )
    first, second, third, fourth = 0.0, 0.0, 0.0, 0.0
    for j in range(length - 1, -1, -1):
        d = window[HEAD + j] - value
        square = d * d
        first += d
        second += square
        third += square * d
        fourth += square * square
        window[HEAD + length + j] = first
        window[HEAD + 2 * length + j] = second
        window[HEAD + 3 * length + j] = third
        window[HEAD + 4 * length + j] = fourth
    return MomentCursor(0, filled, length, value, 0.0, 0.0, 0.0, 0.0)


@inlined_kernel
def has_moments(cursor: MomentCursor) -> bool:
    """Whether the window has N values; the function below needs them."""
    return cursor.filled == cursor.length


@inlined_kernel
def shape(window: FloatArray, cursor: MomentCursor) -> tuple[float, float]:
    """(skewness m3 / m2^1.5, excess kurtosis m4 / m2^2 - 3) of the population; 0 in a flat window.

    A variance below 1e-14 of the square from which it was taken is rounding, and counts as flat.
    """
    at, length = cursor.at, cursor.length
    share = 1.0 / length
    a = (window[HEAD + length + at] + cursor.first) * share
    b = (window[HEAD + 2 * length + at] + cursor.second) * share
    c = (window[HEAD + 3 * length + at] + cursor.third) * share
    d = (window[HEAD + 4 * length + at] + cursor.fourth) * share
    square = a * a
    variance = b - square
    if variance <= 1e-14 * b:
        return 0.0, 0.0
    third = c - 3.0 * a * b + 2.0 * square * a
    fourth = d - 4.0 * a * c + 6.0 * square * b - 3.0 * square * square
    return third / (variance * math.sqrt(variance)), fourth / (variance * variance) - 3.0
