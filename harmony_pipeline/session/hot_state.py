"""The present state of a session in Redis, for other processes to look at; the session itself never
reads it, and nothing depends on it.

    harmony:ACCOUNT:moment        end of the last moment, ISO 8601
    harmony:ACCOUNT:positions     JSON: symbol -> the columns of session_positions; where strategies
                                  share the account, strategy/symbol ->
    harmony:ACCOUNT:orders        JSON: client order id -> symbol, side, quantity, filled, status
    harmony:ACCOUNT:bars:SYMBOL   list of JSON bars, the newest first, at most 1,000
    harmony:ACCOUNT:quotes:SYMBOL list of JSON quotes, the same, where the strategy hears quotes

Everything of a moment is written by one transaction in a thread of its own. The session only puts
it into a bounded queue: when Redis is slow or down, moments are dropped and counted, and the log
says how many.
"""

import contextlib
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.execution.events import slot_name
from harmony_pipeline.execution.lifecycle import Order
from harmony_pipeline.session.stream import Batch
from harmony_pipeline.strategies.events import Quote

BARS, QUOTES = 1_000, 1_000
_WAITING = 256  # moments
_SECONDS = 1.0  # for each answer of Redis, and between two attempts
_PASSWORD = "REDIS_PASSWORD"  # noqa: S105  the name of the variable


class HotState:
    """Writes moments to the Redis at `url`. `tell` gets (event, facts) when moments begin to be
    dropped, and at the end if any were. Raises ConfigError without the package.
    """

    def __init__(self, url: str, account: str, tell: Callable[..., object]) -> None:
        try:
            import redis
        except ImportError:
            raise ConfigError(
                "session.redis needs the package redis: pip install 'harmony-pipeline[redis]'"
            ) from None
        try:
            self._redis: Any = redis.from_url(
                url,
                password=os.environ.get(_PASSWORD),
                socket_timeout=_SECONDS,
                socket_connect_timeout=_SECONDS,
            )
        except ValueError as error:
            raise ConfigError(f"session.redis: {error}") from None
        self._failure = (redis.RedisError, OSError)
        self._prefix = f"harmony:{account}"
        self._tell = tell
        self._queue: queue.Queue[dict[str, Any]] = queue.Queue(_WAITING)
        self._ending = threading.Event()
        self._dropped_lock = threading.Lock()
        self.dropped = 0
        self._thread = threading.Thread(target=self._write_all, name="hot state", daemon=True)
        self._thread.start()

    def show(
        self, batch: Batch, positions: Iterable[dict[str, Any]], orders: Iterable[Order]
    ) -> None:
        """Hand a moment over; returns at once."""
        moment = {
            "moment": batch.end.isoformat(),
            "positions": {slot_name(row["strategy"], row["symbol"]): row for row in positions},
            "orders": {
                order.client_order_id: {
                    "symbol": order.terms.symbol,
                    "strategy": order.terms.strategy,
                    "side": order.terms.side,
                    "quantity": order.quantity,
                    "filled": order.filled_quantity,
                    "status": str(order.status),
                }
                for order in orders
            },
            "bars": batch.bars,
        }
        try:
            self._queue.put_nowait(moment)
        except queue.Full:
            self._drop("the queue is full")

    def show_quotes(self, quotes: Sequence[Quote]) -> None:
        """Hand quotes over; returns at once. They have no more room than moments have, and are
        dropped likewise.
        """
        try:
            self._queue.put_nowait({"quotes": quotes})
        except queue.Full:
            self._drop("the queue is full")

    def close(self) -> None:
        """Give what waits a second to arrive; what does not is dropped."""
        self._ending.set()
        self._thread.join(2 * _SECONDS)
        if self.dropped:
            self._tell("redis missed moments", dropped=self.dropped)

    # --- the thread -------------------------------------------------------------------------------

    def _write_all(self) -> None:
        while True:
            try:
                moment = self._queue.get(timeout=0.05)
            except queue.Empty:
                if self._ending.is_set():
                    break
                continue
            try:
                self._write(moment)
            except self._failure as error:
                self._drop(str(error))
                if self._ending.wait(_SECONDS):
                    self._give_up()
                    break
        with contextlib.suppress(Exception):
            self._redis.close()

    def _write(self, moment: dict[str, Any]) -> None:
        if "quotes" in moment:
            self._write_quotes(moment["quotes"])
            return
        with self._redis.pipeline(transaction=True) as pipe:
            for name in ("positions", "orders"):
                pipe.set(f"{self._prefix}:{name}", msgspec.json.encode(moment[name]))
            for bar in moment["bars"]:
                key = f"{self._prefix}:bars:{bar.symbol}"
                pipe.lpush(key, msgspec.json.encode(bar))
                pipe.ltrim(key, 0, BARS - 1)
            pipe.set(f"{self._prefix}:moment", moment["moment"])
            pipe.execute()

    def _write_quotes(self, quotes: Sequence[Quote]) -> None:
        latest: dict[str, deque[bytes]] = {}
        for quote in quotes:
            lines = latest.setdefault(quote.symbol, deque(maxlen=QUOTES))
            lines.append(msgspec.json.encode(quote))
        with self._redis.pipeline(transaction=True) as pipe:
            for symbol, lines in latest.items():
                key = f"{self._prefix}:quotes:{symbol}"
                pipe.lpush(key, *lines)
                pipe.ltrim(key, 0, QUOTES - 1)
            pipe.execute()

    def _give_up(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
                self._drop("the session ended")

    def _drop(self, reason: str) -> None:
        with self._dropped_lock:
            self.dropped += 1
            first = self.dropped == 1
        if first:
            self._tell("redis misses moments", reason=reason)
