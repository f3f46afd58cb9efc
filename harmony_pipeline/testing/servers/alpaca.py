"""A local server that speaks Alpaca's market data: REST pages and the stream, over frames that it
is handed.

    server = AlpacaServer(bars=simulated.bars(None, start, end, "1Min"), now=end)
    with server:
        AlpacaSource(server.settings(), market, ...)

What it serves: /v2/stocks/bars, quotes and trades (paged by symbol, then time; `limit` counts over
all symbols; `end` is inclusive; a full page always names a next one, which may be empty),
/v1/corporate-actions, /v2/assets, /v2/calendar, /v2/clock, /v2/account, and the stream /v2/FEED. It
checks keys, feeds and questions, and answers refusals with recorded bodies. The bar in progress at
`now` is served like any other, as Alpaca does it; what begins later does not exist.

It has raw prices only, no mapping of old symbols to new ones (so it demands `asof=-`), and no limit
of requests of its own: script one with `LIMITED`.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from harmony_pipeline.exchange import wire
from harmony_pipeline.exchange.data_stream import StreamHub
from harmony_pipeline.exchange.local_server import Fault, LocalServer
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.source_settings import AlpacaSourceSettings
from harmony_pipeline.market.sources.base import (
    SOURCE_BAR_DTYPES,
    SOURCE_QUOTE_DTYPES,
    SOURCE_TRADE_DTYPES,
)

KEYS = ("PKTESTTESTTESTTEST01", "S3cretS3cretS3cretS3cretS3cretS3cretS3cr")
ENVIRONMENT = dict(zip(("APCA_API_KEY_ID", "APCA_API_SECRET_KEY"), KEYS, strict=True))

BROKEN = Fault(status=500, body={"code": 50010000, "message": "internal server error occurred"})
UNAVAILABLE = Fault(
    status=503,
    body=(
        "<html><head><title>503 Service Temporarily"
        " Unavailable</title></head><body><center>nginx</center></body></html>"
    ),
)
GATEWAY_TIMEOUT = Fault(
    status=504, body="<html><head><title>504 Gateway Time-out</title></head></html>"
)

_SYMBOL = re.compile(r"[A-Z0-9]{1,8}([./][A-Z0-9]{1,4})?")
_SIP_DELAY = timedelta(minutes=15)
_MOST_ROWS, _USUAL_ROWS, _MOST_ACTIONS = 10_000, 1_000, 1_000
_TIMEFRAMES = ("1Min", "5Min", "15Min", "30Min", "1Hour", "1Day")


def limited(reset: float | None = None) -> Fault:
    """A 429 as Alpaca sends it; `reset` (Unix seconds) is the header that may be missing."""
    headers = (
        {}
        if reset is None
        else {
            "X-RateLimit-Limit": "200",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": f"{reset:.0f}",
        }
    )
    return Fault(
        status=429, body={"code": 42910000, "message": "rate limit exceeded"}, headers=headers
    )


class _Refused(Exception):
    """An answer that is no data: its status and body."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(status)
        self.response = JSONResponse(dict(body), status_code=status)


