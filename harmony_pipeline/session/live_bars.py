"""Bars of a live day as a session hears them: from a source's stream of frames, a moment a batch.

The day is told from its first bar: what had ended before the session began, or while the stream was
cut, is read by REST (`market/sources/alpaca/stream.py` does both). A bar that comes after its
moment has left, or a correction of one, is counted in `late` and never traded on.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import polars as pl

from harmony_pipeline.errors import DataError, HarmonyError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.session.quotes import QuoteCounts, QuoteQueue, Quotes
from harmony_pipeline.session.stream import COLUMNS, Batch, Quiet, SessionBar, batches

_JOIN_SECONDS = 10.0
_NOTHING = object()
_QUOTES_WAIT = object()  # in the queue of frames: look at the quotes


class LiveClock(Protocol):
    """A clock that learns from what is heard."""

    def now(self) -> datetime:
        """The exchange's time, UTC."""

    def hear(self, moment: datetime | None) -> None:
        """A stamp of the exchange."""


class LiveBars:
    """`BarStream` over `frames`, an iterator of frames (symbol, timestamp, open ... volume), one
    timestamp each; `close` ends it from another thread. The day ends with the bar that ends at
    `until`, or when the exchange's clock is `grace` behind that. `factors`: adjustment factor of
    each symbol today.
    """

    def __init__(
        self,
        frames: Callable[[], Iterator[pl.DataFrame]],
        calendar: Calendar,
        timeframe: str,
        clock: LiveClock,
        until: datetime,
        grace: timedelta = timedelta(minutes=2),
        factors: Mapping[str, float] | None = None,
        quiet_seconds: float = 0.5,
        close: Callable[[], None] | None = None,
        hear_only: Callable[[frozenset[str] | None, frozenset[str]], None] | None = None,
    ) -> None:
        self._frames, self._calendar, self._timeframe = frames, calendar, timeframe
        self._clock, self._until, self._quiet = clock, until, quiet_seconds
        self._factors, self._grace, self._close = dict(factors or {}), grace, close
        self._hear_only = hear_only
        self._heard: queue.Queue[Any] = queue.Queue()  # frames, errors, None, _QUOTES_WAIT
        self._quotes: QuoteQueue | None = None
        self._ending = threading.Event()
        self.late = 0

    def hear_quotes(self, symbols: Iterable[str], **options: Any) -> QuoteQueue:
        """Where the quotes of these symbols are put, by the thread that hears them; `options`:
        those of QuoteQueue. Call it before `moments`.
        """
        self._quotes = QuoteQueue(symbols, lambda: self._heard.put(_QUOTES_WAIT), **options)
        return self._quotes

    @property
    def quote_counts(self) -> QuoteCounts:
        """What became of every quote so far."""
        return QuoteCounts(0, 0, 0, 0, 0) if self._quotes is None else self._quotes.counts

    def moments(self) -> Iterator[Batch | Quiet | Quotes]:
        """Batches by their start, and quotes or silence between them."""
        thread = threading.Thread(target=self._listen, name="live bars", daemon=True)
        thread.start()
        last: datetime | None = None
        try:
            while True:
                found = self._next()
                if found is _NOTHING or found is _QUOTES_WAIT:
                    if found is _QUOTES_WAIT:
                        yield from self._lot()
                    elif not self._ending.is_set():
                        yield Quiet(self._clock.now())
                    if self._is_over():
                        return
                    continue
                if isinstance(found, Exception):
                    raise found
                if found is None:
                    return
                for batch in self._batches(found):
                    if last is not None and batch.start <= last:
                        self.late += len(batch.bars)
                        continue
                    last = batch.start
                    self._clock.hear(batch.end)
                    yield batch
                    if batch.end >= self._until:
                        time.sleep(self._quiet)  # what the last bar filled may still be on its way
                        yield Quiet(self._clock.now())
                        return
        finally:
            self._ending.set()
            if self._quotes is not None:
                self._quotes.end()
            if self._close is not None:
                self._close()
            thread.join(timeout=_JOIN_SECONDS)

    def _next(self) -> Any:
        try:
            return self._heard.get(timeout=self._quiet)
        except queue.Empty:
            return _NOTHING

    def _is_over(self) -> bool:
        """Whether nothing is to be waited for any more."""
        late = self._clock.now() >= self._until + self._grace
        return self._ending.is_set() or (late and self._heard.empty())

    def _lot(self) -> Iterator[Quotes]:
        """The oldest quotes that wait; those behind them come after the bars that wait."""
        assert self._quotes is not None
        taken, more = self._quotes.take()
        if more:
            self._heard.put(_QUOTES_WAIT)
        if taken:
            yield Quotes(taken)

    def hear_only(self, bars: frozenset[str] | None, quotes: frozenset[str]) -> None:
        """See `ChangesSymbols`; where the frames' source cannot change, everything still comes."""
        if self._hear_only is not None:
            self._hear_only(bars, quotes)

    def close(self) -> None:
        """End `moments`, which another thread reads."""
        self._ending.set()

    def _batches(self, frame: pl.DataFrame) -> Iterator[Batch]:
        """The frame's bars that lie in a session, with what a session needs of each."""
        rows = (
            self._calendar.with_session(frame, self._timeframe)
            .filter(pl.col("session").is_not_null())
            .with_columns(
                adjustment_factor=pl.col("symbol").replace_strict(
                    self._factors, default=1.0, return_dtype=pl.Float64
                )
                if self._factors
                else pl.lit(1.0)
            )
            .select(COLUMNS)
            .sort("timestamp", "symbol")
        )
        yield from batches(SessionBar(*row) for row in rows.iter_rows())

    def _listen(self) -> None:
        """Put every frame into the queue; what goes wrong, too."""
        frames = self._frames()
        try:
            for frame in frames:
                self._heard.put(frame)
                if self._ending.is_set():
                    return
            self._heard.put(None)
        except HarmonyError as error:
            self._heard.put(error)
        except Exception as error:  # whatever leaves the thread must reach the one who waits
            self._heard.put(DataError(f"the bar stream failed ({type(error).__name__}): {error}"))
        finally:
            with contextlib.suppress(Exception):
                frames.close()  # type: ignore[attr-defined]
