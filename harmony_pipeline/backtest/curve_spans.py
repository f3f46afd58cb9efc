"""The equity curve of a run on one symbol, told by spans: bars over which cash and shares stand
still.

The loop notes a span in seven numbers. Its rows are drawn afterwards, or meanwhile on the other
core: each is what `log_equity` (backtest/loop.py) would have written for its bar, bit for bit.
"""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.backtest.logs import EQUITIES, SPANS, Curve
from harmony_pipeline.execution.costs import notional
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.portfolio.kernel_types import MONEY, Record, Records

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


class CurveDrawing:
    """Draws the curve of a run on one symbol, in a thread of its own while the loop runs."""

    def __init__(self, close: FloatArray, curve: Curve) -> None:
        self._close, self._curve, self._drawn = close, curve, 0
        self._thread: ThreadPoolExecutor | None = None
        self._begun: list[Future[None]] = []

    def begin(self, spans: Records, at: IntArray) -> None:
        """Begin to draw what was noted since the last call."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1)
        self._begun.append(self._thread.submit(self._draw, spans, self._drawn, int(at[SPANS])))
        self._drawn = int(at[SPANS])

    def finish(self, spans: Records, at: IntArray) -> None:
        """Draw what is left, and wait for the rest."""
        self._draw(spans, self._drawn, int(at[SPANS]))
        for begun in self._begun:
            begun.result()
        if self._thread is not None:
            self._thread.shutdown()

    def _draw(self, spans: Records, first: int, last: int) -> None:
        if last > first:
            draw_spans(spans, first, last, self._close, self._curve)


@kernel_without_allocation
def draw_spans(spans: Records, first: int, last: int, close: FloatArray, curve: Curve) -> None:
    """Write the rows of the spans `first` to `last` (not included), all but their moments."""
    for number in range(first, last):
        span = spans[number]
        row, end = span["row"], span["row"] + span["count"]
        _draw_span(
            span,
            close[span["bar"] : span["bar"] + span["count"]],
            curve.equity[row:end],
            curve.cash[row:end],
            curve.gross[row:end],
            curve.net[row:end],
            curve.drawdown[row:end],
        )


@inlined_kernel
def _draw_span(
    span: Record,
    close: FloatArray,
    equity: FloatArray,
    cash: FloatArray,
    gross: FloatArray,
    net: FloatArray,
    drawdown: FloatArray,
) -> None:
    """One column after the other, so that the compiler writes many rows at once."""
    money, quantity, unit, peak = span["cash"], span["quantity"], span["multiplier"], span["peak"]
    cash[:] = money / MONEY
    if quantity == 0.0:
        equity[:] = money / MONEY
        gross[:] = 0.0
        net[:] = 0.0
        drawdown[:] = money / peak - 1.0
        return
    highest = peak
    for row in range(len(close)):
        worth = money + notional(close[row] * unit, quantity)
        equity[row] = worth / MONEY
        highest = max(highest, worth)
    for row in range(len(close)):
        net[row] = notional(close[row] * unit, quantity) / MONEY
    for row in range(len(close)):
        gross[row] = abs(net[row])
    if highest == peak:
        for row in range(len(close)):
            drawdown[row] = (money + notional(close[row] * unit, quantity)) / peak - 1.0
        return
    for row in range(len(close)):
        worth = money + notional(close[row] * unit, quantity)
        peak = max(peak, worth)
        drawdown[row] = worth / peak - 1.0
