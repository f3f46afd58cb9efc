"""Bars and trades of a crypto exchange, through ccxt; Binance's spot market unless
`market.crypto.exchange` names another.

A coin trades all day and night: set `market.calendar = "24/7"`. There are no corporate actions.
What to know of it:

- A symbol is written BTC/USDT, ccxt's way; the exchange's own BTCUSDT is understood too, and stays
  the row's symbol.
- Rows are the exchange's candles as sent. Binance sends a candle for every minute, and one in which
  nobody traded has volume 0 and the price before it: that minute is known to be quiet, where
  another exchange leaves it out.
- The running candle is never handed out, by the exchange's own clock.
- Trades are those of the exchange; Binance's public ones are aggregated by taker order and price.
  Quotes of the past are kept by no exchange.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import polars as pl

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.frames import format_columns
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.sources.base import (
    SOURCE_BAR_DTYPES,
    SOURCE_BAR_ORDER,
    SOURCE_TRADE_DTYPES,
    Request,
    SourceCapabilities,
    SourceResult,
    split_requests,
)
from harmony_pipeline.market.sources.crypto_client import CryptoClient
from harmony_pipeline.market.sources.polling import PolledSource, utc_now
from harmony_pipeline.market.sources.retry import RetryPolicy
from harmony_pipeline.market.timeframes import TIMEFRAME_MINUTES, check_timeframe
from harmony_pipeline.schemas import TRADE_TICKS, UNIVERSE

_THEIRS = {"1Min": "1m", "5Min": "5m", "15Min": "15m", "30Min": "30m", "1Hour": "1h", "1Day": "1d"}
_NUMBERS = ("open", "high", "low", "close", "volume")
_LONGEST_TRADE_WINDOW = timedelta(hours=1)  # Binance refuses more
_TERMS: dict[str, Any] = {
    "symbol": pl.String, "valid_from": pl.Date, "since_ever": pl.Boolean, "venue": pl.String,
    "currency": pl.String, "tick_size": pl.Float64,
    "lot_size": pl.Float64, "minimum_quantity": pl.Float64, "minimum_notional": pl.Float64,
    "shortable": pl.Boolean,
}  # fmt: skip
# candles of their spot markets have volume 0 where nobody traded
_EVERY_MINUTE = ("binance", "binanceus")
_CLOCK_DOUBT = timedelta(days=1)  # no computer's clock is off by more, so older candles are over


class CryptoSource(PolledSource):
    """A source of bars and trades over one exchange."""

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
        self.settings = market.crypto
        super().__init__(market, self.settings.settle_seconds, now, sleep)
        self._client = CryptoClient(market.crypto, retry or RetryPolicy(market.patience))
        self.capabilities = SourceCapabilities(
            universe_of_today=True,
            stream=True,
            instruments=True,
            trades=True,
            # other exchanges leave a minute without a trade out
            reports_every_bar=self.settings.exchange in _EVERY_MINUTE,
            # A candle is held back until it settled, by a clock that may be a minute behind.
            publication_delay=timedelta(minutes=1, seconds=self.settings.settle_seconds),
        )

    @property
    def name(self) -> str:
        """The exchange's name: bars of one are not bars of another."""
        return self.settings.exchange

    @property
    def identity(self) -> str:
        """The exchange and its spot market."""
        return f"crypto {self.settings.exchange} spot"

    def requests(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> list[Request]:
        """One symbol and one page each: a killed download loses no more than the page that was on
        its way.
        """
        span = timedelta(minutes=self._minutes(timeframe)) * self.settings.page_rows
        return split_requests(self._choose(symbols), start, end, 1, span) if start < end else []

    def bars(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> pl.DataFrame:
        """Candles that are over, in `start <= timestamp < end`. Raises DataError for a symbol that
        the exchange does not list.
        """
        bar = timedelta(minutes=self._minutes(timeframe))
        frames = [pl.DataFrame(schema=SOURCE_BAR_DTYPES)]
        # asked before the candles: one that ends in between may have been read while it ran
        over = self._over(end)
        if start < end:
            for symbol in self._choose(symbols):
                frames += [
                    _candles_frame(page, symbol, timeframe, self.name)
                    for page in self._pages(self._market_name(symbol), start, end, timeframe)
                ]
        whole = pl.concat(frames).filter(
            pl.col("timestamp").is_between(start, end, closed="left"),
            pl.col("timestamp") + bar <= over,
        )
        return whole.sort(SOURCE_BAR_ORDER, maintain_order=True)

    def read_bars(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> SourceResult:
        """`bars`, and how often the exchange had to be asked again."""
        before = self._client.retries
        rows = self.bars(symbols, start, end, timeframe)
        return SourceResult(rows, retries=self._client.retries - before)

    def universe(self) -> pl.DataFrame:
        """The pairs that trade today, under today's date; `listed` where the exchange says it. What
        it no longer lists it does not tell.
        """
        markets = [
            each
            for each in self._markets().values()
            if each.get("spot") and each.get("active") is not False
        ]
        rows = [
            {
                "date": self._now().date(),
                "symbol": each["symbol"],
                "listed": _day(each.get("created")),
            }
            for each in markets
        ]
        return UNIVERSE.conform(
            pl.DataFrame(
                rows, schema={name: UNIVERSE.dtypes[name] for name in ("date", "symbol", "listed")}
            )
        )

    def instruments(self) -> pl.DataFrame:
        """Steps and smallest orders of every spot pair, as the exchange states them today; older
        terms are not told, so they stand for the past too.
        """
        today, step = self._now().date(), partial(_step, mode=self._client.exchange.precisionMode)
        rows = [
            {
                "symbol": name,
                "valid_from": today,
                "since_ever": True,
                "venue": self.name,
                "currency": each.get("quote"),
                "tick_size": step(each["precision"].get("price")),
                "lot_size": step(each["precision"].get("amount")),
                "minimum_quantity": _positive(each["limits"].get("amount", {}).get("min")),
                "minimum_notional": _positive(each["limits"].get("cost", {}).get("min")),
                "shortable": each.get("margin"),
            }
            for each in self._markets().values()
            if each.get("spot")
            for name in dict.fromkeys((each["symbol"], each["id"]))
        ]
        return pl.DataFrame(rows, schema=_TERMS).unique("symbol", keep="first", maintain_order=True)

    # --- ticks ------------------------------------------------------------------------------------

    def trades(self, symbols: Sequence[str] | None, start: datetime, end: datetime) -> pl.DataFrame:
        """Every public trade in `start <= timestamp < end`; `conditions` is the taker's side, `row`
        the trade's number.
        """
        if self._client.exchange.has.get("fetchTrades") is not True:
            raise DataError(
                f"{self.name} tells no trades of the past: choose another exchange in"
                " market.crypto.exchange"
            )
        frames = [pl.DataFrame(schema=SOURCE_TRADE_DTYPES)]
        for symbol in self._choose(symbols):
            frames += [
                _trades_frame(page, symbol, self.name)
                for page in self._trade_pages(self._market_name(symbol), start, end)
            ]
        whole = pl.concat(frames).filter(pl.col("timestamp").is_between(start, end, closed="left"))
        return whole.unique(["symbol", "timestamp", "row"], keep="first", maintain_order=True).sort(
            TRADE_TICKS.key, maintain_order=True
        )

    # --- paging -----------------------------------------------------------------------------------

    def _pages(
        self, symbol: str, start: datetime, end: datetime, timeframe: str
    ) -> Iterator[list[list[Any]]]:
        """Pages of candles, each beginning after the last one's end, so that none comes twice.

        An exchange may answer with the next candles there are, wherever they lie, or with those of
        the stretch asked alone; an empty page is therefore a gap as long as the page, and not the
        end.
        """
        step = self._minutes(timeframe) * 60_000
        cursor, stop = _milliseconds(start), _milliseconds(end)
        while cursor < stop:
            # of a single row some exchanges make "no limit"
            limit = max(2, min(self.settings.page_rows, -(-(stop - cursor) // step)))
            page = self._client.ask(
                partial(_fetch_candles, symbol, _THEIRS[timeframe], cursor, limit),
                f"{timeframe} candles of {symbol}",
            )
            page = [row for row in page if row[0] is not None and row[0] >= cursor]
            if page:
                yield page
            cursor = page[-1][0] + step if page else cursor + limit * step

    def _trade_pages(
        self, symbol: str, start: datetime, end: datetime
    ) -> Iterator[list[dict[str, Any]]]:
        """Pages of trades that together hold all of them: a window whose page is full is asked
        again in two halves.

        Exchanges differ in which trades of a crowded window they give, the first or the last, so a
        full page is never trusted.
        """
        rows, widest = self.settings.page_rows, int(_LONGEST_TRADE_WINDOW.total_seconds() * 1000)
        stop = _milliseconds(end)
        windows = [
            (at, min(at + widest, stop)) for at in range(_milliseconds(start), stop, widest)
        ][::-1]
        while windows:
            first, last = windows.pop()
            page = self._client.ask(
                partial(_fetch_trades, symbol, first, rows, last - 1), f"trades of {symbol}"
            )
            if len(page) < rows:
                yield page
            elif last - first <= 1:
                raise DataError(
                    f"{self.name} has more than {rows} trades of {symbol} in one millisecond"
                    f" ({first}): raise market.crypto.page_rows"
                )
            else:
                middle = (first + last) // 2
                windows += [(middle, last), (first, middle)]

    # --- what there is ----------------------------------------------------------------------------

    def _markets(self) -> dict[str, Any]:
        markets: dict[str, Any] = self._client.ask(
            lambda exchange: exchange.load_markets(), "its list of markets"
        )
        return markets

    def _choose(self, symbols: Sequence[str] | None) -> list[str]:
        """The symbols asked, or those of the settings, or every pair that trades against
        `market.crypto.quote`.
        """
        if symbols is None and not self.market.symbols:
            quote = self.settings.quote
            return sorted(
                symbol
                for symbol, each in self._markets().items()
                if each.get("spot")
                and each.get("active") is not False
                and quote in {None, each["quote"]}
            )
        return sorted(set(self.market.symbols if symbols is None else symbols))

    def _market_name(self, symbol: str) -> str:
        """The name in ccxt of a symbol, which may be written as the exchange does."""
        if symbol not in self._markets() and symbol not in self._client.exchange.markets_by_id:
            # it may have been listed since
            self._client.ask(lambda exchange: exchange.load_markets(True), "its list of markets")
        if symbol in self._markets():
            return symbol
        own = [
            each for each in self._client.exchange.markets_by_id.get(symbol, []) if each.get("spot")
        ]
        if not own:
            raise DataError(
                f"{self.name} lists no pair '{symbol}': write it like BTC/USDT, or see the pairs in"
                " the view universe"
            )
        return str(own[0]["symbol"])

    def _minutes(self, timeframe: str) -> int:
        check_timeframe(timeframe, TIMEFRAME_MINUTES)
        if _THEIRS[timeframe] not in (self._client.exchange.timeframes or {}):
            raise ConfigError(
                f"{self.name} has no {timeframe} candles: set market.timeframe to one that it has,"
                " or another market.crypto.exchange"
            )
        return TIMEFRAME_MINUTES[timeframe]

    def _over(self, end: datetime) -> datetime:
        """The moment up to which candles are over for certain: by the exchange's clock, asked only
        when it can matter.
        """
        now = self._now()
        if end < now - _CLOCK_DOUBT or self._client.exchange.has.get("fetchTime") is not True:
            return now - timedelta(seconds=self.settings.settle_seconds)
        theirs = self._client.ask(lambda exchange: exchange.fetch_time(), "its clock")
        return datetime.fromtimestamp(theirs / 1000.0, UTC) - timedelta(
            seconds=self.settings.settle_seconds
        )


def _fetch_candles(
    symbol: str, timeframe: str, since: int, limit: int, exchange: Any
) -> list[list[Any]]:
    candles: list[list[Any]] = exchange.fetch_ohlcv(symbol, timeframe, since, limit)
    return candles


def _fetch_trades(
    symbol: str, since: int, limit: int, until: int, exchange: Any
) -> list[dict[str, Any]]:
    trades: list[dict[str, Any]] = exchange.fetch_trades(symbol, since, limit, {"until": until})
    return trades


def _step(precision: float | None, mode: int) -> float | None:
    """Ccxt's precision as a step: it is one already, or a number of decimals, or of significant
    digits, which is no step.
    """
    import ccxt

    if precision is None or mode == ccxt.SIGNIFICANT_DIGITS:
        return None
    return _positive(10.0 ** -int(precision) if mode == ccxt.DECIMAL_PLACES else float(precision))


def _positive(number: float | None) -> float | None:
    return float(number) if number is not None and number > 0 else None


def _candles_frame(page: list[list[Any]], symbol: str, timeframe: str, name: str) -> pl.DataFrame:
    """Rows of [milliseconds, open, high, low, close, volume] in the columns of a source's bars."""
    rows = pl.DataFrame(
        [row[:6] for row in page],
        schema={"at": pl.Int64, **dict.fromkeys(_NUMBERS, pl.Float64)},
        orient="row",
        strict=False,
    )
    missing = pl.concat_str(
        *(pl.when(pl.col(each).is_null()).then(pl.lit(each)) for each in _NUMBERS),
        separator=", ",
        ignore_nulls=True,
    )
    sentence = format_columns("the exchange sent no number for {}: ask again later", missing)
    found = rows.unique("at", keep="last", maintain_order=True).select(
        *_NUMBERS,
        timestamp=pl.from_epoch("at", time_unit="ms")
        .dt.cast_time_unit("us")
        .dt.replace_time_zone("UTC"),
        symbol=pl.lit(symbol),
        timeframe=pl.lit(timeframe),
        source=pl.lit(name),
        origin=pl.lit(f"ohlcv/{symbol}"),
        defect=pl.when(pl.any_horizontal(pl.col(each).is_null() for each in _NUMBERS)).then(
            sentence
        ),
    )
    return found.select(
        (
            pl.col(column).cast(dtype)
            if column in found.columns
            else pl.lit(None, dtype=dtype).alias(column)
        )
        for column, dtype in SOURCE_BAR_DTYPES.items()
    )


def _trades_frame(page: list[dict[str, Any]], symbol: str, name: str) -> pl.DataFrame:
    """Trades of ccxt in the columns of a source's trades. A trade without a numeric id gets its
    place among those of its millisecond as `row`.
    """
    schema = {
        "timestamp": pl.Int64,
        "price": pl.Float64,
        "amount": pl.Float64,
        "side": pl.String,
        "id": pl.String,
    }
    rows = pl.DataFrame(
        [{column: each.get(column) for column in schema} for each in page],
        schema=schema,
        strict=False,
    )
    found = rows.select(
        "price",
        symbol=pl.lit(symbol),
        timestamp=pl.from_epoch("timestamp", time_unit="ms")
        .dt.cast_time_unit("us")
        .dt.replace_time_zone("UTC"),
        size=pl.col("amount"),
        exchange=pl.lit(name),
        conditions=pl.col("side"),
        trade_id=pl.col("id"),
        source=pl.lit(name),
        origin=pl.lit(f"trades/{symbol}"),
        row=pl.coalesce(
            pl.col("id").cast(pl.Int64, strict=False),
            pl.int_range(1, pl.len() + 1).over("timestamp"),
        ),
    )
    return found.select(
        (
            pl.col(column).cast(dtype)
            if column in found.columns
            else pl.lit(None, dtype=dtype).alias(column)
        )
        for column, dtype in SOURCE_TRADE_DTYPES.items()
    )


def _milliseconds(moment: datetime) -> int:
    """Unix milliseconds, rounded up: no bar begins within one."""
    return -(-int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) // 1000)


def _day(milliseconds: int | None) -> Any:
    return datetime.fromtimestamp(milliseconds / 1000.0, UTC).date() if milliseconds else None
