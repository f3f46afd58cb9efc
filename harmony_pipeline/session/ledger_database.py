"""The database behind a ledger: a SQLite file, or PostgreSQL by URL, through its own driver.

One connection a ledger, which belongs to one thread. Rows are tuples, parameters are named.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import tenacity
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.hashing import short_hash
from harmony_pipeline.locks import file_lock
from harmony_pipeline.session.ledger_statements import POSTGRES, SQLITE
from harmony_pipeline.session.process_control import SessionRunning

_BUSY_MILLISECONDS = 10_000
_LOOK_MILLISECONDS = 250  # a reader that is not let in asks again later
_CONNECT_SECONDS = 10
_HAS_VERSION = (
    "select 1 from pg_catalog.pg_tables where tablename = 'ledger_version' and schemaname ="
    " current_schema()"
)
_PRIMARY = 0xFF  # SQLite's code without what it adds to it
_MAKING_LOCK = 0x4C454447  # of everybody who makes or migrates the tables


class Database(Protocol):
    """What the ledger needs of a database."""

    dialect: str
    place: str

    def query(self, text: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Every row."""

    def write(self, text: str, values: Mapping[str, Any]) -> int:
        """How many rows were written."""

    def write_many(self, text: str, values: Sequence[Mapping[str, Any]]) -> None:
        """One statement for each of `values`."""

    def transaction(self, *, making: bool = False) -> Any:
        """A context: all or nothing. `making`: alone among those who make tables."""

    def wait_for_disk(self, *, wait: bool) -> None:
        """Whether a commit returns only when it is on disk."""

    def version(self) -> int:
        """Of the tables; 0: there are none."""

    def writer(self, session_id: str) -> Any:
        """A context: the only writer of that session. Raises SessionRunning."""

    def close(self) -> None:
        """Give the connection back."""


def database(where: Path | str, *, read_only: bool = False) -> Database:
    """The database at a path, a `sqlite:///` URL or a `postgresql://` URL. `read_only`: it can
    neither write nor take a writer's lock, and nothing is made. Raises ConfigError for anything
    else, DataError when it cannot be opened.
    """
    if isinstance(where, Path):
        return Sqlite(where, read_only=read_only)
    try:
        url = make_url(where)
    except ArgumentError:
        raise ConfigError(
            "session.ledger is no URL: write postgresql://user@host/database, or sqlite:///path"
        ) from None
    backend = url.get_backend_name()
    if backend == SQLITE and url.database:
        return Sqlite(Path(url.database), read_only=read_only)
    if backend == POSTGRES:
        return Postgres(
            url.set(drivername=POSTGRES).render_as_string(hide_password=False),
            url.set(drivername=POSTGRES, query={}).render_as_string(),
            read_only=read_only,
        )
    raise ConfigError(
        f"session.ledger names {backend}: a ledger is kept in sqlite:///path or in"
        " postgresql://user@host/database"
    )


