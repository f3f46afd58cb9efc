"""The ledger: written once, whole or not at all, exact, readable by others."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Timer

import msgspec
import polars as pl
import pytest
from session.ledgers import ENGINES, place_for

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.lifecycle import Order, Status, apply
from harmony_pipeline.instants import micros, moment
from harmony_pipeline.schemas import TABLES
from harmony_pipeline.session.event_tail import EventTail
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.ledger_database import write_ahead
from harmony_pipeline.session.ledger_rows import COMPLETED, Execution, SessionRow, Snapshot
from harmony_pipeline.session.ledger_statements import SQLITE, statements
from harmony_pipeline.session.process_control import SessionRunning

T = datetime(2024, 3, 5, 15, 0, tzinfo=UTC)
DAY = date(2024, 3, 5)
NOBODY = 65534
ROW = SessionRow("s1", DAY, "paper", "cross", None, "abc")
TERMS = ev.OrderTerms(
    client_order_id="s1-X-1-entry",
    order_id="X-1-entry",
    symbol="X",
    role="entry",
    side="buy",
    quantity=10.0,
    decided_at=T,
    reason="signal",
)
FILL = Execution(
    "s1-X-1-entry#1",
    "X-1-entry-1",
    "X-1-entry",
    "s1-X-1-entry",
    "X",
    T,
    "buy",
    10.0,
    0.1 + 0.2,
    0.3,
    12_300,
    0.00000000000000004,
    "taker",
)


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    return place_for(request.param, tmp_path)


@pytest.fixture
def ledger(place: Path | str) -> Iterator[Ledger]:
    with Ledger(place) as made:
        made.open_session(ROW)
        yield made


def intent() -> ev.OrderIntended:
    return ev.OrderIntended(
        happened_at=T, known_at=T, client_order_id=TERMS.client_order_id, symbol="X", order=TERMS
    )


def test_an_event_is_recorded_once_and_the_sequence_has_no_gaps(ledger: Ledger) -> None:
    assert ledger.record("s1", "intent:a", intent(), T, T)
    assert not ledger.record("s1", "intent:a", intent(), T, T)
    assert ledger.record("s1", "intent:b", intent(), T, T)
    assert [number for number, _ in ledger.events("s1")] == [1, 2, 3]  # it was opened, too
    assert ledger.events("s1", after=1)[0][1] == intent()


def test_the_same_fill_twice_changes_nothing(ledger: Ledger) -> None:
    ledger.put_order("s1", Order(TERMS))
    assert ledger.record_fill("s1", FILL)
    before = ledger.table("session_fills")
    assert not ledger.record_fill("s1", FILL)
    assert ledger.table("session_fills").equals(before)


def test_prices_and_money_come_back_exactly(ledger: Ledger) -> None:
    ledger.put_order("s1", Order(TERMS))
    ledger.record_fill("s1", FILL)
    row = ledger.table("session_fills").row(0, named=True)
    assert (row["price"], row["fee"], row["slippage"]) == (0.1 + 0.2, 1.23, 0.00000000000000004)
    ledger.put_equity("s1", T, 1_000_000_049, 999_999_999, 50, -50, -0.1)
    row = ledger.table("session_equity").row(0, named=True)
    assert (row["equity"], row["cash"], row["net_exposure"], row["timestamp"]) == (
        100_000.0049,
        99_999.9999,
        -0.005,
        T,
    )


def test_a_fill_needs_its_order(ledger: Ledger) -> None:
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        ledger.record_fill("s1", FILL)
    assert ledger.table("session_fills").is_empty()


@pytest.mark.parametrize(
    "name",
    ["session_orders", "session_fills", "session_positions", "session_equity", "session_events"],
)
def test_an_empty_table_has_the_public_columns(ledger: Ledger, name: str) -> None:
    assert ledger.table(name).schema == pl.Schema(TABLES[name].dtypes)
    with pytest.raises(DataError, match="session_orders"):
        ledger.table("orders")


def test_tables_can_be_read_for_a_day_or_a_session(ledger: Ledger) -> None:
    ledger.open_session(SessionRow("s2", DAY + timedelta(days=1), "paper", "cross", None, "abc"))
    ledger.put_order("s1", Order(TERMS))
    ledger.put_order("s2", Order(msgspec.structs.replace(TERMS, client_order_id="s2-X-1-entry")))
    assert ledger.table("session_orders").height == 2
    assert ledger.table("session_orders", date=DAY)["session_id"].to_list() == ["s1"]
    assert ledger.table("session_orders", session_id="s2")["date"].to_list() == [
        DAY + timedelta(days=1)
    ]


def test_one_session_is_read_without_the_others(tmp_path: Path) -> None:
    """Each table by an index: a ledger holds the sessions of years."""
    with Ledger(tmp_path / "ledger.sqlite"), sqlite3.connect(tmp_path / "ledger.sqlite") as seen:
        for name, text in statements(SQLITE).items():
            if name.startswith("session_") and name.endswith("_of_session"):
                plan = seen.execute(f"explain query plan {text}", {"date": None, "session": "s1"})
                steps = [step for *_, step in plan]
                assert len(steps) == 2, name
                assert all(step.startswith("SEARCH") for step in steps), (name, steps)
    seen.close()


def test_an_order_filled_next_day_is_filled_now_and_was_open_at_its_sessions_end(
    ledger: Ledger,
) -> None:
    order = apply(
        Order(TERMS),
        ev.OrderAccepted(
            happened_at=T, known_at=T, client_order_id=TERMS.client_order_id, symbol="X"
        ),
    )
    ledger.put_order("s1", order)
    ledger.end_session("s1", COMPLETED, None)
    ledger.open_session(SessionRow("s2", DAY + timedelta(days=1), "paper", "cross", None, "abc"))
    assert [found.status for found in ledger.open_orders("paper")] == [Status.ACCEPTED]
    filled = msgspec.structs.replace(order, status=Status.FILLED, filled_quantity=10.0)
    ledger.put_order("s2", filled)
    assert ledger.table("session_orders").row(0, named=True)["status"] == "filled"
    assert ledger.table("session_orders").row(0, named=True)["session_id"] == "s1"
    assert ledger.closing_statuses("s1") == {TERMS.client_order_id: "open"}
    assert ledger.open_orders("paper") == []
    assert ledger.order(TERMS.client_order_id) == filled


def test_a_transaction_is_all_or_nothing(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError), ledger.transaction():
        ledger.put_order("s1", Order(TERMS))
        ledger.record("s1", "intent:a", intent(), T, T)
        raise RuntimeError("power cut")
    assert ledger.table("session_orders").is_empty()
    assert ledger.sequence("s1") == 1


def test_a_reader_in_another_connection_sees_only_what_is_committed(
    ledger: Ledger, place: Path | str
) -> None:
    with Ledger(place) as reader, ledger.transaction():
        ledger.put_order("s1", Order(TERMS))
        assert reader.table("session_orders").is_empty()
    with Ledger(place) as reader:
        assert reader.table("session_orders").height == 1


def test_a_session_keeps_its_plan(ledger: Ledger) -> None:
    assert ledger.open_session(ROW) == ROW
    with pytest.raises(DataError, match="another plan"):
        ledger.open_session(SessionRow("s1", DAY, "paper", "cross", None, "xyz"))


def test_the_previous_session_is_the_last_one_before_the_day_on_the_same_account(
    ledger: Ledger,
) -> None:
    next_day = DAY + timedelta(days=1)
    with pytest.raises(DataError, match="never ended"):
        ledger.previous_session("paper", next_day)
    ledger.end_session("s1", COMPLETED, None)
    found = ledger.previous_session("paper", next_day)
    assert found is not None
    assert found.session_id == "s1"
    assert ledger.previous_session("paper", DAY) is None
    assert ledger.previous_session("other", next_day) is None


def test_snapshots_keep_floats_and_whole_numbers(ledger: Ledger) -> None:
    body = {"cash": 10**15 + 1, "x": [0.1 + 0.2, 1e-300], "nested": {"a": None}}
    ledger.save_snapshot(Snapshot("s1", T, 7, body))
    assert ledger.snapshot("s1") == Snapshot("s1", T, 7, body)
    assert ledger.snapshot("s9") is None


def test_times_are_whole_microseconds() -> None:
    odd = datetime(2262, 1, 1, 0, 0, 0, 123457, tzinfo=UTC)
    assert moment(micros(odd)) == odd
    assert micros(datetime(1970, 1, 1, tzinfo=UTC)) == 0


def test_a_file_that_is_no_ledger_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database, but long enough to be read as one" * 100)
    with pytest.raises(DataError, match="cannot be used as a ledger"):
        Ledger(path)


def test_an_order_that_is_only_known_from_a_table_has_a_number_for_its_session(
    ledger: Ledger,
) -> None:
    with pytest.raises(DataError, match="no session s9"):
        ledger.sequence("s9")
    assert ledger.session_ids() == [("s1", 1)]


def test_a_session_has_one_writer(ledger: Ledger, place: Path | str) -> None:
    with Ledger(place) as other:
        with ledger.writer("s1"):
            with pytest.raises(SessionRunning, match="session s1"), other.writer("s1"):
                pass
            with other.writer("s2"):  # another session's
                pass
        with other.writer("s1"):
            pass


def test_a_place_that_cannot_be_a_ledger_is_said_so() -> None:
    with pytest.raises(ConfigError, match="mysql"):
        Ledger("mysql://localhost/harmony")
    with pytest.raises(ConfigError, match="no URL"):
        Ledger("somewhere")
    with pytest.raises(DataError, match=r"nobody:\*\*\*@127\.0\.0\.1:9/none cannot be used"):
        Ledger("postgresql://nobody:secret@127.0.0.1:9/none")


def test_no_password_is_shown() -> None:
    with pytest.raises(DataError) as caught:
        Ledger("postgresql://nobody:canary@127.0.0.1:9/none")
    assert "canary" not in str(caught.value)


def test_a_file_that_answers_at_once_that_it_is_locked_is_asked_again(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    # closed by another thread; the other asks without SQLite's own patience
    reader = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    maker = sqlite3.connect(file, isolation_level=None, timeout=0)
    reader.execute("create table rows (number integer)")
    reader.execute("begin")
    reader.execute("select * from rows").fetchall()
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        maker.execute("pragma journal_mode=wal")
    leaves = Timer(0.05, reader.close)
    leaves.start()
    write_ahead(maker)
    leaves.join()
    assert maker.execute("pragma journal_mode").fetchall() == [("wal",)]
    maker.close()


def test_processes_that_make_one_ledger_together_make_it_once(place: Path | str) -> None:
    def make(_number: int) -> list[tuple[str, int]]:
        with Ledger(place) as one:
            one.open_session(ROW)
            return one.session_ids()

    with ThreadPoolExecutor(4) as pool:
        try:
            found = list(pool.map(make, range(4)))
        except Exception as error:  # two opened one session: the second insert is refused
            assert "unique" in str(error).lower()
        else:
            assert found == [[("s1", 1)]] * 4
    with Ledger(place) as one:
        assert one.session_ids() == [("s1", 1)]


@pytest.mark.skipif(not hasattr(os, "seteuid") or os.geteuid() != 0, reason="only root may be two")
def test_a_ledger_in_a_folder_that_nobody_may_write_says_what_helps() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = folder / "ledger.sqlite"
        Ledger(place).close()
        before = place.read_bytes()
        folder.chmod(0o555)
        os.seteuid(NOBODY)
        try:
            for look in (Ledger, EventTail):
                with pytest.raises(DataError, match=r"let this user write in .*or copy") as found:
                    look(place)
                assert "move it aside" not in str(found.value)
        finally:
            os.seteuid(0)
            folder.chmod(0o755)
        assert place.read_bytes() == before


def test_what_is_no_ledger_is_to_be_moved_aside(tmp_path: Path) -> None:
    place = tmp_path / "ledger.sqlite"
    place.write_bytes(b"no database, and longer than a page's head" * 100)
    with pytest.raises(DataError, match="not a database; move it aside or restore a copy"):
        Ledger(place)
