"""Older ledgers come to today's tables with all that they hold; newer ones are left alone."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from session.days import DAYS, market, plan_of, rules
from session.ledgers import postgres

from harmony_pipeline.errors import DataError
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.ledger_rebuild import books_from_events, differing_rows
from harmony_pipeline.session.ledger_tables import BOOKS, VERSION, metadata
from harmony_pipeline.session.replay import replay_day

OLD = Path(__file__).with_name("ledger_version_1.sql").read_text()
SINCE = ("number", "verdict", "risk_limit", "wanted_quantity")
NEW_KINDS = (
    "session_opened", "session_state_set", "order_adopted", "equity_marked", "positions_kept",
)  # fmt: skip


def as_version_1(path: Path, new: Path) -> None:
    """The old tables with what the ledger `new` holds, but for what version 1 did not know."""
    with sqlite3.connect(path) as raw:
        raw.executescript(OLD)
        raw.execute("attach ? as new", (str(new),))
        raw.execute("pragma foreign_keys = off")
        for table in metadata.sorted_tables:
            if table.name == "ledger_version":
                continue
            new = (*SINCE, "strategy") if table.name != "sessions" else SINCE
            names = [column.name for column in table.columns if column.name not in new]
            columns = ", ".join(names)
            order = " order by number" if table.name == "sessions" else ""
            chosen = f"select {columns} from new.{table.name}{order}"
            if table.name == "sessions":
                columns += ", sequence"
                chosen = chosen.replace(" from", ", 0 from")
            raw.execute(f"insert into main.{table.name} ({columns}) {chosen}")
        marks = ", ".join("?" * len(NEW_KINDS))
        raw.execute(f"delete from main.events where kind in ({marks})", NEW_KINDS)
        raw.execute(
            "update main.sessions set sequence = (select max(sequence) from main.events e where"
            " e.session_id = sessions.session_id)"
        )
    raw.close()


def columns_of(path: Path) -> dict[str, Any]:
    with sqlite3.connect(path) as raw:
        tables = [
            row[0]
            for row in raw.execute("select name from sqlite_master where type = 'table' order by 1")
        ]
        found = {
            table: sorted(row[1:] for row in raw.execute(f"pragma table_xinfo({table})"))
            for table in tables
        }
        indexes = sorted(
            row[0]
            for row in raw.execute(
                "select name from sqlite_master where type = 'index' and sql > ''"
            )
        )
    raw.close()
    return {**found, "indexes": indexes}


def without_defaults(found: dict[str, Any]) -> dict[str, Any]:
    """Types, nulls and keys; spelling of types and defaults differs between hand and Core."""
    return {
        table: [(row[0], row[1].upper(), row[2], row[4]) for row in rows]
        if table != "indexes"
        else rows
        for table, rows in found.items()
    }


def test_version_1_comes_to_the_tables_of_today_with_all_that_it_holds(tmp_path: Path) -> None:
    new, old = tmp_path / "new.sqlite", tmp_path / "old.sqlite"
    chosen, bars = rules("barriers"), market()
    with Ledger(new) as ledger:
        for day in DAYS[:2]:
            replay_day(plan_of(day, ledger, bars, chosen), bars, ledger)
        expected = {table.name: ledger.rows(table.name) for table in BOOKS}
        assert len(expected["fills"]) > 5
    as_version_1(old, new)
    with Ledger(old) as ledger:
        # what the risk engine answered is told from the orders' terms
        assert {table.name: ledger.rows(table.name) for table in BOOKS} == expected
        assert set(differing_rows(ledger, books_from_events(ledger)).values()) == {0}
        for session_id, _ in ledger.session_ids():
            numbers = [number for number, _ in ledger.events(session_id)]
            assert len(numbers) == len(set(numbers))
        # and goes on
        replay_day(plan_of(DAYS[2], ledger, bars, chosen), bars, ledger)
        assert len(ledger.session_ids()) == 3
        assert set(differing_rows(ledger, books_from_events(ledger)).values()) == {0}
    fresh, migrated = without_defaults(columns_of(new)), without_defaults(columns_of(old))
    for table in fresh:
        assert migrated[table] == fresh[table], table


def test_a_ledger_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as raw:
        raw.execute("pragma user_version = 99")
    raw.close()
    with pytest.raises(DataError, match=f"version 99, this code writes version {VERSION}: use"):
        Ledger(path)
    with sqlite3.connect(path) as raw:
        assert raw.execute("select count(*) from sqlite_master").fetchone() == (0,)
    raw.close()


def test_a_newer_postgresql_ledger_is_not_touched() -> None:
    import psycopg

    place = postgres()
    with Ledger(place):
        pass
    with psycopg.connect(place, autocommit=True) as raw:
        raw.execute("update ledger_version set version = 99")
    with pytest.raises(DataError, match="version 99"):
        Ledger(place)


def test_a_step_that_fails_leaves_the_old_ledger(tmp_path: Path, monkeypatch: Any) -> None:
    from harmony_pipeline.session import ledger_migrations

    def fails(ledger: Any) -> None:
        ledger.write("alter table sessions add column number integer not null default 0", {})
        raise RuntimeError("power cut")

    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as raw:
        raw.executescript(OLD)
    raw.close()
    before = columns_of(path)
    monkeypatch.setitem(ledger_migrations.STEPS, 3, fails)
    with pytest.raises(RuntimeError):
        Ledger(path)
    assert columns_of(path) == before
    monkeypatch.undo()
    with Ledger(path) as ledger:
        assert ledger.session_ids() == []
