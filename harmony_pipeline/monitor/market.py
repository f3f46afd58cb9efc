"""What a page shows of the market: bars, indicators, ticks and the scan of the session's day.

Everything is handed over as of a moment of the session, so that a page about a past session shows
nothing that the session could not have known.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any, Protocol

import polars as pl

from harmony_pipeline.arrays import FloatArray, IntArray


class Market(Protocol):
    """Where the monitor has market data from. Called from one thread at a time."""

    bar_micros: int
    """Length of a bar, microseconds."""

    def bars(self, day: date, symbols: Sequence[str]) -> pl.DataFrame:
        """Bars of the session of `day`: symbol, timestamp, open, high, low, close, volume (raw
        prices), in order of symbol and time; empty when there are none yet.
        """
        ...

    def chart(self, day: date, symbol: str) -> pl.DataFrame:
        """Bars of the symbol in the session of `day` and the one before, with the columns of
        `indicators`, in time order.
        """
        ...

    def indicators(self) -> tuple[str, ...]:
        """Names of the features that a chart shows."""
        ...

    def trades(self, day: date, symbol: str, until: int, count: int) -> list[dict[str, Any]]:
        """The last trades of the symbol before `until` (microseconds): at, price, size."""
        ...

    def quotes(self, day: date, symbol: str, until: int, count: int) -> list[dict[str, Any]]:
        """The last best bids and offers before `until`: at, bid, bid_size, ask, ask_size."""
        ...

    def scan(self, day: date) -> list[dict[str, Any]]:
        """Every symbol that the scan of `day` looked at: symbol, rank, score, gap, price,
        relative_volume, rejected_by.
        """
        ...


class DayBars:
    """The bars of one session by time, handed out up to a moment."""

    def __init__(self, frame: pl.DataFrame) -> None:
        ordered = frame.sort("timestamp", "symbol")
        self._symbols = ordered["symbol"].to_list()
        self._times: IntArray = ordered["timestamp"].to_physical().to_numpy()
        self._prices: list[FloatArray] = [
            ordered[name].to_numpy() for name in ("open", "high", "low", "close", "volume")
        ]
        self._next = 0

    def until(self, moment: int) -> list[tuple[str, int, float, float, float, float, float]]:
        """Bars that start not after `moment` (microseconds) and were not handed out yet: symbol,
        start, open, high, low, close, volume.
        """
        end = int(self._times.searchsorted(moment, side="right"))
        rows = range(self._next, max(end, self._next))
        self._next = rows.stop
        columns = self._prices
        return [
            (
                self._symbols[row],
                int(self._times[row]),
                float(columns[0][row]),
                float(columns[1][row]),
                float(columns[2][row]),
                float(columns[3][row]),
                float(columns[4][row]),
            )
            for row in rows
        ]

    @property
    def last(self) -> int:
        """Start of the last bar there is; 0 without bars."""
        return int(self._times[-1]) if len(self._times) else 0
