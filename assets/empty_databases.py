"""Dagster's SQLite databases without a row, as Dagster itself makes them.

Alembic takes half a second for each. So they are made once for a version of Dagster and of SQLite,
kept beside the compiled kernels, and copied where a state folder or a run is new.
"""

import os
import sqlite3
import tempfile
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Literal

import dagster as dg

# private, since dagster exports no name for its storages
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

from harmony_pipeline.files import cache_root, write_bytes

Database = Literal["runs", "schedules", "index", "run"]
"""All runs, all schedules, the events of all runs that are asked for by asset, the events of one
run.
"""
_PLACES: dict[Database, str] = {
    "runs": "history/runs.db",
    "schedules": "schedules/schedules.db",
    "index": "history/runs/index.db",
    "run": "history/runs/empty.db",
}
_SQLITE = b"SQLite format 3\0"  # how each file begins: https://www.sqlite.org/fileformat2.html
_LOCKED_SECONDS = 30


def has_tables(database: Database, path: Path) -> bool:
    """Whether a database is there with its tables; an empty one is put there where none is.

    Of one that is there the same is asked as Dagster asks, which loads all of its migrations for
    it: whether it is stamped with a version. Where it is not, Dagster has to see to it.
    """
    return _put_empty(database, path) or _is_stamped(database, path)


def _put_empty(database: Database, path: Path) -> bool:
    """Make a database; False when there is one."""
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-database-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_empty(database))
        with suppress(FileExistsError):  # another process was first
            os.link(name, path)
    finally:
        Path(name).unlink()
    return True


def _is_stamped(database: Database, path: Path) -> bool:
    table = "instance_info" if database == "runs" else "alembic_version"
    try:
        with closing(sqlite3.connect(path, timeout=_LOCKED_SECONDS)) as connection:
            connection.execute(f"select 1 from {table} limit 1")
            return bool(connection.execute("select 1 from alembic_version").fetchone())
    except sqlite3.Error:
        return False


@cache
def _empty(database: Database) -> bytes:
    """The bytes of the database, kept from one command to the next."""
    kept = _kept(database)
    try:
        content = kept.read_bytes()
        if _is_whole(content):
            return content
    except OSError:
        pass
    made = _made()
    for name, content in made.items():
        with suppress(OSError):  # a disk that takes nothing: they are made again next time
            write_bytes(_kept(name), content, durable=False)
    return made[database]


def _kept(database: Database) -> Path:
    versions = f"{dg.__version__}-{sqlite3.sqlite_version}"
    return cache_root("dagster") / f"empty-{database}-{versions}.db"


def _is_whole(content: bytes) -> bool:
    """Whether the file has as many pages as its header says."""
    page = int.from_bytes(content[16:18], "big")
    size = (65_536 if page == 1 else page) * int.from_bytes(content[28:32], "big")
    return content.startswith(_SQLITE) and len(content) == size


def _made() -> dict[Database, bytes]:
    with tempfile.TemporaryDirectory(prefix="harmony-dagster-") as folder:
        storage = DagsterSqliteStorage(folder)
        with storage.event_log_storage.run_connection("empty"):  # type: ignore[attr-defined]
            pass
        return {name: Path(folder, place).read_bytes() for name, place in _PLACES.items()}
