"""Rolling windows of the last N values of a series, with mean and deviation in O(1) a bar.

The bars are cut into blocks of N. At the end of a block the sums of its last 1, 2, .. N values are
kept. Within the next block a window is the end of the block before and the beginning of this one:
two sums that are added. Nothing is ever subtracted from a sum, so a value that left the window
leaves nothing behind, and rounding does not pile up. This is the algorithm of van Herk (1992) and
of Gil and Werman (1993) for running maxima, applied to sums. Where the blocks begin is part of the
state, so any cut of the bars gives the same bits.

Sums are of differences from a reference value: the last value of the block before, and at the end
of a block its own last value. It is always in the window. So the sum of squares is at most N + 1
times the centred one, which makes one pass as accurate as two, and a flat window has a deviation of
exactly 0.

Layout of the state: next position to write, values seen (up to N), reference, sum and sum of
squares of this block so far, then N values, N sums and N sums of squares.
"""

import math
from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.kernel import inlined_kernel

HEAD = 5
_DIVIDED = 16  # bars whose roots and quotients are computed together, or a whole block


class Cursor(NamedTuple):
    """The next position to write (0 to N-1), the number of values (0 to N), N, and the reference
    with the sums of this block.
    """

    at: int
    filled: int
    length: int
    reference: float
    total: float
    squares: float


@inlined_kernel
def load_cursor(window: FloatArray) -> Cursor:
    """The cursor at the head of a window."""
    length = (window.size - HEAD) // 3
    return Cursor(int(window[0]), int(window[1]), length, window[2], window[3], window[4])


@inlined_kernel
def save_cursor(window: FloatArray, cursor: Cursor) -> None:
    """Write the cursor to the head of its window."""
    window[0], window[1] = cursor.at, cursor.filled
    window[2], window[3], window[4] = cursor.reference, cursor.total, cursor.squares


@inlined_kernel
def push(window: FloatArray, cursor: Cursor, value: float) -> Cursor:
    """Replace the oldest value by `value`."""
    at, length = cursor.at, cursor.length
    filled = min(cursor.filled + 1, length)
    window[HEAD + at] = value
    if at + 1 < length:
        reference = value if cursor.filled == 0 else cursor.reference
        difference = value - reference
        return Cursor(
            at + 1,
            filled,
            length,
            reference,
            cursor.total + difference,
            cursor.squares + difference * difference,
        )
    total, squares = 0.0, 0.0
    for j in range(length - 1, -1, -1):
        difference = window[HEAD + j] - value
        total += difference
        squares += difference * difference
        window[HEAD + length + j] = total
        window[HEAD + 2 * length + j] = squares
    return Cursor(0, filled, length, value, 0.0, 0.0)


@inlined_kernel
def is_full(cursor: Cursor) -> bool:
    """Whether the window has N values. The functions below need a full window."""
    return cursor.filled == cursor.length


@inlined_kernel
def nth(window: FloatArray, cursor: Cursor, i: int) -> float:
    """Value i of the window; 0 is the oldest, N - 1 the last."""
    place = cursor.at + i
    return float(window[HEAD + (place if place < cursor.length else place - cursor.length)])


@inlined_kernel
def centre(window: FloatArray, cursor: Cursor) -> float:
    """Mean less the reference."""
    total = window[HEAD + cursor.length + cursor.at] + cursor.total
    return float(total * (1.0 / cursor.length))


@inlined_kernel
def variance(window: FloatArray, cursor: Cursor) -> float:
    """Sample variance (ddof 1)."""
    total = window[HEAD + cursor.length + cursor.at] + cursor.total
    squares = window[HEAD + 2 * cursor.length + cursor.at] + cursor.squares
    spread = squares - total * (total * (1.0 / cursor.length))
    return float(max(spread, 0.0) * (1.0 / (cursor.length - 1)))


@inlined_kernel
def mean(window: FloatArray, cursor: Cursor) -> float:
    """Arithmetic mean. The mean of equal values is exactly that value."""
    return cursor.reference + centre(window, cursor)


@inlined_kernel
def deviation(window: FloatArray, cursor: Cursor) -> float:
    """Sample standard deviation (ddof 1)."""
    return math.sqrt(variance(window, cursor))


@inlined_kernel
def roll_z_scores(
    series: FloatArray, window: FloatArray, scores: FloatArray, room: FloatArray
) -> None:
    """The distance of each value from the mean of its window in the window's deviations, 0 in a
    flat one; NaN until there are N values. NaN in the series is passed over.
    """
    _roll(series, window, scores, room, False)


