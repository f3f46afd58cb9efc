"""Rolling windows of the last N values of a series, and statistics over them.

A statistic is recomputed from the N values on every bar, oldest first. Running sums would be faster
for long windows but carry the rounding of every earlier price: one huge volume would distort all
later values, and a flat window would not be exactly flat. The statistics use differences from the
window's oldest value. As that value is in the window, the sum of squares is at most N + 1 times the
centred one. So one pass is as accurate as two, and a flat window has a deviation of exactly 0.

A window stores each value twice, N elements apart, so that its values are always contiguous. Layout
of the state: next position to write, values seen (up to N), then 2 N values.
"""

import math
from typing import NamedTuple

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.kernel import kernel


class Cursor(NamedTuple):
    """The next position to write (0 to N-1), the number of values (0 to N), and N."""

    at: int
    filled: int
    length: int


@kernel
def load_cursor(window: FloatArray) -> Cursor:
    """The cursor at the head of a window."""
    return Cursor(int(window[0]), int(window[1]), (window.size - 2) // 2)


@kernel
def save_cursor(window: FloatArray, cursor: Cursor) -> None:
    """Write the cursor to the head of its window."""
    window[0] = cursor.at
    window[1] = cursor.filled


@kernel
def push(window: FloatArray, cursor: Cursor, value: float) -> Cursor:
    """Replace the oldest value by `value`."""
    window[2 + cursor.at] = value
    window[2 + cursor.at + cursor.length] = value
    at = cursor.at + 1
    return Cursor(
        at if at < cursor.length else 0, min(cursor.filled + 1, cursor.length), cursor.length
    )


@kernel
def is_full(cursor: Cursor) -> bool:
    """Whether the window has N values. The functions below need a full window."""
    return cursor.filled == cursor.length


# Slices would be clearer below, but the counting of references to them doubles the time of a bar.


@kernel
def nth(window: FloatArray, cursor: Cursor, i: int) -> float:
    """Value i of the window; 0 is the oldest."""
    return float(window[2 + cursor.at + i])


@kernel
def mean(window: FloatArray, cursor: Cursor) -> float:
    """Arithmetic mean. The mean of equal values is exactly that value."""
    first, total = nth(window, cursor, 0), 0.0
    for i in range(cursor.length):
        total += nth(window, cursor, i) - first
    return first + total / cursor.length


@kernel
def mean_and_deviation(window: FloatArray, cursor: Cursor) -> tuple[float, float]:
    """(mean, sample standard deviation with ddof 1)."""
    first, total, squares = nth(window, cursor, 0), 0.0, 0.0
    for i in range(cursor.length):
        difference = nth(window, cursor, i) - first
        total += difference
        squares += difference * difference
    variance = max(squares - total * total / cursor.length, 0.0) / (cursor.length - 1)
    return first + total / cursor.length, math.sqrt(variance)


@kernel
def z_score(value: float, window: FloatArray, cursor: Cursor) -> float:
    """(value - mean) / sample deviation; 0 in a flat window."""
    centre, deviation = mean_and_deviation(window, cursor)
    return (value - centre) / deviation if deviation > 0.0 else 0.0
