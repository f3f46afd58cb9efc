"""The market that the exchange replays: minute bars, cut into moments.

Each moment of the frame has two events on the exchange's clock: its bars open (market orders meet
their opens), and its bars end (everything else meets their ranges, then they are published).
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.execution.coins import is_pair, position_name
from harmony_pipeline.instants import micros, moment
from harmony_pipeline.market.calendars import Calendar

_NEEDED = ("symbol", "timestamp", "open", "high", "low", "close", "volume")
OPENS, ENDS = 0, 1


class MarketBar(NamedTuple):
    """One bar; times in microseconds UTC, `trades` and `vwap` as far as the frame tells them.
    `closes`: it ends with the session, so that its close is that of the closing auction.
    """

    symbol: str
    at: int
    end: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    vwap: float
    factor: float
    volatility: float
    regular: bool
    closes: bool


class Event(NamedTuple):
    """What happens next: bars open or end at `time` (microseconds UTC)."""

    number: int
    kind: int
    time: int


class ReplayMarket:
    """Bars of `timeframe` (symbol, timestamp, open ... volume; maybe trade_count, vwap,
    adjustment_factor, volatility), in the order of time.
    """

    def __init__(self, bars: pl.DataFrame, calendar: Calendar, timeframe: str = "1Min") -> None:
        missing = [name for name in _NEEDED if name not in bars.columns]
        if missing:
            raise DataError(f"bars to trade on lack the column(s) {', '.join(missing)}")
        added = {
            "trade_count": pl.lit(1),
            "vwap": pl.col("close"),
            "adjustment_factor": pl.lit(1.0),
            "volatility": pl.lit(0.0),
        }
        frame = bars.with_columns(
            **{name: expr for name, expr in added.items() if name not in bars.columns}
        )
        if "session" not in frame.columns or "bar_end" not in frame.columns:
            frame = calendar.with_session(frame, timeframe)
        self.frame = frame.filter(pl.col("session").is_not_null()).sort("timestamp", "symbol")
        if self.frame.is_empty():
            raise DataError("there are no bars to trade on: ingest the days to be replayed first")
        self.calendar, self.timeframe = calendar, timeframe
        self.symbols: Sequence[str] = sorted(self.frame["symbol"].unique().to_list())
        self.is_crypto = is_pair(self.symbols[0])
        if any(is_pair(symbol) != self.is_crypto for symbol in self.symbols):
            raise DataError("shares and pairs of coins trade by different hours: replay them apart")
        self._by_name = {position_name(symbol): symbol for symbol in self.symbols}
        stamps = self.frame["timestamp"].to_numpy().astype("datetime64[us]").astype(np.int64)
        ends = self.frame["bar_end"].to_numpy().astype("datetime64[us]").astype(np.int64)
        self._closes = self._closes_of(stamps, ends)
        self._firsts = np.flatnonzero(np.r_[True, stamps[1:] != stamps[:-1]])
        self._starts = stamps[self._firsts]
        self._ends = np.maximum.reduceat(ends, self._firsts)

    def _closes_of(self, stamps: IntArray, ends: IntArray) -> frozenset[int]:
        """The closes of the sessions that the bars are of, microseconds UTC."""
        first, last = (moment(int(each)).date() for each in (stamps.min(), ends.max()))
        days = self.calendar.schedule(first - timedelta(days=1), last + timedelta(days=2))
        return frozenset(map(micros, days["close"]))

    def symbol_of(self, name: str) -> str:
        """The symbol that a name means: BTC/USD is asked for as BTCUSD, too; other names stay."""
        return self._by_name.get(name, name)

    @property
    def start(self) -> int:
        """Start of the first bar, microseconds UTC."""
        return int(self._starts[0])

    @property
    def events(self) -> int:
        """How many events there are."""
        return 2 * len(self._starts)

    def event(self, number: int) -> Event | None:
        """Event `number`, None behind the last."""
        if number >= self.events:
            return None
        moment, kind = divmod(number, 2)
        return Event(number, kind, int((self._starts if kind == OPENS else self._ends)[moment]))

    def bars_of(self, number: int) -> Iterator[MarketBar]:
        """The bars that event `number` is about, by symbol."""
        moment = number // 2
        first = int(self._firsts[moment])
        stop = (
            int(self._firsts[moment + 1]) if moment + 1 < len(self._firsts) else self.frame.height
        )
        for row in self.frame.slice(first, stop - first).iter_rows(named=True):
            yield _bar(row, closes=micros(row["bar_end"]) in self._closes)

    def begun(self, next_event: int) -> pl.DataFrame:
        """Bars that have opened before event `next_event`."""
        return self._until((next_event + 1) // 2)

    def ended(self, next_event: int) -> pl.DataFrame:
        """Bars that have ended before event `next_event`."""
        return self._until(next_event // 2)

    def _until(self, moment: int) -> pl.DataFrame:
        """Bars of the moments before number `moment`."""
        if moment >= len(self._firsts):
            return self.frame
        return self.frame.head(int(self._firsts[moment]))


def _bar(row: dict[str, Any], *, closes: bool) -> MarketBar:
    return MarketBar(
        row["symbol"], micros(row["timestamp"]), micros(row["bar_end"]), row["open"], row["high"],
        row["low"], row["close"], row["volume"], int(row["trade_count"] or 1),
        row["close"] if row["vwap"] is None else row["vwap"],
        row["adjustment_factor"], row["volatility"] or 0.0, row["session"] == "regular",
        closes and row["session"] == "regular",
    )  # fmt: skip
