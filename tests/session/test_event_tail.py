"""Who looks on sees what the ledger holds, on either engine, and can write nothing."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from session.ledgers import ENGINES, place_for

from harmony_pipeline.errors import DataError
from harmony_pipeline.execution import events as ev
from harmony_pipeline.instants import micros
from harmony_pipeline.session.event_tail import EventTail
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.ledger_rows import COMPLETED, SessionRow

T = datetime(2024, 3, 5, 15, 0, tzinfo=UTC)
FIRST = SessionRow("s1", date(2024, 3, 5), "paper", "cross", None, "abc")
SECOND = SessionRow("s2", date(2024, 3, 4), "replay", "cross", "m", "abc")


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    return place_for(request.param, tmp_path)


@pytest.fixture
def ledger(place: Path | str) -> Iterator[Ledger]:
    with Ledger(place) as made:
        for row in (FIRST, SECOND):
            made.open_session(row)
        for minute in range(1, 5):
            at = T + timedelta(minutes=minute)
            fact = ev.SessionStateSet(happened_at=at, known_at=at, state="running", reason=None)
            made.record("s1", f"fact {minute}", fact, at, at)
            made.put_equity("s1", at, 10 * minute, 5, 0, 0, 0.0)
        made.end_session("s1", COMPLETED, None)
        yield made


def test_events_are_read_in_order_and_none_before_it_was_known(
    ledger: Ledger, place: Path | str
) -> None:
    with EventTail(place) as tail:
        whole = tail.events_after("s1", 0)
        assert [(each.sequence, each.event) for each in whole] == ledger.events("s1")
        until = micros(T + timedelta(minutes=2))
        assert [each.sequence for each in tail.events_after("s1", 0, until)] == [
            each.sequence for each in whole if each.known_at <= until
        ]
        assert 1 < len(tail.events_after("s1", 0, until)) < len(whole)
        assert [each.sequence for each in tail.events_after("s1", 3, limit=2)] == [4, 5]
        assert tail.sequence("s1") == whole[-1].sequence
        assert tail.sequence("nobody") == 0
        first, last = T + timedelta(minutes=1), T + timedelta(minutes=4)
        assert tail.span("s1") == (micros(first), micros(last))
        assert tail.span("s2") is None


def test_sessions_and_equity_are_the_ledgers(ledger: Ledger, place: Path | str) -> None:
    with EventTail(place) as tail:
        assert tail.sessions() == ledger.sessions()
        assert tail.sessions("paper") == ledger.sessions("paper")
        newest = tail.newest_session()
        assert newest is not None
        assert newest.session_id == "s2"  # begun last, whatever its date
        assert tail.newest_session("nobody") is None
        assert tail.session("s1") == ledger.session("s1")
        rows = tail.equity_after("s1", micros(T + timedelta(minutes=1)), micros(T) + 180_000_000)
        assert [row["equity"] for row in rows] == [20, 30]
        assert tail.last_equity("s1") == 40
        assert tail.last_equity("s2") is None
        assert tail.positions("s1") == []
        assert tail.order("nobody") is None


def test_whoever_looks_on_cannot_write_and_makes_nothing(
    ledger: Ledger, place: Path | str, tmp_path: Path
) -> None:
    with (
        EventTail(place) as tail,
        pytest.raises(Exception, match=r"read-?only"),
    ):
        tail._database.write("delete from events", {})
    assert len(ledger.events("s1")) == ledger.sequence("s1") > 0
    with pytest.raises(DataError, match="no session has run here yet"):
        EventTail(tmp_path / "elsewhere.sqlite")
    assert not (tmp_path / "elsewhere.sqlite").exists()


def test_a_database_without_a_ledger_is_one_sentence() -> None:
    with pytest.raises(DataError, match="no session has run here yet"):
        EventTail(place_for("postgresql", Path()))