class AlpacaServer(LocalServer):
    """See the head of this file. `bars`, `quotes`, `trades` and `now` may be replaced while it
    runs: the next answer has the new ones.
    """

    def __init__(
        self,
        bars: pl.DataFrame,
        now: datetime,
        *,
        quotes: pl.DataFrame | None = None,
        trades: pl.DataFrame | None = None,
        actions: Mapping[str, Sequence[wire.Json]] | None = None,
        assets: Sequence[wire.Json] | None = None,
        calendar: str = "XNYS",
        feeds: Iterable[str] = ("iex",),
        page_rows: int = _MOST_ROWS,
        connection_limit: int = 1,
        symbol_limit: int | None = None,
    ) -> None:
        get: list[tuple[str, Callable[[Request], Any]]] = [
            ("/v2/stocks/bars", self._bars),
            ("/v2/stocks/quotes", self._quotes),
            ("/v2/stocks/trades", self._trades),
            ("/v1/corporate-actions", self._actions),
            ("/v2/assets", self._assets),
            ("/v2/calendar", self._days),
            ("/v2/clock", self._clock),
            ("/v2/account", self._account),
        ]
        super().__init__(
            [
                *(Route(path, self._guarded(answer)) for path, answer in get),
                WebSocketRoute("/v2/{feed}", self._stream),
            ]
        )
        self.bars, self.now, self.page_rows = bars, now, page_rows
        self.quotes = pl.DataFrame(schema=SOURCE_QUOTE_DTYPES) if quotes is None else quotes
        self.trades = pl.DataFrame(schema=SOURCE_TRADE_DTYPES) if trades is None else trades
        self.actions = actions or {}
        self.assets = (
            wire.asset_rows(sorted(bars["symbol"].unique())) if assets is None else list(assets)
        )
        self.feeds = frozenset(feeds)
        self.hub = StreamHub(
            KEYS, self.feeds, symbol_limit=symbol_limit, connection_limit=connection_limit
        )
        self._calendar = Calendar.of(calendar)
        self._playing: asyncio.Task[None] | None = None

    def settings(self, **more: Any) -> AlpacaSourceSettings:
        """Settings of a source that talks to this server."""
        feed = more.get("feed", "iex")
        return AlpacaSourceSettings(
            **{
                "data_url": self.url,
                "trading_url": self.url,
                "stream_url": f"{self.ws_url}/v2/{feed}",
                **more,
            }
        )

    # --- the stream -------------------------------------------------------------------------------

    def publish_bars(self, bars: pl.DataFrame, kind: str = "b", times: int = 1) -> None:
        """Send bars to whoever listens: `b` as they end, `u` as corrections; `times` sends the same
        frame again.
        """
        self.call(self.hub.publish(_messages(bars, kind), times))

    def play(
        self, bars: pl.DataFrame, pause_seconds: float = 0.02, *, moves_now: bool = True
    ) -> None:
        """At a subscription, let every minute of `bars` end, one each `pause_seconds`, unless that
        is going on; `now` moves along.
        """

        async def run() -> None:
            for minute in bars.sort("timestamp", "symbol").partition_by(
                "timestamp", maintain_order=True
            ):
                if moves_now:
                    self.now = minute["timestamp"][0].astimezone(UTC) + timedelta(
                        minutes=1, seconds=1
                    )
                await self.hub.publish(_messages(minute, "b"))
                await asyncio.sleep(pause_seconds)

        async def begin() -> None:
            if self._playing is None or self._playing.done():
                self._playing = asyncio.get_running_loop().create_task(run())

        self.hub.subscribed = begin

    async def _stream(self, socket: WebSocket) -> None:
        await self.hub.serve(socket)

    # --- pages of bars and ticks ------------------------------------------------------------------

    async def _bars(self, request: Request) -> JSONResponse:
        query = request.query_params
        timeframe = query.get("timeframe", "")
        if timeframe not in _TIMEFRAMES:
            raise _Refused(400, {"message": f"invalid timeframe: {timeframe}"})
        if query.get("adjustment", "raw") != "raw":
            raise _Refused(400, {"message": f"invalid adjustment: {query['adjustment']}"})
        frame = self.bars.filter(pl.col("timeframe") == timeframe)
        if timeframe == "1Day":
            stamps = {
                moment: wire.daily_stamp(moment) for moment in frame["timestamp"].unique().to_list()
            }
            frame = frame.with_columns(
                pl.col("timestamp").replace_strict(
                    stamps, return_dtype=SOURCE_BAR_DTYPES["timestamp"]
                )
            )
        return self._page(request, "bars", frame, wire.bar_rows)

    async def _quotes(self, request: Request) -> JSONResponse:
        return self._page(request, "quotes", self.quotes, wire.quote_rows)

    async def _trades(self, request: Request) -> JSONResponse:
        return self._page(request, "trades", self.trades, wire.trade_rows)

    def _page(
        self,
        request: Request,
        kind: str,
        frame: pl.DataFrame,
        rows: Callable[[pl.DataFrame], list[wire.Json]],
    ) -> JSONResponse:
        symbols, start, end, limit = self._question(request)
        ordered = (
            frame.filter(
                pl.col("symbol").is_in(symbols)
                & pl.col("timestamp").is_between(start, min(end, self.now))
            )
            .sort("symbol", "timestamp", maintain_order=True)
            .with_columns(number=pl.int_range(pl.len()).over("symbol", "timestamp"))
        )
        token = request.query_params.get("page_token")
        if token:
            ordered = _after(ordered, token)
        page = ordered.head(min(limit, self.page_rows))
        full = page.height == min(limit, self.page_rows)
        following = (
            wire.page_token(*page.select("symbol", "timestamp", "number").row(-1)) if full else None
        )
        groups = (
            {
                part["symbol"][0]: rows(part.drop("number"))
                for part in page.partition_by("symbol", maintain_order=True)
            }
            if page.height
            else {}
        )
        return _Json({kind: groups, "next_page_token": following})

    def _question(self, request: Request) -> tuple[list[str], datetime, datetime, int]:
        query = request.query_params
        symbols = [symbol for symbol in query.get("symbols", "").split(",") if symbol]
        bad = next((symbol for symbol in symbols if not _SYMBOL.fullmatch(symbol)), None)
        if not symbols or bad:
            raise _Refused(
                400, {"message": f"invalid symbol: {bad}" if bad else "symbols is required"}
            )
        if query.get("asof") != "-":
            raise _Refused(400, {"message": "this server maps no symbols: ask with asof=-"})
        start, end = (_moment(query.get(name), name, self.now) for name in ("start", "end"))
        feed = query.get("feed", "sip")
        if feed not in {"iex", "sip"}:
            raise _Refused(400, {"message": f"invalid feed: {feed}"})
        if feed not in self.feeds and end > self.now - _SIP_DELAY:
            raise _Refused(
                403,
                {
                    "code": 42210000,
                    "message": "subscription does not permit querying recent SIP data",
                },
            )
        limit = query.get("limit", str(_USUAL_ROWS))
        if not limit.isdigit() or not 1 <= int(limit) <= _MOST_ROWS:
            raise _Refused(400, {"message": f"invalid limit: {limit}"})
        return symbols, start, end, int(limit)

    # --- the rest ---------------------------------------------------------------------------------

    async def _actions(self, request: Request) -> JSONResponse:
        query = request.query_params
        first, last = (
            date.fromisoformat(query.get(name, self.now.date().isoformat()))
            for name in ("start", "end")
        )
        wanted = {f"{kind}s" for kind in query.get("types", "").split(",") if kind} or set(
            self.actions
        )
        symbols = {symbol for symbol in query.get("symbols", "").split(",") if symbol}
        found = [
            (row["process_date"], row["id"], kind, row)
            for kind, rows in self.actions.items()
            for row in rows
            if kind in wanted
            and wire.within(row, first, last)
            and (
                not symbols
                or symbols & {str(value) for name, value in row.items() if name.endswith("symbol")}
            )
        ]
        found.sort(key=lambda each: each[:2])
        begin, size = (
            int(query.get("page_token", "0")),
            min(int(query.get("limit", "100")), _MOST_ACTIONS, self.page_rows),
        )
        page = found[begin : begin + size]
        groups: dict[str, list[wire.Json]] = {}
        for _, _, kind, row in page:
            groups.setdefault(kind, []).append(row)
        return _Json(
            {
                "corporate_actions": groups,
                "next_page_token": str(begin + size) if begin + size < len(found) else None,
            }
        )

    async def _assets(self, request: Request) -> JSONResponse:
        query = request.query_params
        return _Json(
            [
                row
                for row in self.assets
                if query.get("status", row["status"]) == row["status"]
                and query.get("asset_class", row["class"]) == row["class"]
            ]
        )

    async def _days(self, request: Request) -> JSONResponse:
        first, last = (date.fromisoformat(request.query_params[name]) for name in ("start", "end"))
        return _Json(wire.day_rows(self._calendar.schedule(first, last + timedelta(days=1))))

    async def _clock(self, request: Request) -> JSONResponse:
        day = self.now.date()
        return _Json(
            wire.clock_row(
                self._calendar.schedule(day - timedelta(days=10), day + timedelta(days=10)),
                self.now,
            )
        )

    async def _account(self, request: Request) -> JSONResponse:
        return _Json(
            {
                "id": "904837e3-3b76-47ec-b432-046db621571b",
                "account_number": "PA0000000001",
                "status": "ACTIVE",
                "currency": "USD",
                "cash": "100000",
            }
        )

    def _guarded(self, answer: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def guarded(request: Request) -> JSONResponse:
            found = (
                request.headers.get("apca-api-key-id"),
                request.headers.get("apca-api-secret-key"),
            )
            if found != KEYS:
                return JSONResponse({"message": "unauthorized."}, status_code=401)
            try:
                response: JSONResponse = await answer(request)
                return response
            except _Refused as refused:
                return refused.response

        return guarded


def _messages(bars: pl.DataFrame, kind: str) -> list[wire.Json]:
    return [
        {"T": kind, "S": symbol, **row}
        for symbol, row in zip(bars["symbol"], wire.bar_rows(bars), strict=True)
    ]


def _after(ordered: pl.DataFrame, token: str) -> pl.DataFrame:
    try:
        symbol, moment, number = wire.read_token(token)
    except ValueError:
        raise _Refused(400, {"message": "invalid page_token"}) from None
    same = pl.col("symbol") == symbol
    later = (pl.col("timestamp") > moment) | (
        (pl.col("timestamp") == moment) & (pl.col("number") > number)
    )
    return ordered.filter((pl.col("symbol") > symbol) | (same & later))


def _moment(text: str | None, name: str, now: datetime) -> datetime:
    if text is None:
        return now if name == "end" else datetime(now.year, now.month, now.day, tzinfo=UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _Refused(400, {"message": f"invalid {name}: {text}"}) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _Json(JSONResponse):
    """JSON whose times are written as RFC 3339 texts."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, default=wire.rfc3339, separators=(",", ":")).encode()
