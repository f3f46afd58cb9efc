"""The simulated exchange on loopback: Alpaca's trading and market-data interfaces over a `Venue`.

    with ExchangeServer(Venue(market, rules), keys=("KEY", "SECRET")) as server:
        TradingClient("KEY", "SECRET", url_override=server.url)
        TradingStream("KEY", "SECRET", url_override=f"{server.ws_url}/stream")
        StockDataStream("KEY", "SECRET", url_override=f"{server.ws_url}/v2/iex")
        server.step()                                   # or speed=60.0: by itself

`/control` moves it, shows its ledger and commits faults (`control.py`); it asks for no keys, since
the server answers on loopback alone. All state lives in one event loop: a request is answered after
everything that it changed is on disk and was told on the streams.
"""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from harmony_pipeline.exchange import control, market_data, trading, wire
from harmony_pipeline.exchange.data_messages import DataFaults, print_messages
from harmony_pipeline.exchange.data_stream import StreamHub
from harmony_pipeline.exchange.local_server import LocalServer
from harmony_pipeline.exchange.market import OPENS, Event, MarketBar
from harmony_pipeline.exchange.refusals import Refused, limited, malformed, unauthorized
from harmony_pipeline.exchange.trade_stream import MessageFaults, TradeStream
from harmony_pipeline.exchange.venue import Venue
from harmony_pipeline.instants import micros

STEPPED = 0.0
_MINUTE = 60.0
_LONGEST_GAP = 600.0  # of the exchange's seconds; a longer one (a night) is passed at once
_LONGEST_SLEEP = 0.25
_MOST_WAITS = 10
Handler = Callable[[Venue, Request, Any], Any]


