"""The exchange of `harmony demo`: a process on loopback that is moved only when the session has
done with the minute before.

Each minute opens, the session hears what was filled and places its brackets, the minute ends, the
session hears what was filled within it, is sent its bars, and decides on them: as at a real
exchange, at whatever speed the machine allows. How far the session is, its heartbeat tells.
"""

import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from harmony_pipeline.cli.demo_process import CommandProcess
from harmony_pipeline.exchange.control_client import ExchangeClient
from harmony_pipeline.execution.brokers.alpaca.keys import KEY, SECRET
from harmony_pipeline.session.process_control import HEARTBEAT

_LOOK_SECONDS = 0.004
_BLOCK = 15  # moments before the open that are passed at once
_LONGEST_WAIT = 60.0  # for the session to do one minute


class ExchangeProcess(CommandProcess):
    """`harmony exchange` in a process of its own, stepped. A context: it ends with the block."""

    def __init__(self, config: Path, day: str, keys: tuple[str, str], log: Path) -> None:
        super().__init__(
            "the exchange",
            ["--config", str(config), "exchange", "--date", day, "--speed", "0", "--port", "0",
             "--new"],
            log,
            "ledger: ",
            {KEY: keys[0], SECRET: keys[1]},
        )  # fmt: skip
        self._keys = keys
        self.addresses: dict[str, str] = {}

    def started(self, output: str) -> None:
        """Read what the command prints to be exported."""
        for line in output.splitlines():
            if line.startswith("export HARMONY_ALPACA__"):
                pairs = (pair.split("=", 1) for pair in line.removeprefix("export ").split())
                self.addresses |= dict(pairs)

    @property
    def url(self) -> str:
        """Of trading and control."""
        return self.addresses["HARMONY_ALPACA__TRADING_URL"]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """See `ExchangeClient.ask`."""
        return self._client.ask(method, path, body)

    def status(self) -> dict[str, Any]:
        """`/control/status`."""
        return self._client.status()

    def step(self, events: int = 1, *, hold_bars: bool = False) -> dict[str, Any]:
        """Let events happen; the status after them. `hold_bars`: the next step sends their bars."""
        return self._client.step(events, hold_bars=hold_bars)

    @property
    def _client(self) -> ExchangeClient:
        return ExchangeClient(self.url, self._keys)


class Stepped(Protocol):
    """An exchange that is stepped from outside."""

    def status(self) -> dict[str, Any]:
        """`/control/status`."""

    def step(self, events: int = 1, *, hold_bars: bool = False) -> dict[str, Any]:
        """Let events happen; the status after them. `hold_bars`: the next step sends their bars."""


class Pacing:
    """Moves the exchange at the pace of the session. `moments`: starts of the bars that the session
    hears, `opens_at` the first regular one; `tell` hears the status after each minute; `is_over`
    ends it early. `per_minute`: the least seconds that a minute of the session takes.
    """

    def __init__(
        self,
        exchange: Stepped,
        state: Path,
        moments: Sequence[datetime],
        opens_at: datetime,
        bar: timedelta,
        tell: Callable[[dict[str, Any]], None],
        is_over: Callable[[], bool],
        per_minute: float = 0.0,
    ) -> None:
        self._exchange, self._file, self._opens_at = exchange, state / HEARTBEAT, opens_at
        self._moments, self._bar, self._tell, self._is_over = set(moments), bar, tell, is_over
        self._per_minute = per_minute
        self._last: datetime | None = None

    def run(self) -> None:
        """Until the day is over."""
        status = self._listened_to()
        while not status["is_over"] and not self._is_over():
            began = time.monotonic()
            status = self._exchange.step(1)  # bars open
            opened = datetime.fromisoformat(status["now"])
            filled = int(status["executions"])
            if opened >= self._opens_at:
                self._await(partial(_has_heard, filled))
            status = self._exchange.step(1, hold_bars=True)  # and end
            if int(status["executions"]) > filled:
                # a session marks its positions with what the bars filled, as the backtest does
                self._await(partial(_has_heard, int(status["executions"])))
            self._exchange.step(0)
            if opened in self._moments:
                self._last = opened
            if opened >= self._opens_at - self._bar or status["next_event"] % (2 * _BLOCK) == 0:
                self._await(self._is_done)
            self._tell(status)
            left = began + self._per_minute - time.monotonic()
            if opened >= self._opens_at and left > 0.0:
                time.sleep(left)

    def _listened_to(self) -> dict[str, Any]:
        """Wait until the session hears both streams."""
        while not self._is_over():
            status = self._exchange.status()
            if status["trade_listeners"] and status["data_listeners"]:
                return status
            time.sleep(0.05)
        return self._exchange.status() | {"is_over": True}

    def _is_done(self, heartbeat: dict[str, Any]) -> bool:
        """Whether the session has lived through the last bars that it was sent."""
        cursor = heartbeat.get("cursor")
        return self._last is None or (
            bool(cursor) and datetime.fromisoformat(str(cursor)) >= self._last
        )

    def _await(self, condition: Callable[[dict[str, Any]], bool]) -> None:
        """Wait for a heartbeat of which it holds, and for the one after it: what the session does
        about the news is done by then. After a minute the day goes on all the same.
        """
        until, at = time.monotonic() + _LONGEST_WAIT, None
        while time.monotonic() < until and not self._is_over():
            seen = self._heartbeat()
            if condition(seen):
                if at is not None and seen.get("written_at") != at:
                    return
                at = at or seen.get("written_at")
            time.sleep(_LOOK_SECONDS)

    def _heartbeat(self) -> dict[str, Any]:
        try:
            found = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _has_heard(executions: int, heartbeat: dict[str, Any]) -> bool:
    """Whether the session has taken in so many executions."""
    return int(heartbeat.get("executions") or 0) >= executions
