"""A session that dies anywhere and is started again ends with the very ledger that it would have
had, and never with a second order for one intent.
"""

import sqlite3
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from session.crashes import (
    Crash,
    CrashingLedger,
    FlakyBroker,
    FullDisk,
    Fuse,
    RemoteBroker,
    RemoteExchange,
    RemoteStream,
    copy_of,
)
from session.days import ACTIONS, DAYS, SPLIT_DAY, market, plan_of, rules

from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.replay import day_bars, replay_day, simulated_broker
from harmony_pipeline.session.result import TABLES, SessionResult
from harmony_pipeline.session.runner import run_session

BARS = market()
CHOSEN = rules("signal", reject_probability=0.1, partial_fill_probability=0.2)
BRACKETS = rules("barriers", reject_probability=0.05)
DAY = DAYS[5]  # a half-day: few moments, and every kind of order


def same(one: SessionResult, other: SessionResult) -> None:
    for name in TABLES:
        assert one.tables[name].equals(other.tables[name]), name
    assert one.trades.equals(other.trades)
    assert one.closing.to_dict() == other.closing.to_dict()


def steps(count: int, points: int) -> list[int]:
    """About `points` crash points over `count` steps, the first and the last among them."""
    return sorted({1, 2, 3, count, *range(1, count, max(1, count // points))})


@pytest.mark.parametrize("chosen", [CHOSEN, BRACKETS], ids=["signals", "brackets"])
def test_replay_against_the_exchange_in_this_process_survives_every_crash_point(
    chosen: object, tmp_path: Path
) -> None:
    whole = Fuse()
    with CrashingLedger(tmp_path / "whole.sqlite", whole) as ledger:
        plan = plan_of(DAY, ledger, BARS, chosen)  # type: ignore[arg-type]
        expected = replay_day(plan, BARS, ledger)
    assert expected.fills.height >= 5
    for point in steps(whole.steps, 12):
        path = tmp_path / f"{point}.sqlite"
        with pytest.raises(Crash), CrashingLedger(path, Fuse(point)) as ledger:
            replay_day(plan, BARS, ledger)
        with Ledger(path) as ledger:
            same(replay_day(plan, BARS, ledger), expected)


MARGIN = rules(
    "signal",
    sizing="fixed_fraction",
    size_fraction=3.0,
    max_position=9.0,
    max_net_exposure=9.0,
    max_gross_exposure=9.0,
    max_daily_loss=1.0,
    max_drawdown=1.0,
    max_participation=1.0,
    account={
        "kind": "margin",
        "initial_margin": 0.3,
        "maintenance_long": 0.299,
        "maintenance_short": 0.299,
        "day_trading": "intraday_margin",
    },
)
CALLED = SPLIT_DAY  # its first open closes what the day before left without margin


@pytest.mark.parametrize("remote", [False, True], ids=["in this process", "at a real broker"])
def test_a_margin_call_is_made_once_whatever_the_crash_point(remote: bool, tmp_path: Path) -> None:
    def session(ledger: Ledger, exchange: RemoteExchange, fuse: Fuse) -> SessionResult:
        plan = plan_of(CALLED, ledger, BARS, MARGIN)
        if not remote:
            return replay_day(plan, BARS, ledger)
        return remote_session(plan, ledger, exchange, RemoteBroker(exchange, fuse))

    begun = tmp_path / "begun.sqlite"
    with Ledger(begun) as ledger:
        for day in DAYS[: DAYS.index(CALLED)]:
            replay_day(plan_of(day, ledger, BARS, MARGIN), BARS, ledger)

    def earlier_days(name: str) -> tuple[Path, RemoteExchange]:
        """Their ledger, and the exchange as they left it, over night."""
        with Ledger(copy_of(begun, tmp_path / f"{name}.sqlite")) as ledger:
            exchange = remote_exchange(plan_of(CALLED, ledger, BARS, MARGIN), ledger)
        exchange.split_over_night(ACTIONS)
        return tmp_path / f"{name}.sqlite", exchange

    whole = Fuse()
    path, exchange = earlier_days("whole")
    with CrashingLedger(path, whole) as ledger:
        expected = session(ledger, exchange, whole)
    assert expected.orders["reason"].to_list().count("margin_call") >= 1
    for point in steps(whole.steps, 3):
        path, exchange = earlier_days(str(point))
        fuse = Fuse(point)
        with pytest.raises(Crash), CrashingLedger(path, fuse) as ledger:
            session(ledger, exchange, fuse)
        with Ledger(path) as ledger:
            same(session(ledger, exchange, Fuse()), expected)


def remote_session(
    plan: SessionPlan, ledger: Ledger, exchange: RemoteExchange, broker: RemoteBroker
) -> SessionResult:
    return run_session(
        plan, ledger, broker, RemoteStream(day_bars(plan, BARS), exchange), exchange.clock
    )


def remote_exchange(plan: SessionPlan, ledger: Ledger) -> RemoteExchange:
    return RemoteExchange(simulated_broker(plan, ledger), plan)


@pytest.mark.parametrize("chosen", [CHOSEN, BRACKETS], ids=["signals", "brackets"])
def test_a_session_at_a_real_broker_survives_every_crash_point(
    chosen: object, tmp_path: Path
) -> None:
    """The broker goes on while we are dead; every ledger write and every call, before and after, is
    a crash point.
    """
    whole = Fuse()
    with CrashingLedger(tmp_path / "whole.sqlite", whole) as ledger:
        plan = plan_of(DAY, ledger, BARS, chosen)  # type: ignore[arg-type]
        exchange = remote_exchange(plan, ledger)
        expected = remote_session(plan, ledger, exchange, RemoteBroker(exchange, whole))
    assert expected.fills.height >= 5
    assert expected.state == "completed"
    compared = (
        expected.tables["session_events"]
        .filter(pl.col("kind") == "books_reconciled")["detail"]
        .str.json_path_match("$.differences")
    )
    assert compared.to_list() == ["[]"]  # once, at the start
    for point in steps(whole.steps, 16):
        path, fuse = tmp_path / f"{point}.sqlite", Fuse(point)
        with Ledger(path) as ledger:
            exchange = remote_exchange(plan, ledger)
        with pytest.raises(Crash), CrashingLedger(path, fuse) as ledger:
            remote_session(plan, ledger, exchange, RemoteBroker(exchange, fuse))
        with Ledger(path) as ledger:
            found = remote_session(plan, ledger, exchange, RemoteBroker(exchange, Fuse()))
        same(found, expected)
        placed = Counter(
            (order.symbol, order.client_order_id)
            for order in exchange.broker.orders(open_only=False)
        )
        assert max(placed.values()) == 1
        assert set(found.fills["client_order_id"]) <= {name for _, name in placed}


@pytest.mark.parametrize("fill", [1, 4])
def test_a_fill_that_cannot_be_written_ends_the_process_and_the_next_one_books_it_once(
    fill: int, tmp_path: Path
) -> None:
    """It was booked in memory before: those books go with the process."""
    with Ledger(tmp_path / "whole.sqlite") as ledger:
        plan = plan_of(DAY, ledger, BARS, BRACKETS)
        exchange = remote_exchange(plan, ledger)
        expected = remote_session(plan, ledger, exchange, RemoteBroker(exchange, Fuse()))
    assert expected.fills.height >= 5
    path = tmp_path / "full.sqlite"
    with Ledger(path) as ledger:
        exchange = remote_exchange(plan, ledger)
    with pytest.raises(sqlite3.OperationalError), FullDisk(path, fill) as ledger:
        remote_session(plan, ledger, exchange, RemoteBroker(exchange, Fuse()))
    with Ledger(path) as ledger:
        same(remote_session(plan, ledger, exchange, RemoteBroker(exchange, Fuse())), expected)


def test_two_crashes_in_a_row_are_survived(tmp_path: Path) -> None:
    with Ledger(tmp_path / "whole.sqlite") as ledger:
        plan = plan_of(DAY, ledger, BARS, CHOSEN)
        exchange = remote_exchange(plan, ledger)
        expected = remote_session(plan, ledger, exchange, RemoteBroker(exchange, Fuse()))
        exchange = remote_exchange(plan, ledger)
    path = tmp_path / "twice.sqlite"
    for point in (150, 60, 7):
        fuse = Fuse(point)
        with pytest.raises(Crash), CrashingLedger(path, fuse) as ledger:
            remote_session(plan, ledger, exchange, RemoteBroker(exchange, fuse))
    with Ledger(path) as ledger:
        same(remote_session(plan, ledger, exchange, RemoteBroker(exchange, Fuse())), expected)
        assert [run["outcome"] for run in ledger.runs(plan.session_id)] == [
            "failed",
            "failed",
            "failed",
            "completed",
        ]


def test_lost_answers_and_lost_requests_make_no_second_order(tmp_path: Path) -> None:
    FlakyBroker.calls = 0
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        plan = plan_of(DAY, ledger, BARS, CHOSEN)
        exchange = remote_exchange(plan, ledger)
        found = remote_session(plan, ledger, exchange, FlakyBroker(exchange, Fuse()))
        known = {order.client_order_id for order in exchange.broker.orders(open_only=False)}
    assert found.tables["session_events"].filter(pl.col("kind") == "outcome_unknown").height > 0
    executed = found.fills.group_by("client_order_id").agg(pl.col("quantity").sum())
    for name, quantity in executed.iter_rows():
        order = exchange.broker.order(name)
        assert order is not None
        assert order.filled_quantity == quantity
    assert set(found.fills["client_order_id"]) <= known
    assert {position.symbol: position.quantity for position in exchange.broker.positions()} == dict(
        found.tables["session_positions"].select("symbol", "quantity").iter_rows()
    )


def test_a_plan_that_changed_under_a_running_session_stops_trading(tmp_path: Path) -> None:
    """After a restart the bars say something else: orders are kept, nothing new leaves."""
    path, fuse = tmp_path / "ledger.sqlite", Fuse(170)
    with Ledger(path) as ledger:
        plan = plan_of(DAY, ledger, BARS, CHOSEN)
        exchange = remote_exchange(plan, ledger)
    with pytest.raises(Crash), CrashingLedger(path, fuse) as ledger:
        remote_session(plan, ledger, exchange, RemoteBroker(exchange, fuse))
    with Ledger(path) as ledger:
        before = ledger.sequence(plan.session_id)
        frame = day_bars(plan, BARS).with_columns(pl.col("open", "high", "low", "close") * 1.03)
        found = run_session(
            plan,
            ledger,
            RemoteBroker(exchange, Fuse()),
            RemoteStream(frame, exchange),
            exchange.clock,
        )
        later = [event for number, event in ledger.events(plan.session_id) if number > before]
    assert found.state == "completed"
    kinds = [type(event).__name__ for event in later]
    assert "BooksReconciled" in kinds
    assert "OrderSubmitted" not in kinds[kinds.index("BooksReconciled") :]
