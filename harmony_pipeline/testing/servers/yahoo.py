"""A local server that speaks the part of Yahoo Finance's protocol that Harmony asks: cookie, crumb,
charts with events, company summaries.

    with YahooServer([Stock("AAPL", {"1d": bars}, splits=[(date(2020, 8, 31), 4, 1)])], now=lambda:
    moment) as server:
        YahooSource(MarketSettings(symbols=("AAPL",), yahoo=YahooSettings(base_url=server.url)))

It is given bars as they were traded and adjusts them as Yahoo does: prices divided and volumes
multiplied by every split up to `now`, prices as 32-bit floats, dividends rounded to six decimals.
It shows the running bar in part, and appends the latest quote as a row of its own. It keeps
intraday bars for as long as Yahoo does and refuses more, in Yahoo's words.
"""

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from harmony_pipeline.exchange.local_server import LocalServer

PRICES = ("open", "high", "low", "close")
_SECONDS = {"1m": 60, "5m": 300, "15m": 900, "60m": 3600, "1d": 86400}
_DAYS_KEPT = {"1m": 30, "5m": 60, "15m": 60, "60m": 730}
_DAYS_AT_ONCE = {"1m": 8}
_COOKIE, _CRUMB = "d=AQABBlocal", "mXq8.lcaL0R"


@dataclass(frozen=True)
class Stock:
    """One symbol as it traded: `bars` by Yahoo's interval name, each with timestamp (UTC start),
    open, high, low, close, volume; null where Yahoo has none.

    `splits` are (ex-date, numerator, denominator), `dividends` (ex-date, cash per share as paid
    then), `summary` the modules of quoteSummary. Times of day are of `zone`; daily bars may be
    stamped anyhow on their date, and are sent at the session's opening.
    """

    symbol: str
    bars: Mapping[str, pl.DataFrame]
    splits: Sequence[tuple[date, int, int]] = ()
    dividends: Sequence[tuple[date, float]] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)
    zone: str = "America/New_York"
    opens: time = time(9, 30)
    closes: time = time(16)