class Sqlite:
    """A file in write-ahead mode, fully synchronised: one writer at a time, many readers."""

    dialect = SQLITE

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path, self.place = path, str(path)
        if read_only and not path.exists():
            raise DataError(f"there is no ledger {path}: no session has run here yet")
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
        wait = _LOOK_MILLISECONDS if read_only else _BUSY_MILLISECONDS
        self._connection = sqlite3.connect(
            f"file:{quote(str(path.resolve()))}?mode=ro" if read_only else path,
            uri=read_only,
            isolation_level=None,
            timeout=wait / 1000,
            cached_statements=256,
        )
        try:
            if not read_only:
                write_ahead(self._connection)
                self._connection.execute("pragma synchronous=full")
                self._connection.execute("pragma foreign_keys=on")
            self.version()
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise DataError(_why_not(path, error)) from None

    def query(self, text: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Every row."""
        return self._connection.execute(text, values).fetchall()

    def write(self, text: str, values: Mapping[str, Any]) -> int:
        """How many rows were written."""
        return self._connection.execute(text, values).rowcount

    def write_many(self, text: str, values: Sequence[Mapping[str, Any]]) -> None:
        """One statement for each of `values`."""
        self._connection.executemany(text, values)

    @contextmanager
    def transaction(self, *, making: bool = False) -> Iterator[None]:
        """All or nothing."""
        self._connection.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._connection.execute("rollback")
            raise
        self._connection.execute("commit")

    def wait_for_disk(self, *, wait: bool) -> None:
        """Whether a commit returns only when it is on disk."""
        self._connection.execute(f"pragma synchronous={'full' if wait else 'normal'}")

    def version(self) -> int:
        """Of the tables; 0: there are none."""
        return int(self._connection.execute("pragma user_version").fetchone()[0])

    @contextmanager
    def writer(self, session_id: str) -> Iterator[None]:
        """The only writer of that session, while the block runs."""
        folder = self.path.parent / f"{self.path.name}.writers"
        with file_lock(
            folder / f"{short_hash(session_id, 16)}.lock",
            lambda holder: _written_elsewhere(session_id, self.place, f" ({holder})"),
            session_id=session_id,
        ):
            yield

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()


def _why_not(path: Path, error: sqlite3.DatabaseError) -> str:
    """That a file cannot be opened, and what helps against it."""
    what = f"{path} cannot be used as a ledger: {error}"
    match error.sqlite_errorcode & _PRIMARY:
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            cure = (
                f"SQLite writes beside it even to read it: let this user write in {path.parent},"
                " or copy the ledger, with its -wal file where there is one, to where he may"
            )
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            cure = f"make room on the disk of {path.parent}, and look whether it works"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            cure = "another process holds it: try again when that one is done"
        case _:
            cure = "move it aside or restore a copy"
    return f"{what}; {cure}"


def write_ahead(connection: sqlite3.Connection) -> None:
    """Put a file into write-ahead mode. Where two make one file together, SQLite answers one of
    them that it is locked, at once and whatever its timeout: both would wait for the other.
    """
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception(
            lambda error: (
                isinstance(error, sqlite3.Error) and error.sqlite_errorcode == sqlite3.SQLITE_BUSY
            )
        ),
        stop=tenacity.stop_after_delay(_BUSY_MILLISECONDS / 1000),
        wait=tenacity.wait_random(0.001, 0.02),
        reraise=True,
    ):
        with attempt:
            connection.execute("pragma journal_mode=wal")


class Postgres:
    """A PostgreSQL database by psycopg 3; each statement is on disk when it returns, as in
    SQLite.
    """

    dialect = POSTGRES

    def __init__(self, conninfo: str, place: str, *, read_only: bool = False) -> None:
        try:
            import psycopg
        except ImportError:
            raise ConfigError(
                "session.ledger names PostgreSQL, which needs psycopg: pip install"
                " 'harmony-pipeline[postgres]'"
            ) from None
        self.place = place
        try:
            self._connection = psycopg.connect(
                conninfo, autocommit=True, connect_timeout=_CONNECT_SECONDS
            )
            if read_only:
                self._connection.execute("set default_transaction_read_only = on")
        except psycopg.Error as error:
            raise DataError(
                f"{place} cannot be used as a ledger: {' '.join(str(error).split())}"
            ) from None

    def query(self, text: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Every row."""
        return self._connection.execute(text.encode(), values or None).fetchall()

    def write(self, text: str, values: Mapping[str, Any]) -> int:
        """How many rows were written."""
        return self._connection.execute(text.encode(), values or None).rowcount

    def write_many(self, text: str, values: Sequence[Mapping[str, Any]]) -> None:
        """One statement for each of `values`."""
        with self._connection.cursor() as cursor:
            cursor.executemany(text.encode(), values)

    @contextmanager
    def transaction(self, *, making: bool = False) -> Iterator[None]:
        """All or nothing."""
        with self._connection.transaction():
            if making:
                self.query("select pg_advisory_xact_lock(%(key)s)", {"key": _MAKING_LOCK})
            yield

    def wait_for_disk(self, *, wait: bool) -> None:
        """Whether a commit returns only when it is on disk."""
        self.write(f"set synchronous_commit = {'on' if wait else 'off'}", {})

    def version(self) -> int:
        """Of the tables; 0: there are none."""
        # a plain query: a look-up of the name may answer from before a lock was waited for
        if not self.query(_HAS_VERSION, {}):
            return 0
        return int(self.query("select version from ledger_version", {})[0][0])

    @contextmanager
    def writer(self, session_id: str) -> Iterator[None]:
        """The only writer of that session, while the block runs."""
        # the lock is the connection's: it ends with its process, however that dies
        key = {"key": int(short_hash(session_id, 7), 16)}
        if not self.query("select pg_try_advisory_lock(%(key)s)", key)[0][0]:
            raise _written_elsewhere(session_id, self.place, "")
        try:
            yield
        finally:
            self.query("select pg_advisory_unlock(%(key)s)", key)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()


def _written_elsewhere(session_id: str, place: str, holder: str) -> SessionRunning:
    return SessionRunning(
        f"session {session_id} in {place} is written by another process{holder}: wait for it, or"
        " stop it"
    )
