"""The account stream `/stream`: who listens, and what a fault does to the messages on their way.

Messages are JSON in binary frames, as on Alpaca's paper accounts. The server says nothing before
it is asked, and nothing is replayed after a break.
"""

import asyncio
import json
from collections import deque
from collections.abc import Iterable, MutableMapping, Sequence
from typing import Any, Literal

from starlette.websockets import WebSocket, WebSocketDisconnect

from harmony_pipeline.exchange.orders import Json

StreamFault = Literal["lose", "duplicate", "reorder", "delay"]


class MessageFaults:
    """What happens to the next messages of a stream, one fault each. `frozen`: everything is lost
    while the connection stands.
    """

    def __init__(self) -> None:
        self.script: deque[StreamFault] = deque()
        self.frozen = False
        self._kept: list[Json] = []  # sent after the next message
        self._late: list[Json] = []  # sent when `late` is asked

    def pass_on(self, message: Json) -> list[Json]:
        """What is sent in place of `message`."""
        if self.frozen:
            return []
        fault = self.script.popleft() if self.script else None
        if fault == "lose":
            return []
        if fault == "delay":
            self._late.append(message)
            return []
        if fault == "reorder":
            self._kept.append(message)
            return []
        sent = [message, *([message] if fault == "duplicate" else []), *self._kept]
        self._kept = []
        return sent

    def late(self) -> list[Json]:
        """Messages that were held back; they come now."""
        late, self._late, self._kept = [*self._kept, *self._late], [], []
        return late

    def clear(self) -> None:
        """Forget what has not happened; held messages still come."""
        self.script.clear()
        self.frozen = False


class TradeStream:
    """Listeners of one account. `refusing`: the keys are refused from now on."""

    def __init__(self, keys: tuple[str, str]) -> None:
        self._keys = keys
        self._listeners: list[WebSocket] = []
        self._sending = asyncio.Lock()
        self.faults = MessageFaults()
        self.refusing = False
        self.connected = 0
        self.sent = 0  # updates on their way to at least one listener

    @property
    def listeners(self) -> int:
        """How many hear trade updates."""
        return len(self._listeners)

    async def serve(self, socket: WebSocket) -> None:
        """One connection from its first message to its end."""
        await socket.accept()
        authorized = False
        self.connected += 1
        try:
            while True:
                said = _read(await socket.receive())
                action, data = said.get("action"), said.get("data") or {}
                if action in {"authenticate", "auth"}:
                    given = (data.get("key_id"), data.get("secret_key"))
                    authorized = given == self._keys and not self.refusing
                    await _send(socket, _authorization(authorized))
                elif action == "listen" and authorized:
                    await self._listen(socket, data.get("streams") or [])
                elif not authorized:
                    await _send(socket, _authorization(False))
                    await socket.close()
                    return
        except (WebSocketDisconnect, RuntimeError):
            return
        finally:
            if socket in self._listeners:
                self._listeners.remove(socket)

    async def _listen(self, socket: WebSocket, streams: Sequence[str]) -> None:
        known = [name for name in streams if name == "trade_updates"]
        await _send(socket, {"stream": "listening", "data": {"streams": known}})
        if known and socket not in self._listeners:
            self._listeners.append(socket)

    async def publish(self, updates: Iterable[Json]) -> None:
        """Tell everybody what happened, in order, as far as no fault forbids it."""
        async with self._sending:
            for update in updates:
                for each in self.faults.pass_on(update):
                    await self._tell(each)

    async def publish_late(self) -> None:
        """Tell what was held back."""
        async with self._sending:
            for each in self.faults.late():
                await self._tell(each)

    async def _tell(self, update: Json) -> None:
        self.sent += bool(self._listeners)
        for listener in list(self._listeners):
            try:
                await _send(listener, {"stream": "trade_updates", "data": update})
            except (RuntimeError, WebSocketDisconnect, OSError):
                if listener in self._listeners:
                    self._listeners.remove(listener)


def _authorization(authorized: bool) -> Json:
    status = "authorized" if authorized else "unauthorized"
    return {"stream": "authorization", "data": {"action": "authenticate", "status": status}}


def _read(event: MutableMapping[str, Any]) -> Json:
    if event["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(event.get("code", 1006))
    raw = event.get("bytes") if event.get("bytes") is not None else event.get("text")
    try:
        said = json.loads(raw or "")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


async def _send(socket: WebSocket, message: Json) -> None:
    await socket.send_bytes(json.dumps(message).encode())