class YahooServer(LocalServer):
    """Serves `stocks` as they look at `now()`. Crumbs may be made stale by `spoil_crumb`."""

    def __init__(
        self, stocks: Sequence[Stock], now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.stocks = {stock.symbol: stock for stock in stocks}
        self.now = now
        self.crumb = _CRUMB
        self._adjusted: dict[tuple[str, str, date], pl.DataFrame] = {}
        super().__init__(
            [
                Route("/", self._front),
                Route("/consent", self._consent),
                Route("/v2/collectConsent", self._consented, methods=["POST"]),
                Route("/copyConsent", self._consented),
                Route("/v1/test/getcrumb", self._getcrumb),
                Route("/v8/finance/chart/{symbol:path}", self._chart),
                Route("/v10/finance/quoteSummary/{symbol:path}", self._summary),
            ]
        )

    def spoil_crumb(self) -> None:
        """From now on only a crumb fetched anew is taken."""
        self.crumb += "x"

    # --- cookie and crumb: fc.yahoo.com, guce.yahoo.com, consent.yahoo.com ------------------------

    async def _front(self, request: Request) -> Response:
        """fc.yahoo.com has no page, only a cookie."""
        return _with_cookie(HTMLResponse("<html><body>Not Found</body></html>", 404))

    async def _consent(self, request: Request) -> Response:
        form = (
            '<form method="post"><input type="hidden" name="csrfToken" value="t0ken"/><input'
            ' type="hidden" name="sessionId" value="3_cc-session"/></form>'
        )
        return HTMLResponse(f"<html><body>{form}</body></html>")

    async def _consented(self, request: Request) -> Response:
        return _with_cookie(HTMLResponse("<html></html>"))

    async def _getcrumb(self, request: Request) -> Response:
        if request.cookies.get("A3") != _COOKIE:
            return _finance_error(401, "Unauthorized", "Invalid Cookie")
        return PlainTextResponse(self.crumb)

    # --- charts -----------------------------------------------------------------------------------

    async def _chart(self, request: Request) -> Response:
        symbol = request.path_params["symbol"]
        asked = request.query_params
        stock = self.stocks.get(symbol)
        if stock is None:
            return _chart_error(404, "Not Found", "No data found, symbol may be delisted")
        start, end, interval = int(asked["period1"]), int(asked["period2"]), asked["interval"]
        if interval not in _SECONDS:
            return _chart_error(
                422,
                "Unprocessable Entity",
                f"Invalid input - interval={interval} is not supported. Valid intervals: [1m, 5m,"
                " 15m, 60m, 1d]",
            )
        refusal = self._refusal(start, end, interval)
        if refusal:
            return _chart_error(
                422,
                "Unprocessable Entity",
                f"{interval} data not available for startTime={start} and endTime={end}. {refusal}",
            )
        rows = self._rows(stock, interval)
        if rows.is_empty() or (interval == "1d" and end <= int(rows["stamp"][0])):
            return _chart_error(
                400, "Bad Request", f"Data doesn't exist for startDate = {start}, endDate = {end}"
            )
        if asked.get("includePrePost") != "true" and interval != "1d":
            rows = rows.filter(_within_hours(stock))
        sent = rows.filter(pl.col("stamp").is_between(start, end, closed="left"))
        return JSONResponse(
            {
                "chart": {
                    "result": [
                        self._result(stock, interval, sent, start, end, asked.get("events", ""))
                    ],
                    "error": None,
                }
            }
        )

    def _refusal(self, start: int, end: int, interval: str) -> str:
        kept, at_once = _DAYS_KEPT.get(interval), _DAYS_AT_ONCE.get(interval)
        if kept and start < int((self.now() - timedelta(days=kept)).timestamp()):
            return f"The requested range must be within the last {kept} days."
        if at_once and end - start > at_once * 86400:
            return (
                f"Only {at_once} days worth of {interval} granularity data are allowed to be"
                " fetched per request."
            )
        return ""

    def _rows(self, stock: Stock, interval: str) -> pl.DataFrame:
        """Every row that has begun, adjusted for the splits so far: stamp, open, high, low, close,
        volume.
        """
        now = self.now()
        if interval not in stock.bars:
            return pl.DataFrame(schema={"stamp": pl.Int64})
        key = stock.symbol, interval, now.astimezone(ZoneInfo(stock.zone)).date()
        if key not in self._adjusted:
            self._adjusted[key] = _adjusted(stock, interval, now)
        begun = self._adjusted[key].filter(pl.col("stamp") <= int(now.timestamp()))
        return _with_running(
            begun,
            _SECONDS[interval] if interval != "1d" else _session_seconds(stock),
            int(now.timestamp()),
        )

    def _result(
        self, stock: Stock, interval: str, rows: pl.DataFrame, start: int, end: int, events: str
    ) -> dict[str, Any]:
        quote = {name: [_narrow(value) for value in rows[name]] for name in PRICES} | {
            "volume": [None if value is None else int(value) for value in rows["volume"]]
        }
        result: dict[str, Any] = {
            "meta": self._meta(stock, interval),
            "indicators": {"quote": [quote if rows.height else {}]},
        }
        if rows.height:
            result["timestamp"] = rows["stamp"].to_list()
        if interval == "1d":
            result["indicators"]["adjclose"] = [{"adjclose": quote["close"]}]
        happened = self._events(stock, start, end)
        told = {
            name: happened[name]
            for name, word in (("splits", "splits"), ("dividends", "div"))
            if word in events.split(",") and happened[name]
        }
        if told:
            result["events"] = told
        return result

    def _events(self, stock: Stock, start: int, end: int) -> dict[str, dict[str, Any]]:
        """Events of the range that have happened, keyed by their own stamp as Yahoo does."""
        now = self.now()

        def stamp(day: date) -> int:
            return int(datetime.combine(day, stock.opens, ZoneInfo(stock.zone)).timestamp())

        days = {when for when, _, _ in stock.splits} | {when for when, _ in stock.dividends}
        inside = {
            day: stamp(day)
            for day in days
            if start <= stamp(day) < end and stamp(day) <= now.timestamp()
        }
        splits = [(inside[day], top, bottom) for day, top, bottom in stock.splits if day in inside]
        cash = [
            (inside[day], round(amount / _ratio(stock, day, now), 6))
            for day, amount in stock.dividends
            if day in inside
        ]
        return {
            "splits": {
                str(at): {
                    "date": at,
                    "numerator": top,
                    "denominator": bottom,
                    "splitRatio": f"{top}:{bottom}",
                }
                for at, top, bottom in splits
            },
            "dividends": {str(at): {"amount": amount, "date": at} for at, amount in cash},
        }

    def _meta(self, stock: Stock, interval: str) -> dict[str, Any]:
        now, zone = self.now(), ZoneInfo(stock.zone)
        today = now.astimezone(zone).date()
        offset = int((now.astimezone(zone).utcoffset() or timedelta()).total_seconds())
        opens, closes = (
            int(datetime.combine(today, at, zone).timestamp()) for at in (stock.opens, stock.closes)
        )
        frames = [bars["timestamp"] for bars in stock.bars.values()]
        last_trade = max(
            (
                int(stamps.filter(stamps <= now).max().timestamp())  # type: ignore[union-attr]
                for stamps in frames
                if (stamps <= now).any()
            ),
            default=0,
        )
        first = min(int(stamps.min().timestamp()) for stamps in frames)  # type: ignore[union-attr]
        common = {"timezone": now.astimezone(zone).tzname(), "gmtoffset": offset}
        return {
            "currency": "USD",
            "symbol": stock.symbol,
            "exchangeName": "NMS",
            "instrumentType": "EQUITY",
            "firstTradeDate": first,
            "regularMarketTime": (
                min(int(now.timestamp()), closes)
                if opens <= now.timestamp() and last_trade >= opens
                else last_trade
            ),
            **common,
            "exchangeTimezoneName": stock.zone,
            "priceHint": 2,
            "currentTradingPeriod": {
                "pre": {**common, "start": opens - 19800, "end": opens},
                "regular": {**common, "start": opens, "end": closes},
                "post": {**common, "start": closes, "end": closes + 14400},
            },
            "dataGranularity": interval,
            "range": "",
            "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
        }

    # --- summaries --------------------------------------------------------------------------------

    async def _summary(self, request: Request) -> Response:
        asked = request.query_params
        if request.cookies.get("A3") != _COOKIE or asked.get("crumb") != self.crumb:
            return _finance_error(401, "Unauthorized", "Invalid Crumb")
        stock = self.stocks.get(request.path_params["symbol"])
        if stock is None:
            error = {
                "code": "Not Found",
                "description": f"Quote not found for symbol: {request.path_params['symbol']}",
            }
            return JSONResponse({"quoteSummary": {"result": None, "error": error}}, 404)
        modules = {
            name: stock.summary[name]
            for name in asked["modules"].split(",")
            if name in stock.summary
        }
        return JSONResponse({"quoteSummary": {"result": [modules], "error": None}})


def _adjusted(stock: Stock, interval: str, now: datetime) -> pl.DataFrame:
    """All bars at Yahoo's stamps, prices divided and volumes multiplied by the splits between their
    date and today's.
    """
    zone = ZoneInfo(stock.zone)
    stamps = stock.bars[interval]["timestamp"].to_list()
    dates = [stamp.astimezone(UTC if interval == "1d" else zone).date() for stamp in stamps]
    if interval == "1d":
        stamps = [datetime.combine(day, stock.opens, zone) for day in dates]
    by_date = {day: _ratio(stock, day, now) for day in set(dates)}
    table = stock.bars[interval].with_columns(
        pl.Series("stamp", [int(stamp.timestamp()) for stamp in stamps], dtype=pl.Int64),
        pl.Series("ratio", [by_date[day] for day in dates], dtype=pl.Float64),
    )
    return table.select(
        "stamp",
        *(pl.col(name) / pl.col("ratio") for name in PRICES),
        volume=(pl.col("volume") * pl.col("ratio")).round(),
    ).sort("stamp")


def _with_running(rows: pl.DataFrame, seconds: int, now: int) -> pl.DataFrame:
    """The bar that is not over yet in part (half its volume, the open as its close), and the latest
    quote as a row of its own without volume.
    """
    if rows.is_empty() or int(rows["stamp"][-1]) + seconds <= now:
        return rows
    running = pl.col("stamp") == rows["stamp"][-1]
    partial = rows.with_columns(
        *(pl.when(running).then("open").otherwise(name).alias(name) for name in PRICES),
        volume=pl.when(running).then((pl.col("volume") / 2).floor()).otherwise("volume"),
    )
    quote = partial.tail(1).with_columns(stamp=pl.lit(now, pl.Int64), volume=pl.lit(0.0))
    return pl.concat([partial, quote]) if now > int(rows["stamp"][-1]) else partial


def _ratio(stock: Stock, day: date, now: datetime) -> float:
    """New shares at `now` for one share of `day`."""
    ratio, today = 1.0, now.astimezone(ZoneInfo(stock.zone)).date()
    for when, top, bottom in stock.splits:
        if day < when <= today:
            ratio *= top / bottom
    return ratio


def _within_hours(stock: Stock) -> pl.Expr:
    at = (
        pl.from_epoch("stamp", time_unit="s")
        .dt.replace_time_zone("UTC")
        .dt.convert_time_zone(stock.zone)
        .dt.time()
    )
    # the quote at the close is sent too
    return at.is_between(pl.lit(stock.opens), pl.lit(stock.closes), closed="both")


def _session_seconds(stock: Stock) -> int:
    return (stock.closes.hour - stock.opens.hour) * 3600 + (
        stock.closes.minute - stock.opens.minute
    ) * 60


def _narrow(value: float | None) -> float | None:
    """The value as a 32-bit float holds it."""
    return None if value is None else float(struct.unpack("f", struct.pack("f", value))[0])


def _with_cookie(response: Response) -> Response:
    response.set_cookie("A3", _COOKIE, max_age=31_557_600, path="/", httponly=True)
    return response


def _chart_error(status: int, code: str, description: str) -> Response:
    return Response(
        json.dumps(
            {"chart": {"result": None, "error": {"code": code, "description": description}}}
        ),
        status,
        media_type="application/json",
    )


def _finance_error(status: int, code: str, description: str) -> Response:
    return JSONResponse(
        {"finance": {"result": None, "error": {"code": code, "description": description}}}, status
    )
