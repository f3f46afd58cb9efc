"""Rolling sums of products of two series over the last N bars, in O(1) a bar.

The blocks and references are those of `rolling_window.py`, for both series. From the sums follow
covariance, correlation and the line of least squares.

Layout of the state: next position to write, values seen (up to N), two references, five sums of
this block, then N values of each series and N of each sum.
"""

import math
from typing import NamedTuple

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.kernel import inlined_kernel

HEAD = 9


class PairCursor(NamedTuple):
    """The next position to write (0 to N-1), the number of pairs (0 to N), N, both references, and
    the sums of this block: x, y, xx, yy, xy.
    """

    at: int
    filled: int
    length: int
    x_reference: float
    y_reference: float
    x: float
    y: float
    xx: float
    yy: float
    xy: float


class Comoments(NamedTuple):
    """Means, and sums of squares and of products of the distances from them."""

    x_mean: float
    y_mean: float
    xx: float
    yy: float
    xy: float


@inlined_kernel
def load_pairs(window: FloatArray) -> PairCursor:
    """The cursor at the head of a window."""
    w = window
    length = (w.size - HEAD) // 7
    return PairCursor(int(w[0]), int(w[1]), length, w[2], w[3], w[4], w[5], w[6], w[7], w[8])


@inlined_kernel
def save_pairs(window: FloatArray, cursor: PairCursor) -> None:
    """Write the cursor to the head of its window."""
    window[0], window[1] = cursor.at, cursor.filled
    window[2], window[3] = cursor.x_reference, cursor.y_reference
    window[4], window[5] = cursor.x, cursor.y
    window[6], window[7], window[8] = cursor.xx, cursor.yy, cursor.xy


@inlined_kernel
def push_pair(window: FloatArray, cursor: PairCursor, x: float, y: float) -> PairCursor:
    """Replace the oldest pair by (x, y)."""
    at, length, c = cursor.at, cursor.length, cursor
    filled = min(c.filled + 1, length)
    window[HEAD + at], window[HEAD + length + at] = x, y
    if at + 1 < length:
        x_reference = x if c.filled == 0 else c.x_reference
        y_reference = y if c.filled == 0 else c.y_reference
        dx, dy = x - x_reference, y - y_reference
        return PairCursor(
            at + 1,
            filled,
            length,
            x_reference,
            y_reference,
            c.x + dx,
            c.y + dy,
            c.xx + dx * dx,
            c.yy + dy * dy,
            c.xy + dx * dy,
        )
    sx, sy, sxx, syy, sxy = 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(length - 1, -1, -1):
        dx, dy = window[HEAD + j] - x, window[HEAD + length + j] - y
        sx += dx
        sy += dy
        sxx += dx * dx
        syy += dy * dy
        sxy += dx * dy
        window[HEAD + 2 * length + j] = sx
        window[HEAD + 3 * length + j] = sy
        window[HEAD + 4 * length + j] = sxx
        window[HEAD + 5 * length + j] = syy
        window[HEAD + 6 * length + j] = sxy
    return PairCursor(0, filled, length, x, y, 0.0, 0.0, 0.0, 0.0, 0.0)


@inlined_kernel
def has_pairs(cursor: PairCursor) -> bool:
    """Whether the window has N pairs; the functions below need them."""
    return cursor.filled == cursor.length


@inlined_kernel
def comoments(window: FloatArray, cursor: PairCursor) -> Comoments:
    """Means and centred sums of the window."""
    at, length = cursor.at, cursor.length
    share = 1.0 / length
    x = window[HEAD + 2 * length + at] + cursor.x
    y = window[HEAD + 3 * length + at] + cursor.y
    xx = window[HEAD + 4 * length + at] + cursor.xx
    yy = window[HEAD + 5 * length + at] + cursor.yy
    xy = window[HEAD + 6 * length + at] + cursor.xy
    return Comoments(
        cursor.x_reference + x * share,
        cursor.y_reference + y * share,
        max(xx - x * (x * share), 0.0),
        max(yy - y * (y * share), 0.0),
        xy - x * (y * share),
    )


@inlined_kernel
def correlation(found: Comoments) -> float:
    """Pearson's correlation, -1 to 1; 0 where one of the two does not move."""
    product = math.sqrt(found.xx) * math.sqrt(found.yy)
    return max(-1.0, min(found.xy / product, 1.0)) if product > 0.0 else 0.0
