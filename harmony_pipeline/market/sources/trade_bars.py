"""Bars made of the trades of a source (`market.ticks.bars`): seconds, which few suppliers have as
bars, and tick, volume and dollar bars.

The trades of each session go through the same rules as the table `trade_ticks`
(ticks/validate.py), and then into bars of `market.timeframe` (ticks/bars.py), or into bars of a
threshold on that grid (ticks/threshold_bars.py). A bar in which no trade may set a price is left
out, and a note counts them. Everything else the source answers itself.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import TRADE_TIME_BARS, MarketSettings
from harmony_pipeline.market.sources.base import (
    SOURCE_BAR_DTYPES,
    SOURCE_BAR_ORDER,
    MarketDataSource,
    Request,
    SourceResult,
)
from harmony_pipeline.market.ticks.bars import BarKind, trade_bars
from harmony_pipeline.market.ticks.threshold_bars import threshold_bars
from harmony_pipeline.market.ticks.validate import validate_trades
from harmony_pipeline.schemas import TIME

_A_DAY = timedelta(days=1)


class TradeBarSource(MarketDataSource):
    """A source whose bars are made of the trades of another."""

    def __init__(self, inner: MarketDataSource, market: MarketSettings) -> None:
        """`inner` has the trades. Raises ConfigError when it has none."""
        if not inner.capabilities.trades:
            named = market.source == "files"
            raise ConfigError(
                f'market.ticks.bars is "{market.ticks.bars}", and market.source {market.source} has'
                " no trades: "
                + (
                    'name files of them, market.files.trades = ["ticks/trades_*.parquet"]'
                    if named
                    else "choose a source that has, or set market.ticks.bars back to none"
                )
            )
        self.inner, self.market = inner, market
        self.capabilities = replace(
            inner.capabilities,
            accounts=False,
            complete=not inner.capabilities.remote,
            stream=False,
            fingerprint=False,
            reports_every_bar=False,
        )
        self._threshold = (
            None if market.ticks.bars == TRADE_TIME_BARS else BarKind.of(market.ticks.bars)
        )

    @property
    def name(self) -> str:
        """The inner source's name: its rows are of another kind than that source's own bars."""
        return f"{self.inner.name} trades"

    @property
    def identity(self) -> str:
        """The inner source's identity, the kind of the bars and how conditions are read."""
        ticks = self.market.ticks
        return f"{self.inner.identity}, {ticks.bars} bars of trades, {ticks.condition_codes}"

    def bars(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> pl.DataFrame:
        """Bars in `start <= timestamp < end`. Raises as the inner source's `trades` does."""
        return self.read_bars(symbols, start, end, timeframe).rows

    def requests(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> list[Request]:
        """One session each."""
        named = None if symbols is None else tuple(symbols)
        opens = [opened for opened, _ in self._sessions(start, end)]
        cuts = [start, *(moment for moment in opens[1:] if start < moment < end), end]
        return [Request(named, first, last) for first, last in pairwise(cuts) if first < last]

    def read_bars(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> SourceResult:
        """`bars`, with what the source says of the trades, and how many of them made no bar."""
        kind, frames = BarKind.of(timeframe), [pl.DataFrame(schema=SOURCE_BAR_DTYPES)]
        notes, retries, refused, unpriced = list[str](), 0, 0, 0
        for opened, closed in self._sessions(start, end):
            answer = self.inner.read_trades(symbols, opened, closed)
            received = answer.rows.with_columns(ingested_at=pl.lit(closed).cast(TIME))
            found = validate_trades(received, self._calendar, self.market)
            made = trade_bars(found.kept, kind, self._calendar, self.market.ticks.condition_codes)
            priced = made.filter(pl.col("open").is_not_null())
            notes += [*answer.notes, *found.notes]
            retries += answer.retries
            refused += found.quarantine.height
            unpriced += made.height - priced.height
            if self._threshold is not None:
                priced = threshold_bars(priced, self._threshold, self._calendar)
            frames.append(self._rows(priced, opened))
        if refused:
            notes.append(
                f"{refused:,} trades were refused and are in no bar: harmony ticks names each"
            )
        if unpriced:
            notes.append(
                f"{unpriced:,} {timeframe} bars hold only trades that may set no price"
                " (docs/ticks.md) and were left out"
            )
        rows = pl.concat(frames).filter(pl.col("timestamp").is_between(start, end, closed="left"))
        return SourceResult(
            rows.sort(SOURCE_BAR_ORDER, maintain_order=True),
            tuple(dict.fromkeys(notes)),
            retries=retries,
        )

    def corporate_actions(self, symbols: Sequence[str] | None) -> pl.DataFrame:
        """The inner source's."""
        return self.inner.corporate_actions(symbols)

    def universe(self) -> pl.DataFrame:
        """The inner source's."""
        return self.inner.universe()

    def listings(self) -> pl.DataFrame:
        """The inner source's."""
        return self.inner.listings()

    def instruments(self) -> pl.DataFrame:
        """The inner source's."""
        return self.inner.instruments()

    def quotes(self, symbols: Sequence[str] | None, start: datetime, end: datetime) -> pl.DataFrame:
        """The inner source's."""
        return self.inner.quotes(symbols, start, end)

    def trades(self, symbols: Sequence[str] | None, start: datetime, end: datetime) -> pl.DataFrame:
        """The inner source's."""
        return self.inner.trades(symbols, start, end)

    def read_quotes(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime
    ) -> SourceResult:
        """The inner source's."""
        return self.inner.read_quotes(symbols, start, end)

    def read_trades(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime
    ) -> SourceResult:
        """The inner source's."""
        return self.inner.read_trades(symbols, start, end)

    def self_check(self) -> str:
        """The inner source's."""
        return self.inner.self_check()

    @property
    def _calendar(self) -> Calendar:
        return Calendar.of(self.market.calendar)

    def _sessions(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """First and last moment of the sessions that may hold a bar of the range, oldest first."""
        if start >= end:
            return []
        days = self._calendar.schedule(start.date() - _A_DAY, end.date() + 2 * _A_DAY).filter(
            pl.col("post_close") > start, pl.col("pre_open") < end
        )
        return [
            (first.astimezone(UTC), last.astimezone(UTC))
            for first, last in days.select("pre_open", "post_close").iter_rows()
        ]

    def _rows(self, bars: pl.DataFrame, opened: datetime) -> pl.DataFrame:
        """In the columns of a source's bars."""
        named = bars.with_columns(
            source=pl.lit(self.name),
            origin=pl.lit(f"trades of {opened:%Y-%m-%d}"),
            row=pl.lit(None),
            defect=pl.lit(None),
        )
        return named.select(pl.col(name).cast(kind) for name, kind in SOURCE_BAR_DTYPES.items())
