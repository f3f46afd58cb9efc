"""Bars as a session hears them: whole moments, in time order.

A bar is known at its end and never before, and a strategy decides once per moment, after every
symbol's bar of that moment. So bars come as a `Batch`: all that start at one time, delivered when
that time is over. Symbols without a trade are simply absent. A bar that comes after its batch has
left is late; it is counted and never traded on, since the backtest could not have seen the decision
that it would change.

A stream always begins with the first bar of the day. A session that restarts is told the past again
at once and skips what it has done; features and strategies are folded anew from it, so nothing of
them needs saving.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol, runtime_checkable

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.quotes import Quotes

COLUMNS = (
    "symbol",
    "timestamp",
    "bar_end",
    "session_date",
    "session",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "adjustment_factor",
)


@dataclass(frozen=True, slots=True)
class SessionBar:
    """One finished bar; prices raw, shares, `end` is when it became known."""

    symbol: str
    start: datetime
    end: datetime
    session_date: date
    session: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    factor: float


@dataclass(frozen=True)
class Batch:
    """Every bar that starts at `start`, by symbol, known at `end`."""

    start: datetime
    end: datetime
    bars: tuple[SessionBar, ...]


@dataclass(frozen=True)
class Quiet:
    """Nothing new; time has moved on to `now`. Lets a session beat its heart, hear its broker and
    judge its streams.
    """

    now: datetime


class BarStream(Protocol):
    """Bars of one trading day.

    Obligations: batches come strictly by `start`, each after its `end`; between batches a `Quiet`
    at least every few seconds of real time; the iterator ends with the day. Only DataError and
    BrokerUnavailable may leave it.
    """

    def moments(self) -> Iterator[Batch | Quiet | Quotes]:
        """The whole day from its first bar, and the quotes between its batches where the strategy
        hears them.
        """


@runtime_checkable
class ChangesSymbols(Protocol):
    """A stream whose symbols can be changed while it runs."""

    def hear_only(self, bars: frozenset[str] | None, quotes: frozenset[str]) -> None:
        """Bring bars of these symbols (None: of all) and quotes of these from now on. A bar or a
        quote that is on its way may still come.
        """


class ReplayStream:
    """The bars of one day from a frame, at full speed; `clock` is moved to the end of each batch
    before it is given out.

    frame: columns COLUMNS (`Calendar.with_session` makes the session columns); rows outside every
    session are left out.
    """

    def __init__(self, frame: pl.DataFrame, clock: ReplayClock) -> None:
        missing = [name for name in COLUMNS if name not in frame.columns]
        if missing:
            raise DataError(
                f"bars to replay lack the column(s) {', '.join(missing)}: pass them through"
                " Calendar.with_session"
            )
        self._frame = (
            frame.select(COLUMNS)
            .filter(pl.col("session").is_not_null())
            .sort("timestamp", "symbol", maintain_order=True)
        )
        self._clock = clock

    def moments(self) -> Iterator[Batch]:
        """Every batch of the frame."""
        for batch in batches(SessionBar(*row) for row in self._frame.iter_rows()):
            self._clock.advance(batch.end)
            yield batch


def batches(bars: Iterable[SessionBar]) -> Iterator[Batch]:
    """Group bars that are sorted by (start, symbol)."""
    waiting: list[SessionBar] = []
    for bar in bars:
        if waiting and bar.start != waiting[0].start:
            yield _batch(waiting)
            waiting = []
        waiting.append(bar)
    if waiting:
        yield _batch(waiting)


def _batch(bars: list[SessionBar]) -> Batch:
    symbols = [bar.symbol for bar in bars]
    if symbols != sorted(set(symbols)):
        raise DataError(
            f"bars at {bars[0].start} are not one per symbol in order of symbol:"
            f" {', '.join(symbols)}"
        )
    return Batch(bars[0].start, max(bar.end for bar in bars), tuple(bars))
