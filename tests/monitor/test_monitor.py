"""The monitor over a real session: what it shows is what the ledger says, and it changes nothing."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from monitor.monitored import BARS, DAY, RULES, TOKEN, FrameMarket, Page, ask, monitor_of, run_paced
from session.days import plan_of

from harmony_pipeline.execution import events as ev
from harmony_pipeline.monitor.access import HEADERS, TokenCheck, token_of
from harmony_pipeline.monitor.server import MonitorServer, allowed_hosts
from harmony_pipeline.monitor.session_feed import SessionFeed, Sources
from harmony_pipeline.monitor.timeline import Present, Replay
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.session.event_tail import EventTail
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.process_control import HEARTBEAT, KILL
from harmony_pipeline.session.replay import replay_day
from harmony_pipeline.session.result import SessionResult, read_session


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SessionResult]:
    """A state folder with one session that has ended."""
    state = tmp_path_factory.mktemp("state")
    with Ledger(state / "ledger.sqlite") as ledger:
        result = replay_day(plan_of(DAY, ledger, BARS, RULES), BARS, ledger)
    assert result.fills.height > 5
    return state, result


def feed_of(state: Path, tail: EventTail, timeline: Present | Replay) -> SessionFeed:
    row = tail.newest_session()
    assert row is not None
    sources = Sources(state, state / "log", FrameMarket(), RiskSettings(), RULES.initial_cash)
    return SessionFeed(sources, tail, row, timeline)


# --- what is shown --------------------------------------------------------------------------------


def test_orders_fills_positions_and_equity_are_those_of_the_ledger(
    day: tuple[Path, SessionResult],
) -> None:
    state, result = day
    with EventTail(state / "ledger.sqlite") as tail:
        shown = feed_of(state, tail, Present()).poll()
    assert {key: row["status"] for key, row in shown["orders"].items()} == dict(
        result.orders.select("client_order_id", "status").rows()
    )
    fills = [
        (row["symbol"], row["side"], row["quantity"], row["price"], row["fee"])
        for row in shown["fills"].values()
    ]
    assert sorted(fills) == sorted(
        result.fills.select("symbol", "side", "quantity", "price", "fee").rows()
    )
    assert [row["equity"] for row in shown["equity"].values()] == result.equity["equity"].to_list()
    held = {key: row["quantity"] for key, row in shown["positions"].items() if row}
    assert held == dict(result.tables["session_positions"].select("symbol", "quantity").rows())
    session = shown["session"][""]
    assert session is not None
    made = (
        session["realized"]
        + sum(row["profit"] for row in shown["positions"].values() if row)
        - session["fees"]
    )
    assert made == pytest.approx(session["equity"] - session["base"], abs=0.02)


def test_a_past_session_shows_nothing_that_was_not_known_yet(
    day: tuple[Path, SessionResult],
) -> None:
    state, result = day
    clock = [0.0]
    with EventTail(state / "ledger.sqlite") as tail:
        first, last = tail.span(result.session_id) or (0, 0)
        feed = feed_of(state, tail, Replay(first, last, 3600.0, clock=lambda: clock[0]))
        seen = 0
        for hour in range(16):
            clock[0] = float(hour)
            shown = feed.poll()
            now = first + hour * 3_600_000_000
            if now < last:
                assert (
                    all(
                        row["t"] * 1000 + FrameMarket.bar_micros <= now
                        for row in shown["bars"].values()
                        if row
                    )
                    if "bars" in shown
                    else True
                )
                assert shown["session"][""]["state"] == "running"  # type: ignore[index]
            seen += len(shown.get("fills", {}))
        assert shown["session"][""]["state"] == "completed"  # type: ignore[index]
        assert seen == result.fills.height


def test_the_ledger_is_opened_without_the_right_to_write(day: tuple[Path, SessionResult]) -> None:
    import sqlite3

    state, _ = day
    with (
        EventTail(state / "ledger.sqlite") as tail,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        tail._database.write("delete from events", {})


def test_a_watched_session_has_the_same_events_in_about_the_same_time(tmp_path: Path) -> None:
    took, events = [], []
    for watched in (False, True):
        state = tmp_path / str(watched)
        state.mkdir()
        with Ledger(state / "ledger.sqlite") as ledger:
            plan = plan_of(DAY, ledger, BARS, RULES)
        pages: list[Page] = []
        server = MonitorServer(monitor_of(state, look=0.005)) if watched else None
        if server is not None:
            server.__enter__()
            pages = [Page(server.url) for _ in range(3)]
        try:
            with Ledger(state / "ledger.sqlite") as ledger:
                began = time.perf_counter()
                replay_day(plan, BARS, ledger)
                took.append(time.perf_counter() - began)
                events.append(ledger.events(plan.session_id))
        finally:
            for page in pages:
                page.close()
            if server is not None:
                server.__exit__(None, None, None)
    assert events[0] == events[1]
    assert took[1] < took[0] * 3 + 5  # the machine's other work, not a lock: that would be 10 s


def test_readers_never_make_the_writer_wait(tmp_path: Path) -> None:
    """Busy is an error at once here: any lock of a reader that met a commit would be seen."""
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        plan = plan_of(DAY, ledger, BARS, RULES)
        ledger._database._connection.execute("pragma busy_timeout=0")
        ledger.open_session(plan.row())
        stop, looks = threading.Event(), [0, 0, 0]

        def look(reader: int) -> None:
            with EventTail(Path(ledger.place)) as tail:
                while not stop.is_set():
                    tail.events_after(plan.session_id, 0)
                    looks[reader] += 1

        readers = [threading.Thread(target=look, args=(number,)) for number in range(3)]
        for each in readers:
            each.start()
        now = datetime(2024, 6, 26, tzinfo=UTC)
        with ledger.reproducible():
            for number in range(400):
                fact = ev.KillSwitchPulled(happened_at=now, known_at=now, reason=str(number))
                assert ledger.record(plan.session_id, str(number), fact, now, now)
        stop.set()
        for each in readers:
            each.join()
        assert min(looks) > 1
        assert ledger.sequence(plan.session_id) == 401  # and that it was opened


# --- the stream -----------------------------------------------------------------------------------


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    (tmp_path / "logs").mkdir()
    with MonitorServer(monitor_of(tmp_path)) as server:
        yield tmp_path, server.url


def test_a_running_session_is_followed_and_the_kill_switch_halts_it(
    served: tuple[Path, str],
) -> None:
    state, url = served
    thread, _stream = run_paced(state, 0.01, hold_at=9)
    page = Page(url)
    page.read_until(lambda tables: len(tables.get("fills", {})) > 0)
    status, _, text = ask(f"{url}api/kill", {"reason": "enough <now>"}, {"X-Harmony-Token": TOKEN})
    assert (status, text) == (200, "the kill switch is on")
    page.read_until(lambda tables: tables["session"][""]["state"] == "killed")
    thread.join()
    assert page.tables["session"][""]["killed"] == "enough <now> (monitor)"
    assert page.tables["session"][""]["risk_state"] == "HALTED"
    assert not any(row["open"] for row in page.tables["orders"].values())
    assert ask(f"{url}api/rearm", {}, {"X-Harmony-Token": TOKEN})[0] == 200
    assert not (state / KILL).exists()
    page.close()
    beat = json.loads((state / HEARTBEAT).read_text())  # the last one may be older than the end
    (state / HEARTBEAT).write_text(json.dumps(beat | {"risk_state": "ACTIVE"}))
    with EventTail(state / "ledger.sqlite") as tail:
        shown = feed_of(state, tail, Present()).poll()["session"][""]
    assert shown is not None and shown["risk_state"] == "HALTED"
    with Ledger(state / "ledger.sqlite") as ledger:
        assert read_session(ledger, ledger.sessions()[0].session_id).state == "killed"


def test_a_page_that_comes_back_gets_what_it_missed_and_nothing_twice(
    served: tuple[Path, str],
) -> None:
    state, url = served
    thread, stream = run_paced(state, 0.0, hold_at=6)
    page = Page(url)
    page.read_until(lambda tables: len(tables.get("equity", {})) >= 4)
    page.close()
    before = set(page.tables["equity"])
    stream.go.set()
    thread.join()
    again = Page(url, page.last_id)
    again.read_until(
        lambda tables: tables.get("session", {}).get("", {}).get("state") == "completed"
    )
    assert "whole" not in again.kinds
    assert not before & set(again.tables["equity"])
    fresh = Page(url, "other-12")
    fresh.read()
    assert fresh.kinds == ["whole"]
    assert set(fresh.tables["equity"]) == before | set(again.tables["equity"])
    for each in (again, fresh):
        each.close()


def test_without_a_session_the_page_says_so_and_waits(served: tuple[Path, str]) -> None:
    _, url = served
    page = Page(url)
    page.read_until(
        lambda tables: (
            "no session has run here yet"
            in tables.get("session", {}).get("", {}).get("problem", "")
        )
    )
    page.close()
    assert ask(f"{url}api/chart?symbol=AAA")[0] == 404


# --- who may do what ------------------------------------------------------------------------------


def test_every_answer_has_strict_headers_and_the_page_needs_no_other_host(
    served: tuple[Path, str],
) -> None:
    _, url = served
    for path in ("", "static/main.js", "static/nothing.js", "api/chart?symbol=x", "nowhere"):
        _, headers, text = ask(url + path)
        assert {name: headers[name] for name in HEADERS} == HEADERS, path
        assert "server" not in headers
        if path == "":
            assert "<script>" not in text
            assert "style=" not in text
            assert 'src="http' not in text


@pytest.mark.parametrize("headers", [{}, {"X-Harmony-Token": "wrong"}, {"Authorization": TOKEN}])
def test_without_the_token_nothing_is_done(
    served: tuple[Path, str], headers: dict[str, str]
) -> None:
    state, url = served
    (state / KILL).write_text("by hand")
    assert ask(f"{url}api/rearm", {}, headers)[0] == 403
    assert ask(f"{url}api/kill?token={TOKEN}", {"reason": "x"}, headers)[0] == 403
    assert (state / KILL).read_text() == "by hand"


def test_a_get_does_nothing_and_another_host_gets_nothing(served: tuple[Path, str]) -> None:
    state, url = served
    assert ask(f"{url}api/kill", None, {"X-Harmony-Token": TOKEN})[0] == 405
    assert ask(url, None, {"Host": "evil.example"})[0] == 400
    assert not (state / KILL).exists()


@pytest.mark.parametrize("body", [[1], {"reason": 3}, {"reason": "x" * 5000}])
def test_a_body_that_is_no_reason_is_refused(served: tuple[Path, str], body: object) -> None:
    state, url = served
    assert ask(f"{url}api/kill", body, {"X-Harmony-Token": TOKEN})[0] == 400
    assert not (state / KILL).exists()


def test_a_past_session_cannot_be_stopped(tmp_path: Path) -> None:
    with MonitorServer(monitor_of(tmp_path, replayed=True)) as server:
        assert ask(f"{server.url}api/kill", {}, {"X-Harmony-Token": TOKEN})[0] == 409
    assert not (tmp_path / KILL).exists()


def test_after_wrong_tokens_none_is_looked_at_for_a_minute() -> None:
    now = [0.0]
    check = TokenCheck(TOKEN, clock=lambda: now[0])
    assert check.allows(TOKEN, "here")
    assert not any(check.allows("wrong", "there") for _ in range(5))
    assert check.is_locked("there")
    assert not check.is_locked("here")
    now[0] = 61.0
    assert not check.is_locked("there")


def test_the_token_comes_from_the_environment_or_is_made() -> None:
    assert token_of({"HARMONY_MONITOR_TOKEN": TOKEN}) == (TOKEN, False)
    made, is_made = token_of({})
    assert is_made
    assert len(made) >= 20
    assert made != token_of({})[0]
    with pytest.raises(ValueError, match="shorter than 12"):
        token_of({"HARMONY_MONITOR_TOKEN": "short"})


def test_the_token_is_in_no_log(served: tuple[Path, str]) -> None:
    state, url = served
    ask(f"{url}api/kill", {"reason": "test"}, {"X-Harmony-Token": TOKEN})
    text = (state / "logs" / "harmony.jsonl").read_text()
    assert "kill switch pulled" in text
    assert TOKEN not in text


def test_only_loopback_names_are_served_by_default() -> None:
    assert allowed_hosts("127.0.0.1") == ["127.0.0.1", "localhost", "[::1]"]
    assert allowed_hosts("10.1.2.3") == ["127.0.0.1", "localhost", "[::1]", "10.1.2.3"]
    assert allowed_hosts("0.0.0.0") == ["*"]
