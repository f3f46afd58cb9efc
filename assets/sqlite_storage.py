"""Dagster's own SQLite storage with one SQLAlchemy engine a database and process.

Dagster 1.13 makes a new engine for each read and write. SQLAlchemy compiles a statement once an
engine, so every event of a run paid for making an engine and compiling its statements. And each
database had its tables made and stamped by Alembic; here it is a copy of an empty one
(`empty_databases.py`). Within `open_databases` databases stay open, and events are stored together:
those of a step, with what Dagster says between two steps, are one transaction, written before the
next step works. The files are those of Dagster's storage.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from itertools import groupby
from pathlib import Path
from threading import RLock
from typing import Any

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

from assets.empty_databases import Database, has_tables

# Dagster's own: how long a writer waits for another; a lock of the storage guards each connection
_CONNECT = {"timeout": 30, "check_same_thread": False}
_MOST_ENGINES = 64
_MOST_SECONDS = 1.0
EVENT_BATCH = ("DAGSTER_EVENT_BATCH_SIZE", "1000")
"""Variable of the environment with which Dagster hands over the events of a step's partitions, and
those of a run's planned assets, together instead of one by one.
"""
_WRITTEN_AT = {dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_FAILURE} | set(
    EVENT_TYPE_TO_PIPELINE_RUN_STATUS
)
"""Events after which nothing may be left unwritten: a step works now, or the run ends."""


class SqliteStorage(DagsterSqliteStorage):
    """What `dagster.yaml` names as its storage."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        # not that of DagsterSqliteStorage, which opens its own three
        super(DagsterSqliteStorage, self).__init__()  # type: ignore[no-untyped-call]
        root = Path(base_dir)
        self.base_dir = base_dir
        self._inst_data = inst_data
        self._run_storage = _runs_in(root / "history")
        self._event_log_storage = _Events(str(root / "history" / "runs"))
        self._schedule_storage = _schedules_in(root / "schedules")

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "SqliteStorage":
        """The storage in the folder `base_dir`; Dagster calls it."""
        root = Path(config_value["base_dir"])
        root.mkdir(parents=True, exist_ok=True)
        return cls(str(root), inst_data)


