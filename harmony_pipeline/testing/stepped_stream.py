"""The bars of a stepped day: from this process, or over the exchange's own market-data stream."""

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Protocol

import polars as pl

from harmony_pipeline.execution.brokers.alpaca.broker import AlpacaBroker
from harmony_pipeline.execution.brokers.alpaca.keys import Keys
from harmony_pipeline.execution.brokers.alpaca.settings import AlpacaSettings
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.session.alpaca_bars import alpaca_bars
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.quotes import Quotes
from harmony_pipeline.session.stream import Batch, Quiet, ReplayStream

_QUIET_SECONDS = 0.05
_MOST_QUIET = 12  # of them, for a minute whose bars were lost


class World(Protocol):
    """What the streams ask of the stepped world."""

    minutes: int

    def start_of(self, minute: int) -> datetime:
        """When a minute of the day begins."""

    def minute_of(self, start: datetime) -> int:
        """The inverse of `start_of`."""

    def happen(self, minute: int, moment: int) -> None:
        """Commit what is due."""

    def advance(self, minute: int, event: int) -> None:
        """Let an event of a minute happen."""

    def calm(self) -> None:
        """No fault from now on."""

    def settings(self, **changes: Any) -> AlpacaSettings:
        """Settings of a broker here."""


class _Moments:
    """What a minute of the market is to both sides."""

    def __init__(self, world: World, broker: AlpacaBroker) -> None:
        self._world, self._broker = world, broker

    def _open(self, number: int) -> Iterator[Quiet]:
        """The minute opens, and the session has a moment for what was filled; then it ends."""
        world = self._world
        begin = world.start_of(number)
        world.happen(number, 0)
        world.advance(number, 0)
        self._broker.clock.hear(begin)
        yield Quiet(begin)
        world.happen(number, 1)
        yield Quiet(begin)
        world.advance(number, 1)
        world.happen(number, 2)

    def _end(self) -> Iterator[Quiet]:
        """The faults are over; what was on its way on a cut stream is read by REST."""
        self._world.calm()
        until = time.monotonic() + 3.0
        while not self._broker.is_streaming() and time.monotonic() < until:
            time.sleep(0.01)
            yield Quiet(self._broker.clock.now())
        for _ in range(3):
            self._broker._has_gap = True
            yield Quiet(self._broker.clock.now())


class SteppedStream(_Moments):
    """The market as both hear it: a minute opens, the session has a moment for what was filled, the
    minute ends, and the session hears its bars.
    """

    def __init__(self, world: World, broker: AlpacaBroker, bars: pl.DataFrame) -> None:
        super().__init__(world, broker)
        self._inner = ReplayStream(bars, ReplayClock(world.start_of(0)))

    def moments(self) -> Iterator[Batch | Quiet | Quotes]:
        """Every minute; at the end everything is read."""
        batches = (each for each in self._inner.moments() if isinstance(each, Batch))
        for batch in batches:
            yield from self._open(self._world.minute_of(batch.start))
            self._broker.clock.hear(batch.end)
            yield batch
        yield from self._end()


class HeardStream(_Moments):
    """The same with bars as the exchange's market-data stream brings them: late, twice, wrong or
    never, where it was told to. A minute that nobody hears is given up after a while.
    """

    def __init__(self, world: World, broker: AlpacaBroker, plan: SessionPlan, keys: Keys) -> None:
        super().__init__(world, broker)
        self._last = world.start_of(world.minutes)
        settings = world.settings(gather_seconds=0.02, quiet_seconds=_QUIET_SECONDS)
        market = MarketSettings(timeframe="1Min")
        self._bars = alpaca_bars(settings, keys, market, plan, broker.clock, until=self._last)

    def hear_only(self, bars: frozenset[str] | None, quotes: frozenset[str]) -> None:
        """See `ChangesSymbols`."""
        self._bars.hear_only(bars, quotes)

    def moments(self) -> Iterator[Batch | Quiet | Quotes]:
        """Every minute, then what is still on its way."""
        inner = self._bars.moments()
        try:
            yield next(inner)  # the connection is opened
            for number in range(self._world.minutes):
                yield from self._open(number)
                yield from self._hear(inner, number)
            yield from self._end()
            for _, each in zip(range(_MOST_QUIET), inner, strict=False):
                yield each
        finally:
            inner.close()  # type: ignore[attr-defined]

    def _hear(
        self, inner: Iterator[Batch | Quiet | Quotes], number: int
    ) -> Iterator[Batch | Quiet | Quotes]:
        quiet = 0
        for each in inner:
            yield each
            if isinstance(each, Batch):
                if each.start >= self._world.start_of(number):
                    return
            else:
                quiet += 1
                if quiet == _MOST_QUIET:
                    return
