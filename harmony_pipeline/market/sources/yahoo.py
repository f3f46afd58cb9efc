"""Bars, splits, dividends and company facts from Yahoo Finance, through yfinance.

Yahoo is free, keyless and unofficial: a source for research by day, not to trade minutes on. What
to know of it:

- Prices, volumes and dividends come adjusted for every later split; here that is undone, so they
  are raw (`yahoo_chart.py`).
- It keeps minutes for 30 days and hands out 7 of them at once, 5 to 30 minutes for 60 days, hours
  for 730; days from the beginning.
- It cannot list its symbols: `market.symbols` names them. A symbol it does not know has no rows,
  and a note.
- A row in which it has no number is handed on with a defect; the running bar is never handed out.

A bar by day is stamped midnight UTC of its session date, within the day the UTC start of the bar.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.sources.base import (
    SOURCE_BAR_DTYPES,
    SOURCE_BAR_ORDER,
    Request,
    SourceCapabilities,
    SourceResult,
    split_requests,
)
from harmony_pipeline.market.sources.polling import PolledSource, utc_now
from harmony_pipeline.market.sources.retry import RetryPolicy
from harmony_pipeline.market.sources.yahoo_chart import (
    DAILY_SETTLE,
    actions_of,
    bars_of,
    read_chart,
)
from harmony_pipeline.market.sources.yahoo_client import YahooClient
from harmony_pipeline.market.timeframes import TIMEFRAME_MINUTES, check_timeframe
from harmony_pipeline.schemas import CORPORATE_ACTIONS, UNIVERSE

# Yahoo answers 30m with bars of an hour
_INTERVALS = {
    "1Min": "1m",
    "5Min": "5m",
    "15Min": "15m",
    "30Min": "15m",
    "1Hour": "60m",
    "1Day": "1d",
}
# all of them, where nothing is said
_DAYS_KEPT = {"1Min": 30, "5Min": 60, "15Min": 60, "30Min": 60, "1Hour": 730}
_DAYS_AT_ONCE = {"1Min": 7}
_ALWAYS = datetime(1900, 1, 1, tzinfo=UTC)
# Yahoo counts its days back from its own clock, when it answers
_A_DAY, _CLOCK_MARGIN = timedelta(days=1), timedelta(minutes=5)


class YahooSource(PolledSource):
    """Bars, splits, dividends and company facts of the symbols in `market.symbols`."""

    name = "yahoo"

    def __init__(
        self,
        market: MarketSettings,
        retry: RetryPolicy | None = None,
        now: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`now` and `sleep` (seconds) are for tests. Nothing is imported or asked before the first
        question.
        """
        self.settings = market.yahoo
        super().__init__(market, self.settings.settle_seconds, now, sleep)
        self._client = YahooClient(market.yahoo, retry or RetryPolicy(market.patience))
        # Half an hour by day, and within it 20 minutes where an exchange is shown late.
        delay = DAILY_SETTLE + timedelta(seconds=self.settings.settle_seconds)
        self.capabilities = SourceCapabilities(
            universe_of_today=True, stream=True, publication_delay=delay
        )

    @property
    def identity(self) -> str:
        """Yahoo's regular session, or with extended hours; raw, since splits are undone."""
        return (
            f"{self.name}, splits undone,"
            f" {'extended hours' if self.settings.extended_hours else 'regular session'}"
        )

    def requests(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> list[Request]:
        """One symbol each, as much time as Yahoo hands out at once, from where it begins to have
        bars.
        """
        chosen = self._choose(symbols)
        if start < end <= self._first_kept(timeframe):
            return [Request(tuple(chosen), start, end)]  # `bars` says what is wrong with it
        if start >= end:
            return []
        first, note = self._clip(start, end, timeframe)
        return [replace(each, note=note) for each in _pieces(chosen, first, end, timeframe)]

    def bars(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> pl.DataFrame:
        """Raw bars in `start <= timestamp < end`. Raises DataError when Yahoo keeps none of that
        timeframe so far back, or does not answer.
        """
        return self.read_bars(symbols, start, end, timeframe).rows

    def read_bars(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> SourceResult:
        """`bars`, and what Yahoo does not have of them."""
        before, end = self._client.retries, min(end, self._now())
        chosen, frames, notes = (
            self._choose(symbols),
            [pl.DataFrame(schema=SOURCE_BAR_DTYPES)],
            list[str](),
        )
        if start < end:
            start, note = self._clip(start, end, timeframe)
            notes += [note] if note else []
            for each in _pieces(chosen, start, end, timeframe):
                for symbol in each.symbols or ():
                    found = self._bars(symbol, each.start, each.end, timeframe)
                    if found is None:
                        span = f"from {each.start:%Y-%m-%d} to {each.end:%Y-%m-%d}"
                        notes.append(
                            f"Yahoo has no {timeframe} bars of '{symbol}' {span}: check its"
                            " spelling, or market.yahoo.rename"
                        )
                    else:
                        frames.append(found)
        whole = pl.concat(frames).filter(pl.col("timestamp").is_between(start, end, closed="left"))
        return SourceResult(
            whole.sort(SOURCE_BAR_ORDER, maintain_order=True),
            tuple(notes),
            retries=self._client.retries - before,
        )

    def corporate_actions(self, symbols: Sequence[str] | None) -> pl.DataFrame:
        """Splits, and dividends in cash per share as paid then, from the beginning; spin-offs stand
        among the splits, as Yahoo has them.
        """
        tables = [CORPORATE_ACTIONS.empty()]
        for symbol in self._choose(symbols):
            answer = self._client.chart(
                self._theirs(symbol), "1d", _ALWAYS, self._now(), extended=False
            )
            if answer is not None:
                tables.append(actions_of(read_chart(answer, symbol), symbol))
        return CORPORATE_ACTIONS.conform(pl.concat(tables))

    def universe(self) -> pl.DataFrame:
        """What Yahoo says today of the symbols in `market.symbols`, under today's date: it tells
        nothing of what it said before.
        """
        rows = []
        for symbol in sorted(self.market.symbols):
            found = self._client.summary(self._theirs(symbol))
            if found is not None:
                rows.append({"date": self._now().date(), "symbol": symbol, **_facts(found)})
        return (
            UNIVERSE.conform(pl.DataFrame(rows, schema_overrides=UNIVERSE.dtypes))
            if rows
            else UNIVERSE.empty()
        )

    # --- asking -----------------------------------------------------------------------------------

    def _bars(
        self, symbol: str, start: datetime, end: datetime, timeframe: str
    ) -> pl.DataFrame | None:
        """One symbol's ended bars about a range (more may come, and is cut by the caller); None
        where Yahoo has nothing.
        """
        daily = timeframe == "1Day"
        theirs, now = self._theirs(symbol), self._now()
        # A day's row is stamped with its session's opening, which may lie on either side of the
        # date's midnight UTC; and asking by day up to now brings every later split in the same
        # answer.
        first, last = (start - _A_DAY, now) if daily else (start, end)
        answer = self._client.chart(
            theirs,
            _INTERVALS[timeframe],
            first,
            last,
            extended=self.settings.extended_hours and not daily,
        )
        if answer is None:
            return None
        chart = read_chart(answer, symbol)
        splits = chart.splits if daily else self._splits_since(theirs, symbol, start, now)
        return bars_of(chart, splits, symbol, timeframe, now, self.settings.settle_seconds)

    def _splits_since(
        self, theirs: str, symbol: str, start: datetime, now: datetime
    ) -> pl.DataFrame:
        """Every split that Yahoo's bars of `start` are adjusted for. Asked after the bars, and each
        time: a remembered list would miss this morning's.
        """
        answer = self._client.chart(theirs, "1d", start - _A_DAY, now, extended=False)
        return (
            pl.DataFrame(schema={"date": pl.Date, "ratio": pl.Float64})
            if answer is None
            else read_chart(answer, symbol).splits
        )

    # --- settings ---------------------------------------------------------------------------------

    def _choose(self, symbols: Sequence[str] | None) -> list[str]:
        chosen = self.market.symbols if symbols is None else symbols
        if symbols is None and not chosen:
            raise ConfigError(
                "market.symbols is empty, and Yahoo cannot list what it has: name them, such as"
                ' market.symbols = ["AAPL", "MSFT"]'
            )
        return sorted(set(chosen))

    def _theirs(self, symbol: str) -> str:
        return self.settings.rename.get(symbol, symbol)

    def _first_kept(self, timeframe: str) -> datetime:
        """From when on Yahoo has bars of a timeframe."""
        check_timeframe(timeframe, TIMEFRAME_MINUTES)
        return (
            self._now() - timedelta(days=_DAYS_KEPT[timeframe]) + _CLOCK_MARGIN
            if timeframe in _DAYS_KEPT
            else _ALWAYS
        )

    def _clip(self, start: datetime, end: datetime, timeframe: str) -> tuple[datetime, str | None]:
        """`start`, or the moment from which Yahoo has bars, and a note about that. Raises DataError
        when that is after `end`.
        """
        first = self._first_kept(timeframe)
        if start >= first:
            return start, None
        sentence = (
            f"Yahoo keeps {timeframe} bars for {_DAYS_KEPT.get(timeframe)} days, so it has none"
            f" before {first:%Y-%m-%d %H:%M} UTC"
        )
        if end <= first:
            raise DataError(
                f"{sentence}, and {start:%Y-%m-%d} to {end:%Y-%m-%d} was asked: set market.start"
                ' later, or market.timeframe = "1Day"'
            )
        return (
            first,
            (
                f"{sentence}; the part from {start:%Y-%m-%d} on is missing: set market.start, or"
                " import it from files"
            ),
        )


def _pieces(
    symbols: Sequence[str], start: datetime, end: datetime, timeframe: str
) -> list[Request]:
    """One symbol each, as much time as Yahoo hands out at once."""
    span = (
        timedelta(days=_DAYS_AT_ONCE[timeframe])
        if timeframe in _DAYS_AT_ONCE
        else max(end - start, _A_DAY)
    )
    return split_requests(symbols, start, end, 1, span)


def _facts(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of UNIVERSE out of the modules of a summary; what Yahoo leaves out is null."""
    listed = _number(summary, "quoteType", "firstTradeDateEpochUtc")
    sector = (summary.get("assetProfile") or {}).get("sector")
    return {
        "listed": datetime.fromtimestamp(listed, UTC).date() if listed is not None else None,
        "shares": _number(summary, "defaultKeyStatistics", "sharesOutstanding"),
        "float": _number(summary, "defaultKeyStatistics", "floatShares"),
        "market_cap": _number(summary, "price", "marketCap"),
        "sector": str(sector) if sector else None,
    }


def _number(summary: Mapping[str, Any], module: str, name: str) -> float | None:
    """A number, which Yahoo writes plainly or as {"raw": ...}."""
    found = (summary.get(module) or {}).get(name)
    if isinstance(found, Mapping):
        found = found.get("raw")
    return float(found) if isinstance(found, (int, float)) else None
