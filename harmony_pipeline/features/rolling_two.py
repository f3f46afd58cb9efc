"""Two rolling windows of the same N that are walked together, so that neither sum waits for the
other.

The states, and the order in which numbers are added, are those of `rolling_sums.py`,
`rolling_window.py` and `rolling_extremes.py`. Both windows are as full. The series have no NaN: a
caller leaves out the bars before the first value.

Places are unsigned, since one that may be negative is tested at every use.
"""

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.rolling_extremes import (
    DATED_HEAD,
    DatedCursor,
    load_dated,
    save_dated,
)
from harmony_pipeline.features.rolling_sums import HEAD as SUM_HEAD
from harmony_pipeline.features.rolling_sums import SumCursor, has_all, load_sum, save_sum
from harmony_pipeline.features.rolling_window import (
    HEAD,
    Cursor,
    copy_to,
    load_cursor,
    save_cursor,
)
from harmony_pipeline.kernel import inlined_kernel

_NEXT = np.uint64(1)


@inlined_kernel
def roll_two_sums(
    a: FloatArray,
    b: FloatArray,
    window_a: FloatArray,
    window_b: FloatArray,
    sums_a: FloatArray,
    sums_b: FloatArray,
) -> None:
    """Write the rolling sums of both series after each bar, NaN until there are N. They may be the
    series themselves (`rolling_sums.py`).
    """
    cursor, first, other = load_sum(window_a), 0, window_b[2]
    while first < a.size:
        stop = min(first + cursor.length - 1 - cursor.at, a.size)
        total, full = cursor.total, has_all(cursor)
        bar, end, place = np.uint64(first), np.uint64(stop), np.uint64(SUM_HEAD + cursor.at)
        while bar < end:
            one, two = a[bar], b[bar]
            total += one
            other += two
            sums_a[bar] = window_a[place + _NEXT] + total if full else np.nan
            sums_b[bar] = window_b[place + _NEXT] + other if full else np.nan
            window_a[place], window_b[place] = one, two
            place += _NEXT
            bar += _NEXT
        known = stop - first
        filled = min(cursor.filled + known, cursor.length)
        cursor = SumCursor(cursor.at + known, filled, cursor.length, total)
        if stop < a.size:  # the bar that ends the block
            window_a[SUM_HEAD + cursor.length - 1] = a[stop]
            window_b[SUM_HEAD + cursor.length - 1] = b[stop]
            _sum_two_blocks(window_a, window_b)
            cursor, other = SumCursor(0, cursor.length, cursor.length, 0.0), 0.0
            sums_a[stop], sums_b[stop] = window_a[SUM_HEAD] + 0.0, window_b[SUM_HEAD] + 0.0
        first = stop + 1
    save_sum(window_a, cursor)
    save_sum(window_b, SumCursor(cursor.at, cursor.filled, cursor.length, other))


@inlined_kernel
def _sum_two_blocks(window_a: FloatArray, window_b: FloatArray) -> None:
    """`sum_block` of two at once."""
    total, other, place = 0.0, 0.0, np.uint64(window_a.size)
    for _ in range(np.uint64(window_a.size - SUM_HEAD)):
        place -= _NEXT
        total += window_a[place]
        other += window_b[place]
        window_a[place], window_b[place] = total, other


@inlined_kernel
def roll_two_windows(
    a: FloatArray, b: FloatArray, window_a: FloatArray, window_b: FloatArray, sums: FloatArray
) -> None:
    """Write the sums and the sums of squares of a and those of b, from the references of the
    windows, into the rows of `sums` [4, bars or more]; NaN until there are N.
    """
    c, d, first = load_cursor(window_a), load_cursor(window_b), 0
    length = np.uint64(c.length)
    while first < a.size:
        stop, filled = min(first + c.length - 1 - c.at, a.size), c.filled
        a_reference, b_reference = c.reference, d.reference
        if filled == 0:
            a_reference, b_reference = a[first], b[first]
        copy_to(window_a, HEAD + c.at, a[first:stop])
        copy_to(window_b, HEAD + c.at, b[first:stop])
        ta, taa, tb, tbb = c.total, c.squares, d.total, d.squares
        bar, end, place = np.uint64(first), np.uint64(stop), np.uint64(HEAD + c.at)
        while bar < end:
            da, db = a[bar] - a_reference, b[bar] - b_reference
            ta += da
            tb += db
            taa += da * da
            tbb += db * db
            left = place + length + _NEXT
            sums[0, bar], sums[2, bar] = window_a[left] + ta, window_b[left] + tb
            left += length
            sums[1, bar], sums[3, bar] = window_a[left] + taa, window_b[left] + tbb
            place += _NEXT
            bar += _NEXT
        if filled < c.length:
            sums[:4, first:stop] = np.nan
        at, filled = c.at + stop - first, min(filled + stop - first, c.length)
        c = Cursor(at, filled, c.length, a_reference, ta, taa)
        d = Cursor(at, filled, c.length, b_reference, tb, tbb)
        if stop < a.size:  # the bar that ends the block
            _sum_two_windows(window_a, window_b, length, a[stop], b[stop])
            c = Cursor(0, c.length, c.length, a[stop], 0.0, 0.0)
            d = Cursor(0, c.length, c.length, b[stop], 0.0, 0.0)
            for row in range(2):
                whole = HEAD + (1 + row) * c.length
                sums[row, stop], sums[2 + row, stop] = window_a[whole], window_b[whole]
        first = stop + 1
    save_cursor(window_a, c)
    save_cursor(window_b, d)