class ExchangeServer(LocalServer):
    """`speed` 1 replays in real time, 60 a minute a second; 0: only `step` moves it. `keys` are the
    key and secret that are taken. Bars that are due to open wait until nobody has sent an order
    for `decision_seconds` of real time, so that what was decided on those before meets their open.
    Bars are sent `bars_behind_seconds` after the news of orders that they filled.
    """

    def __init__(
        self,
        venue: Venue,
        keys: tuple[str, str],
        *,
        speed: float = STEPPED,
        port: int = 0,
        requests_per_minute: int = 200,
        decision_seconds: float = 0.0,
        bars_behind_seconds: float = 0.0,
        slot_hold_seconds: float = 0.0,
        connection_limit: int = 1,
        symbol_limit: int | None = None,
    ) -> None:
        self.venue, self.keys, self.speed = venue, keys, speed
        self.requests_per_minute, self.decision_seconds = requests_per_minute, decision_seconds
        self.bars_behind_seconds = bars_behind_seconds
        self.trade_stream = TradeStream(keys)
        feeds = ("us",) if venue.market.is_crypto else ("iex", "sip", "test")
        self.hub = StreamHub(
            keys, feeds, symbol_limit=symbol_limit,
            connection_limit=connection_limit, slot_hold_seconds=slot_hold_seconds,
        )  # fmt: skip
        self.data_faults, self.bar_faults = DataFaults(), MessageFaults()
        self._told, self._ordered_at = len(venue.updates), 0.0
        self._unsent: tuple[int, list[MarketBar]] | None = None  # an event, the bars that it ended
        self._asked: deque[float] = deque()
        self._anchor = (time.monotonic(), micros(venue.now))
        self._replaying: asyncio.Task[None] | None = None
        self._stepping: asyncio.Lock | None = None
        super().__init__(self._routes(), port)

    def _routes(self) -> list[Any]:
        routes: list[Any] = [
            Route(path, self._trading(handler), methods=[method])
            for method, path, handler in trading.ROUTES
        ]
        routes += [
            Route("/v2/stocks/bars", self._data(market_data.bars_page)),
            Route("/v2/stocks/trades", self._data(market_data.trades_page)),
            Route("/v2/stocks/quotes", self._data(market_data.quotes_page)),
            Route("/v2/stocks/{kind}/latest", self._latest),
            Route("/v1/corporate-actions", self._data(_no_actions)),
            WebSocketRoute("/stream", self._listen),
            WebSocketRoute("/v2/{feed}", self._stream),
            *self._coin_routes(),
            *control.routes(self),
        ]
        return routes

    def _coin_routes(self) -> list[Any]:
        """Market data of pairs, by a version and folder of their own; Alpaca asks for no keys by
        REST.
        """
        if not self.venue.market.is_crypto:
            return []
        folder = "/v1beta3/crypto/us"
        return [
            Route(f"{folder}/bars", self._data(market_data.bars_page, needs_keys=False)),
            Route(f"{folder}/trades", self._data(market_data.pair_trades_page, needs_keys=False)),
            Route(f"{folder}/quotes", self._data(market_data.pair_quotes_page, needs_keys=False)),
            Route(f"{folder}/latest/{{kind}}", self._latest),
            WebSocketRoute("/v1beta3/crypto/{feed}", self._stream),
        ]

    @property
    def data_path(self) -> str:
        """What the path of the market-data stream begins with."""
        return "/v1beta3/crypto/" if self.venue.market.is_crypto else "/v2/"

    @property
    def data_stream_url(self) -> str:
        """Whole address of the market-data stream."""
        return f"{self.ws_url}{self.data_path}{'us' if self.venue.market.is_crypto else 'iex'}"

    # --- for tests and the command line -----------------------------------------------------------

    def step(self, events: int = 1) -> bool:
        """Let this many events happen, and everything be told; False once there are none."""
        return self.call(self.advance(events))

    async def advance(self, events: int = 1, *, hold_bars: bool = False) -> bool:
        """`step`, from within the loop. `hold_bars`: the next call sends the bars of the last event
        (a call of 0 events, where nothing else shall happen).
        """
        if self._stepping is None:
            self._stepping = asyncio.Lock()
        async with self._stepping:
            for _ in range(events):
                await self._send_bars()
                if self.venue.is_over:
                    return False
                number = self.venue.next_event
                ended = self.venue.advance()
                self._unsent = number, ended
                has_news = await self.tell()
                if has_news and ended and self.bars_behind_seconds and not hold_bars:
                    await asyncio.sleep(self.bars_behind_seconds)
            if not hold_bars:
                await self._send_bars()
        return not self.venue.is_over

    async def _send_bars(self) -> None:
        """Send the bars of the latest event, unless they were sent."""
        if self._unsent is None:
            return
        (number, ended), self._unsent = self._unsent, None
        shown = ended or list(self.venue.market.bars_of(number))
        messages = print_messages(shown, at_open=not ended)
        messages += self.data_faults.bars(ended)
        if self.hub.listeners:
            sent = []  # as one frame: a client that waits for the rest of a minute has it at once
            for message in messages:
                sent += self.bar_faults.pass_on(message) if message["T"] == "b" else [message]
            if sent and not self.bar_faults.frozen:
                await self.hub.publish(sent)

    async def tell(self) -> bool:
        """Send what has happened to orders since the last time; whether there was anything."""
        news, self._told = self.venue.updates[self._told :], len(self.venue.updates)
        await self.trade_stream.publish(news)
        return bool(news)

    async def drop(self, stream: str | None) -> None:
        """Cut the streams of one kind (trades, data), or all."""
        path = {"trades": "/stream", "data": self.data_path, None: "/"}[stream]
        await self.cut_streams(path)

    # --- its own clock ----------------------------------------------------------------------------

    async def started(self) -> None:
        """Begin to replay, unless it is stepped."""
        self.set_speed(self.speed)

    async def ending(self) -> None:
        """Stop replaying, and close the file."""
        if self._replaying is not None:
            self._replaying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._replaying
        self.venue.close()

    def set_speed(self, speed: float) -> None:
        """Replay at this speed from now on; call it in the loop."""
        self.speed = speed
        self._anchor = (time.monotonic(), micros(self.venue.now))
        if self._replaying is None and speed > 0.0:
            self._replaying = asyncio.get_running_loop().create_task(self._replay())

    def _elapsed(self) -> int:
        """The exchange's clock by the speed, microseconds UTC."""
        began, at = self._anchor
        return at + int((time.monotonic() - began) * self.speed * 1e6)

    async def _replay(self) -> None:
        while not self.venue.is_over:
            event = self.venue.market.event(self.venue.next_event)
            assert event is not None
            if self.speed <= 0.0:
                await asyncio.sleep(_LONGEST_SLEEP)
                continue
            left = (event.time - self._elapsed()) / 1e6
            if passed_at_once(event, micros(self.venue.now)):
                self._anchor, left = (time.monotonic(), event.time), 0.0
            if left > 0.0:
                await asyncio.sleep(min(left / self.speed, _LONGEST_SLEEP))
                continue
            if event.kind == OPENS:
                await self._wait_for_decisions()
                self._anchor = (time.monotonic(), event.time)
            await self.advance()

    async def _wait_for_decisions(self) -> None:
        """Wait until nobody has sent an order for `decision_seconds`; not for ever."""
        began = time.monotonic()
        self._ordered_at = began
        longest = began + _MOST_WAITS * self.decision_seconds
        while True:
            until = min(self._ordered_at + self.decision_seconds, longest)
            left = until - time.monotonic()
            if left <= 0.0:
                return
            await asyncio.sleep(left)

    def move_clock(self) -> None:
        """Bring the exchange's clock to the present of a replay."""
        if self.speed > 0.0:
            self.venue.set_time(self._elapsed())

    # --- requests ---------------------------------------------------------------------------------

    def _trading(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            headers = self._limit_headers()
            try:
                self._check_keys(request)
                if headers["X-RateLimit-Remaining"] == "-1":
                    refused, headers = limited(
                        self.request_limit, float(headers["X-RateLimit-Reset"])
                    )
                    raise refused
                self.move_clock()
                if request.method != "GET":
                    self._ordered_at = time.monotonic()
                found = handler(self.venue, request, await _body(request))
            except Refused as refused:
                return JSONResponse(refused.body, refused.status, headers=headers)
            except ValueError as error:
                return JSONResponse(
                    {"code": 42210000, "message": f"invalid request: {error}"}, 422, headers=headers
                )
            await self.tell()
            if isinstance(found, trading.Answer):
                return _response(found.body, found.status, headers)
            return _response(found, 200, headers)

        return answer

    def _data(
        self, page: Callable[..., Any], *, needs_keys: bool = True
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                if needs_keys:
                    self._check_keys(request)
                self.move_clock()
                return _response(page(self.venue, request.query_params), 200, {})
            except Refused as refused:
                return JSONResponse(refused.body, refused.status)

        return answer

    async def _latest(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        if kind not in {"bars", "trades", "quotes"}:
            return JSONResponse({"message": "not found"}, 404)
        needs_keys = not self.venue.market.is_crypto
        answer = self._data(
            lambda venue, query: market_data.latest(venue, kind, query), needs_keys=needs_keys
        )
        return await answer(request)

    def _check_keys(self, request: Request) -> None:
        given = tuple(
            request.headers.get(name, "") for name in ("apca-api-key-id", "apca-api-secret-key")
        )
        if given != self.keys:
            raise unauthorized()

    @property
    def request_limit(self) -> int:
        """Requests in a minute of real time: `requests_per_minute` of the exchange's clock."""
        return round(self.requests_per_minute * max(1.0, self.speed))

    def _limit_headers(self) -> dict[str, str]:
        """The rate limit's headers after this request; remaining -1: it is over the limit."""
        now, limit = time.monotonic(), self.request_limit
        while self._asked and self._asked[0] <= now - _MINUTE:
            self._asked.popleft()
        left = limit - len(self._asked) - 1
        if left >= 0:
            self._asked.append(now)
        reset = (self._asked[0] if self._asked else now) + _MINUTE
        return {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(max(left, -1)),
            "X-RateLimit-Reset": f"{self.clock() + reset - now:.0f}",
        }

    async def _listen(self, socket: WebSocket) -> None:
        await self.trade_stream.serve(socket)

    async def _stream(self, socket: WebSocket) -> None:
        await self.hub.serve(socket)


def passed_at_once(event: Event, now: int) -> bool:
    """Whether the time before an event is one without bars, such as a night. The time between a
    bar's open and its end never is, however long the bar.
    """
    return event.kind == OPENS and event.time - now > _LONGEST_GAP * 1e6


def _no_actions(_venue: Venue, _query: Any) -> Any:
    return {"corporate_actions": {}, "next_page_token": None}


def _response(found: Any, status: int, headers: dict[str, str]) -> Response:
    if status == 204:
        return Response(status_code=204, headers=headers)
    body = json.dumps(found, default=_encode, separators=(",", ":")).encode()
    return Response(body, status, headers=headers, media_type="application/json")


def _encode(value: Any) -> str:
    return wire.rfc3339(value) if isinstance(value, datetime) else str(value)


async def _body(request: Request) -> Any:
    if request.method not in {"POST", "PATCH"}:
        return None
    try:
        return json.loads(await request.body() or b"{}")
    except ValueError:
        raise malformed() from None
