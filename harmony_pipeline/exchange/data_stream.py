"""Alpaca's market-data stream (`/v2/iex`, `/v2/sip`): who is connected, what each subscribed to,
and every refusal by its number.

The order of messages is the protocol's: `connected`, then within `auth_seconds` the keys,
`authenticated`, subscriptions each answered by the whole of what one has, then data in arrays.
Nothing is replayed after a break. msgpack for clients that ask for it (alpaca-py does), JSON for
others.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from starlette.websockets import WebSocket, WebSocketDisconnect

from harmony_pipeline.exchange.wire import CHANNELS, Json, rfc3339

ERRORS = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    407: "slow client",
    409: "insufficient subscription",
    500: "internal error",
}


def error(code: int) -> Json:
    """The message of an error code."""
    return {"T": "error", "code": code, "msg": ERRORS[code]}


@dataclass(eq=False)
class Listener:
    """One connection: how it wants its messages, and what it listens to."""

    socket: WebSocket
    packed: bool
    wanted: dict[str, set[str]] = field(
        default_factory=lambda: {name: set() for name in CHANNELS.values()}
    )

    def wants(self, message: Json) -> bool:
        """Whether it listens to this message."""
        symbols = self.wanted.get(CHANNELS.get(message["T"], ""), set())
        return message["S"] in symbols or "*" in symbols

    async def send(self, *messages: Json) -> None:
        """One array of messages; times are msgpack timestamps or texts. A listener that has gone
        hears nothing.
        """
        import msgpack

        try:
            if self.packed:
                await self.socket.send_bytes(msgpack.packb(list(messages), datetime=True))
            else:
                await self.socket.send_text(json.dumps(list(messages), default=rfc3339))
        except (RuntimeError, WebSocketDisconnect, OSError):
            return

    async def receive(self) -> Json | None:
        """The next message, or None when it cannot be read."""
        import msgpack

        event = await self.socket.receive()
        if event["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(event.get("code", 1006))
        raw = event.get("bytes") if event.get("bytes") is not None else event.get("text")
        try:
            said = msgpack.unpackb(raw) if isinstance(raw, bytes) else json.loads(raw or "")
        except (ValueError, msgpack.UnpackException):
            return None
        return said if isinstance(said, dict) else None


class StreamHub:
    """Every listener of one server. `refusals` holds codes that the next authentications are
    answered with, before keys are looked at. A listener that does not read for `slow_seconds` is
    cut off; the slot of one that has gone is taken for `slot_hold_seconds` more.
    """

    def __init__(
        self,
        keys: tuple[str, str],
        feeds: Iterable[str],
        *,
        symbol_limit: int | None = None,
        connection_limit: int = 1,
        auth_seconds: float = 10.0,
        slow_seconds: float = 5.0,
        slot_hold_seconds: float = 0.0,
    ) -> None:
        self.keys, self.feeds = keys, frozenset(feeds)
        self.symbol_limit, self.connection_limit, self.auth_seconds = (
            symbol_limit,
            connection_limit,
            auth_seconds,
        )
        self.slow_seconds, self.slot_hold_seconds = slow_seconds, slot_hold_seconds
        self._held_until: list[float] = []
        self.listeners: list[Listener] = []
        self.refusals: list[int] = []
        self.connected = 0
        self.subscribed: Callable[[], Awaitable[None]] | None = None

    async def serve(self, socket: WebSocket) -> None:
        """One connection from its first message to its end."""
        await socket.accept()
        listener = Listener(socket, "msgpack" in socket.headers.get("content-type", ""))
        self.connected += 1
        try:
            await listener.send({"T": "success", "msg": "connected"})
            if await self._authenticated(listener, socket.path_params.get("feed", "")):
                self.listeners.append(listener)
                await listener.send({"T": "success", "msg": "authenticated"})
                while True:
                    await self._obey(listener, await listener.receive())
            else:
                await socket.close()
        except (WebSocketDisconnect, RuntimeError):
            return
        finally:
            self._leave(listener)

    def _leave(self, listener: Listener) -> None:
        """Forget a listener; its slot may stay taken for a while, as a cut session's does."""
        if listener in self.listeners:
            self.listeners.remove(listener)
            if self.slot_hold_seconds:
                self._held_until.append(time.monotonic() + self.slot_hold_seconds)

    async def publish(self, messages: Iterable[Json], times: int = 1) -> None:
        """Give every listener what it listens to, `times` over (a repeated frame)."""
        kept = list(messages)
        for listener in list(self.listeners):
            wanted = [message for message in kept if listener.wants(message)]
            for _ in range(times if wanted else 0):
                await self._send_in_time(listener, wanted)

    async def _send_in_time(self, listener: Listener, messages: list[Json]) -> None:
        """Send, unless the client does not read: it is told so (407) and cut off."""
        try:
            await asyncio.wait_for(listener.send(*messages), self.slow_seconds)
        except TimeoutError:
            self._leave(listener)
            with contextlib.suppress(TimeoutError, RuntimeError, OSError):
                await asyncio.wait_for(listener.send(error(407)), 0.05)
                await asyncio.wait_for(listener.socket.close(), 0.05)

    async def say(self, *messages: Json) -> None:
        """Tell every listener something, asked for or not."""
        for listener in list(self.listeners):
            await listener.send(*messages)

    async def _authenticated(self, listener: Listener, feed: str) -> bool:
        try:
            said = await asyncio.wait_for(listener.receive(), self.auth_seconds)
        except TimeoutError:
            await listener.send(error(404))
            return False
        code = self._verdict(said, feed)
        if code is not None:
            await listener.send(error(code))
        return code is None

    def _verdict(self, said: Json | None, feed: str) -> int | None:
        if said is None:
            return 400
        if said.get("action") != "auth":
            return 401
        if self.refusals:
            return self.refusals.pop(0)
        if (said.get("key"), said.get("secret")) != self.keys:
            return 402
        if feed not in self.feeds:
            return 409
        now = time.monotonic()
        self._held_until = [until for until in self._held_until if until > now]
        taken = len(self.listeners) + len(self._held_until)
        return 406 if taken >= self.connection_limit else None

    async def _obey(self, listener: Listener, said: Json | None) -> None:
        action = None if said is None else said.get("action")
        if said is None or action not in {"auth", "subscribe", "unsubscribe"}:
            await listener.send(error(400))
            return
        if action == "auth":
            await listener.send(error(403))
            return
        changed = {name: set(said.get(name, ())) for name in listener.wanted}
        after = {
            name: (have | changed[name]) if action == "subscribe" else (have - changed[name])
            for name, have in listener.wanted.items()
        }
        if self.symbol_limit is not None and len(set().union(*after.values())) > self.symbol_limit:
            await listener.send(error(405))
            return
        listener.wanted = after
        await listener.send(
            {"T": "subscription", **{name: sorted(symbols) for name, symbols in after.items()}}
        )
        if self.subscribed is not None:
            await self.subscribed()
