"""The lake: plain hive-partitioned Parquet, one folder a table, one file a partition, on a disk or
in an object store.

`ROOT/bars/partition=2024-01/bars.parquet`. Guarantees: a partition is whole or absent, whatever is
killed; nothing that was ever known is lost, so the lake can be read as it was at any moment
(`as_of`); two writers of one partition never interleave. What made a partition (input hashes, code
version, row count, content hash, since when it is known) is kept inside the Parquet footer, so it
can never disagree with the rows; a copy for people lies beside the file as `manifest.json`.

>>> lake.write("bars", "2024-01", frame, made_from={"raw_bars": "9f3c..."})
>>> lake.scan("bars", ["2024-01"]).filter(pl.col("symbol") == "AAPL").collect()
>>> Lake(root, as_of=datetime(2025, 1, 15, tzinfo=UTC)).read("bars")
"""

import errno
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from harmony_pipeline.errors import ConfigError, Superseded
from harmony_pipeline.forks import use_polars
from harmony_pipeline.frames import sort_rows
from harmony_pipeline.lake.history import (
    SCHEMA_PARTITION,
    History,
    Version,
    kept_name,
    present_name,
)
from harmony_pipeline.lake.local_store import LocalStore
from harmony_pipeline.lake.manifest import (
    BEGINNING,
    WALL_CLOCK_COLUMNS,
    NowFunction,
    code_version,
    content_hash,
    hash_of,
    iso,
    known_since,
    moment,
    utc_now,
)
from harmony_pipeline.lake.row_groups import (
    PIECE_ROWS,
    row_groups,
    symbol_columns,
    unreadable,
    whole_symbols,
)
from harmony_pipeline.lake.store import FileVersion, Store, schema_of_bytes
from harmony_pipeline.lake.streaming import ROW_GROUP_ROWS, Stream, Written
from harmony_pipeline.lake.writing import Writer, file_without_rows
from harmony_pipeline.schemas import TABLES, Table

__all__ = [
    "ROW_GROUP_ROWS",
    "WALL_CLOCK_COLUMNS",
    "Lake",
    "PartitionVersion",
    "Version",
    "Written",
    "code_version",
    "content_hash",
]

_FENCED_ATTEMPTS = 4
_TAKES_NOTHING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}
# a write takes seconds; five minutes of waiting mean that somebody hangs
LOCK_TIMEOUT_SECONDS = 300.0


class PartitionVersion:
    """A partition as a lake answers for it: in which store, which version, and up to when its rows
    were learned.
    """

    def __init__(
        self,
        store: Store,
        table: Table,
        file: FileVersion,
        manifest: dict[str, Any],
        until: datetime | None,
    ) -> None:
        self.store, self.table, self.file, self.manifest = store, table, file, manifest
        learned = manifest.get("learned_last")
        is_whole = (
            until is None
            or table.known_by is None
            or (learned is not None and datetime.fromisoformat(learned) <= until)
        )
        self.until = None if is_whole else until
        """Rows learned later are to be left out; None: there are none."""

    def frames(
        self, rows: int = PIECE_ROWS, columns: Sequence[str] | None = None
    ) -> Iterator[pl.DataFrame]:
        """Its rows, whole row groups of about `rows` rows at a time."""
        recent = self.store.recent(self.file) if self.until is None else None
        if recent is not None:
            chosen = recent if columns is None else recent.select(columns)
            # cut as the row groups of the file are
            size = ROW_GROUP_ROWS * math.ceil(min(rows, PIECE_ROWS) / ROW_GROUP_ROWS)
            for start in range(0, chosen.height, size):
                yield chosen[start : start + size]
            return
        with self.store.open(self.file) as opened:
            yield from row_groups(opened, self.table, self.until, rows, columns)


