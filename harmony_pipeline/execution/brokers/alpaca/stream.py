"""Alpaca's account stream: alpaca-py's `TradingStream` in a thread of its own that only queues.

alpaca-py reconnects in silence, tries refused keys for ever, and hears nothing on a connection that
stands but is mute. So every connection, break and trouble is queued between the updates, refused
keys end the stream, and `restart` opens it anew.
"""

import asyncio
import contextlib
import json
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from alpaca.trading.stream import TradingStream

from harmony_pipeline.execution.brokers.alpaca.keys import Keys
from harmony_pipeline.execution.brokers.alpaca.settings import AlpacaSettings

_JOIN_SECONDS = 10.0
_MOST_FAILURES = 3  # of authentication, before the keys are believed to be wrong


@dataclass(frozen=True)
class Connected:
    """Updates reach us from now on."""


@dataclass(frozen=True)
class Disconnected:
    """The connection is gone; what happens until the next one is told by nobody."""


@dataclass(frozen=True)
class Refused:
    """The stream refuses the keys, and has ended."""


Item = Connected | Disconnected | Refused | dict[str, Any]


class _ReportingStream(TradingStream):
    """Tells what alpaca-py otherwise writes to a log only."""

    tell: Callable[[Item], None]
    failures = 0  # of authentication, in a row

    async def _start_ws(self) -> None:
        try:
            await super()._start_ws()  # type: ignore[no-untyped-call]
        except json.JSONDecodeError:  # a ValueError, too, and nobody's word about the keys
            raise
        except ValueError:  # alpaca-py's word for refused keys
            self.failures += 1
            if self.failures >= _MOST_FAILURES:
                self._should_run = False
                self.tell(Refused())
            raise
        self.failures = 0

    async def _dispatch(self, msg: dict[str, Any]) -> None:
        if msg.get("stream") == "listening":
            self.tell(Connected())
        elif msg.get("stream") == "trade_updates":
            self.tell(msg.get("data") or {})

    async def close(self) -> None:
        self.tell(Disconnected())
        await super().close()


class UpdateStream:
    """Updates of one account, queued in the order in which they came."""

    def __init__(self, settings: AlpacaSettings, keys: Keys) -> None:
        self._settings, self._keys = settings, keys
        self._items: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stream: _ReportingStream | None = None
        self._ending = threading.Event()
        self.heard = 0  # updates so far
        self.connections = 0
        self.is_up = False
        self._thread = threading.Thread(target=self._listen, name="alpaca updates", daemon=True)
        self._thread.start()

    def take(self) -> list[Item]:
        """Everything that has come since the last call. Does not wait."""
        items: list[Item] = []
        with contextlib.suppress(queue.Empty):
            while True:
                items.append(self._items.get_nowait())
        return items

    def restart(self) -> None:
        """Open the connection anew: it stands but says nothing."""

        def cut() -> None:
            socket = None if self._stream is None else self._stream._ws
            if socket is not None:
                socket.transport.abort()

        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(cut)

    def wait_until_up(self, seconds: float) -> bool:
        """Wait until updates reach us; whether they do."""
        until = time.monotonic() + seconds
        while not self.is_up and self._thread.is_alive() and time.monotonic() < until:
            time.sleep(0.005)
        return self.is_up

    def close(self) -> None:
        """End connection and thread."""
        self._ending.set()
        until = time.monotonic() + _JOIN_SECONDS
        while self._thread.is_alive() and time.monotonic() < until:
            if self._loop is not None and self._task is not None:
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join(timeout=0.05)

    # --- the thread -------------------------------------------------------------------------------

    def _tell(self, item: Item) -> None:
        if isinstance(item, dict):
            self._items.put(item)
            self.heard += 1
            return
        was_up, self.is_up = self.is_up, isinstance(item, Connected)
        self.connections += self.is_up
        if self.is_up or was_up or isinstance(item, Refused):
            self._items.put(item)

    def _listen(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._connection())
        self.is_up = False

    async def _connection(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        settings = self._settings
        stream = _ReportingStream(
            self._keys.key, self._keys.secret, raw_data=True, url_override=settings.order_stream
        )
        stream.tell = self._tell
        stream._reconnect_min_backoff = settings.reconnect_seconds
        stream._reconnect_max_backoff = settings.longest_reconnect_seconds

        async def nothing(_update: Any) -> None:
            """alpaca-py listens only where there is a handler; `_dispatch` takes the updates."""

        stream.subscribe_trade_updates(nothing)
        self._stream = stream
        try:
            while not self._ending.is_set():
                await stream._run_forever()  # type: ignore[no-untyped-call]
                if not stream._should_run:
                    return
        finally:
            with contextlib.suppress(Exception):
                await TradingStream.close(stream)
