"""A local HTTP and WebSocket server in a thread, and the faults it can be told to commit.

    server = LocalServer([Route("/v1/time", answer), WebSocketRoute("/ws", feed)])
    server.faults.add(*[Fault(status=429, headers={"Retry-After": "1"})] * 3, path="/v1/bars",
    after=2) with server:
        Client(server.url) ... Client(server.ws_url)
    assert [each.query.get("page_token") for each in server.seen] == [...]

A fault happens on a real connection (a real status line, a real reset), and it is used up in the
order it was given, so that a test knows which answer was the bad one. A venue's server subclasses
`LocalServer` with its routes and its data.
"""

import asyncio
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Self, TypeVar

from starlette.applications import Starlette
from starlette.datastructures import Headers, QueryParams
from starlette.routing import BaseRoute
from starlette.types import Message, Receive, Scope, Send

_START_SECONDS = 10.0
_LOOK_SECONDS = 0.002
_MOST_SEEN = 100_000
# SO_LINGER with no time: the peer sees a reset, not an end
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Fault:
    """One bad answer. Without `status` the true answer is given, late or cut short.

    A fault on a WebSocket path refuses the connection by a reset.
    """

    status: int | None = None
    body: str | Mapping[str, Any] = ""
    """Text (HTML, say) or an object that is sent as JSON; only with `status`."""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    held_until: threading.Event | None = None
    """The request is read, and nothing done with it until this is set."""
    performed: bool = False
    """The request is carried out before the bad answer is given: what it did stays done."""
    cut_after_bytes: int | None = None
    """So much of the true body is sent, then the connection is reset; 0 sends the headers alone."""


RESET_AT_ONCE = -1
RESET = Fault(cut_after_bytes=RESET_AT_ONCE)  # nothing is sent at all
LOST_ANSWER = Fault(cut_after_bytes=RESET_AT_ONCE, performed=True)