@inlined_kernel
def roll_deviations(
    series: FloatArray, window: FloatArray, deviations: FloatArray, room: FloatArray
) -> None:
    """The sample deviation of the window at each value; NaN until there are N. NaN in the series is
    passed over.
    """
    _roll(series, window, room, deviations, True)


@inlined_kernel
def _roll(
    series: FloatArray,
    window: FloatArray,
    distances: FloatArray,
    variances: FloatArray,
    roots: bool,
) -> None:
    """Both in one: z-scores in `distances`, or with `roots` the deviations in `variances`.

    Whole blocks of N are computed at once, which gives the same bits. Roots and quotients have a
    loop of their own, in which the compiler computes several at once. It follows after a few bars,
    since the processor divides while it adds up the next ones.
    """
    cursor = load_cursor(window)
    length, count, known = cursor.length, series.size, after_last_nan(series)
    i, done = 0, 0
    while i < count:
        if i >= known and cursor.at == 0 and cursor.filled == length and i + length <= count:
            reference = cursor.reference
            while i + length <= count:
                block, stop = series[i : i + length], i + length
                roll_block(block, window, reference, distances[i:stop], variances[i:stop])
                reference, i = block[length - 1], stop
                if i - done >= _DIVIDED:
                    _divide(distances[done:i], variances[done:i], roots)
                    done = i
            for j in range(length):
                window[HEAD + j] = series[i - length + j]
            cursor = Cursor(0, length, length, reference, 0.0, 0.0)
            continue
        value = series[i]
        if not math.isnan(value):
            cursor = push(window, cursor, value)
        full = is_full(cursor)
        distances[i] = (value - cursor.reference) - centre(window, cursor) if full else np.nan
        variances[i] = variance(window, cursor) if full else np.nan
        i += 1
    _divide(distances[done:], variances[done:], roots)
    save_cursor(window, cursor)


@inlined_kernel
def _divide(distances: FloatArray, variances: FloatArray, roots: bool) -> None:
    """Roots of the variances in their place; or distances in deviations, 0 in a flat window."""
    if roots:
        for i in range(variances.size):
            variances[i] = math.sqrt(variances[i])
        return
    for i in range(distances.size):
        spread = variances[i]
        distances[i] = 0.0 if spread == 0.0 else distances[i] / math.sqrt(spread)


@inlined_kernel
def after_last_nan(values: FloatArray) -> int:
    """The place behind the last NaN; 0: there is none."""
    count = 0
    for i in range(values.size):  # without an exit: the compiler looks at several at once
        count += math.isnan(values[i])
    last = values.size if count else 0
    while last > 0 and not math.isnan(values[last - 1]):
        last -= 1
    return last


@inlined_kernel
def copy_to(window: FloatArray, place: int, values: FloatArray) -> None:
    """Write values to the window from `place` on, several at once."""
    kept = window[place : place + values.size]
    for i in range(values.size):
        kept[i] = values[i]


@inlined_kernel
def roll_block(
    block: FloatArray,
    window: FloatArray,
    reference: float,
    distances: FloatArray,
    variances: FloatArray,
) -> None:
    """`_roll` of a whole block of N known values behind a full one, of which `reference` is the
    last. The values themselves are not written to the window.

    Here no step asks where the block ends, and the sums from the front do not wait for those from
    the back.
    """
    length = block.size
    sums, squares = window[HEAD + length : HEAD + 2 * length], window[HEAD + 2 * length :]
    later_sums, later_squares = sums[1:], squares[1:]
    share, freedom = 1.0 / length, 1.0 / (length - 1)
    total, square = 0.0, 0.0
    for j in range(length - 1):
        difference = block[j] - reference
        total += difference
        square += difference * difference
        whole = later_sums[j] + total
        middle = whole * share
        distances[j] = difference - middle
        variances[j] = max(later_squares[j] + square - whole * middle, 0.0) * freedom
    last, total, square = block[length - 1], 0.0, 0.0
    j = length
    while j > 0:  # half the time of a range that falls
        j -= 1
        difference = block[j] - last
        total += difference
        square += difference * difference
        sums[j], squares[j] = total, square
    spread = square - total * (total * share)
    distances[length - 1] = (last - last) - total * share
    variances[length - 1] = max(spread, 0.0) * freedom
