"""The lake: plain hive-partitioned Parquet, one folder a table, one file a partition.

`ROOT/bars/partition=2024-01/bars.parquet`. The one law: a partition is whole or absent. A file is written under a
temporary name, flushed to disk and renamed, so a killed run leaves the old partition or the new one. What made a partition (input hashes,
code version, row count, content hash) is kept inside the Parquet footer, so it can never disagree with the rows; a
copy for people lies beside the file as `manifest.json`.

>>> lake.write("bars", "2024-01", frame, made_from={"raw_bars": "9f3c..."})
>>> lake.scan("bars", ["2024-01"]).filter(pl.col("symbol") == "AAPL").collect()
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from harmony_pipeline import __version__
from harmony_pipeline.schemas import TABLES, Table

ROW_GROUP_ROWS = 100_000  # small enough that a symbol's rows touch few groups, large enough to compress well
WALL_CLOCK_COLUMNS = ("ingested_at", "created_at", "decided_at", "evaluated_at")
_FOOTER_KEY = "harmony"
_SCHEMA_PARTITION = "_schema"  # holds zero rows, so that views of an empty table are empty and not an error


@dataclass(frozen=True)
class Written:
    """What a write left behind."""

    table: str
    partition: str
    path: Path
    rows: int
    content_hash: str


class Lake:
    """Reads and writes partitions below one root folder. Any number of readers; one writer a partition."""

    def __init__(self, root: Path, tables: Mapping[str, Table] | None = None) -> None:
        self.root = root
        self.tables: dict[str, Table] = {**TABLES, **(tables or {})}

    def open(self) -> "Lake":
        """Make the root and the zero-row schema files that views rely on; cheap when they are right already."""
        for table in self.tables.values():
            path = self.path(table.name, _SCHEMA_PARTITION)
            if not path.exists() or pl.read_parquet_schema(path) != pl.Schema(table.dtypes):
                _write_atomically(table.empty(), path, {})
        return self

    def path(self, table: str, partition: str) -> Path:
        """The one file of a partition, whether or not it exists."""
        return self.root / table / f"partition={partition}" / f"{table}.parquet"

    def partitions(self, table: str) -> list[str]:
        """Keys of the partitions that exist, in order."""
        found = (self.root / table).glob(f"partition=*/{table}.parquet")
        keys = (path.parent.name.removeprefix("partition=") for path in found)
        return sorted(key for key in keys if key != _SCHEMA_PARTITION)

    def has(self, table: str, partition: str) -> bool:
        """Whether that partition was written."""
        return self.path(table, partition).exists()

    def scan(self, table: str, partitions: Iterable[str] | None = None) -> pl.LazyFrame:
        """Lazy rows of the chosen partitions (all by default), oldest partition first; absent ones give no rows."""
        keys = self.partitions(table) if partitions is None else [key for key in partitions if self.has(table, key)]
        if not keys:
            return self.tables[table].empty().lazy()
        return pl.scan_parquet([self.path(table, key) for key in keys], hive_partitioning=False, missing_columns="insert", extra_columns="ignore")

    def read(self, table: str, partitions: Iterable[str] | None = None) -> pl.DataFrame:
        """The same rows in memory, sorted by the table's key."""
        return self.scan(table, partitions).collect(engine="in-memory").sort(self.tables[table].key, maintain_order=True)

    def write(self, table: str, partition: str, frame: pl.DataFrame, made_from: Mapping[str, str] | None = None) -> Written:
        """Replace one partition by `frame`, conformed to the table's schema. Raises ValueError on a missing column."""
        schema = self.tables[table]
        rows = schema.conform(frame)
        digest = content_hash(rows)
        manifest = {
            "table": table,
            "partition": partition,
            "rows": rows.height,
            "content_hash": digest,
            "code_version": code_version(),
            "made_from": dict(made_from or {}),
        }
        path = self.path(table, partition)
        _write_atomically(rows, path, manifest)
        _replace_text(path.with_name("manifest.json"), json.dumps(manifest, indent=1, sort_keys=True))
        return Written(table, partition, path, rows.height, digest)

    def manifest(self, table: str, partition: str) -> dict[str, Any] | None:
        """What made a partition, read from its footer; None when there is no such partition."""
        path = self.path(table, partition)
        if not path.exists():
            return None
        text = pl.read_parquet_metadata(path).get(_FOOTER_KEY)
        return json.loads(text) if text else None

    def content_hashes(self, table: str, partitions: Sequence[str] | None = None) -> dict[str, str]:
        """Content hash by partition key."""
        keys = self.partitions(table) if partitions is None else partitions
        found = {key: self.manifest(table, key) for key in keys}
        return {key: manifest["content_hash"] for key, manifest in found.items() if manifest}


def content_hash(frame: pl.DataFrame) -> str:
    """Hash of the rows in order, blind to wall-clock columns: equal rows agree, however the frame came about."""
    kept = frame.select(pl.exclude(WALL_CLOCK_COLUMNS))
    digest = hashlib.blake2b(repr(list(kept.schema.items())).encode(), digest_size=16)
    digest.update(kept.hash_rows(seed=0).to_numpy().tobytes())
    return digest.hexdigest()


@cache
def code_version() -> str:
    """Version of the library with a hash of its source: tables made by different code can be told apart."""
    package = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode())
        digest.update(path.read_bytes())
    return f"{__version__}+{digest.hexdigest()}"


def _write_atomically(frame: pl.DataFrame, path: Path, manifest: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    os.close(handle)
    try:
        frame.write_parquet(temporary, compression="zstd", statistics=True, row_group_size=ROW_GROUP_ROWS, metadata={_FOOTER_KEY: json.dumps(manifest)})
        _publish(Path(temporary), path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _replace_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text)
    _publish(temporary, path)


def _publish(temporary: Path, path: Path) -> None:
    """Make a finished temporary file the real one: on disk first, then under its name."""
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.chmod(0o644)
    temporary.replace(path)
