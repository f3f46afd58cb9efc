"""What an exchange keeps on disk: one SQLite file from which a restarted exchange goes on.

Every change of the exchange is one transaction, written before the request that caused it is
answered. Without a path nothing is kept.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from harmony_pipeline.exchange.books import Posting
from harmony_pipeline.exchange.orders import Json, VenueOrder

_TABLES = """
create table if not exists orders (id text primary key, body blob not null);
create table if not exists postings (number integer primary key, body blob not null);
create table if not exists updates (number integer primary key, body blob not null);
create table if not exists state (id integer primary key check (id = 1), body blob not null);
"""


class Kept(msgspec.Struct):
    """What a file held: orders in the order of their making, postings, updates, the rest."""

    orders: list[VenueOrder]
    postings: list[Posting]
    updates: list[Json]
    state: Json


class Store:
    """One file; used by one thread at a time. `path` None keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._connection = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = normal")
            self._connection.executescript(_TABLES)
        self._postings = self._updates = 0

    def load(self) -> Kept | None:
        """What was saved last; None for a new file."""
        if self._connection is None:
            return None
        row = self._connection.execute("select body from state").fetchone()
        if row is None:
            return None
        kept = Kept(
            sorted(self._read("orders", VenueOrder), key=lambda order: order.created_at),
            self._read("postings", Posting),
            self._read("updates", Json),
            msgspec.json.decode(row[0]),
        )
        self._postings, self._updates = len(kept.postings), len(kept.updates)
        return kept

    def save(
        self,
        orders: Iterable[VenueOrder],
        postings: list[Posting],
        updates: list[Json],
        state: Json,
    ) -> None:
        """Write what changed: these orders, what is new of the lists, the state."""
        if self._connection is None:
            return
        encode = msgspec.json.encode
        connection = self._connection
        connection.execute("begin immediate")
        connection.executemany(
            "insert or replace into orders values (?, ?)",
            [(order.id, encode(order)) for order in orders],
        )
        for table, rows, known in (
            ("postings", postings, self._postings),
            ("updates", updates, self._updates),
        ):
            connection.executemany(
                f"insert into {table} values (?, ?)",
                [(known + 1 + place, encode(row)) for place, row in enumerate(rows[known:])],
            )
        connection.execute("insert or replace into state values (1, ?)", [encode(state)])
        connection.execute("commit")
        self._postings, self._updates = len(postings), len(updates)

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read(self, table: str, kind: Any) -> list[Any]:
        assert self._connection is not None
        decoder = msgspec.json.Decoder(kind)
        column = "rowid" if table == "orders" else "number"
        rows = self._connection.execute(f"select body from {table} order by {column}")
        return [decoder.decode(body) for (body,) in rows]
