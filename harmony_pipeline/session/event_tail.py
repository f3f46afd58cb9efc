"""A read-only look into a ledger that another process may be writing.

The connection is opened with `mode=ro`: it can neither write nor take a writer's lock. Each query
is a short read of its own, so the write-ahead log can be cut back between two of them, and a
session never waits for whoever looks on.

>>> with EventTail(state / "ledger.sqlite") as tail:
...     for row in tail.events_after(session_id, sequence): ...
"""

import sqlite3
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import msgspec

from harmony_pipeline.errors import DataError
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.events import Event
from harmony_pipeline.execution.lifecycle import Order
from harmony_pipeline.session.ledger_rows import SessionRow
from harmony_pipeline.session.ledger_tables import VERSION

_BUSY_SECONDS = 0.25
_MOST_ROWS = 5_000  # of one answer
FOREVER = 2**62  # microseconds: later than any event


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event as the ledger keeps it; `known_at` in microseconds UTC."""

    sequence: int
    known_at: int
    event: Event


class EventTail:
    """Reads one ledger file. Belongs to one thread. Raises DataError where there is no ledger, or
    one of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise DataError(f"there is no ledger {path}: no session has run here yet")
        self._connection = sqlite3.connect(
            f"file:{quote(str(path.resolve()))}?mode=ro",
            uri=True,
            isolation_level=None,
            timeout=_BUSY_SECONDS,
        )
        self._connection.row_factory = sqlite3.Row
        try:
            found = int(self._connection.execute("pragma user_version").fetchone()[0])
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise DataError(f"{path} cannot be read as a ledger: {error}") from None
        if found != VERSION:
            self._connection.close()
            raise DataError(f"{path} is a ledger of version {found}; this code reads {VERSION}")

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
        """Give the file back."""
        self._connection.close()

    def sessions(self, account: str | None = None) -> list[SessionRow]:
        """Sessions in order of date and start."""
        rows = self._rows(
            "select * from sessions where (?1 is null or account = ?1) order by date, rowid",
            account,
        )
        return [_session(row) for row in rows]

    def newest_session(self, account: str | None = None) -> SessionRow | None:
        """The session that was begun last, of one account if given; None when there is none."""
        rows = self._rows(
            "select * from sessions where (?1 is null or account = ?1) order by rowid desc limit 1",
            account,
        )
        return _session(rows[0]) if rows else None

    def session(self, session_id: str) -> SessionRow | None:
        """The session, or None."""
        rows = self._rows("select * from sessions where session_id = ?", session_id)
        return _session(rows[0]) if rows else None

    def sequence(self, session_id: str) -> int:
        """Number of the session's last event; 0 when there is none."""
        row = self._rows(
            "select coalesce(max(sequence), 0) as last from events where session_id = ?", session_id
        )[0]
        return int(row["last"])

    def span(self, session_id: str) -> tuple[int, int] | None:
        """When the first and the last event were known, microseconds; None without events. That it
        was opened is not counted: it is told at the midnight of its day.
        """
        row = self._rows(
            "select min(known_at) as first, max(known_at) as last from events"
            " where session_id = ? and kind != 'session_opened'",
            session_id,
        )[0]
        return None if row["first"] is None else (int(row["first"]), int(row["last"]))

    def events_after(
        self, session_id: str, after: int, until: int = FOREVER, limit: int = _MOST_ROWS
    ) -> list[StoredEvent]:
        """The next events of the session, in order, before the first that was known after
        `until`.
        """
        rows = self._rows(
            "select sequence, known_at, detail from events where session_id = ?1 and sequence > ?2"
            " and sequence < coalesce((select min(sequence) from events where session_id = ?1 and"
            " sequence > ?2 and known_at > ?3), ?4) order by sequence limit ?5",
            session_id, after, until, FOREVER, limit,
        )  # fmt: skip
        return [
            StoredEvent(int(row["sequence"]), int(row["known_at"]), ev.decode(row["detail"]))
            for row in rows
        ]

    def equity_after(self, session_id: str, after: int, until: int) -> list[dict[str, Any]]:
        """Equity rows of bars that start after `after` and not after `until`; money units."""
        rows = self._rows(
            "select timestamp, equity, cash, gross_exposure, net_exposure, drawdown from equity"
            " where session_id = ? and timestamp > ? and timestamp <= ? order by timestamp limit ?",
            session_id, after, until, _MOST_ROWS,
        )  # fmt: skip
        return [dict(row) for row in rows]

    def last_equity(self, session_id: str) -> int | None:
        """Equity at the session's last bar, money units."""
        rows = self._rows(
            "select equity from equity where session_id = ? order by timestamp desc limit 1",
            session_id,
        )
        return int(rows[0]["equity"]) if rows else None

    def positions(self, session_id: str) -> list[dict[str, Any]]:
        """What the session held when it ended."""
        rows = self._rows(
            "select * from positions where session_id = ? order by symbol", session_id
        )
        return [dict(row) for row in rows]

    def order(self, client_order_id: str) -> Order | None:
        """The order as it stands now, or None."""
        rows = self._rows("select state from orders where client_order_id = ?", client_order_id)
        return msgspec.json.decode(rows[0]["state"], type=Order) if rows else None

    def _rows(self, text: str, *values: Any) -> list[sqlite3.Row]:
        return self._connection.execute(text, values).fetchall()


def _session(row: sqlite3.Row) -> SessionRow:
    fields = {name: row[name] for name in SessionRow.__dataclass_fields__}
    return SessionRow(**{**fields, "date": date.fromisoformat(fields["date"])})