class Lake:
    """Reads and writes partitions below one root. Any number of readers and writers; one writer at
    a time in each partition.

    With `as_of` it answers as the lake was at that moment, and refuses to be written; with
    `overlay`, a folder, what is written goes there and is read from there first, so that work can
    be repeated in the past without touching the lake.
    """

    def __init__(
        self,
        root: Path | str,
        tables: Mapping[str, Table] | None = None,
        as_of: datetime | None = None,
        *,
        overlay: Path | str | None = None,
        clock: NowFunction = utc_now,
        lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
        endpoint: str | None = None,
    ) -> None:
        self.root = root
        self.tables: dict[str, Table] = {**TABLES, **(tables or {})}
        self.as_of = None if as_of is None else moment(as_of, "as_of")
        if overlay is not None and self.as_of is None:
            raise ConfigError("an overlay lies over the past: give as_of with it")
        self.store: Store = _store(root, endpoint)
        self.above = (
            None
            if overlay is None
            else Lake(overlay, tables, clock=clock, lock_timeout_seconds=lock_timeout_seconds)
        )
        self.history = History(self.store)
        self._opened = False
        self.without_schema: frozenset[str] = frozenset()
        """Tables whose schema file is absent and could not be written (a full or read-only disk):
        they can be read all the same.
        """
        self.without_past: frozenset[str] = frozenset()
        """Tables that keep no earlier version, nor the file that stands in for one."""
        self._writer = Writer(self.store, clock, lock_timeout_seconds)

    def open(self) -> "Lake":
        """Make the root and the zero-row schema files that views rely on; cheap when they are right
        already.
        """
        use_polars()
        if self.above is not None:
            self.above.open()
        names = {table: present_name(table, SCHEMA_PARTITION) for table in self.tables}
        self.without_schema |= self._write_schemas(names)
        self._opened = True
        return self

    def prepare_past(self, tables: Iterable[str]) -> None:
        """Make the zero-row files on which views of the past of these tables rely; under `as_of`
        nothing is made. Most lakes are never asked for them, and making folders is most of what a
        new lake costs.
        """
        names = {table: kept_name(table, SCHEMA_PARTITION, BEGINNING) for table in tables}
        absent = self._write_schemas(names) if self.as_of is None else set(names)
        self.without_past = self.without_past - set(names) | {
            table
            for table in absent
            if not any(
                file.name.endswith(".parquet") for file in self.store.files(f"_history/{table}")
            )
        }

    def _write_schemas(self, names: Mapping[str, str]) -> set[str]:
        """Write the schema files, by table, that are not right; returns the tables whose file could
        not be written: a disk that takes nothing more must not keep anybody from reading.
        """
        files, absent = list(names.items()), set()
        known = self.store.map_parallel(lambda one: self.store.schema(one[1]), files)
        for (name, file), found in zip(files, known, strict=True):
            # files of the same bytes have one schema object
            right = schema_of_bytes(file_without_rows(self.tables[name]))
            if found is right or found == right:
                continue
            try:
                self._writer.write_schema(self.tables[name], file)
            except OSError as error:
                if error.errno not in _TAKES_NOTHING:
                    raise
                absent.add(name)
        return absent

    def ready(self) -> "Lake":
        """Open it, if that was not done yet."""
        return self if self._opened else self.open()

    def address(self, table: str, partition: str) -> str:
        """How Polars and DuckDB call the one file of a partition, whether or not it exists."""
        return self.store.address(present_name(table, partition))

    def path(self, table: str, partition: str) -> Path:
        """The same as a path, in a lake that is a folder."""
        return Path(self.address(table, partition))

    def partitions(self, table: str) -> list[str]:
        """Keys of the partitions that exist, in order."""
        if self.above is None:
            keys = self.history.partitions(table)
            return keys if self.as_of is None else self._known(table, keys)
        return sorted(
            {*self._known(table, self.history.partitions(table)), *self.above.partitions(table)}
        )

    def _known(self, table: str, keys: list[str]) -> list[str]:
        """Those of the keys that exist for this lake."""
        return [
            key
            for key, found in zip(
                keys, self.store.map_parallel(lambda key: self.find(table, key), keys), strict=True
            )
            if found is not None
        ]

    def has(self, table: str, partition: str) -> bool:
        """Whether that partition was written."""
        if self.as_of is None:
            return self.store.exists(present_name(table, partition))
        return self.find(table, partition) is not None

    def find(self, table: str, partition: str) -> PartitionVersion | None:
        """The partition as this lake answers for it; None when it does not exist, or did not at
        `as_of`.
        """
        if self.above is not None and (over := self.above.find(table, partition)) is not None:
            return over
        if self.as_of is None:
            manifest = self.history.manifest(present_name(table, partition))
            return (
                None
                if manifest is None
                else PartitionVersion(
                    self.store,
                    self.tables[table],
                    FileVersion(present_name(table, partition)),
                    manifest,
                    None,
                )
            )
        version = self.history.at(table, partition, self.as_of)
        if version is None:
            return None
        manifest = self.history.manifest(version.name) or {}
        if known_since(manifest) != version.known_since:  # superseded between two looks
            manifest = self.history.manifest(version.kept) or {}
        return PartitionVersion(self.store, self.tables[table], version.file, manifest, self.as_of)

    def scan(self, table: str, partitions: Iterable[str] | None = None) -> pl.LazyFrame:
        """Lazy rows of the chosen partitions (all by default), oldest partition first; absent ones
        give no rows.
        """
        use_polars()
        schema = self.tables[table]
        keys = self.partitions(table) if partitions is None else list(partitions)
        if self.as_of is None:  # no footer has to be read first
            there = (
                [True] * len(keys)
                if partitions is None
                else self.store.map_parallel(lambda key: self.has(table, key), keys)
            )
            names = [
                present_name(table, key) for key, found in zip(keys, there, strict=True) if found
            ]
            return (
                self.store.scan(
                    [FileVersion(name) for name in names], pl.Schema(schema.dtypes), schema.added
                )
                if names
                else schema.empty().lazy()
            )
        found = [
            one
            for one in self.store.map_parallel(lambda key: self.find(table, key), keys)
            if one is not None
        ]
        runs = [_lazy(run, schema) for run in _runs(found)]
        if not runs:
            return schema.empty().lazy()
        return runs[0] if len(runs) == 1 else pl.concat(runs)

    def read(self, table: str, partitions: Iterable[str] | None = None) -> pl.DataFrame:
        """The same rows in memory, sorted by the table's key. Raises DataError naming the file that
        cannot be read.
        """
        keys = None if partitions is None else list(partitions)
        if keys is not None and len(keys) == 1 and self.as_of is None:
            # written in order
            recent = self.store.recent(FileVersion(present_name(table, keys[0])))
            if recent is not None:
                return recent
        with self.reading(table, keys):
            rows = self.scan(table, keys).collect(engine="in-memory")
            return sort_rows(rows, self.tables[table].key)

    @contextmanager
    def reading(self, table: str, partitions: Sequence[str] | None = None) -> Iterator[None]:
        """Turn what goes wrong while partitions are read inside the block into a DataError that
        names the file.
        """
        try:
            yield
        except (pl.exceptions.PolarsError, OSError) as error:
            keys = self.partitions(table) if partitions is None else partitions
            names = [
                name
                for name in (present_name(table, key) for key in keys)
                if self.store.exists(name)
            ]
            raise unreadable(self.store, self.tables[table], names, error) from None

    def batches(
        self,
        table: str,
        partition: str,
        rows: int = 1_000_000,
        columns: Sequence[str] | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Rows of one partition in order, in frames of about `rows` rows that hold whole symbols;
        memory holds one frame and a few row groups.

        With `columns` only those are read, and given in that order.
        """
        use_polars()
        found, schema = self.find(table, partition), self.tables[table]
        if found is None:
            return
        read = None if columns is None else list(dict.fromkeys((*symbol_columns(schema), *columns)))
        with self.reading(table, [partition]):
            for frame in whole_symbols(found.frames(rows, read), schema, rows):
                yield frame if columns is None else frame.select(columns)

    def write(
        self,
        table: str,
        partition: str,
        frame: pl.DataFrame,
        made_from: Mapping[str, str] | None = None,
        *,
        in_order: bool = False,
    ) -> Written:
        """Replace one partition by `frame`, conformed to the table's schema. `in_order` says that
        the rows are sorted by its key, by construction. Raises ValueError on a missing column.

        Equal rows are not written again; different ones leave their predecessor in the history.
        """
        writer, schema = self.writable(), self.tables[table]
        rows = schema.conform(frame, in_order=in_order)

        def replace() -> Written:
            with writer.holding(table, partition) as lock:
                return writer.write(schema, partition, rows, made_from or {}, lock)

        return _again(replace)

    def update(
        self,
        table: str,
        partition: str,
        change: Callable[[pl.DataFrame], pl.DataFrame],
        made_from: Mapping[str, str] | None = None,
    ) -> Written:
        """Replace a partition by `change(its rows)`, which nobody else can write meanwhile.

        `change` may not write this partition itself. It is called again in the rare case that the
        lock was lost to somebody else, in an object store.
        """
        writer, schema = self.writable(), self.tables[table]

        def replace() -> Written:
            with writer.holding(table, partition) as lock:
                return writer.write(
                    schema,
                    partition,
                    schema.conform(change(self.read(table, [partition]))),
                    made_from or {},
                    lock,
                )

        return _again(replace)

    @contextmanager
    def writing(
        self, table: str, partition: str, made_from: Mapping[str, str] | None = None
    ) -> Iterator[Stream]:
        """Replace a partition by what is appended in key order, a batch at a time; nothing is
        published when the block raises.

        >>> with lake.writing("bars", "2024-01") as out:
        ...     for frame in batches:
        ...         out.append(frame)
        >>> out.written.content_hash
        """
        with self.writable().writing(self.tables[table], partition, made_from or {}) as stream:
            yield stream

    @contextmanager
    def updating(
        self, table: str, partition: str, made_from: Mapping[str, str] | None = None
    ) -> Iterator[Stream]:
        """Like `writing`, and nobody else writes the partition from the first line of the block on:
        read it there a batch at a time and append what it becomes.
        """
        writer, schema = self.writable(), self.tables[table]
        with (
            writer.holding(table, partition) as lock,
            writer.writing(schema, partition, made_from or {}, lock) as stream,
        ):
            yield stream

    def versions(self, table: str, partition: str) -> list[Version]:
        """Every version of a partition that is kept, oldest first; under `as_of` those that were
        known then.
        """
        versions = self.history.versions(table, partition)
        return [one for one in versions if self.as_of is None or one.known_since <= self.as_of]

    def manifest(self, table: str, partition: str) -> dict[str, Any] | None:
        """What made a partition, read from its footer; None when there is no such partition."""
        found = self.find(table, partition)
        if found is None:
            return None
        if found.until is None:
            return found.manifest or None
        past = hash_of(found.frames(), self.tables[table].dtypes)
        return {
            **found.manifest,
            "rows": past.rows,
            "content_hash": past.text(),
            "learned_last": iso(found.until),
        }

    def content_hashes(self, table: str, partitions: Sequence[str] | None = None) -> dict[str, str]:
        """Content hash by partition key."""
        keys = self.partitions(table) if partitions is None else partitions
        found = self.store.map_parallel(lambda key: self.manifest(table, key), list(keys))
        return {
            key: manifest["content_hash"]
            for key, manifest in zip(keys, found, strict=True)
            if manifest
        }

    def writable(self) -> Writer:
        """What writes: this lake's writer, or its overlay's. Raises ConfigError when it is open as
        of the past, and in a process whose Polars cannot work.
        """
        use_polars()
        if self.above is not None:
            return self.above.writable()
        if self.as_of is not None:
            raise ConfigError(
                f"the past is read-only: this lake is open as of {iso(self.as_of)}; leave --as-of"
                " out, or give an overlay folder"
            )
        return self._writer


def _store(root: Path | str, endpoint: str | None) -> Store:
    if isinstance(root, str) and "://" in root:
        from harmony_pipeline.lake.object_store import ObjectStore

        return ObjectStore(root, endpoint)
    return LocalStore(Path(root))


def _again(replace: Callable[[], Written]) -> Written:
    """Write, and after a fenced refusal once more from the start."""
    for _attempt in range(_FENCED_ATTEMPTS - 1):
        try:
            return replace()
        except Superseded:
            continue
    return replace()


def _runs(found: list[PartitionVersion]) -> Iterator[list[PartitionVersion]]:
    """Neighbours that one scan can read: of one store, under one filter."""
    run: list[PartitionVersion] = []
    for one in found:
        if run and (run[0].store is not one.store or run[0].until != one.until):
            yield run
            run = []
        run.append(one)
    if run:
        yield run


def _lazy(run: list[PartitionVersion], table: Table) -> pl.LazyFrame:
    rows = run[0].store.scan([one.file for one in run], pl.Schema(table.dtypes), table.added)
    return (
        rows
        if run[0].until is None or table.known_by is None
        else rows.filter(pl.col(table.known_by) <= run[0].until)
    )
