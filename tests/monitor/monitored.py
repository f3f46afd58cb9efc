"""A small session under a monitor: the market of the session tests, paced so that it can be watched."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import polars as pl
from session.days import DAYS, market, plan_of, rules

from harmony_pipeline.monitor.access import TokenCheck
from harmony_pipeline.monitor.application import Monitor
from harmony_pipeline.monitor.follower import Follower, MakeTimeline, present
from harmony_pipeline.monitor.hub import Hub
from harmony_pipeline.monitor.session_feed import Sources
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.replay import day_bars, simulated_broker
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.runner import Supervision, run_session
from harmony_pipeline.session.stream import Batch, Quiet, ReplayStream

TOKEN = "a-token-of-the-tests"
BARS, RULES = market(), rules("barriers")
DAY: date = DAYS[0]


class FrameMarket:
    """`Market` over the frame of the tests."""

    bar_micros = 30 * 60_000_000

    def bars(self, day: date, symbols: Sequence[str]) -> pl.DataFrame:
        of_day = (pl.col("session_date") == day) & pl.col("symbol").is_in(list(symbols))
        return BARS.filter(of_day)

    def indicators(self) -> tuple[str, ...]:
        return ()

    def chart(self, day: date, symbol: str) -> pl.DataFrame:
        return self.bars(day, [symbol]).sort("timestamp")

    def trades(self, day: date, symbol: str, until: int, count: int) -> list[dict[str, Any]]:
        return [{"at": until // 1000 - 1, "price": 10.5, "size": 100.0}]

    def quotes(self, day: date, symbol: str, until: int, count: int) -> list[dict[str, Any]]:
        return []

    def scan(self, day: date) -> list[dict[str, Any]]:
        row = {"score": 0.5, "gap": 0.02, "price": 20.0, "relative_volume": 1.5}
        return [
            {"symbol": "AAA", "rank": 1, "rejected_by": [], **row},
            {"symbol": "<b>X</b>", "rank": None, "rejected_by": ["minimum_price"], **row},
        ]


class PacedStream:
    """The day's bars, `pause` seconds apart; after `hold_at` moments it waits for `go`."""

    def __init__(
        self, frame: pl.DataFrame, clock: ReplayClock, pause: float, hold_at: int | None
    ) -> None:
        self._inner, self._clock = ReplayStream(frame, clock), clock
        self._pause, self._hold_at = pause, hold_at
        self.go = threading.Event()

    def moments(self) -> Iterator[Batch | Quiet]:
        for number, batch in enumerate(self._inner.moments()):
            while number == self._hold_at and not self.go.wait(0.05):
                yield Quiet(self._clock.now())
            time.sleep(self._pause)
            yield batch


def run_paced(state: Path, pause: float, hold_at: int | None = None) -> tuple[Any, Any]:
    """Start the session of the first day in a thread; (thread, stream)."""
    with Ledger(state / "ledger.sqlite") as ledger:
        plan = plan_of(DAY, ledger, BARS, RULES)
    frame = day_bars(plan, BARS)
    clock = ReplayClock(frame["timestamp"].min())  # type: ignore[arg-type]
    stream = PacedStream(frame, clock, pause, hold_at)

    def run() -> SessionResult:
        with Ledger(state / "ledger.sqlite") as ledger:
            broker = simulated_broker(plan, ledger)
            watch = Supervision(state, heartbeat_seconds=0.05)
            return run_session(plan, ledger, broker, stream, clock, watch)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, stream


def monitor_of(
    state: Path, timeline: MakeTimeline = present, *, replayed: bool = False, look: float = 0.02
) -> Monitor:
    sources = Sources(
        state, state / "logs" / "harmony.jsonl", FrameMarket(), RiskSettings(), RULES.initial_cash
    )
    hub = Hub()
    follower = Follower(hub, sources, state / "ledger.sqlite", None, timeline, look)
    return Monitor(hub, follower, sources.market, state, TokenCheck(TOKEN), replayed=replayed)


def ask(url: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any, str]:
    """(status, headers, text) of a GET, or of a POST of JSON."""
    from urllib.error import HTTPError

    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url, data, headers or {}), timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


class Page:
    """What a page has: the tables, merged from the stream."""

    def __init__(self, url: str, last_id: str | None = None) -> None:
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        self.tables: dict[str, dict[str, Any]] = {}
        self.kinds: list[str] = []
        self.last_id = last_id
        self._answer = urlopen(Request(f"{url}api/stream", headers=headers), timeout=10)

    def read(self) -> dict[str, Any]:
        """The next message."""
        fields: dict[str, str] = {}
        while True:
            line = self._answer.readline().decode().rstrip("\n")
            if not line and "data" in fields:
                break
            name, _, value = line.partition(": ")
            fields[name] = value
        self.last_id = fields["id"]
        self.kinds.append(fields["event"])
        if fields["event"] == "whole":
            self.tables.clear()
        changes: dict[str, Any] = json.loads(fields["data"])
        for table, rows in changes.items():
            kept = self.tables.setdefault(table, {})
            for key, row in rows.items():
                if row is None:
                    kept.pop(key, None)
                else:
                    kept[key] = row
        return changes

    def read_until(self, ready: Callable[[dict[str, Any]], Any], most: int = 500) -> None:
        for _ in range(most):
            if ready(self.tables):
                return
            self.read()
        raise AssertionError(f"not seen in {most} messages: {self.tables.get('session')}")

    def close(self) -> None:
        self._answer.close()
