"""Keeps the present tables and the last changes, and lets any number of pages follow.

One thread publishes. A page follows by number: it asks for what came after the last change that it
has. What is older than the kept changes is answered by the whole tables. Both are bounded, so a
page that has stopped reading costs nothing.
"""

import secrets
import threading
from collections import deque
from dataclasses import dataclass

from harmony_pipeline.monitor.changes import MOST_ROWS, PASSING, Changes, Row, merge

_KEPT_CHANGES = 512


@dataclass(frozen=True)
class Message:
    """What a page gets: `whole` tables, or changes; `number` is the last change in it."""

    number: int
    whole: bool
    tables: Changes


class Hub:
    """`epoch` tells one run of the server from another: numbers of another run mean nothing."""

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(4)
        self.closed = False
        """Whether the server ends: streams end, too."""
        self._lock = threading.Lock()
        self._tables: dict[str, dict[str, Row]] = {}
        self._recent: deque[tuple[int, Changes]] = deque(maxlen=_KEPT_CHANGES)
        self._number = 0

    @property
    def number(self) -> int:
        """Number of the last change."""
        return self._number

    def restart(self) -> None:
        """Forget everything: another session is shown from now on."""
        with self._lock:
            self._number += 1
            self._tables.clear()
            self._recent.clear()

    def publish(self, changes: Changes) -> None:
        """Add the changes that differ from what is there."""
        with self._lock:
            news = {table: self._news(table, rows) for table, rows in changes.items()}
            news = {table: rows for table, rows in news.items() if rows}
            if not news:
                return
            self._number += 1
            for table in news:
                self._keep(table, news[table])
            self._recent.append((self._number, news))

    def _news(self, table: str, rows: dict[str, Row | None]) -> dict[str, Row | None]:
        if table in PASSING:
            return rows
        known = self._tables.setdefault(table, {})
        return {key: row for key, row in rows.items() if known.get(key) != row}

    def _keep(self, table: str, rows: dict[str, Row | None]) -> None:
        if table in PASSING:
            return
        known = self._tables[table]
        for key, row in rows.items():
            if row is None:
                known.pop(key, None)
            else:
                known[key] = row
        for key in list(known)[: max(0, len(known) - MOST_ROWS.get(table, len(known)))]:
            del known[key]
            rows[key] = None

    def after(self, number: int | None) -> Message | None:
        """What a page that has everything up to `number` lacks; None when that is nothing."""
        with self._lock:
            if number == self._number:
                return None
            oldest = self._recent[0][0] if self._recent else self._number + 1
            if number is None or not oldest - 1 <= number < self._number:
                whole: Changes = {table: dict(rows) for table, rows in self._tables.items()}
                return Message(self._number, whole=True, tables=whole)
            news = [changes for at, changes in self._recent if at > number]
            return Message(self._number, whole=False, tables=merge(news))

    def id_of(self, message: Message) -> str:
        """The SSE id of a message."""
        return f"{self.epoch}-{message.number}"

    def number_of(self, event_id: str | None) -> int | None:
        """The number that an SSE id stands for; None for one of another run, or none at all."""
        epoch, _, number = (event_id or "").partition("-")
        # a Unicode digit is none of ours
        known = epoch == self.epoch and number.isascii() and number.isdigit()
        return int(number[:18]) if known else None
