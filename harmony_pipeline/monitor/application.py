"""The web application of the monitor: one page, its files, a stream of changes, two actions.

GET  /                 the page
GET  /static/NAME      its styles and scripts
GET  /api/stream       changes, as server-sent events
GET  /api/chart        bars, indicators of one symbol
GET  /api/ticks        last trades and quotes of one symbol
POST /api/kill         pull the kill switch        (token)
POST /api/rearm        take it back                (token)
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from harmony_pipeline.files import write_text
from harmony_pipeline.log import log
from harmony_pipeline.monitor.access import TOKEN_HEADER, StrictHeaders, TokenCheck
from harmony_pipeline.monitor.changes import milliseconds
from harmony_pipeline.monitor.event_stream import event_stream
from harmony_pipeline.monitor.follower import Follower
from harmony_pipeline.monitor.hub import Hub
from harmony_pipeline.monitor.market import Market
from harmony_pipeline.session.process_control import KILL, kill_reason

STATIC = Path(__file__).parent / "static"
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css"}
_MOST_PAGES = 32
_LONGEST_BODY = 4_096
_LONGEST_REASON = 200
_TICKS = 30
_WRONG_TOKEN_SECONDS = 0.3


@dataclass(frozen=True)
class Monitor:
    """What the application serves. state: where the kill switch is; replayed: a past session has
    none.
    """

    hub: Hub
    follower: Follower | None
    market: Market
    state: Path
    token: TokenCheck
    replayed: bool = False


def application(monitor: Monitor, hosts: list[str]) -> Starlette:
    """The application; `hosts` are the names that requests may ask for ("*": any)."""
    handlers = _Handlers(monitor)
    return Starlette(
        routes=[
            Route("/", handlers.page),
            Route("/static/{name}", handlers.static),
            Route("/favicon.ico", handlers.no_icon),
            Route("/api/stream", handlers.stream),
            Route("/api/chart", handlers.chart),
            Route("/api/ticks", handlers.ticks),
            Route("/api/kill", handlers.kill, methods=["POST"]),
            Route("/api/rearm", handlers.rearm, methods=["POST"]),
        ],
        middleware=[
            Middleware(StrictHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=hosts),
        ],
    )


@cache
def static_files() -> dict[str, bytes]:
    """The page's files by name."""
    return {path.name: path.read_bytes() for path in STATIC.iterdir() if path.suffix in _TYPES}


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("harmony_pipeline.monitor"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


class _Handlers:
    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._pages = 0

    async def page(self, _request: Request) -> Response:
        """The page."""
        template = _environment().get_template("monitor.html.j2")
        return HTMLResponse(template.render(replayed=self._monitor.replayed))

    async def no_icon(self, _request: Request) -> Response:
        """Browsers ask for one by themselves."""
        return Response(status_code=204)

    async def static(self, request: Request) -> Response:
        """A file of the page."""
        name = request.path_params["name"]
        content = static_files().get(name)
        if content is None:
            return PlainTextResponse("there is no such file", 404)
        return Response(content, media_type=_TYPES[Path(name).suffix])

    async def stream(self, request: Request) -> Response:
        """Changes, until the page leaves."""
        if self._pages >= _MOST_PAGES:
            return PlainTextResponse("too many pages are open", 503)
        events = self._counted(
            event_stream(self._monitor.hub, request.headers.get("last-event-id"))
        )
        return StreamingResponse(events, media_type="text/event-stream")

    async def _counted(self, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        self._pages += 1
        try:
            async for each in events:
                yield each
        finally:
            self._pages -= 1

    # --- the market -------------------------------------------------------------------------------

    async def chart(self, request: Request) -> Response:
        """Bars and indicators of a symbol, as far as the session has heard."""
        return await self._of_symbol(request, self._chart)

    async def ticks(self, request: Request) -> Response:
        """Its last trades and quotes, where the lake has ticks."""
        return await self._of_symbol(request, self._ticks)

    async def _of_symbol(self, request: Request, answer: Callable[[str], Any]) -> Response:
        symbol = request.query_params.get("symbol", "")
        feed = self._monitor.follower.feed if self._monitor.follower else None
        if feed is None or symbol not in {*feed.books.symbols, *feed.books.held_symbols}:
            return PlainTextResponse("the session has no such symbol", 404)
        found = await asyncio.to_thread(answer, symbol)
        return Response(msgspec.json.encode(found), media_type="application/json")

    def _chart(self, symbol: str) -> dict[str, Any]:
        assert self._monitor.follower is not None
        feed = self._monitor.follower.feed
        assert feed is not None
        names = self._monitor.market.indicators()
        frame = self._monitor.market.chart(feed.day, symbol)
        rows = frame[: int((frame["timestamp"].to_physical() <= feed.cursor).sum())]
        times = [milliseconds(at) for at in rows["timestamp"].to_physical()]
        prices = [rows[name].to_list() for name in ("open", "high", "low", "close", "volume")]
        bars = dict(zip(times, zip(*prices, strict=True), strict=True))
        # those of a running day are not in the lake yet
        bars |= {milliseconds(bar[1]): bar[2:] for bar in list(feed.history.get(symbol, ()))}
        return {
            "symbol": symbol,
            "bars": [(at, *bars[at]) for at in sorted(bars)],
            "indicators": {
                name: list(zip(times, rows[name].to_list(), strict=True))
                for name in names
                if name in rows.columns
            },
        }

    def _ticks(self, symbol: str) -> dict[str, Any]:
        assert self._monitor.follower is not None
        feed, market = self._monitor.follower.feed, self._monitor.market
        assert feed is not None
        until = feed.cursor + market.bar_micros
        return {
            "symbol": symbol,
            "trades": market.trades(feed.day, symbol, until, _TICKS),
            "quotes": market.quotes(feed.day, symbol, until, _TICKS),
        }

    # --- the two actions --------------------------------------------------------------------------

    async def kill(self, request: Request) -> Response:
        """Pull the kill switch with a reason."""
        refusal = await self._refusal(request)
        if refusal is not None:
            return refusal
        reason = await _reason(request)
        if reason is None:
            return PlainTextResponse("send a JSON object with a reason", 400)
        state = self._monitor.state
        await asyncio.to_thread(write_text, state / KILL, f"{reason} (monitor)\n")
        await asyncio.to_thread(log, state, "kill switch pulled", reason=reason, by="monitor")
        return PlainTextResponse("the kill switch is on")

    async def rearm(self, request: Request) -> Response:
        """Take the kill switch back, so that a session may start again."""
        refusal = await self._refusal(request)
        if refusal is not None:
            return refusal
        state = self._monitor.state
        was = kill_reason(state)
        with contextlib.suppress(FileNotFoundError):
            (state / KILL).unlink()
        await asyncio.to_thread(log, state, "kill switch taken back", was=was, by="monitor")
        return PlainTextResponse("the kill switch is off")

    async def _refusal(self, request: Request) -> Response | None:
        """Why the action is not done; None when it may be."""
        address = request.client.host if request.client else ""
        if self._monitor.token.is_locked(address):
            return PlainTextResponse("too many wrong tokens: wait a minute", 429)
        if not self._monitor.token.allows(request.headers.get(TOKEN_HEADER, ""), address):
            await asyncio.sleep(_WRONG_TOKEN_SECONDS)
            return PlainTextResponse("the token is wrong", 403)
        if self._monitor.replayed:
            return PlainTextResponse("a past session cannot be stopped", 409)
        return None


async def _reason(request: Request) -> str | None:
    """The reason in a small JSON body; None for anything else."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_BODY:
            return None
    try:
        found = msgspec.json.decode(body, type=dict[str, str])
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
    words = " ".join(found.get("reason", "").split())[:_LONGEST_REASON]
    return words or "no reason given"


def wait_until(ready: Callable[[], bool], seconds: float) -> bool:
    """Whether `ready` became true in time."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
