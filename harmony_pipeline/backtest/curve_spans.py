"""The equity curve of a run on one symbol, told by spans: bars over which cash and shares stand
still.

The loop notes a span in seven numbers. Its rows are drawn afterwards, or meanwhile on the other
core: each is what `log_equity` (backtest/loop.py) would have written for its bar, bit for bit. They
are made in blocks that stay in the cache, where their figures are taken, too, and streamed to the
curve.
"""

from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.backtest.curve_figures import (
    BLOCK_ROWS,
    CurveFigures,
    FigureSums,
    add_block,
    figure_sums,
    figures_of,
    lower_to,
    next_block,
)
from harmony_pipeline.backtest.logs import EQUITIES, SPANS, Curve
from harmony_pipeline.execution.costs import notional
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.portfolio.kernel_types import MONEY, Record, Records
from harmony_pipeline.streamed_copy import end_of_stream, streamed_copy

SPAN = np.dtype(
    [
        ("row", "i8"), ("bar", "i8"), ("count", "i8"), ("cash", "i8"), ("quantity", "f8"),
        ("multiplier", "f8"), ("peak", "i8"),
    ],
    align=True,
)  # fmt: skip
"""`count` rows of the curve from `row` on, those of the bars from `bar` on. `peak` is the highest
equity before them, in money units as `cash` is; `quantity` is signed.
"""


@inlined_kernel
def note_span(
    spans: Records,
    at: IntArray,
    bar: int,
    count: int,
    cash: int,
    quantity: float,
    multiplier: float,
    peak: int,
) -> None:
    """The next `count` rows of the curve."""
    if count <= 0:
        return
    span = spans[at[SPANS]]
    span["row"], span["bar"], span["count"] = at[EQUITIES], bar, count
    span["cash"], span["quantity"], span["multiplier"] = cash, quantity, multiplier
    span["peak"] = peak
    at[SPANS] += 1
    at[EQUITIES] += count


class DrawingState(NamedTuple):
    """Where a drawing stands: `place` holds the next span, how many of its rows are drawn, and the
    highest equity before the next of them. `worth` and `highest` are money units of the rows of a
    block, `block` has its five columns.
    """

    place: IntArray
    worth: IntArray
    highest: IntArray
    block: FloatArray
    sums: FigureSums


_SPAN, _DRAWN, _PEAK = range(3)


class CurveDrawing:
    """Draws the curve of a run on one symbol with these closes."""

    def __init__(self, close: FloatArray, curve: Curve) -> None:
        self._close, self._curve = close, curve
        self._state = DrawingState(
            np.zeros(3, np.int64),
            np.empty(BLOCK_ROWS, np.int64),
            np.empty(BLOCK_ROWS, np.int64),
            np.empty((5, BLOCK_ROWS)),
            figure_sums(len(close)),
        )

    def draw(self, spans: Records, rows: int, *, is_last: bool) -> None:
        """Draw what was noted since the last call: `spans` are all so far, and `rows` of the curve
        are known. Those of the last block wait, if it is not the last call.
        """
        draw_rows(spans, len(spans), rows, is_last, self._close, self._curve, self._state)

    def figures(self) -> CurveFigures | None:
        """The figures of the curve, if all of its rows are of bars."""
        return figures_of(self._state.sums)


@kernel_without_allocation
def draw_rows(
    spans: Records,
    count: int,
    rows: int,
    is_last: bool,
    close: FloatArray,
    curve: Curve,
    state: DrawingState,
) -> None:
    """Write the rows of the first `count` spans, all but their moments, in whole blocks as far as
    `rows` of the curve are known; what no span tells of stands there already.
    """
    row, length = next_block(state.sums)
    while length > 0 and (row + length <= rows or (is_last and row < rows)):
        length = min(length, rows - row)
        if _make_block(spans, count, row, length, close, curve, state):
            block = state.block
            streamed_copy(curve.equity[row : row + length], block[0, :length])
            streamed_copy(curve.cash[row : row + length], block[1, :length])
            streamed_copy(curve.gross[row : row + length], block[2, :length])
            streamed_copy(curve.net[row : row + length], block[3, :length])
            streamed_copy(curve.drawdown[row : row + length], block[4, :length])
        add_block(state.sums, state.block[0, :length], state.block[2, :length])
        row, length = next_block(state.sums)
    end_of_stream()


@inlined_kernel
def _make_block(
    spans: Records,
    count: int,
    first: int,
    length: int,
    close: FloatArray,
    curve: Curve,
    state: DrawingState,
) -> bool:
    """Make the rows of a block. Whether any of them is of a span."""
    place, block, done, is_drawn = state.place, state.block, 0, False
    while done < length:
        row, number = first + done, place[_SPAN]
        if number < count and spans[number]["row"] <= row:
            span = spans[number]
            if place[_DRAWN] == 0:
                place[_PEAK] = span["peak"]
            begin = span["bar"] + place[_DRAWN]
            rows = min(length - done, span["count"] - place[_DRAWN])
            _draw_rows_of_span(span, close[begin : begin + rows], state, done)
            place[_DRAWN] += rows
            if place[_DRAWN] == span["count"]:
                place[_SPAN], place[_DRAWN] = number + 1, 0
            is_drawn = True
        else:
            rows = length - done
            if number < count:
                rows = min(rows, spans[number]["row"] - row)
            for one in range(rows):
                block[0, done + one], block[1, done + one] = (
                    curve.equity[row + one],
                    curve.cash[row + one],
                )
                block[2, done + one], block[3, done + one] = (
                    curve.gross[row + one],
                    curve.net[row + one],
                )
                block[4, done + one] = curve.drawdown[row + one]
                lower_to(state.sums, curve.drawdown[row + one])
        done += rows
    return is_drawn


@inlined_kernel
def _draw_rows_of_span(span: Record, close: FloatArray, state: DrawingState, done: int) -> None:
    """The next rows of a span, from the row `done` of the block on. One column after the other, so
    that the compiler writes many rows at once.
    """
    money, quantity, unit = span["cash"], span["quantity"], span["multiplier"]
    peak, rows = state.place[_PEAK], len(close)
    equity, cash = state.block[0, done : done + rows], state.block[1, done : done + rows]
    gross, net = state.block[2, done : done + rows], state.block[3, done : done + rows]
    drawdown = state.block[4, done : done + rows]
    balance = money / MONEY
    if quantity == 0.0:
        fallen = money / peak - 1.0
        for row in range(rows):
            equity[row], cash[row], gross[row] = balance, balance, 0.0
            net[row], drawdown[row] = 0.0, fallen
        lower_to(state.sums, fallen)
        return
    worth, highest = state.worth, state.highest
    lowest = top = money + notional(close[0] * unit, quantity)
    for row in range(rows):
        value = notional(close[row] * unit, quantity)
        worth[row] = money + value
        lowest, top = min(lowest, worth[row]), max(top, worth[row])
        cash[row], equity[row], net[row] = balance, worth[row] / MONEY, value / MONEY
        gross[row] = abs(net[row])
    if top <= peak:
        for row in range(rows):
            drawdown[row] = worth[row] / peak - 1.0
        lower_to(state.sums, lowest / peak - 1.0)
        return
    for row in range(rows):
        peak = max(peak, worth[row])
        highest[row] = peak
    for row in range(rows):
        drawdown[row] = worth[row] / highest[row] - 1.0
    for row in range(rows):
        lower_to(state.sums, drawdown[row])
    state.place[_PEAK] = peak