@dataclass(frozen=True)
class Seen:
    """One request as it arrived, and what was done to it."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    fault: Fault | None


@dataclass
class _Rule:
    path: str
    method: str | None
    after: int
    queue: deque[Fault | None]


class Faults:
    """A script of faults. Rules are asked in the order they were added; the first with something
    left to say for a path decides.
    """

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()

    def add(
        self, *faults: Fault | None, path: str = "/", after: int = 0, method: str | None = None
    ) -> None:
        """Let `after` requests whose path begins with `path` (of `method` alone, where it is given)
        through, then commit these faults, one a request; None answers well.
        """
        with self._lock:
            self._rules.append(_Rule(path, method, after, deque(faults)))

    def clear(self) -> None:
        """Forget what has not happened yet."""
        with self._lock:
            self._rules.clear()

    @property
    def left(self) -> int:
        """How many are still to come."""
        with self._lock:
            return sum(len(rule.queue) for rule in self._rules)

    def next(self, path: str, method: str = "GET") -> Fault | None:
        """What to do to the request that has just arrived."""
        with self._lock:
            for rule in self._rules:
                fits = path.startswith(rule.path) and rule.method in (None, method)
                if rule.queue and fits:
                    if rule.after > 0:
                        rule.after -= 1
                        continue
                    return rule.queue.popleft()
        return None


class LocalServer:
    """Serves `routes` on 127.0.0.1 at `port` (0: one of the system's choice), from entering the
    context to leaving it.

    Handlers run in the server's own event loop and thread; `call` runs a coroutine there from the
    test's thread.
    """

    def __init__(self, routes: Sequence[BaseRoute], port: int = 0) -> None:
        import uvicorn

        from harmony_pipeline.exchange.prompt_server import PromptServer

        self.faults = Faults()
        self.seen: list[Seen] = []
        self.clock: Callable[[], float] = time.time
        """Unix seconds: the `Date` of an answer."""
        self._app = Starlette(routes=list(routes))
        config = uvicorn.Config(
            self._serve,
            loop="asyncio",
            http="h11",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            proxy_headers=False,
            date_header=False,  # uvicorn's is up to a second old, and older on a busy machine
            access_log=False,
        )
        self._server = PromptServer(config)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._port = port

    # --- its life ---------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", self._port))
        # Accepted connections inherit it; asyncio sets it only where a socket names its protocol,
        # and without it every answer waits 40 ms for an acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._port = listener.getsockname()[1]
        self._thread = threading.Thread(
            target=self._run, args=(listener,), name=type(self).__name__, daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError(
                    f"{type(self).__name__} did not start within {_START_SECONDS:.0f} s"
                )
            time.sleep(0.005)
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        if self._loop is not None and self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._server.stopped.set)
        if self._thread is not None:
            self._thread.join(timeout=_START_SECONDS)

    def _run(self, listener: socket.socket) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            serving = self._loop.create_task(self._server.serve(sockets=[listener]))
            # uvicorn sets a flag, no event
            while not self._server.started and not serving.done():  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_SECONDS)
            await self.started()
            try:
                await serving
            finally:
                await self.ending()

        with listener, asyncio.Runner() as runner:
            runner.run(serve())

    # --- for the test -----------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Base address, without a slash at the end."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def ws_url(self) -> str:
        """Base address of the WebSocket side."""
        return f"ws://127.0.0.1:{self._port}"

    def call(self, pipeline: Coroutine[Any, Any, Answer]) -> Answer:
        """Run `pipeline` in the server's loop and wait for what it returns."""
        assert self._loop is not None, "the server is not running"
        return asyncio.run_coroutine_threadsafe(pipeline, self._loop).result(timeout=30)

    def drop_streams(self) -> int:
        """Reset every open WebSocket connection; says how many there were."""
        return self.call(self.cut_streams())

    async def cut_streams(self, path: str = "/") -> int:
        """`drop_streams`, in the loop; those whose path begins with `path`."""
        open_streams = [
            each
            for each in self._server.server_state.connections
            if "WebSocket" in type(each).__name__ and each.scope["path"].startswith(path)  # type: ignore[union-attr]
        ]
        for each in open_streams:
            _reset(each.transport)
        return len(open_streams)

    def asked(self, path: str) -> list[Seen]:
        """The requests to exactly `path`, in the order they arrived."""
        return [each for each in self.seen if each.path == path]

    # --- serving ----------------------------------------------------------------------------------

    async def started(self) -> None:
        """Called in the loop once the server answers."""

    async def ending(self) -> None:
        """Called in the loop before the server ends."""

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self.faults.next(scope["path"], scope.get("method", "WEBSOCKET"))
        query = dict(QueryParams(scope["query_string"]))
        if len(self.seen) == _MOST_SEEN:
            self.seen.clear()
        self.seen.append(
            Seen(
                scope.get("method", "WEBSOCKET"),
                scope["path"],
                query,
                dict(Headers(scope=scope)),
                fault,
            )
        )
        if scope["type"] == "http":
            cycle = send.__self__  # type: ignore[attr-defined]  # as in `_transport`
            date = formatdate(self.clock(), usegmt=True).encode("latin-1")
            cycle.default_headers = [*cycle.default_headers, (b"date", date)]
        if fault is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket" or fault == RESET:
            _reset(_transport(send))
        else:
            await self._commit(fault, scope, receive, send)

    async def _commit(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.delay_seconds or fault.held_until is not None:
            receive = await _buffered(receive)
            await asyncio.sleep(fault.delay_seconds)
        while fault.held_until is not None and not fault.held_until.is_set():  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)
        if fault.performed and (fault.status is not None or fault.cut_after_bytes == RESET_AT_ONCE):
            await self._app(scope, receive, _drop)
        if fault.cut_after_bytes == RESET_AT_ONCE:
            _reset(_transport(send))
        elif fault.status is not None:
            await _answer(send, fault.status, fault.body, fault.headers)
        elif fault.cut_after_bytes is None:
            await self._app(scope, receive, send)
        else:
            await self._cut(fault.cut_after_bytes, scope, receive, send)

    async def _cut(self, keep: int, scope: Scope, receive: Receive, send: Send) -> None:
        """The true answer's head with its full length, a part of its body, then a reset."""
        kept: list[Message] = []

        async def hold(message: Message) -> None:
            kept.append(message)

        await self._app(scope, receive, hold)
        body = b"".join(message.get("body", b"") for message in kept[1:])
        await send(kept[0])
        await send(
            {
                "type": "http.response.body",
                "body": body[: min(keep, len(body) - 1)],
                "more_body": True,
            }
        )
        _reset(_transport(send))


async def _buffered(receive: Receive) -> Receive:
    """The request, read whole: it can be carried out when the client has given up."""
    kept = [await receive()]
    while kept[-1].get("more_body"):
        kept.append(await receive())

    async def again() -> Message:
        return kept.pop(0) if kept else await receive()

    return again


async def _drop(_message: Message) -> None:
    """Where an answer goes that nobody shall have."""


async def _answer(
    send: Send, status: int, body: str | Mapping[str, Any], headers: Mapping[str, str]
) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    kind = (
        "application/json" if not isinstance(body, str) or text[:1] in {"{", "["} else "text/html"
    )
    head = {"content-type": kind, **headers, "content-length": str(len(text.encode()))}
    await send({"type": "http.response.start", "status": status, "headers": _raw(head.items())})
    await send({"type": "http.response.body", "body": text.encode()})


def _raw(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _transport(send: Send) -> Any:
    """The connection beneath an ASGI `send`, which is a bound method of what owns it in uvicorn."""
    return send.__self__.transport  # type: ignore[attr-defined]


def _reset(transport: Any) -> None:
    transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
    )
    transport.abort()
