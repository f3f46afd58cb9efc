"""The ledger: what every session intended, did and had, in one SQLite file that survives any crash.

An intent is on disk before the broker hears of it. Everything is written at most once: the same
event, fill or equity row written again changes nothing, so a restarted session may repeat what it
is not sure of. Events have one sequence per session without gaps. Money is whole (1/10000 of the
currency), times are microseconds UTC, prices and quantities are doubles that come back bit for bit.

One writer, many readers: write-ahead logging, full synchronisation, each `Ledger` with a connection
of its own that belongs to one thread.

>>> with Ledger(state_root / "ledger.sqlite") as ledger:
...     ledger.table("session_orders", date=date(2024, 6, 3))
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.events import Event, micros, moment
from harmony_pipeline.execution.lifecycle import Order
from harmony_pipeline.session.ledger_rows import (
    COMPLETED,
    KILLED,
    RUNNING,
    STOPPED,
    Execution,
    SessionRow,
    Snapshot,
    order_columns,
)
from harmony_pipeline.session.ledger_tables import SCHEMA, SELECTS, UPGRADES, VERSION, public_frame

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

_BUSY_MILLISECONDS = 10_000


class Ledger:
    """Reads and writes one ledger file; made when it does not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(
            path, isolation_level=None, timeout=_BUSY_MILLISECONDS / 1000
        )
        self._connection.row_factory = sqlite3.Row
        try:
            for pragma in (
                "journal_mode=wal",
                "synchronous=full",
                "foreign_keys=on",
                f"busy_timeout={_BUSY_MILLISECONDS}",
            ):
                self._connection.execute(f"pragma {pragma}")
            self._create()
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.DatabaseError):
                raise DataError(
                    f"{path} cannot be used as a ledger: {error}; move it aside or restore a copy"
                ) from None
            raise
        self._open_transaction = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back; nothing is pending outside a transaction."""
        self._connection.close()

    def _create(self) -> None:
        found = int(self._connection.execute("pragma user_version").fetchone()[0])
        if found == VERSION:
            return
        if found not in (0, *UPGRADES):
            raise DataError(
                f"{self.path} is a ledger of version {found}, this code writes version {VERSION}:"
                " move it aside, or use the code that wrote it"
            )
        with self.transaction_on(self._connection):
            # another process may have been faster
            found = int(self._connection.execute("pragma user_version").fetchone()[0])
            steps = [SCHEMA] if found == 0 else [UPGRADES[old] for old in range(found, VERSION)]
            for statement in (statement for step in steps for statement in step):
                self._connection.execute(statement)
            self._connection.execute(f"pragma user_version = {VERSION}")

    @staticmethod
    @contextmanager
    def transaction_on(connection: sqlite3.Connection) -> Iterator[None]:
        """All or nothing on `connection`."""
        connection.execute("begin immediate")
        try:
            yield
        except BaseException:
            connection.execute("rollback")
            raise
        connection.execute("commit")

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
            with self.transaction_on(self._connection):
                yield
        finally:
            self._open_transaction = False

    @contextmanager
    def reproducible(self) -> Iterator[None]:
        """Inside, commits do not wait for the disk: for replays, which a power cut can only
        shorten. The file stays whole either way.
        """
        self._connection.execute("pragma synchronous=normal")
        try:
            yield
        finally:
            self._connection.execute("pragma synchronous=full")

    # --- sessions ---------------------------------------------------------------------------------

    def open_session(self, row: SessionRow) -> SessionRow:
        """The session, written down if it is new. Raises DataError when that id stands for another
        plan.
        """
        found = self.session(row.session_id)
        if found is None:
            self._insert("sessions", {**vars(row), "date": row.date.isoformat(), "sequence": 0})
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
        rows = self._rows("select * from sessions where session_id = ?", (session_id,))
        return _session(rows[0]) if rows else None

    def sessions(self, account: str | None = None, day: date | None = None) -> list[SessionRow]:
        """Sessions in order of date and start, of one account or day if given."""
        rows = self._rows(
            "select * from sessions where (?1 is null or account = ?1) and (?2 is null or date ="
            " ?2) order by date, rowid",
            (account, day.isoformat() if day else None),
        )
        return [_session(row) for row in rows]

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
        self._write(
            "update sessions set state = ?, reason = ? where session_id = ?",
            (state, reason, session_id),
        )

    def reopen_session(self, session_id: str) -> None:
        """A stopped session runs on."""
        self._write(
            "update sessions set state = ?, reason = null where session_id = ?",
            (RUNNING, session_id),
        )

    # --- processes --------------------------------------------------------------------------------

    def start_run(self, session_id: str, now: datetime) -> int:
        """Note that this process carries the session; its number."""
        with self.transaction():
            number = int(
                self._rows(
                    "select coalesce(max(run), 0) + 1 as next from runs where session_id = ?",
                    (session_id,),
                )[0]["next"]
            )
            self._insert(
                "runs",
                {
                    "session_id": session_id,
                    "run": number,
                    "pid": os.getpid(),
                    "started_at": micros(now),
                    "heartbeat_at": micros(now),
                },
            )
        return number

    def heartbeat(
        self, session_id: str, run: int, now: datetime, outcome: str | None = None
    ) -> None:
        """Say that the process is alive, or how it ended."""
        self._write(
            "update runs set heartbeat_at = ?, outcome = ? where session_id = ? and run = ?",
            (micros(now), outcome, session_id, run),
        )

    def runs(self, session_id: str) -> list[dict[str, Any]]:
        """Every process that carried the session: run, pid, started_at, heartbeat_at, outcome."""
        rows = self._rows("select * from runs where session_id = ? order by run", (session_id,))
        return [
            {
                **dict(row),
                "started_at": moment(row["started_at"]),
                "heartbeat_at": moment(row["heartbeat_at"]),
            }
            for row in rows
        ]

    # --- what happened ----------------------------------------------------------------------------

    def record(
        self, session_id: str, key: str, event: Event, happened_at: datetime, known_at: datetime
    ) -> bool:
        """Append an event; `key` names it within the session. False, and nothing changes, when that
        key is there already.
        """
        with self.transaction():
            if self._rows(
                "select 1 from events where session_id = ? and key = ?", (session_id, key)
            ):
                return False
            self._connection.execute(
                "update sessions set sequence = sequence + 1 where session_id = ?", (session_id,)
            )
            sequence = self.sequence(session_id)
            self._insert(
                "events",
                {
                    "session_id": session_id,
                    "sequence": sequence,
                    "key": key,
                    "kind": ev.kind_of(event),
                    "timestamp": micros(happened_at),
                    "known_at": micros(known_at),
                    "client_order_id": getattr(event, "client_order_id", None),
                    "symbol": getattr(event, "symbol", None),
                    "detail": ev.encode(event).decode(),
                },
            )
        return True

    def sequence(self, session_id: str) -> int:
        """Number of the session's last event; 0 when there is none."""
        rows = self._rows("select sequence from sessions where session_id = ?", (session_id,))
        if not rows:
            raise DataError(f"there is no session {session_id} in {self.path}")
        return int(rows[0]["sequence"])

    def events(self, session_id: str, after: int = 0) -> list[tuple[int, Event]]:
        """(sequence, event) of the session, those later than `after`."""
        rows = self._rows(
            "select sequence, detail from events where session_id = ? and sequence > ? order by"
            " sequence",
            (session_id, after),
        )
        return [(int(row["sequence"]), ev.decode(row["detail"])) for row in rows]

    def put_order(self, session_id: str, order: Order) -> None:
        """Keep the order as it now stands. The session that placed it also keeps how it stood when
        that session ended.
        """
        values = {"session_id": session_id, **order_columns(order)}
        names = ", ".join(values)
        self._write(
            f"insert into orders ({names}) values ({', '.join('?' * len(values))}) on conflict"
            " (client_order_id) do update set status = excluded.status, reason = excluded.reason,"
            " open = excluded.open, state = excluded.state, closing_status = iif(orders.session_id"
            " = excluded.session_id, excluded.status, orders.closing_status)",
            tuple(values.values()),
        )

    def order(self, client_order_id: str) -> Order | None:
        """The order, or None."""
        rows = self._rows("select state from orders where client_order_id = ?", (client_order_id,))
        return msgspec.json.decode(rows[0]["state"], type=Order) if rows else None

    def open_orders(self, account: str) -> list[Order]:
        """Orders of the account that may still trade, oldest first; carried ones of earlier
        sessions included.
        """
        rows = self._rows(
            "select o.state from orders o join sessions s using (session_id) where o.open = 1 and"
            " s.account = ? order by o.timestamp, o.symbol, o.order_id",
            (account,),
        )
        return [msgspec.json.decode(row["state"], type=Order) for row in rows]

    def orders(self, session_id: str) -> list[Order]:
        """Every order that the session decided, refused ones included."""
        rows = self._rows(
            "select state from orders where session_id = ? order by timestamp, symbol, order_id",
            (session_id,),
        )
        return [msgspec.json.decode(row["state"], type=Order) for row in rows]

    def closing_statuses(self, session_id: str) -> dict[str, str]:
        """Client order id -> status at the end of the session that placed it, whatever later
        sessions did with it.
        """
        return dict(
            self._connection.execute(
                "select client_order_id, closing_status from orders where session_id = ? order by"
                " client_order_id",
                (session_id,),
            ).fetchall()
        )

    def record_fill(self, session_id: str, fill: Execution) -> bool:
        """Keep one execution. False, and nothing changes, when it is known already."""
        values = {**vars(fill), "session_id": session_id, "timestamp": micros(fill.timestamp)}
        return self._insert("fills", values, "on conflict (execution_id) do nothing")

    def put_equity(
        self,
        session_id: str,
        timestamp: datetime,
        equity: int,
        cash: int,
        gross: int,
        net: int,
        drawdown: float,
    ) -> bool:
        """One equity row in money units; a row that exists stays as it is."""
        values = {
            "session_id": session_id,
            "timestamp": micros(timestamp),
            "equity": equity,
            "cash": cash,
            "gross_exposure": gross,
            "net_exposure": net,
            "drawdown": drawdown,
        }
        return self._insert("equity", values, "on conflict (session_id, timestamp) do nothing")

    def put_positions(self, session_id: str, rows: Sequence[dict[str, Any]]) -> None:
        """Replace the session's positions: symbol, quantity, entry_price, last_price, stop_price,
        take_profit_price.
        """
        with self.transaction():
            self._connection.execute("delete from positions where session_id = ?", (session_id,))
            for row in rows:
                self._insert("positions", {"session_id": session_id, **row})

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep the state to restart from; the session's earlier one is replaced."""
        self._write(
            "insert or replace into snapshots (session_id, at, sequence, body) values (?, ?, ?, ?)",
            (
                snapshot.session_id,
                micros(snapshot.at) if snapshot.at else None,
                snapshot.sequence,
                msgspec.json.encode(snapshot.body),
            ),
        )

    def snapshot(self, session_id: str) -> Snapshot | None:
        """The state to restart from; after the end of a session, its closing state."""
        rows = self._rows("select * from snapshots where session_id = ?", (session_id,))
        if not rows:
            return None
        row = rows[0]
        return Snapshot(
            session_id,
            moment(row["at"]) if row["at"] is not None else None,
            int(row["sequence"]),
            msgspec.json.decode(row["body"]),
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
        rows = self._rows(
            SELECTS[name], {"date": date.isoformat() if date else None, "session": session_id}
        )
        return public_frame(name, rows)

    # --- inside -----------------------------------------------------------------------------------

    def _rows(self, text: str, values: Sequence[Any] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        return self._connection.execute(text, values).fetchall()

    def _write(self, text: str, values: Sequence[Any]) -> int:
        with self.transaction():
            return self._connection.execute(text, values).rowcount

    def _insert(self, table: str, values: dict[str, Any], conflict: str = "") -> bool:
        text = (
            f"insert into {table} ({', '.join(values)}) values ({', '.join('?' * len(values))})"
            f" {conflict}"
        )
        return self._write(text, tuple(values.values())) > 0


def _session(row: sqlite3.Row) -> SessionRow:
    fields = {name: row[name] for name in SessionRow.__dataclass_fields__}
    return SessionRow(**{**fields, "date": date.fromisoformat(fields["date"])})
