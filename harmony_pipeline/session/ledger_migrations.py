"""Brings a ledger to the tables of this code: makes them, or takes the steps that are missing.

A step turns version n - 1 into version n inside one transaction and is never edited afterwards; it
writes SQL and JSON out, since the classes of today may be others tomorrow. PostgreSQL came with
version 3, so earlier steps are SQLite's alone.
"""

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy.schema import CreateIndex, CreateTable

from harmony_pipeline.errors import DataError
from harmony_pipeline.instants import moment
from harmony_pipeline.session.ledger_database import Database
from harmony_pipeline.session.ledger_statements import SQLITE, compiled, every_table
from harmony_pipeline.session.ledger_tables import VERSION

_MONEY_NAMES = ("equity", "cash", "gross_exposure", "net_exposure")
_POSITION_NAMES = (
    "symbol", "quantity", "entry_price", "last_price", "stop_price", "take_profit_price",
)  # fmt: skip


def prepare(ledger: Database) -> None:
    """Make the tables or bring them to `VERSION`. Raises DataError when they are newer."""
    found = ledger.version()
    if found == VERSION:
        return
    if found > VERSION:
        raise DataError(
            f"{ledger.place} is a ledger of version {found}, this code writes version {VERSION}:"
            " use the Harmony that wrote it or a newer one, or name another ledger"
        )
    with ledger.transaction(making=True):
        found = ledger.version()  # another process may have been faster
        if found == 0:
            _make(ledger)
        for step in range(found + 1, VERSION + 1) if found else ():
            STEPS[step](ledger)
        if found < VERSION:
            _set_version(ledger)


def _make(ledger: Database) -> None:
    for table in every_table():
        ledger.write(compiled(CreateTable(table), ledger.dialect), {})
        for index in sorted(table.indexes, key=lambda each: str(each.name)):
            ledger.write(compiled(CreateIndex(index), ledger.dialect), {})


def _set_version(ledger: Database) -> None:
    ledger.write("delete from ledger_version", {})
    ledger.write(f"insert into ledger_version (version) values ({VERSION})", {})
    if ledger.dialect == SQLITE:  # where version 1 looks
        ledger.write(f"pragma user_version = {VERSION}", {})


def _orders_know_their_verdicts(ledger: Database) -> None:
    """Version 2: what the risk engine answered; unknown of orders before it."""
    for column in ("verdict text", "risk_limit text", "wanted_quantity real"):
        ledger.write(f"alter table orders add column {column}", {})


# --- version 3 ------------------------------------------------------------------------------------


def _every_book_has_its_events(ledger: Database) -> None:
    """Sessions are numbered; events count themselves. What only a table said is appended as
    events: sessions and how they ended, equity, positions, orders without an intent.
    """
    ledger.write(
        "create table ledger_version (version integer not null, primary key (version)) strict", {}
    )
    ledger.write("alter table sessions add column number integer not null default 0", {})
    ledger.write("update sessions set number = rowid", {})
    ledger.write("alter table sessions drop column sequence", {})
    _tell_verdicts(ledger)
    columns = "session_id, date, account, strategy, model_id, plan_hash, previous_session_id"
    for row in ledger.query(f"select {columns}, state, reason from sessions order by number", {}):
        session_id, state, reason = row[0], row[7], row[8]
        latest = "select coalesce(max(known_at), 0) from events where session_id = :session"
        known = int(ledger.query(latest, {"session": session_id})[0][0])
        add = _appender(ledger, session_id)
        opened = dict(zip(columns.split(", "), row[:7], strict=True))
        add("session_opened", "session_opened", known, known, opened)
        _add_orders(ledger, session_id, known, add)
        names = ", ".join((*_MONEY_NAMES, "drawdown"))
        text = f"select timestamp, {names} from equity where session_id = :session order by 1"
        for at, *numbers in ledger.query(text, {"session": session_id}):
            values = dict(zip((*_MONEY_NAMES, "drawdown"), numbers, strict=True))
            add(f"equity:{at}", "equity_marked", at, max(at, known), values)
        text = f"select {', '.join(_POSITION_NAMES)} from positions where session_id = :session"
        held = [
            dict(zip(_POSITION_NAMES, values, strict=True))
            for values in ledger.query(text, {"session": session_id})
        ]
        if state != "running" or held:
            add("positions:0", "positions_kept", known, known, {"positions": held})
            add(
                "session_state:0",
                "session_state_set",
                known,
                known,
                {"state": state, "reason": reason},
            )


