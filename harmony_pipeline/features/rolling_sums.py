"""Rolling sums of the last N values in O(1) a bar, by the blocks of `rolling_window.py`, without a
reference.

They suit what is added up itself: volumes, ranges, signs. Sums of whole numbers below 2^53 are
exact.

Layout of the state: next position to write, values seen (up to N), the sum of this block so far,
then N numbers: the values of this block, and behind them the sums of the last values of the block
before.
"""

import math
from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.kernel import inlined_kernel

HEAD = 3
_NEXT = np.uint64(1)


class SumCursor(NamedTuple):
    """The next position to write (0 to N-1), the number of values (0 to N), N, and the sum of this
    block.
    """

    at: int
    filled: int
    length: int
    total: float


@inlined_kernel
def load_sum(window: FloatArray) -> SumCursor:
    """The cursor at the head of a window."""
    return SumCursor(int(window[0]), int(window[1]), window.size - HEAD, window[2])


@inlined_kernel
def save_sum(window: FloatArray, cursor: SumCursor) -> None:
    """Write the cursor to the head of its window."""
    window[0], window[1], window[2] = cursor.at, cursor.filled, cursor.total


@inlined_kernel
def add(window: FloatArray, cursor: SumCursor, value: float) -> SumCursor:
    """Replace the oldest value by `value`."""
    at, length = cursor.at, cursor.length
    filled = min(cursor.filled + 1, length)
    window[HEAD + at] = value
    if at + 1 < length:
        return SumCursor(at + 1, filled, length, cursor.total + value)
    total = 0.0
    for j in range(length - 1, -1, -1):
        total += window[HEAD + j]
        window[HEAD + j] = total
    return SumCursor(0, filled, length, 0.0)


@inlined_kernel
def has_all(cursor: SumCursor) -> bool:
    """Whether the window has N values."""
    return cursor.filled == cursor.length


@inlined_kernel
def rolling_sum(window: FloatArray, cursor: SumCursor) -> float:
    """Sum of the values of the window."""
    return float(window[HEAD + cursor.at] + cursor.total)


@inlined_kernel
def roll_sum(series: FloatArray, window: FloatArray, sums: FloatArray) -> None:
    """Write the sum of the window after each number of the series, NaN until there are N. NaN in
    the series is passed over. `sums` may be the series itself.

    The same as `add` and `rolling_sum`, a block at a time.
    """
    cursor, first = load_sum(window), 0
    while first < series.size:
        stop = min(first + cursor.length - 1 - cursor.at, series.size)
        total, full = cursor.total, has_all(cursor)
        # unsigned, since a place that may be negative is tested at every use
        bar, end, place = np.uint64(first), np.uint64(stop), np.uint64(HEAD + cursor.at)
        while bar < end:
            value = series[bar]
            if math.isnan(value):
                break
            total += value
            sums[bar] = window[place + _NEXT] + total if full else np.nan
            window[place] = value
            place += _NEXT
            bar += _NEXT
        known = int(bar) - first
        filled = min(cursor.filled + known, cursor.length)
        cursor = SumCursor(cursor.at + known, filled, cursor.length, total)
        first += known
        if first < series.size:  # the bar that ends the block, or one without a value
            if not math.isnan(series[first]):
                window[HEAD + cursor.length - 1] = series[first]
                sum_block(window)
                cursor = SumCursor(0, cursor.length, cursor.length, 0.0)
            sums[first] = rolling_sum(window, cursor) if has_all(cursor) else np.nan
            first += 1
    save_sum(window, cursor)


@inlined_kernel
def sum_block(window: FloatArray) -> None:
    """Write, in place of the values of a whole block, the sums of its last ones."""
    total, place = 0.0, np.uint64(window.size)
    for _ in range(np.uint64(window.size - HEAD)):
        place -= _NEXT
        total += window[place]
        window[place] = total
