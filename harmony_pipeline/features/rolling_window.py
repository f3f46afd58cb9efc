"""The last N values of a series, and statistics over them.

A window is recomputed from its own N values on every bar, oldest first. Running sums would be faster for long windows but carry
the rounding of every price they ever saw: one huge volume would spoil all later ones, and a flat window would not be exactly flat. The
statistics take differences from the window's oldest value; as that value is itself in the window, the sum of squares is at
most N + 1 times the centred one, so that one pass is as safe as two, and a flat window deviates by exactly 0.

A ring keeps each value twice, N places apart, so that the window is always one contiguous stretch. In the state: next
place to write, values seen (up to N), then 2 N values.
"""

import math
from typing import NamedTuple

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.kernel import kernel


class Cursor(NamedTuple):
    """Where the next value goes (0 to N-1), how many are there (0 to N), and N."""

    at: int
    filled: int
    length: int


@kernel
def cursor_of(ring: FloatArray) -> Cursor:
    """The cursor saved at the head of a ring."""
    return Cursor(int(ring[0]), int(ring[1]), (ring.size - 2) // 2)


@kernel
def save_cursor(ring: FloatArray, cursor: Cursor) -> None:
    """Write the cursor back to the head of its ring."""
    ring[0] = cursor.at
    ring[1] = cursor.filled


@kernel
def push(ring: FloatArray, cursor: Cursor, value: float) -> Cursor:
    """Let `value` take the place of the oldest one."""
    ring[2 + cursor.at] = value
    ring[2 + cursor.at + cursor.length] = value
    at = cursor.at + 1
    return Cursor(at if at < cursor.length else 0, min(cursor.filled + 1, cursor.length), cursor.length)


@kernel
def is_full(cursor: Cursor) -> bool:
    """Whether N values are there; the functions below mean something only then."""
    return cursor.filled == cursor.length


# Slices of the ring would read better below, but counting references to them doubles the time of a bar.


@kernel
def nth(ring: FloatArray, cursor: Cursor, i: int) -> float:
    """Value i of the window, 0 being the oldest."""
    return float(ring[2 + cursor.at + i])


@kernel
def mean(ring: FloatArray, cursor: Cursor) -> float:
    """Arithmetic mean; of equal values exactly that value."""
    first, total = nth(ring, cursor, 0), 0.0
    for i in range(cursor.length):
        total += nth(ring, cursor, i) - first
    return first + total / cursor.length


@kernel
def mean_and_deviation(ring: FloatArray, cursor: Cursor) -> tuple[float, float]:
    """(mean, sample standard deviation with ddof 1)."""
    first, total, squares = nth(ring, cursor, 0), 0.0, 0.0
    for i in range(cursor.length):
        difference = nth(ring, cursor, i) - first
        total += difference
        squares += difference * difference
    variance = max(squares - total * total / cursor.length, 0.0) / (cursor.length - 1)
    return first + total / cursor.length, math.sqrt(variance)


@kernel
def z_score(value: float, ring: FloatArray, cursor: Cursor) -> float:
    """(value - mean) / sample deviation; 0 where nothing in the window moved."""
    centre, deviation = mean_and_deviation(ring, cursor)
    return (value - centre) / deviation if deviation > 0.0 else 0.0