@inlined_kernel
def _sum_two_windows(
    window_a: FloatArray, window_b: FloatArray, length: np.uint64, a: float, b: float
) -> None:
    """Take the numbers that end a block, and sum up the block from its end."""
    place = np.uint64(HEAD) + length
    window_a[place - _NEXT], window_b[place - _NEXT] = a, b
    ta, taa, tb, tbb = 0.0, 0.0, 0.0, 0.0
    for _ in range(length):
        place -= _NEXT
        da, db = window_a[place] - a, window_b[place] - b
        ta += da
        tb += db
        taa += da * da
        tbb += db * db
        left = place + length
        window_a[left], window_b[left] = ta, tb
        left += length
        window_a[left], window_b[left] = taa, tbb


@inlined_kernel
def roll_lead(
    a: FloatArray, b: FloatArray, window_a: FloatArray, window_b: FloatArray, leads: FloatArray
) -> None:
    """Write by how many bars the highest a of the window is later than its highest b, of equal ones
    the latest; NaN until there are N.
    """
    c, d, first = load_dated(window_a), load_dated(window_b), 0
    length = np.uint64(c.length)
    while first < a.size:
        stop = min(first + c.length - 1 - c.at, a.size)
        best_a, bar_a, best_b, bar_b, number = c.highest, c.bar, d.highest, d.bar, c.bars
        if c.at == 0:
            best_a, best_b = -np.inf, -np.inf
        full = c.filled == c.length
        bar, end, place = np.uint64(first), np.uint64(stop), np.uint64(DATED_HEAD + c.at)
        while bar < end:
            bar_a = number if a[bar] >= best_a else bar_a
            bar_b = number if b[bar] >= best_b else bar_b
            best_a = a[bar] if a[bar] > best_a else best_a
            best_b = b[bar] if b[bar] > best_b else best_b
            left, dates = place + _NEXT, place + length + _NEXT
            last_a = window_a[dates] if window_a[left] > best_a else bar_a
            last_b = window_b[dates] if window_b[left] > best_b else bar_b
            leads[bar] = last_a - last_b if full else np.nan
            window_a[place], window_b[place] = a[bar], b[bar]
            place += _NEXT
            bar += _NEXT
            number += 1.0
        at, filled = c.at + stop - first, min(c.filled + stop - first, c.length)
        c = DatedCursor(at, filled, c.length, best_a, bar_a, number)
        d = DatedCursor(at, filled, c.length, best_b, bar_b, number)
        if stop < a.size:  # the bar that ends the block
            last = np.uint64(DATED_HEAD) + length - _NEXT
            window_a[last], window_b[last] = a[stop], b[stop]
            best_a, bar_a, best_b, bar_b = _date_two_blocks(window_a, window_b, length, number)
            c = DatedCursor(0, c.length, c.length, best_a, bar_a, number + 1.0)
            d = DatedCursor(0, c.length, c.length, best_b, bar_b, number + 1.0)
            leads[stop] = bar_a - bar_b
        first = stop + 1
    save_dated(window_a, c)
    save_dated(window_b, d)


@inlined_kernel
def _date_two_blocks(
    window_a: FloatArray, window_b: FloatArray, length: np.uint64, number: float
) -> tuple[float, float, float, float]:
    """Write, in place of the values of a block, the highest of its last ones and their bars;
    returns those of the whole block. `number` is that of its last bar.
    """
    place = np.uint64(DATED_HEAD) + length
    best_a, bar_a, best_b, bar_b = -np.inf, number, -np.inf, number
    for _ in range(length):
        place -= _NEXT
        a, b = window_a[place], window_b[place]
        bar_a = number if a > best_a else bar_a
        bar_b = number if b > best_b else bar_b
        best_a = a if a > best_a else best_a
        best_b = b if b > best_b else best_b
        window_a[place], window_b[place] = best_a, best_b
        window_a[place + length], window_b[place + length] = bar_a, bar_b
        number -= 1.0
    return best_a, bar_a, best_b, bar_b
