"""Dagster's own SQLite storage with one SQLAlchemy engine a database and process.

Dagster 1.13 makes a new engine for each read and write. SQLAlchemy compiles a statement once an
engine, so every event of a run paid for making an engine and compiling its statements. And Alembic
makes and stamps the tables of each database one by one, and reads its whole history whenever one is
opened: here a new database is the bytes of an empty one that was made once, and one that Dagster
has stamped is taken as it is. Events that Dagster hands over together (`EVENT_BATCH`) are one
transaction. The files are those of Dagster's storage.
"""

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache, cached_property
from pathlib import Path
from threading import RLock
from typing import Any, Self

import dagster as dg

# private, since dagster exports no name for its storages
from dagster._core.events import (
    ASSET_CHECK_EVENTS,
    ASSET_EVENTS,
    EVENT_TYPE_TO_PIPELINE_RUN_STATUS,
)
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import (
    INDEX_SHARD_NAME,
    SqliteEventLogStorage,
)
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._core.storage.sqlite import create_db_conn_string
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from sqlalchemy import Connection, Engine, Transaction, create_engine
from sqlalchemy.event import listen
from sqlalchemy.pool import NullPool

from harmony_pipeline.files import cache_root, write_bytes

# Dagster's own: how long a writer waits for another; a lock of the storage guards each connection
_CONNECT = {"timeout": 30, "check_same_thread": False}
_MOST_ENGINES = 64
_SQLITE = b"SQLite format 3\0"  # how each file begins
EVENT_BATCH = ("DAGSTER_EVENT_BATCH_SIZE", "1000")
"""Variable of the environment with which Dagster hands over the events of a step's partitions, and
those of a run's planned assets, together instead of one by one.
"""


class SqliteStorage(DagsterSqliteStorage):
    """What `dagster.yaml` names as its storage."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        # not that of DagsterSqliteStorage, which opens its own three
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]
        root = Path(base_dir)
        self.base_dir = base_dir
        self._inst_data = inst_data
        self._run_storage = _Runs.from_local(str(root / "history"))
        self._event_log_storage = _Events(str(root / "history" / "runs"))
        self._schedule_storage = _Schedules.from_local(str(root / "schedules"))

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "SqliteStorage":
        """The storage in the folder `base_dir`; Dagster calls it."""
        root = Path(config_value["base_dir"])
        root.mkdir(parents=True, exist_ok=True)
        return cls(str(root), inst_data)


class _OneDatabase:
    """`connect` of a storage that has one database."""

    _conn_string: str

    @classmethod
    def from_local(cls, base_dir: str, inst_data: Any = None) -> Self:
        """The storage in a folder, whose database is made where there is none."""
        name = cls._name
        path = Path(base_dir) / f"{name}.db"
        path.parent.mkdir(parents=True, exist_ok=True)
        if _made_from_empty(path, name) or _is_stamped(path, *cls._tables):
            return cls(create_db_conn_string(base_dir, name), inst_data)  # type: ignore[call-arg]
        return super().from_local(base_dir, inst_data)  # type: ignore[misc,no-any-return]

    _name: str
    """Of the database, without `.db`."""
    _tables: tuple[str, ...] = ()
    """Those that Dagster adds to a stamped database which lacks them."""

    @cached_property
    def _engine(self) -> Engine:
        return _engine_of(self._conn_string)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection


class _Runs(_OneDatabase, SqliteRunStorage):
    _name = "runs"
    _tables = ("instance_info",)


class _Schedules(_OneDatabase, SqliteScheduleStorage):
    _name = "schedules"


class _Events(SqliteEventLogStorage):
    """A database a run, and an index of them all."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        index = Path(base_dir) / f"{INDEX_SHARD_NAME}.db"
        index.parent.mkdir(parents=True, exist_ok=True)
        _made_from_empty(index, INDEX_SHARD_NAME)
        super().__init__(base_dir, inst_data)
        # events that are stored together hold it around each of them
        self._db_lock = RLock()  # type: ignore[assignment]

    @cached_property
    def _engines(self) -> dict[str, Engine]:
        return {}

    @cached_property
    def _open(self) -> dict[str, Connection]:
        return {}

    @cached_property
    def _begun(self) -> dict[str, Transaction]:
        return {}

    _keeping = False
    _together = False

    def keep_open(self, keeping: bool) -> None:
        """From now on, leave each database open after its use; or close them all."""
        with self._db_lock:
            self._keeping = keeping
            while self._open:
                self._open.popitem()[1].close()

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store one event; most concern their run alone."""
        kind = event.dagster_event_type if event.is_dagster_event else None
        if kind in ASSET_EVENTS | ASSET_CHECK_EVENTS or kind in EVENT_TYPE_TO_PIPELINE_RUN_STATUS:
            super().store_event(event)
            return
        with self.run_connection(event.run_id) as connection:
            connection.execute(SqlEventLogStorageTable.insert(), self._event_to_row(event))

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store the events of one run in order: all or, where that fails, none of them."""
        with self._db_lock:
            self._together = True
            try:
                self._store_together(events)
                while self._begun:
                    self._begun.popitem()[1].commit()
            finally:
                self._together = False
                while self._begun:
                    self._begun.popitem()[1].rollback()
                if not self._keeping:
                    self.keep_open(False)

    def _store_together(self, events: Sequence[dg.EventLogEntry]) -> None:
        """As `store_event` does one by one. The entry of an asset holds its latest event, so it is
        written once.
        """
        if not all(each.dagster_event_type in ASSET_EVENTS for each in events):
            for each in events:
                self.store_event(each)
            return
        rows = [self._event_to_row(each) for each in events]
        with self.run_connection(events[0].run_id) as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
        with self.index_transaction() as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
            last = connection.exec_driver_sql("select last_insert_rowid()").scalar_one()
            numbers = range(last - len(rows) + 1, last + 1)
            self._store_asset_event_tags(connection, events, numbers)
            latest = {row["asset_key"]: place for place, row in enumerate(rows)}
            for place in latest.values():
                self._store_asset_event(connection, events[place], numbers[place])

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        """Whether the table of assets has a column: it was made by this version, so it is looked at
        once.
        """
        if column_name not in self._columns:
            self._columns[column_name] = super()._has_asset_key_col_on_connection(conn, column_name)
        return self._columns[column_name]

    @cached_property
    def _columns(self) -> dict[str, bool]:
        return {}

    def _engine(self, shard: str) -> Engine:
        if shard not in self._engines:
            if len(self._engines) == _MOST_ENGINES:
                self._engines.pop(next(iter(self._engines)))
            self._engines[shard] = _engine_of(self.conn_string_for_shard(shard))
        return self._engines[shard]

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                path = Path(self.path_for_shard(shard))
                if not _made_from_empty(path, "run") and not _is_stamped(path):
                    self._initdb(engine)
                self._initialized_dbs.add(shard)
            if self._keeping or self._together:
                if shard not in self._open:
                    self._open[shard] = engine.connect()
                connection = self._open[shard]
                if not self._together:
                    with connection.begin():
                        yield connection
                    return
                if shard not in self._begun:
                    self._begun[shard] = connection.begin()
                yield connection
                return
            with engine.begin() as connection:
                yield connection


