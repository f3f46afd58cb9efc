"""Every book of a ledger follows from its events, on both engines."""

from pathlib import Path

import msgspec
import pytest
from session.crashes import Crash, CrashingLedger, Fuse, RemoteBroker
from session.days import DAYS, market, plan_of, rules
from session.ledgers import ENGINES, place_for
from session.test_recovery import remote_exchange, remote_session

from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.ledger_rebuild import (
    books_from_events,
    differing_rows,
    rebuild,
)
from harmony_pipeline.session.ledger_tables import BOOKS
from harmony_pipeline.session.replay import replay_day

BARS = market()
BRACKETS = rules("barriers", reject_probability=0.05)
SIGNALS = rules("signal", reject_probability=0.1, partial_fill_probability=0.2)


@pytest.mark.parametrize("engine", ENGINES)
def test_books_of_chained_days_are_made_again_from_events(engine: str, tmp_path: Path) -> None:
    """Orders that one session placed and the next one finished are among them."""
    with Ledger(place_for(engine, tmp_path)) as ledger:
        results = [
            replay_day(plan_of(day, ledger, BARS, BRACKETS), BARS, ledger) for day in DAYS[:3]
        ]
        assert sum(len(result.carried) for result in results) > 0
        kept = {table.name: ledger.rows(table.name) for table in BOOKS}
        assert all(kept.values())
        assert set(differing_rows(ledger, books_from_events(ledger)).values()) == {0}
        assert set(rebuild(ledger).values()) == {0}
        assert {table.name: ledger.rows(table.name) for table in BOOKS} == kept
        # damage: it is found, counted, and undone
        order = ledger.orders(results[0].session_id)[0]
        ledger.put_order(results[0].session_id, msgspec.structs.replace(order, reason="moved"))
        ledger.empty("fills")
        ledger.empty("equity")
        found = rebuild(ledger)
        assert (found["fills"], found["equity"]) == (len(kept["fills"]), len(kept["equity"]))
        assert (found["orders"], found["sessions"], found["positions"]) == (1, 0, 0)
        assert {table.name: ledger.rows(table.name) for table in BOOKS} == kept


@pytest.mark.parametrize("engine", ENGINES)
def test_a_session_that_died_and_went_on_is_made_again_from_events(
    engine: str, tmp_path: Path
) -> None:
    place = place_for(engine, tmp_path)
    with Ledger(place) as ledger:
        plan = plan_of(DAYS[5], ledger, BARS, SIGNALS)
        exchange = remote_exchange(plan, ledger)
    for point in (120, 60):
        fuse = Fuse(point)
        with pytest.raises(Crash), CrashingLedger(place, fuse) as ledger:
            remote_session(plan, ledger, exchange, RemoteBroker(exchange, fuse))
        with Ledger(place) as ledger:
            assert set(differing_rows(ledger, books_from_events(ledger)).values()) == {0}
    with Ledger(place) as ledger:
        found = remote_session(plan, ledger, exchange, RemoteBroker(exchange, Fuse()))
        assert found.fills.height >= 5
        assert set(differing_rows(ledger, books_from_events(ledger)).values()) == {0}


def test_the_command_finds_a_damaged_book_and_makes_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from harmony_pipeline.cli.ledger import check_books, rebuild_books
    from harmony_pipeline.config import load_settings
    from harmony_pipeline.errors import NotReady

    (tmp_path / "harmony.toml").write_text('[paths]\nlake = "lake"\nstate = "state"\n')
    settings = load_settings(tmp_path / "harmony.toml", environment={})
    with pytest.raises(NotReady, match="no session has run here yet"):
        check_books(settings)
    with Ledger(tmp_path / "state" / "ledger.sqlite") as ledger:
        replay_day(plan_of(DAYS[0], ledger, BARS, BRACKETS), BARS, ledger)
        assert ledger.rows("fills")
    assert check_books(settings)
    with Ledger(tmp_path / "state" / "ledger.sqlite") as ledger:
        ledger.empty("fills")
    assert not check_books(settings)
    assert "harmony ledger rebuild" in capsys.readouterr().out
    rebuild_books(settings)
    assert check_books(settings)
