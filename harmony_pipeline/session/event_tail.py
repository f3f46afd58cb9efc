"""A read-only look into a ledger that another process may be writing.

The connection can neither write nor take a writer's lock. Each query is a short read of its own, so
SQLite's write-ahead log can be cut back between two of them, and a session never waits for whoever
looks on.

>>> with EventTail(state / "ledger.sqlite") as tail:
...     for row in tail.events_after(session_id, sequence): ...
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec

from harmony_pipeline.errors import DataError
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.events import Event
from harmony_pipeline.execution.lifecycle import Order
from harmony_pipeline.session.ledger_database import database
from harmony_pipeline.session.ledger_rows import SessionRow, session_row
from harmony_pipeline.session.ledger_statements import statements
from harmony_pipeline.session.ledger_tables import VERSION, positions

_MOST_ROWS = 5_000  # of one answer
FOREVER = 2**62  # microseconds: later than any event
_FIGURES = ("timestamp", "equity", "cash", "gross_exposure", "net_exposure", "drawdown")


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event as the ledger keeps it; `known_at` in microseconds UTC."""

    sequence: int
    known_at: int
    event: Event


class EventTail:
    """Reads one ledger, a path or a URL as `Ledger` takes it. Belongs to one thread. Raises
    DataError where there is no ledger, or one of another version.
    """

    def __init__(self, where: Path | str) -> None:
        self._database = database(where, read_only=True)
        self.place = self._database.place
        self._texts = statements(self._database.dialect)
        found = self._database.version()
        if found != VERSION:
            self._database.close()
            raise DataError(
                f"{self.place} is a ledger of version {found}; this code reads {VERSION}"
                if found
                else f"there is no ledger in {self.place}: no session has run here yet"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back."""
        self._database.close()

    def sessions(self, account: str | None = None) -> list[SessionRow]:
        """Sessions in order of date and start."""
        return [session_row(row) for row in self._rows("sessions", account=account, date=None)]

    def newest_session(self, account: str | None = None) -> SessionRow | None:
        """The session that was begun last, of one account if given; None when there is none."""
        rows = self._rows("newest_session", account=account)
        return session_row(rows[0]) if rows else None

    def session(self, session_id: str) -> SessionRow | None:
        """The session, or None."""
        rows = self._rows("session", session=session_id)
        return session_row(rows[0]) if rows else None

    def sequence(self, session_id: str) -> int:
        """Number of the session's last event; 0 when there is none."""
        return int(self._rows("sequence", session=session_id)[0][0])

    def span(self, session_id: str) -> tuple[int, int] | None:
        """When the first and the last event were known, microseconds; None without events. That it
        was opened is not counted: it is told at the midnight of its day.
        """
        first, last = self._rows("span", session=session_id, but="session_opened")[0]
        return None if first is None else (int(first), int(last))

    def events_after(
        self, session_id: str, after: int, until: int = FOREVER, limit: int = _MOST_ROWS
    ) -> list[StoredEvent]:
        """The next events of the session, in order, before the first that was known after
        `until`.
        """
        rows = self._rows(
            "events_known", session=session_id, after=after, until=until, last=FOREVER, limit=limit
        )
        return [StoredEvent(int(row[0]), int(row[1]), ev.decode(row[2])) for row in rows]

    def equity_after(self, session_id: str, after: int, until: int) -> list[dict[str, Any]]:
        """Equity rows of bars that start after `after` and not after `until`; money units."""
        rows = self._rows(
            "equity_known", session=session_id, after=after, until=until, limit=_MOST_ROWS
        )
        return [dict(zip(_FIGURES, row, strict=True)) for row in rows]

    def last_equity(self, session_id: str) -> int | None:
        """Equity at the session's last bar, money units."""
        rows = self._rows("last_equity", session=session_id)
        return int(rows[0][0]) if rows else None

    def positions(self, session_id: str) -> list[dict[str, Any]]:
        """What the session held when it ended."""
        names = [column.name for column in positions.columns]
        rows = self._rows("positions", session=session_id)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def order(self, client_order_id: str) -> Order | None:
        """The order as it stands now, or None."""
        rows = self._rows("order", name=client_order_id)
        return msgspec.json.decode(rows[0][0], type=Order) if rows else None

    def _rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        return self._database.query(self._texts[statement], values)
