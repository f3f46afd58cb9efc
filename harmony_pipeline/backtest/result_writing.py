"""What of a run's result is written while its loop runs, on the other core: of a run on one symbol
the curve and the table of orders. A short run is over before a thread has begun: its result is
written by the one that asks for it.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from harmony_pipeline.backtest.books import Books
from harmony_pipeline.backtest.curve_figures import CurveFigures
from harmony_pipeline.backtest.curve_spans import CurveDrawing
from harmony_pipeline.backtest.logs import EQUITIES, ORDERS, SPANS, TRIPS
from harmony_pipeline.backtest.orders_table import OrdersTable

_FEW_BARS = 4_096  # a thread costs as much as what it takes over from a run of so many

T = TypeVar("T")


class ResultWriting:
    """Writes one thing after the other, of a run over more than a few `bars` in a thread of its
    own. `drawing`, `orders` None: the run has no curve to be drawn, or no table that can be written
    before its end.
    """

    def __init__(self, drawing: CurveDrawing | None, orders: OrdersTable | None, bars: int) -> None:
        self._drawing, self.orders = drawing, orders
        self._is_short = bars <= _FEW_BARS
        self._thread: ThreadPoolExecutor | None = None
        self._begun: list[Future[Any]] = []

    def begin(self, books: Books, share: float) -> None:
        """Begin to write what the books hold since the last call, of a run that is over to the part
        `share`. While the last part is still being written, this one waits for the next call.
        """
        if self._begun and not self._begun[-1].done():
            return
        at = books.at
        self._draw(books, is_last=False)
        if self.orders is not None:
            log, trips = books.order_log[: at[ORDERS]], books.trip_log[: at[TRIPS]]
            self._begun.append(self.submit(self.orders.extend, log, trips, share))

    def finish(self, books: Books) -> None:
        """Begin to draw what is left of the curve."""
        self._draw(books, is_last=True)

    def _draw(self, books: Books, *, is_last: bool) -> None:
        spans, rows = books.span_log[: books.at[SPANS]], int(books.at[EQUITIES])
        if self._drawing is not None:
            self._begun.append(self.submit(self._drawing.draw, spans, rows, is_last=is_last))

    def figures(self) -> CurveFigures | None:
        """Wait until all that was begun is written. The figures of the curve, if they are known."""
        for begun in self._begun:
            begun.result()
        return None if self._drawing is None else self._drawing.figures()

    def submit(self, work: Callable[..., T], *of: Any, **options: Any) -> "Future[T]":
        """Do this, too, after what was begun."""
        if self._is_short:
            done: Future[T] = Future()
            done.set_result(work(*of, **options))
            return done
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1)
        return self._thread.submit(work, *of, **options)

    def close(self) -> None:
        """Let the thread end when its work is done."""
        if self._thread is not None:
            self._thread.shutdown(wait=False)
