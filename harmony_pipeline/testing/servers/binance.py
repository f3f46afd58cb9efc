"""A local server that speaks the public part of Binance's spot protocol: time, exchange
information, klines, aggregate trades, weights and bans.

    with BinanceServer([Pair("BTC", "USDT", {"1m": candles}, trades)], now=lambda: moment) as
    server:
        CryptoSource(MarketSettings(crypto=CryptoSettings(base_url=server.url)))

Numbers are sent as texts of eight decimals, the running candle in part. Requests cost weight; above
`weight_limit` in a minute they are refused with 429, and who goes on asking is banned with 418,
both with Retry-After, as the exchange documents ("Limits", REST API).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import polars as pl
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from harmony_pipeline.exchange.local_server import LocalServer

_INTERVALS = {
    "1m": 60_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "1d": 86_400_000,
}
_MOST_ROWS, _HOUR = 1000, 3_600_000
_BAN_SECONDS, _PATIENT_REFUSALS = 120, 3
_WEIGHTS = {"/api/v3/exchangeInfo": 20, "/api/v3/klines": 2, "/api/v3/aggTrades": 4}


@dataclass(frozen=True)
class Pair:
    """One market: `candles` by Binance's interval name (timestamp, open, high, low, close, volume),
    `trades` (timestamp, price, size, id, buyer_is_maker).
    """

    base: str
    quote: str
    candles: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    trades: pl.DataFrame | None = None
    status: str = "TRADING"

    @property
    def symbol(self) -> str:
        """As Binance writes it."""
        return f"{self.base}{self.quote}"


class BinanceServer(LocalServer):
    """Serves `pairs` as they look at `now()`."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        weight_limit: int = 6000,
    ) -> None:
        self.pairs = {pair.symbol: pair for pair in pairs}
        self.now = now
        self.weight_limit = weight_limit
        self._minute, self._used, self._refused = 0, 0, 0
        self._banned_until = 0.0
        paths = {
            "time": self._time,
            "exchangeInfo": self._exchange_info,
            "klines": self._klines,
            "aggTrades": self._trades,
        }
        super().__init__(
            [Route(f"/api/v3/{path}", self._weighed(answer)) for path, answer in paths.items()]
        )

    # --- limits -----------------------------------------------------------------------------------

    def _weighed(self, answer: Callable[[Request], Response]) -> Callable[[Request], Any]:
        async def weighed(request: Request) -> Response:
            seconds = self.now().timestamp()
            if seconds < self._banned_until:
                return self._too_much(
                    418,
                    int(self._banned_until - seconds) + 1,
                    "Way too much request weight used; IP banned until"
                    f" {int(self._banned_until * 1000)}.",
                )
            if int(seconds // 60) != self._minute:
                self._minute, self._used, self._refused = int(seconds // 60), 0, 0
            self._used += _WEIGHTS.get(request.url.path, 1)
            if self._used > self.weight_limit:
                self._refused += 1
                if self._refused > _PATIENT_REFUSALS:
                    self._banned_until = seconds + _BAN_SECONDS
                return self._too_much(
                    429,
                    60 - int(seconds % 60),
                    f"Too much request weight used; current limit is {self.weight_limit} request"
                    " weight per 1 MINUTE.",
                )
            response = answer(request)
            response.headers["x-mbx-used-weight-1m"] = str(self._used)
            return response

        return weighed

    def _too_much(self, status: int, seconds: int, text: str) -> Response:
        return JSONResponse(
            {"code": -1003, "msg": text},
            status,
            {"Retry-After": str(seconds), "x-mbx-used-weight-1m": str(self._used)},
        )

    # --- answers ----------------------------------------------------------------------------------

    def _time(self, request: Request) -> Response:
        return JSONResponse({"serverTime": self._milliseconds()})

    def _exchange_info(self, request: Request) -> Response:
        limits = [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": self.weight_limit,
            }
        ]
        symbols = [_symbol_information(pair) for pair in self.pairs.values()]
        return JSONResponse(
            {
                "timezone": "UTC",
                "serverTime": self._milliseconds(),
                "rateLimits": limits,
                "exchangeFilters": [],
                "symbols": symbols,
            }
        )

    def _klines(self, request: Request) -> Response:
        asked = request.query_params
        pair = self.pairs.get(asked.get("symbol", ""))
        if pair is None:
            return _refused(-1121, "Invalid symbol.")
        step = _INTERVALS.get(asked.get("interval", ""))
        if step is None:
            return _refused(-1120, "Invalid interval.")
        candles = pair.candles.get(asked["interval"])
        rows = _window(candles, asked, self._milliseconds()) if candles is not None else []
        return JSONResponse([self._kline(row, step) for row in rows])

    def _kline(self, row: Mapping[str, Any], step: int) -> list[Any]:
        """[open time, open, high, low, close, volume, close time, quote volume, trades, ...]; of
        the running candle half the volume, and its open as close.
        """
        running = row["at"] + step > self._milliseconds()
        close, volume = (
            (row["open"], None if row["volume"] is None else row["volume"] / 2)
            if running
            else (row["close"], row["volume"])
        )
        texts = [_text(each) for each in (row["open"], row["high"], row["low"], close, volume)]
        return [
            row["at"],
            *texts,
            row["at"] + step - 1,
            "0.00000000",
            0,
            "0.00000000",
            "0.00000000",
            "0",
        ]

    def _trades(self, request: Request) -> Response:
        asked = request.query_params
        pair = self.pairs.get(asked.get("symbol", ""))
        if pair is None or pair.trades is None:
            return _refused(-1121, "Invalid symbol.")
        if (
            "startTime" in asked
            and "endTime" in asked
            and int(asked["endTime"]) - int(asked["startTime"]) >= _HOUR
        ):
            return _refused(-1127, "More than 1 hours between startTime and endTime.")
        rows = _window(pair.trades.sort("timestamp", "id"), asked, self._milliseconds())
        return JSONResponse(
            [
                {
                    "a": row["id"],
                    "p": _text(row["price"]),
                    "q": _text(row["size"]),
                    "f": row["id"],
                    "l": row["id"],
                    "T": row["at"],
                    "m": row["buyer_is_maker"],
                    "M": True,
                }
                for row in rows
            ]
        )

    def _milliseconds(self) -> int:
        return int(self.now().timestamp() * 1000)


def _window(table: pl.DataFrame, asked: Mapping[str, str], now: int) -> list[dict[str, Any]]:
    """The first `limit` rows from startTime to endTime (both inclusive), or the latest ones when no
    start is named.
    """
    limit = min(int(asked.get("limit", 500)), _MOST_ROWS)
    rows = table.with_columns(at=pl.col("timestamp").dt.epoch("ms")).filter(
        pl.col("at") <= min(now, int(asked.get("endTime", now)))
    )
    if "startTime" not in asked:
        return rows.tail(limit).to_dicts()
    return rows.filter(pl.col("at") >= int(asked["startTime"])).head(limit).to_dicts()


def _symbol_information(pair: Pair) -> dict[str, Any]:
    filters = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": "0.00000001",
            "maxPrice": "1000000.00000000",
            "tickSize": "0.00000001",
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": "0.00000001",
            "maxQty": "9000000.00000000",
            "stepSize": "0.00000001",
        },
    ]
    return {
        "symbol": pair.symbol,
        "status": pair.status,
        "baseAsset": pair.base,
        "quoteAsset": pair.quote,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": filters,
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }


def _refused(code: int, text: str) -> Response:
    return JSONResponse({"code": code, "msg": text}, 400)


def _text(value: float | None) -> str | None:
    return None if value is None else f"{value:.8f}"
