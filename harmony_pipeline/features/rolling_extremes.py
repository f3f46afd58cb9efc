"""Rolling maxima of the last N values in O(1) a bar (van Herk 1992; Gil and Werman 1993).

The blocks are those of `rolling_window.py`. The minimum of values is minus the maximum of minus the
values, which is exact.

Layout of the state: next position to write, values seen (up to N), the maximum of this block so
far, then N numbers: the values of this block, and behind them the maxima of the last values of the
block before.
"""

from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.kernel import inlined_kernel

HEAD = 3


class ExtremeCursor(NamedTuple):
    """The next position to write (0 to N-1), the number of values (0 to N), N, and the maximum of
    this block.
    """

    at: int
    filled: int
    length: int
    highest: float


@inlined_kernel
def load_extreme(window: FloatArray) -> ExtremeCursor:
    """The cursor at the head of a window."""
    return ExtremeCursor(int(window[0]), int(window[1]), window.size - HEAD, window[2])


@inlined_kernel
def save_extreme(window: FloatArray, cursor: ExtremeCursor) -> None:
    """Write the cursor to the head of its window."""
    window[0], window[1], window[2] = cursor.at, cursor.filled, cursor.highest


@inlined_kernel
def include(window: FloatArray, cursor: ExtremeCursor, value: float) -> ExtremeCursor:
    """Replace the oldest value by `value`."""
    at, length = cursor.at, cursor.length
    filled = min(cursor.filled + 1, length)
    window[HEAD + at] = value
    highest = value if at == 0 or value > cursor.highest else cursor.highest  # max() is slower
    if at + 1 < length:
        return ExtremeCursor(at + 1, filled, length, highest)
    highest = value
    for j in range(length - 1, -1, -1):
        highest = max(highest, window[HEAD + j])
        window[HEAD + j] = highest
    return ExtremeCursor(0, filled, length, highest)


@inlined_kernel
def spans(cursor: ExtremeCursor) -> bool:
    """Whether the window has N values. `highest` needs that."""
    return cursor.filled == cursor.length


@inlined_kernel
def highest(window: FloatArray, cursor: ExtremeCursor) -> float:
    """The largest value of the window."""
    before = float(window[HEAD + cursor.at])
    return before if before > cursor.highest else cursor.highest


@inlined_kernel
def roll_two_maxima(
    a: FloatArray,
    b: FloatArray,
    window_a: FloatArray,
    window_b: FloatArray,
    maxima_a: FloatArray,
    maxima_b: FloatArray,
) -> None:
    """The largest of the last N values at each of them, of two series whose windows are as full;
    NaN until there are N. The series have no NaN, and no row shares memory with another.

    The same as `include` and `highest` of each. Whole blocks of N are computed at once, and of both
    series together, so that neither maximum waits for the other.
    """
    c, d = load_extreme(window_a), load_extreme(window_b)
    length, count = c.length, a.size
    i = 0
    while i < count:
        stop = i + length
        if c.at == 0 and c.filled == length and stop <= count:
            best_a, best_b = maximum_blocks(
                a[i:stop], b[i:stop], window_a[HEAD:], window_b[HEAD:], maxima_a[i:stop],
                maxima_b[i:stop],
            )  # fmt: skip
            c = ExtremeCursor(0, length, length, best_a)
            d = ExtremeCursor(0, length, length, best_b)
            i = stop
            continue
        c, d = include(window_a, c, a[i]), include(window_b, d, b[i])
        maxima_a[i] = highest(window_a, c) if spans(c) else np.nan
        maxima_b[i] = highest(window_b, d) if spans(d) else np.nan
        i += 1
    save_extreme(window_a, c)
    save_extreme(window_b, d)


@inlined_kernel
def maximum_blocks(
    a: FloatArray,
    b: FloatArray,
    window_a: FloatArray,
    window_b: FloatArray,
    maxima_a: FloatArray,
    maxima_b: FloatArray,
) -> tuple[float, float]:
    """`roll_two_maxima` of a whole block of N values behind a full block; the largest of both."""
    length, best_a, best_b = a.size, a[0], b[0]
    for j in range(length - 1):
        best_a = a[j] if a[j] > best_a else best_a
        best_b = b[j] if b[j] > best_b else best_b
        maxima_a[j], maxima_b[j] = best_a, best_b
    _raise_to(maxima_a, window_a)
    _raise_to(maxima_b, window_b)
    best_a, best_b = a[length - 1], b[length - 1]
    j = length
    while j > 0:  # half the time of a range that falls
        j -= 1
        best_a = a[j] if a[j] > best_a else best_a
        best_b = b[j] if b[j] > best_b else best_b
        window_a[j], window_b[j] = best_a, best_b
    maxima_a[length - 1], maxima_b[length - 1] = best_a, best_b
    return float(best_a), float(best_b)


@inlined_kernel
def _raise_to(maxima: FloatArray, window: FloatArray) -> None:
    """To the maxima of what is left of the block before."""
    before = window[1:]
    for j in range(before.size):
        maxima[j] = before[j] if before[j] > maxima[j] else maxima[j]


DATED_HEAD = 5


class DatedCursor(NamedTuple):
    """As ExtremeCursor, with the number of the bar that the maximum is of, and the number of bars.

    Of equal maxima the latest counts. Layout of the state: the cursor without N, then N values (as
    above) and N numbers of bars.
    """

    at: int
    filled: int
    length: int
    highest: float
    bar: float
    bars: float


@inlined_kernel
def load_dated(window: FloatArray) -> DatedCursor:
    """The cursor at the head of a window."""
    w, length = window, (window.size - DATED_HEAD) // 2
    return DatedCursor(int(w[0]), int(w[1]), length, w[2], w[3], w[4])


@inlined_kernel
def save_dated(window: FloatArray, cursor: DatedCursor) -> None:
    """Write the cursor to the head of its window."""
    window[0], window[1], window[2] = cursor.at, cursor.filled, cursor.highest
    window[3], window[4] = cursor.bar, cursor.bars
