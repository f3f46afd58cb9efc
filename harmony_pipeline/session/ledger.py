"""The ledger: what every session intended, did and had, in one database that survives any crash: a
SQLite file, or PostgreSQL by URL.

An intent is on disk before the broker hears of it. Everything is written at most once: the same
event, fill or equity row written again changes nothing, so a restarted session may repeat what it
is not sure of. Events have one sequence per session without gaps, and every book is made from them
(`ledger_rebuild.py`). Money is whole (1/10000 of the currency), times are microseconds UTC, prices
and quantities are doubles that come back bit for bit.

One writer a session, many readers: write-ahead logging, full synchronisation, each `Ledger` with a
connection of its own that belongs to one thread.

>>> with Ledger(state_root / "ledger.sqlite") as ledger:
...     ledger.table("session_orders", date=date(2024, 6, 3))
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Self

import msgspec
import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.events import Event, SessionFact
from harmony_pipeline.execution.lifecycle import Order
from harmony_pipeline.instants import micros, moment
from harmony_pipeline.session.ledger_database import database
from harmony_pipeline.session.ledger_migrations import prepare
from harmony_pipeline.session.ledger_rows import (
    COMPLETED,
    KILLED,
    RUNNING,
    STOPPED,
    Execution,
    SessionRow,
    Snapshot,
    order_columns,
    position_columns,
    session_row,
)
from harmony_pipeline.session.ledger_statements import statements
from harmony_pipeline.session.ledger_tables import SELECTS, public_frame

__all__ = [
    "COMPLETED",
    "KILLED",
    "RUNNING",
    "STOPPED",
    "Execution",
    "Ledger",
    "SessionRow",
    "Snapshot",
]


class Ledger:
    """Reads and writes one ledger, made when it does not exist: the path of a SQLite file, or the
    URL of a PostgreSQL database. `place` names it in messages, without a password.
    """

    def __init__(self, where: Path | str) -> None:
        self._database = database(where)
        self.place = self._database.place
        self._texts = statements(self._database.dialect)
        try:
            prepare(self._database)
        except BaseException:
            self._database.close()
            raise
        self._open_transaction = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back; nothing is pending outside a transaction."""
        self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the writes inside, or none of them; on disk when the block is left. Blocks nest
        into the outermost one.
        """
        if self._open_transaction:
            yield
            return
        self._open_transaction = True
        try:
            with self._database.transaction():
                yield
        finally:
            self._open_transaction = False

    @contextmanager
    def reproducible(self) -> Iterator[None]:
        """Inside, commits do not wait for the disk: for replays, which a power cut can only
        shorten. The ledger stays whole either way.
        """
        self._database.wait_for_disk(wait=False)
        try:
            yield
        finally:
            self._database.wait_for_disk(wait=True)

    def writer(self, session_id: str) -> AbstractContextManager[None]:
        """Hold the session's pen. Raises SessionRunning while another process, or another
        connection, does.
        """
        held: AbstractContextManager[None] = self._database.writer(session_id)
        return held

    # --- sessions ---------------------------------------------------------------------------------

    def open_session(self, row: SessionRow) -> SessionRow:
        """The session, written down if it is new. Raises DataError when that id stands for another
        plan.
        """
        found = self.session(row.session_id)
        if found is None:
            values = vars(row) | {"date": row.date.isoformat()}
            began = datetime.combine(row.date, time(), UTC)
            columns = {
                name: values[name] for name in ev.SessionOpened.__struct_fields__ if name in values
            }
            opened = ev.SessionOpened(happened_at=began, known_at=began, **columns)
            with self.transaction():
                self._write("add_session", values)
                self.record(row.session_id, "session_opened", opened, began, began)
            return row
        if found.plan_hash != row.plan_hash:
            raise DataError(
                f"session {row.session_id} exists with another plan ({found.plan_hash}, this is"
                f" {row.plan_hash}): a session keeps its model and rules; start one under"
                " another id"
            )
        return found

    def session(self, session_id: str) -> SessionRow | None:
        """The session, or None."""
        rows = self._rows("session", session=session_id)
        return session_row(rows[0]) if rows else None

    def sessions(self, account: str | None = None, day: date | None = None) -> list[SessionRow]:
        """Sessions in order of date and start, of one account or day if given."""
        rows = self._rows("sessions", account=account, date=day.isoformat() if day else None)
        return [session_row(row) for row in rows]

    def session_ids(self) -> list[tuple[str, int]]:
        """(session id, number) of every session, in the order in which they were opened."""
        return [(str(name), int(number)) for name, number in self._rows("session_ids")]

    def previous_session(self, account: str, day: date) -> SessionRow | None:
        """The latest ended session of the account before `day`: its closing state opens the next
        one. A session that never ended raises DataError.
        """
        earlier = [row for row in self.sessions(account) if row.date < day]
        if not earlier:
            return None
        if earlier[-1].state == RUNNING:
            raise DataError(
                f"session {earlier[-1].session_id} never ended, so the state that {day} opens with"
                " is not known: run it again first, it continues where it stopped"
            )
        return earlier[-1]

    def end_session(self, session_id: str, state: str, reason: str | None) -> None:
        """Mark how the session ended."""
        self._set_state(session_id, state, reason)

    def reopen_session(self, session_id: str) -> None:
        """A stopped session runs on."""
        self._set_state(session_id, RUNNING, None)

    def _set_state(self, session_id: str, state: str, reason: str | None) -> None:
        with self.transaction():
            self._write(
                "set_session_state", {"of_session": session_id, "state": state, "reason": reason}
            )
            now = self._latest(session_id)
            fact = ev.SessionStateSet(happened_at=now, known_at=now, state=state, reason=reason)
            self._append(session_id, f"session_state:{self.sequence(session_id) + 1}", fact)

    # --- processes --------------------------------------------------------------------------------

    def start_run(self, session_id: str, now: datetime) -> int:
        """Note that this process carries the session; its number."""
        with self.transaction():
            number = int(self._rows("last_run", session=session_id)[0][0]) + 1
            self._write(
                "add_run",
                {
                    "session_id": session_id,
                    "run": number,
                    "pid": os.getpid(),
                    "started_at": micros(now),
                    "heartbeat_at": micros(now),
                    "outcome": None,
                },
            )
        return number

    def heartbeat(
        self, session_id: str, run: int, now: datetime, outcome: str | None = None
    ) -> None:
        """Say that the process is alive, or how it ended."""
        self._write(
            "set_run",
            {
                "heartbeat_at": micros(now),
                "outcome": outcome,
                "of_session": session_id,
                "of_run": run,
            },
        )

    def runs(self, session_id: str) -> list[dict[str, Any]]:
        """Every process that carried the session: run, pid, started_at, heartbeat_at, outcome."""
        names = ("session_id", "run", "pid", "started_at", "heartbeat_at", "outcome")
        return [
            {
                **dict(zip(names, row, strict=True)),
                "started_at": moment(row[3]),
                "heartbeat_at": moment(row[4]),
            }
            for row in self._rows("runs", session=session_id)
        ]

    # --- what happened ----------------------------------------------------------------------------

    def record(
        self, session_id: str, key: str, event: Event, happened_at: datetime, known_at: datetime
    ) -> bool:
        """Append an event; `key` names it within the session. False, and nothing changes, when that
        key is there already.
        """
        values = {
            "of_session": session_id,
            "session_id": session_id,
            "key": key,
            "kind": ev.kind_of(event),
            "timestamp": micros(happened_at),
            "known_at": micros(known_at),
            "client_order_id": getattr(event, "client_order_id", None),
            "symbol": getattr(event, "symbol", None),
            "detail": ev.encode(event).decode(),
        }
        return self._write("add_event", values) > 0

    def _append(self, session_id: str, key: str, fact: SessionFact) -> bool:
        return self.record(session_id, key, fact, fact.happened_at, fact.known_at)

    def sequence(self, session_id: str) -> int:
        """Number of the session's last event; 0 when there is none."""
        number = int(self._rows("sequence", session=session_id)[0][0])
        if number == 0 and not self._rows("session", session=session_id):
            raise DataError(f"there is no session {session_id} in {self.place}")
        return number

    def events(self, session_id: str, after: int = 0) -> list[tuple[int, Event]]:
        """(sequence, event) of the session, those later than `after`."""
        rows = self._rows("events", session=session_id, after=after)
        return [(int(number), ev.decode(detail)) for number, detail in rows]

    def _latest(self, session_id: str) -> datetime:
        """When the last thing of the session was known."""
        known = self._rows("last_known", session=session_id)[0][0]
        return moment(known)

    def put_order(self, session_id: str, order: Order) -> None:
        """Keep the order as it now stands. The session that placed it also keeps how it stood when
        that session ended.
        """
        self._write("put_order", {"session_id": session_id, **order_columns(order)})

    def adopt_order(self, session_id: str, order: Order, now: datetime) -> None:
        """Keep an order that no session of this ledger placed: it worked before."""
        fact = ev.OrderAdopted(
            happened_at=now,
            known_at=now,
            client_order_id=order.client_order_id,
            symbol=order.terms.symbol,
            state=msgspec.json.encode(order).decode(),
        )
        with self.transaction():
            self.put_order(session_id, order)
            self._append(session_id, f"adopted:{order.client_order_id}", fact)

    def order(self, client_order_id: str) -> Order | None:
        """The order, or None."""
        rows = self._rows("order", name=client_order_id)
        return msgspec.json.decode(rows[0][0], type=Order) if rows else None

    def open_orders(self, account: str) -> list[Order]:
        """Orders of the account that may still trade, oldest first; carried ones of earlier
        sessions included.
        """
        rows = self._rows("open_orders", account=account)
        return [msgspec.json.decode(row[0], type=Order) for row in rows]

    def orders(self, session_id: str) -> list[Order]:
        """Every order that the session decided, refused ones included."""
        rows = self._rows("orders", session=session_id)
        return [msgspec.json.decode(row[0], type=Order) for row in rows]

    def closing_statuses(self, session_id: str) -> dict[str, str]:
        """Client order id -> status at the end of the session that placed it, whatever later
        sessions did with it.
        """
        return dict(self._rows("closing_statuses", session=session_id))

    def record_fill(self, session_id: str, fill: Execution) -> bool:
        """Keep one execution. False, and nothing changes, when it is known already."""
        values = {**vars(fill), "session_id": session_id, "timestamp": micros(fill.timestamp)}
        return self._write("add_fill", values) > 0

    def put_equity(
        self,
        session_id: str,
        timestamp: datetime,
        equity: int,
        cash: int,
        gross: int,
        net: int,
        drawdown: float,
        known_at: datetime | None = None,
    ) -> bool:
        """One equity row in money units, of the bar that starts at `timestamp` and is known at its
        end; a row that exists stays as it is.
        """
        values: dict[str, Any] = {
            "equity": equity,
            "cash": cash,
            "gross_exposure": gross,
            "net_exposure": net,
            "drawdown": drawdown,
        }
        at = micros(timestamp)
        fact = ev.EquityMarked(happened_at=timestamp, known_at=known_at or timestamp, **values)
        with self.transaction():
            self._append(session_id, f"equity:{at}", fact)
            values |= {"session_id": session_id, "timestamp": at}
            return self._write("add_equity", values) > 0

    def put_positions(self, session_id: str, rows: Sequence[dict[str, Any]]) -> None:
        """Replace the session's positions: strategy, symbol, quantity, entry_price, last_price,
        stop_price, take_profit_price.
        """
        with self.transaction():
            held = tuple(ev.HeldPosition(**row) for row in rows)
            now = self._latest(session_id)
            fact = ev.PositionsKept(happened_at=now, known_at=now, positions=held)
            self._append(session_id, f"positions:{self.sequence(session_id) + 1}", fact)
            self._write("clear_positions", {"of_session": session_id})
            for row in held:
                self._write("add_position", {"session_id": session_id, **position_columns(row)})

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep the state to restart from; the session's earlier one is replaced."""
        self._write(
            "put_snapshot",
            {
                "session_id": snapshot.session_id,
                "at": micros(snapshot.at) if snapshot.at else None,
                "sequence": snapshot.sequence,
                "body": msgspec.json.encode(snapshot.body),
            },
        )

    def snapshot(self, session_id: str) -> Snapshot | None:
        """The state to restart from; after the end of a session, its closing state."""
        rows = self._rows("snapshot", session=session_id)
        if not rows:
            return None
        at, sequence, body = rows[0]
        return Snapshot(
            session_id,
            moment(at) if at is not None else None,
            int(sequence),
            msgspec.json.decode(body),
        )

    # --- frames -----------------------------------------------------------------------------------

    def table(
        self, name: str, date: date | None = None, session_id: str | None = None
    ) -> pl.DataFrame:
        """A public table (`session_orders`, `session_fills`, `session_positions`, `session_equity`,
        `session_events`) of all days, or of one day or session.
        """
        if name not in SELECTS:
            raise DataError(f"the ledger has no table '{name}'; it has {', '.join(SELECTS)}")
        day = date.isoformat() if date else None
        if session_id is None:
            return public_frame(name, self._rows(name, date=day))
        rows = self._rows(f"{name}_of_session", date=day, session=session_id)
        return public_frame(name, rows)

    # --- inside -----------------------------------------------------------------------------------

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """Every row of one of the books (`ledger_tables.BOOKS`), by key."""
        return self._rows(f"all_{table}")

    def restore(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows of one of the books over those with their keys."""
        with self.transaction():
            self._database.write_many(self._texts[f"restore_{table}"], rows)

    def empty(self, table: str) -> None:
        """Take every row of one of the books away."""
        self._write(f"empty_{table}", {})

    def _rows(self, statement: str, /, **values: Any) -> list[tuple[Any, ...]]:
        return self._database.query(self._texts[statement], values)

    def _write(self, name: str, values: Mapping[str, Any]) -> int:
        if self._open_transaction:
            return self._database.write(self._texts[name], values)
        with self.transaction():
            return self._database.write(self._texts[name], values)
