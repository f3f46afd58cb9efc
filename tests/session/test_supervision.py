"""Lock, heartbeat, kill switch, signals, stale streams: what can stop a session, and what it leaves
behind.
"""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from session.crashes import Fuse, RemoteBroker, RemoteExchange, RemoteStream
from session.days import DAYS, market, plan_of, rules

from harmony_pipeline.errors import DataError, NotReady
from harmony_pipeline.execution.brokers.simulated import SimulatedBroker
from harmony_pipeline.execution.events import OrderTerms, SubmitOrder
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.day_backtest import backtest_day
from harmony_pipeline.session.divergence import compare
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.process_control import (
    HEARTBEAT,
    KILL,
    LOCK,
    SessionRunning,
    StopRequest,
    is_running,
    kill_reason,
    read_lock,
    session_lock,
)
from harmony_pipeline.session.reconcile import reconcile
from harmony_pipeline.session.replay import (
    broker_as_left,
    day_bars,
    replay_day,
    simulated_broker,
)
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.runner import Supervision, run_session
from harmony_pipeline.session.settings import SessionSettings
from harmony_pipeline.session.stream import Batch, Quiet, ReplayStream

BARS = market()
BRACKETS, SIGNALS = rules("barriers"), rules("signal")


class Interrupted:
    """A replayed day during which something happens before batch number `at`."""

    def __init__(
        self, frame: pl.DataFrame, clock: ReplayClock, at: int, what: Callable[[], object]
    ) -> None:
        self._inner, self._at, self._what = ReplayStream(frame, clock), at, what

    def moments(self) -> Iterator[Batch | Quiet]:
        for number, batch in enumerate(self._inner.moments()):
            if number == self._at:
                self._what()
            yield batch


