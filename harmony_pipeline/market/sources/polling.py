"""A stream of bars from a supplier that has none: it is queried each time a bar must have ended.

Frames go forward, one a timestamp, and no bar comes twice. A row that its supplier publishes only
after a later timestamp was given is left out (the session could not have traded on it either); the
next ingest finds it.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.sources.base import MarketDataSource
from harmony_pipeline.market.timeframes import TIMEFRAME_SECONDS

# a daily bar ends at its exchange's close, which the grid of days knows nothing of; its trade is
# the next morning's
_LONGEST_NAP = timedelta(hours=3)
_EPOCH_MICROSECOND = timedelta(microseconds=1)


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


class PolledSource(MarketDataSource):
    """A source whose stream is its bars, asked for again each time one must have ended: after
    `settle_seconds`, by the clock `now`.
    """

    def __init__(
        self,
        market: MarketSettings,
        settle_seconds: float,
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
    ) -> None:
        self.market = market
        self._settle_seconds, self._now, self._sleep = settle_seconds, now, sleep

    def stream(self, symbols: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        """Bars of `market.timeframe` that end from now on. Never ends."""
        chosen, timeframe = self._choose(symbols), self.market.timeframe
        return poll_bars(
            lambda start, end: self.bars(chosen, start, end, timeframe),
            timeframe,
            self._settle_seconds,
            self._now,
            self._sleep,
        )

    @abstractmethod
    def _choose(self, symbols: Sequence[str] | None) -> list[str]:
        """The symbols asked, or those that are meant where none is named. Raises ConfigError."""


def poll_bars(
    ask: Callable[[datetime, datetime], pl.DataFrame],
    timeframe: str,
    settle_seconds: float,
    now: Callable[[], datetime],
    sleep: Callable[[float], None],
) -> Iterator[pl.DataFrame]:
    """Bars that end from now on, for ever: `ask(start, end)` gives the ended bars of a range,
    `now()` an aware UTC instant, `sleep` takes seconds.
    """
    bar = timedelta(seconds=TIMEFRAME_SECONDS[timeframe])
    since = _floor(now(), bar)
    nap = min(bar, _LONGEST_NAP)
    while True:
        moment = now()
        wake = _floor(moment, nap) + nap + timedelta(seconds=settle_seconds)
        sleep((wake - moment).total_seconds())
        found = ask(since, now()).filter(pl.col("timestamp") >= since).sort("timestamp", "symbol")
        for frame in found.partition_by("timestamp", maintain_order=True):
            since = frame["timestamp"][0] + _EPOCH_MICROSECOND
            yield frame


def _floor(moment: datetime, step: timedelta) -> datetime:
    return moment - (moment - moment.replace(hour=0, minute=0, second=0, microsecond=0)) % step
