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
from harmony_pipeline.features.rolling_window import after_last_nan
from harmony_pipeline.kernel import inlined_kernel

HEAD = 3


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
def roll_sums(series: FloatArray, window: FloatArray, sums: FloatArray) -> None:
    """The sum of the last N values at each of them; NaN until there are N. NaN in the series is
    passed over. `sums` and `series` share no memory.

    The same as `add` and `rolling_sum` of each. Whole blocks of N are computed at once.
    """
    cursor = load_sum(window)
    length, count, known = cursor.length, series.size, after_last_nan(series)
    i = 0
    while i < count:
        stop = i + length
        if i >= known and cursor.at == 0 and cursor.filled == length and stop <= count:
            sum_block(series[i:stop], window[HEAD:], sums[i:stop])
            i = stop
            continue
        if not math.isnan(series[i]):
            cursor = add(window, cursor, series[i])
        sums[i] = rolling_sum(window, cursor) if has_all(cursor) else np.nan
        i += 1
    save_sum(window, cursor)


@inlined_kernel
def sum_block(block: FloatArray, window: FloatArray, sums: FloatArray) -> None:
    """`roll_sums` of a whole block of N known values behind a full block. The sums from the front
    are independent of those from the back.
    """
    length, total = block.size, 0.0
    for j in range(length - 1):
        total += block[j]
        sums[j] = total
    for j in range(length - 1):
        sums[j] += window[1:][j]
    total = 0.0
    j = length
    while j > 0:  # half the time of a range that falls
        j -= 1
        total += block[j]
        window[j] = total
    sums[length - 1] = total