def _tell_verdicts(ledger: Database) -> None:
    """What version 2 left null in older orders, from their terms."""
    names = {"verdict": "verdict", "risk_limit": "limit", "wanted_quantity": "wanted_quantity"}
    text = "update orders set {} where client_order_id = :name".format(
        ", ".join(f"{column} = :{column}" for column in names)
    )
    for name, state in ledger.query("select client_order_id, state from orders", {}):
        terms = json.loads(state)["terms"]
        told = {column: terms.get(field) for column, field in names.items()}
        ledger.write(text, {**told, "name": name})


def _add_orders(ledger: Database, session_id: str, known: int, add: Callable[..., None]) -> None:
    """Orders that worked before any session of this ledger placed them."""
    text = (
        "select client_order_id, symbol, state from orders o where session_id = :session and not"
        " exists (select 1 from events e where e.client_order_id = o.client_order_id and e.kind in"
        " ('intent', 'refused')) order by 1"
    )
    for name, symbol, state in ledger.query(text, {"session": session_id}):
        values = {"client_order_id": name, "symbol": symbol, "state": state}
        add(f"adopted:{name}", "order_adopted", known, known, values)


def _appender(ledger: Database, session_id: str) -> Callable[..., None]:
    text = (
        "insert into events (session_id, sequence, key, kind, timestamp, known_at, client_order_id,"
        " symbol, detail) values (:session, (select coalesce(max(sequence), 0) + 1 from events"
        " where session_id = :session), :key, :kind, :at, :known, :order, :symbol, :detail)"
    )

    def add(key: str, kind: str, at: int, known: int, values: dict[str, Any]) -> None:
        times = {"happened_at": moment(at).isoformat(), "known_at": moment(known).isoformat()}
        ledger.write(
            text,
            {
                "session": session_id,
                "key": key,
                "kind": kind,
                "at": at,
                "known": known,
                "order": values.get("client_order_id"),
                "symbol": values.get("symbol"),
                "detail": json.dumps({"kind": kind, **times, **values}),
            },
        )

    return add


# --- version 4 ------------------------------------------------------------------------------------


def _books_know_their_strategies(ledger: Database) -> None:
    """Several strategies may share the account: null, or empty in the key of positions, is the
    strategy of the session.
    """
    own = 'text collate "C"' if ledger.dialect != SQLITE else "text"
    for table in ("orders", "fills"):
        ledger.write(f"alter table {table} add column strategy {own}", {})
    if ledger.dialect != SQLITE:
        ledger.write(f"alter table positions add column strategy {own} not null default ''", {})
        ledger.write("alter table positions drop constraint positions_pkey", {})
        ledger.write("alter table positions add primary key (session_id, symbol, strategy)", {})
        return
    numbers = ("quantity", "entry_price", "last_price", "stop_price", "take_profit_price")
    needed = ", ".join(
        f"{name} real{' not null' if name in numbers[:2] else ''}" for name in numbers
    )
    ledger.write(
        "create table positions_4 (session_id text not null references sessions (session_id),"
        f" symbol text not null, {needed}, strategy text not null default '',"
        " primary key (session_id, symbol, strategy)) strict, without rowid",
        {},
    )
    names = ", ".join(("session_id", "symbol", *numbers))
    ledger.write(f"insert into positions_4 ({names}) select {names} from positions", {})
    ledger.write("drop table positions", {})
    ledger.write("alter table positions_4 rename to positions", {})


STEPS: dict[int, Callable[[Database], None]] = {
    2: _orders_know_their_verdicts,
    3: _every_book_has_its_events,
    4: _books_know_their_strategies,
}
"""What leads to each version from the one before."""
