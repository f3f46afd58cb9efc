"""The last N values of a series, to look back by N bars.

Layout of the state: next position to write, values seen (up to N), then N values.
"""

from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.kernel import inlined_kernel

HEAD = 2


class LagCursor(NamedTuple):
    """The next position to write (0 to N-1), the number of values (0 to N), and N."""

    at: int
    filled: int
    length: int


@inlined_kernel
def load_lag(window: FloatArray) -> LagCursor:
    """The cursor at the head of a window."""
    return LagCursor(int(window[0]), int(window[1]), window.size - HEAD)


@inlined_kernel
def save_lag(window: FloatArray, cursor: LagCursor) -> None:
    """Write the cursor to the head of its window."""
    window[0], window[1] = cursor.at, cursor.filled


@inlined_kernel
def remember(window: FloatArray, cursor: LagCursor, value: float) -> LagCursor:
    """Replace the oldest value by `value`."""
    window[HEAD + cursor.at] = value
    at = cursor.at + 1
    return LagCursor(
        at if at < cursor.length else 0, min(cursor.filled + 1, cursor.length), cursor.length
    )


@inlined_kernel
def has_lag(cursor: LagCursor) -> bool:
    """Whether N values are known."""
    return cursor.filled == cursor.length


@inlined_kernel
def oldest(window: FloatArray, cursor: LagCursor) -> float:
    """The value N steps before the next one; needs N values."""
    return float(window[HEAD + cursor.at])


@inlined_kernel
def back(window: FloatArray, cursor: LagCursor, steps: int) -> float:
    """The value `steps` before the next one, 1 to N; 1 is the last one."""
    place = cursor.at - steps
    return float(window[HEAD + (place if place >= 0 else place + cursor.length)])


@inlined_kernel
def lagged(window: FloatArray, series: FloatArray, values: FloatArray) -> None:
    """Each value of the series N steps before, NaN while there is none; the window remembers the
    series' end.

    The same as one `oldest` and one `remember` for each value. Most are copied within the series.
    """
    length = min(window.size - HEAD, series.size)
    remembered(window, series, values[:length])
    for i in range(length, series.size):
        values[i] = series[i - length]


@inlined_kernel
def remembered(window: FloatArray, series: FloatArray, values: FloatArray) -> None:
    """The same for the first N values of the series alone, or for all where it has fewer."""
    cursor = load_lag(window)
    length, count = cursor.length, series.size
    known, place = cursor.filled, cursor.at
    for i in range(values.size):
        # the slot of the value N steps before value i, once N are known
        known_before = known + i >= length
        values[i] = window[HEAD + place] if known_before else np.nan
        place = place + 1 if place + 1 < length else 0
    first = max(count - length, 0)
    place = (cursor.at + first) % length
    for i in range(first, count):
        window[HEAD + place] = series[i]
        place = place + 1 if place + 1 < length else 0
    window[0], window[1] = place, min(known + count, length)