def interrupted(
    plan: SessionPlan, ledger: Ledger, watch: Supervision, at: int, what: Callable[[], object]
) -> SessionResult:
    frame = day_bars(plan, BARS)
    clock = ReplayClock(frame["timestamp"].min())  # type: ignore[arg-type]
    return run_session(
        plan,
        ledger,
        simulated_broker(plan, ledger),
        Interrupted(frame, clock, at, what),
        clock,
        watch,
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


# --- lock -----------------------------------------------------------------------------------------


def test_two_sessions_cannot_share_a_state_folder(tmp_path: Path) -> None:
    with session_lock(tmp_path, "s1"):
        assert is_running(tmp_path)
        assert read_lock(tmp_path) is not None
        with (
            pytest.raises(SessionRunning, match=f"s1, process {os.getpid()}"),
            session_lock(tmp_path, "s2"),
        ):
            pass
    assert not is_running(tmp_path)
    with session_lock(tmp_path, "s2"):
        pass


def test_the_lock_of_a_process_that_was_killed_is_taken_over(tmp_path: Path) -> None:
    program = f"""
        import pathlib, sys, time
        from harmony_pipeline.session.process_control import session_lock
        with session_lock(pathlib.Path({str(tmp_path)!r}), "dead"):
            print("locked", flush=True)
            time.sleep(60)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "locked\n"
    assert is_running(tmp_path)
    child.kill()
    child.wait()
    child.stdout.close()
    assert (read_lock(tmp_path) or {})["session_id"] == "dead"  # a stale file
    assert not is_running(tmp_path)
    with session_lock(tmp_path, "alive"):
        assert (read_lock(tmp_path) or {})["session_id"] == "alive"


def test_a_torn_lock_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text('{"pid": 1')
    with session_lock(tmp_path, "s1"):
        pass


# --- heartbeat ------------------------------------------------------------------------------------


def test_the_heartbeat_says_where_the_session_stands(tmp_path: Path, ledger: Ledger) -> None:
    plan = plan_of(DAYS[0], ledger, BARS, SIGNALS)
    interrupted(plan, ledger, Supervision(tmp_path), 0, lambda: None)
    beat = json.loads((tmp_path / HEARTBEAT).read_text())
    assert (beat["session_id"], beat["pid"], beat["risk_state"]) == (
        plan.session_id,
        os.getpid(),
        "ACTIVE",
    )
    assert datetime.fromisoformat(beat["cursor"]) > plan.calendar.session_open(plan.date)


# --- kill switch ----------------------------------------------------------------------------------


def test_the_kill_switch_cancels_every_order_and_ends_the_day(
    tmp_path: Path, ledger: Ledger
) -> None:
    plan = plan_of(DAYS[0], ledger, BARS, BRACKETS)
    result = interrupted(
        plan, ledger, Supervision(tmp_path), 8, lambda: (tmp_path / KILL).write_text("lunch")
    )
    assert (result.state, result.reason) == ("killed", "lunch")
    assert ledger.open_orders("paper") == []
    events = result.tables["session_events"]
    pulled = events.filter(pl.col("kind") == "kill_switch_pulled")["sequence"][0]
    after = set(events.filter(pl.col("sequence") > pulled)["kind"])
    assert after <= {
        "risk_state_changed", "cancel_requested", "canceled", "session_ended", "positions_kept",
        "session_state_set",
    }  # fmt: skip
    assert "canceled" in after
    assert reconcile(ledger, plan.session_id, broker_as_left(plan, ledger)).agrees


def test_nothing_starts_while_the_switch_is_on_and_a_killed_day_stays_dead(
    tmp_path: Path, ledger: Ledger
) -> None:
    plan = plan_of(DAYS[0], ledger, BARS, BRACKETS)
    killed = interrupted(
        plan, ledger, Supervision(tmp_path), 8, lambda: (tmp_path / KILL).write_text("lunch")
    )
    with pytest.raises(NotReady, match="lunch"):
        replay_day(plan, BARS, ledger, Supervision(tmp_path))
    (tmp_path / KILL).unlink()
    assert replay_day(plan, BARS, ledger, Supervision(tmp_path)).fills.equals(killed.fills)


def test_positions_that_the_kill_switch_left_bare_are_closed_the_next_morning(
    tmp_path: Path, ledger: Ledger
) -> None:
    plan = plan_of(DAYS[0], ledger, BARS, BRACKETS)
    killed = interrupted(
        plan, ledger, Supervision(tmp_path), 8, lambda: (tmp_path / KILL).write_text("lunch")
    )
    bare = set(killed.tables["session_positions"]["symbol"])
    assert bare
    (tmp_path / KILL).unlink()
    tomorrow = plan_of(DAYS[1], ledger, BARS, BRACKETS, watched=())
    result = replay_day(tomorrow, BARS, ledger)
    exits = result.orders.filter(pl.col("order_id").str.ends_with("exit"))
    assert set(exits["symbol"]) == bare
    assert "unprotected" in set(exits["reason"])  # the others were being closed already
    first = exits.group_by("symbol").agg(pl.col("timestamp").min())["timestamp"]
    assert first.max() <= plan.calendar.session_open(DAYS[1]) + 2 * plan.bar  # type: ignore[operator]
    assert compare(result, backtest_day(tomorrow, BARS)).equal


def test_an_empty_kill_file_still_kills(tmp_path: Path) -> None:
    assert kill_reason(tmp_path) is None
    (tmp_path / KILL).touch()
    assert kill_reason(tmp_path) == "the file KILL was made"


# --- graceful stop --------------------------------------------------------------------------------


def test_sigterm_stops_between_moments_and_the_session_goes_on_later(
    tmp_path: Path, ledger: Ledger
) -> None:
    plan = plan_of(DAYS[0], ledger, BARS, SIGNALS)
    stopped = interrupted(
        plan, ledger, Supervision(tmp_path), 6, lambda: os.kill(os.getpid(), signal.SIGTERM)
    )
    assert (stopped.state, stopped.reason) == ("stopped", "SIGTERM")
    assert stopped.tables["session_positions"].height > 0  # it stops; it does not flee
    finished = replay_day(plan, BARS, ledger, Supervision(tmp_path))
    assert finished.state == "completed"
    assert compare(finished, backtest_day(plan, BARS)).equal
    assert [run["outcome"] for run in ledger.runs(plan.session_id)] == ["stopped", "completed"]


def test_a_day_begun_under_another_plan_is_replaced_only_where_nothing_is_at_stake(
    tmp_path: Path, ledger: Ledger
) -> None:
    old, new = plan_of(DAYS[0], ledger, BARS, SIGNALS), plan_of(DAYS[0], ledger, BARS, BRACKETS)
    ledger.open_session(old.row())  # and the process died
    exchange = RemoteExchange(simulated_broker(new, ledger), new)
    with pytest.raises(DataError, match="orders may be at the broker"):
        run_session(
            new,
            ledger,
            RemoteBroker(exchange, Fuse()),
            RemoteStream(day_bars(new, BARS), exchange),
            exchange.clock,
        )
    assert replay_day(new, BARS, ledger).state == "completed"
    found = ledger.session(old.session_id)
    assert found is not None
    assert (found.state, found.reason) == (
        "stopped",
        f"replaced by {new.session_id}: its plan had changed",
    )


def test_a_stop_request_from_another_thread_is_heard(tmp_path: Path, ledger: Ledger) -> None:
    stop = StopRequest()
    plan = plan_of(DAYS[0], ledger, BARS, SIGNALS)
    watch = Supervision.of(tmp_path, SessionSettings(), is_live=False, stop=stop)
    assert interrupted(plan, ledger, watch, 3, lambda: stop.ask("operator")).reason == "operator"


# --- freshness and the gate -----------------------------------------------------------------------


class Mute(RemoteStream):
    """The market goes on, but from batch `first` to `last` our line to the bars is dead; then
    everything comes at once, late.
    """

    def __init__(
        self, frame: pl.DataFrame, exchange: RemoteExchange, first: int, last: int
    ) -> None:
        super().__init__(frame, exchange)
        self._first, self._last = first, last

    def moments(self) -> Iterator[Batch | Quiet]:
        held: list[Batch] = []
        for number, batch in enumerate(self._inner.moments()):
            self._exchange.see(batch)
            yield Quiet(batch.end)
            if self._first <= number < self._last:
                held.append(batch)
                continue
            yield from [*held, batch]
            held = []


def test_stale_bars_make_the_session_reduce_and_then_halt(tmp_path: Path, ledger: Ledger) -> None:
    plan = plan_of(DAYS[0], ledger, BARS, SIGNALS)
    exchange = RemoteExchange(simulated_broker(plan, ledger), plan)
    stream = Mute(day_bars(plan, BARS), exchange, 6, 11)
    watch = Supervision(tmp_path, is_live=True, stale_after_seconds=60.0)
    result = run_session(
        plan, ledger, RemoteBroker(exchange, Fuse()), stream, exchange.clock, watch
    )
    changes = (
        result.tables["session_events"]
        .filter(pl.col("kind") == "risk_state_changed")["detail"]
        .str.json_path_match("$.current")
        .to_list()
    )
    assert changes[:2] == ["REDUCING", "HALTED"]
    assert changes[-1] == "ACTIVE"
    assert any(
        str(reason).startswith("halted: no bars for")
        for reason in result.orders["reason"].to_list()
    )


def test_no_order_leaves_while_the_order_stream_is_down(tmp_path: Path, ledger: Ledger) -> None:
    plan = plan_of(DAYS[0], ledger, BARS, SIGNALS)
    exchange = RemoteExchange(simulated_broker(plan, ledger), plan)
    broker = RemoteBroker(exchange, Fuse())
    broker.streaming = False
    result = run_session(
        plan, ledger, broker, RemoteStream(day_bars(plan, BARS), exchange), exchange.clock
    )
    assert exchange.broker.orders(open_only=False) == []
    assert set(result.orders["status"]) == {"refused"}
    assert set(result.orders["reason"]) == {"halted: the order stream is down"}
    assert result.equity["equity"].unique().to_list() == [50_000.0]


class Stranger(RemoteExchange):
    """Someone trades by hand on the same account, at the `at`-th bar of the day."""

    def __init__(self, broker: SimulatedBroker, plan: SessionPlan, at: int) -> None:
        super().__init__(broker, plan)
        self._by_hand = at
        if at == 0:
            self.trade()

    def trade(self) -> None:
        opened = self._plan.calendar.session_open(self._plan.date)
        terms = {
            "client_order_id": "dashboard-1",
            "order_id": "x",
            "symbol": "AAA",
            "role": "exit",
            "side": "buy",
            "quantity": 5.0,
            "decided_at": opened - timedelta(hours=1),
        }
        self.broker.submit(SubmitOrder(OrderTerms(**terms)))  # type: ignore[arg-type]

    def see(self, batch: Batch) -> None:
        self._by_hand -= 1
        if self._by_hand == 0:
            self.trade()
        super().see(batch)


@pytest.mark.parametrize("at", [0, 5])
def test_a_trade_that_is_not_ours_halts_the_session(
    at: int, tmp_path: Path, ledger: Ledger
) -> None:
    plan = plan_of(DAYS[0], ledger, BARS, BRACKETS)
    exchange = Stranger(simulated_broker(plan, ledger), plan, at)
    result = run_session(
        plan,
        ledger,
        RemoteBroker(exchange, Fuse()),
        RemoteStream(day_bars(plan, BARS), exchange),
        exchange.clock,
    )
    events = result.tables["session_events"]
    disputes = events.filter(
        (pl.col("kind") == "books_reconciled") & pl.col("detail").str.contains("dashboard-1")
    )
    assert disputes.height > 0
    assert "submitted" not in set(
        events.filter(pl.col("sequence") > disputes["sequence"][0])["kind"]
    )
    assert "halted: the books are not reconciled" in set(result.orders["reason"])
    # the shares are adopted, so the books agree again; trading stays halted
    adopted = events.filter(pl.col("kind") == "position_adopted")
    assert adopted["symbol"].to_list() == ["AAA"]
    assert reconcile(ledger, plan.session_id, exchange.broker).agrees


def test_reconciliation_names_orders_positions_and_cash(tmp_path: Path, ledger: Ledger) -> None:
    plan = plan_of(DAYS[0], ledger, BARS, BRACKETS)
    replay_day(plan, BARS, ledger)
    empty = simulated_broker(
        plan_of(DAYS[0], Ledger(tmp_path / "other.sqlite"), BARS, BRACKETS), ledger
    )
    assert not empty.positions()
    found = reconcile(ledger, plan.session_id, empty)
    assert {item.kind for item in found.differences} == {"order", "position", "cash"}
    assert all(item.key in item.sentence for item in found.differences)
    assert found.table().height == len(found.differences) == len(found.summary()["differences"])  # type: ignore[arg-type]


def test_a_heartbeat_that_cannot_be_written_ends_no_session(tmp_path: Path, ledger: Ledger) -> None:
    """A folder stands in its place; on a full disk the same error comes."""
    plan = plan_of(DAYS[0], ledger, BARS, SIGNALS)
    watch = Supervision(tmp_path, heartbeat_seconds=0.0)

    def obstruct() -> None:
        (tmp_path / HEARTBEAT).unlink()
        (tmp_path / HEARTBEAT).mkdir()

    result = interrupted(plan, ledger, watch, 3, obstruct)
    assert result.state == "completed"
    assert (tmp_path / HEARTBEAT).is_dir()
    assert result.equity.height > 3