@contextmanager
def open_event_log(instance: dg.DagsterInstance) -> Iterator[None]:
    """Leave the databases of events open from one event to the next: the last connection to close
    one copies its whole log back.
    """
    events = instance.event_log_storage
    if not isinstance(events, _Events):
        yield
        return
    events.keep_open(True)
    try:
        yield
    finally:
        events.keep_open(False)


def _engine_of(address: str) -> Engine:
    """An engine that opens a connection for each use.

    `synchronous = normal`: a killed process loses nothing, a power cut perhaps the latest events
    (https://www.sqlite.org/pragma.html#pragma_synchronous). Books are not kept here.
    """
    engine = create_engine(address, poolclass=NullPool, connect_args=_CONNECT)
    listen(engine, "connect", _set_synchronous)
    return engine


def _set_synchronous(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA synchronous = normal")


def _made_from_empty(path: Path, name: str) -> bool:
    """Make the database of that name; False when it is there."""
    if path.exists():
        return False
    descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=f".new-{name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_empty(name))
        with suppress(FileExistsError):  # another process was first
            os.link(made, path)
    finally:
        Path(made).unlink()
    return True


def _is_stamped(path: Path, *tables: str) -> bool:
    """Whether Alembic says which version a database is of, and it has these tables: Dagster leaves
    such a one as it is until `dagster instance migrate`.
    """
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, **_CONNECT)) as database:  # type: ignore[call-overload]
        found = database.execute("select name from sqlite_master where type = 'table'").fetchall()
        return {(each,) for each in (*tables, "alembic_version")} <= set(found) and bool(
            database.execute("select count(*) from alembic_version").fetchone()[0]
        )
    return False


@cache
def _empty(name: str) -> bytes:
    """An empty database as Dagster makes it: of runs, of schedules, the index of events, or the
    events of one run. It is kept from one command to the next, since Alembic takes a tenth to half
    a second to make it.
    """
    kept = cache_root("dagster") / f"empty-{name}-{dg.__version__}-{sqlite3.sqlite_version}.db"
    try:
        content = kept.read_bytes()
        if content.startswith(_SQLITE):
            return content
    except OSError:
        pass
    with tempfile.TemporaryDirectory(prefix="harmony-dagster-") as folder:
        _MAKERS[name](folder)
        content = (Path(folder) / f"{name}.db").read_bytes()
    with suppress(OSError):  # a disk that takes nothing: it is made again next time
        write_bytes(kept, content, durable=False)
    return content


def _make_run(folder: str) -> None:
    with SqliteEventLogStorage(folder).run_connection("run"):
        pass


_MAKERS: dict[str, Callable[[str], object]] = {
    "runs": SqliteRunStorage.from_local,
    "schedules": SqliteScheduleStorage.from_local,
    INDEX_SHARD_NAME: SqliteEventLogStorage,
    "run": _make_run,
}