class _OneDatabase:
    """`connect` of a storage that has one database."""

    _conn_string: str

    @cached_property
    def _engine(self) -> Engine:
        return _engine_of(self._conn_string)

    @cached_property
    def _lock(self) -> RLock:  # type: ignore[valid-type]
        return RLock()

    _keepers = 0
    _open: Connection | None = None

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Leave the database open after its use, until the outermost block ends."""
        with self._lock:
            self._keepers += 1
        try:
            yield
        finally:
            with self._lock:
                self._keepers -= 1
                if not self._keepers and self._open is not None:
                    self._open.close()
                    self._open = None

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        if not self._keepers:
            with self._engine.begin() as connection:
                yield connection
            return
        with self._lock:
            if self._open is None:
                self._open = self._engine.connect()
            if self._open.in_transaction():
                yield self._open
                return
            with self._open.begin():
                yield self._open


class _Runs(_OneDatabase, SqliteRunStorage):
    pass


class _Schedules(_OneDatabase, SqliteScheduleStorage):
    pass


def _runs_in(folder: Path) -> SqliteRunStorage:
    if has_tables("runs", folder / "runs.db"):
        return _Runs(create_db_conn_string(str(folder), "runs"))
    return _Runs.from_local(str(folder))


def _schedules_in(folder: Path) -> SqliteScheduleStorage:
    if has_tables("schedules", folder / "schedules.db"):
        return _Schedules(create_db_conn_string(str(folder), "schedules"))
    return _Schedules.from_local(str(folder))


class _Events(SqliteEventLogStorage):
    """A database a run, and an index of them all."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        has_tables("index", Path(base_dir) / "index.db")
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

    @cached_property
    def _waiting(self) -> list[dg.EventLogEntry]:
        return []

    _keepers = 0
    _together = False

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Leave each database open after its use and store events together, until the outermost
        block ends; none waits after any.
        """
        with self._db_lock:
            self._keepers += 1
        try:
            yield
        finally:
            with self._db_lock:
                self._keepers -= 1
                try:
                    self._write_waiting()
                finally:
                    if not self._keepers:
                        self._close()

    def _close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def store_event(self, event: dg.EventLogEntry) -> None:
        """Store one event, or let it wait for the others of its step."""
        with self._db_lock:
            if not self._keepers:
                self._store_all([event])
                return
            self._waiting.append(event)
            waits = event.timestamp - self._waiting[0].timestamp
            if event.dagster_event_type in _WRITTEN_AT or waits > _MOST_SECONDS:
                self._write_waiting()

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store the events of one run in order: all or, where that fails, none of them."""
        with self._db_lock:
            if self._keepers:
                self._waiting.extend(events)
            else:
                self._store_all(events)

    def _write_waiting(self) -> None:
        """Store what waits; one by one where that fails together, as Dagster does. Raises what the
        first one that cannot be stored raises, when the others are stored.
        """
        events = self._waiting.copy()
        self._waiting.clear()
        if not events:
            return
        try:
            self._store_all(events)
        except Exception:
            errors = [error for each in events if (error := self._stored_alone(each)) is not None]
            if errors:
                raise errors[0] from None

    def _stored_alone(self, event: dg.EventLogEntry) -> Exception | None:
        """Why an event cannot be stored, if so."""
        try:
            self._store_all([event])
        except Exception as error:
            return error
        return None

    def _store_all(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store events in order, in one transaction a database: all or none of them."""
        self._together = True
        try:
            self._store_together(events)
            while self._begun:
                self._begun.popitem()[1].commit()
        finally:
            self._together = False
            while self._begun:
                self._begun.popitem()[1].rollback()
            if not self._keepers:
                self._close()

    def _store_together(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Each event is stored with its run; those of assets, of checks and of a run's status also
        in the index.
        """
        rows = [self._event_to_row(each) for each in events]
        for run_id, of_run in groupby(rows, lambda row: row["run_id"]):
            with self.run_connection(run_id) as connection:
                connection.execute(SqlEventLogStorageTable.insert(), list(of_run))
        pairs = zip(events, rows, strict=True)
        for subject, group in groupby(pairs, lambda pair: _subject(pair[0])):
            if subject == "asset":
                self._index_asset_events(list(group))
            elif subject == "check":
                for event, row in group:
                    self._index_check_event(event, row)
            elif subject == "run":
                with self.index_connection() as connection:
                    connection.execute(SqlEventLogStorageTable.insert(), [row for _, row in group])

    def _index_asset_events(self, pairs: Sequence[tuple[dg.EventLogEntry, dict[str, Any]]]) -> None:
        """The entry of an asset holds its latest event of a kind, so it is written once."""
        events, rows = [event for event, _ in pairs], [row for _, row in pairs]
        with self.index_transaction() as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
            last = connection.exec_driver_sql("select last_insert_rowid()").scalar_one()
            numbers = range(last - len(rows) + 1, last + 1)
            self._store_asset_event_tags(connection, events, numbers)
            latest = {
                (row["asset_key"], row["dagster_event_type"]): place
                for place, row in enumerate(rows)
            }
            for place in sorted(latest.values()):
                self._store_asset_event(connection, events[place], numbers[place])

    def _index_check_event(self, event: dg.EventLogEntry, row: dict[str, Any]) -> None:
        with self.index_connection() as connection:
            stored = connection.execute(SqlEventLogStorageTable.insert(), row)
            (number,) = stored.inserted_primary_key or (None,)
        self.store_asset_check_event(event, number)

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        """Whether the table of assets has a column: it was made by this version, so it is looked at
        once.
        """
        if column_name not in self._columns:
            self._columns[column_name] = super()._has_asset_key_col_on_connection(conn, column_name)
        return self._columns[column_name]

    def has_table(self, table_name: str) -> bool:
        """Whether the index has a table; one that was there stays."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    @cached_property
    def _tables(self) -> set[str]:
        return set()

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
            if not self._together:  # who reads sees every event
                self._write_waiting()
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                database: Database = "index" if shard == INDEX_SHARD_NAME else "run"
                if not has_tables(database, Path(self.path_for_shard(shard))):
                    self._initdb(engine)
                self._initialized_dbs.add(shard)
            if self._keepers or self._together:
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


def _subject(event: dg.EventLogEntry) -> str:
    """What an event tells of, as far as the index has it."""
    kind = event.dagster_event_type
    if kind in ASSET_EVENTS:
        return "asset"
    if kind in ASSET_CHECK_EVENTS:
        return "check"
    return "run" if kind in EVENT_TYPE_TO_PIPELINE_RUN_STATUS else ""


@contextmanager
def open_databases(instance: dg.DagsterInstance) -> Iterator[None]:
    """Leave the databases of runs and events open from one use to the next: the last connection to
    close one copies its whole log back. Events of a step are stored together.
    """
    with ExitStack() as kept:
        for storage in (instance.event_log_storage, instance.run_storage):
            if isinstance(storage, _Events | _Runs):
                kept.enter_context(storage.kept_open())
        yield


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
