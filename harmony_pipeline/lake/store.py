"""`Store`: the smallest seam between the lake and the place where its files lie.

Names are relative and use slashes: `bars/partition=2024-01/bars.parquet`. Obligations of every
store:

- `publish` is atomic: at any moment, killed or not, a name holds the old file or the new one,
  whole;
- `keep` copies a file under another name just as atomically, without moving its bytes through this
  process;
- a reader that began with one version of a file finishes with it, whatever is published meanwhile;
- of two holders of one lock at most one can publish.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

import polars as pl

from harmony_pipeline.errors import DataError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class FileVersion:
    """A file to read: `name`, and under as-of the name that keeps this very version once `name`
    holds another.
    """

    name: str
    known_since: str | None = None
    kept: str | None = None


class LockHandle(Protocol):
    """A lock that is held."""

    def check(self) -> None:
        """Raise DataError when it was lost."""


@dataclass(frozen=True)
class FileFacts:
    """A file as the store sees it."""

    name: str
    size: int
    modified: float
    """Seconds since 1970, by the store's clock."""


class Store(Protocol):
    """A place for files."""

    root: str

    def address(self, name: str) -> str:
        """How Polars and DuckDB call the file."""

    def files(self, folder: str, *, hidden: bool = False) -> list[FileFacts]:
        """Every file below `folder`, in order of names; with `hidden` those that were never
        finished too.
        """

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""

    def footer(self, name: str) -> dict[str, str] | None:
        """Key-value pairs of a Parquet footer; None when there is no such file."""

    def schema(self, name: str) -> pl.Schema | None:
        """Columns of a Parquet file; None when there is no such file."""

    def map_parallel(
        self, function: Callable[[Item], Answer], items: Sequence[Item]
    ) -> list[Answer]:
        """`function` of every item, in order; side by side where asking takes long."""

    def open(self, version: FileVersion) -> IO[bytes]:
        """A seekable reader pinned to one version of a file."""

    def open_lazy(self, name: str) -> IO[bytes]:
        """A seekable reader of the present version for a look at its footer; bytes are fetched as
        they are read.
        """

    def scan(
        self, versions: Sequence[FileVersion], schema: pl.Schema, added: Mapping[str, Any]
    ) -> pl.LazyFrame:
        """Lazy rows of files in order, each read from one version, with the columns of the first
        and those that were `added` since some were written (null where a file lacks them). schema:
        where no file can be read.
        """

    def remember(self, name: str, rows: pl.DataFrame | None, manifest: Mapping[str, Any]) -> None:
        """Told the rows (None: too many) and the manifest of a file that was just published, under
        its lock; a store may forget them at once.
        """

    def recent(self, version: FileVersion) -> pl.DataFrame | None:
        """All rows of a version, where they need not be read; None otherwise."""

    def scratch(self, name: str) -> Path:
        """A fresh local file in which `name` can be prepared."""

    def filling(self, temporary: Path) -> AbstractContextManager[None]:
        """Around the writing of a large file that is to be published."""

    def publish(self, temporary: Path, name: str, lock: LockHandle | None) -> None:
        """Make a finished local file the real one; `lock` is the partition's, None for a file of no
        rows.
        """

    def write_bytes(self, name: str, content: bytes) -> None:
        """Put down a small file that can be made again: whole, but the last to survive a power
        cut.
        """

    def text(self, name: str) -> str | None:
        """A small text; None when there is none."""

    def keep(self, name: str, kept: str) -> None:
        """Copy a published file under another name."""

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens when it is gone."""

    def lock(
        self, table: str, partition: str, name: str, timeout_seconds: float
    ) -> AbstractContextManager[LockHandle]:
        """Wait for the lock of a partition whose file is `name`. Raises DataError naming the holder
        after the timeout.
        """

    def locked(self, table: str, partition: str) -> bool:
        """Whether somebody holds the lock of a partition now."""

    def file_system(self) -> Any:
        """The fsspec file system through which DuckDB reads; None where it reads by itself."""


@lru_cache(maxsize=512)
def schema_of_bytes(content: bytes) -> pl.Schema:
    """Columns of a small Parquet file, or of the end of a large one; not to be changed.

    Opening a lake reads the files without rows of all tables, which are the same in every lake.
    """
    return pl.Schema(pl.read_parquet_schema(io.BytesIO(content)))


def with_added(first: pl.Schema | None, added: Mapping[str, Any]) -> pl.Schema | None:
    """The columns of the first file, and those of a later version of the table that it lacks."""
    if first is None or not added:
        return first
    return pl.Schema(
        {**first, **{name: dtype for name, dtype in added.items() if name not in first}}
    )


def not_parquet(address: str, error: Exception) -> DataError:
    """A file under a name of the lake that is no whole Parquet file, as one line that names it."""
    return DataError(
        f"{address} is not a whole Parquet file ({first_line(error)}): move it away and make the"
        " partition again"
    )


def first_line(error: Exception) -> str:
    """What an error says first, without the lines behind it."""
    return next(iter(str(error).splitlines()), type(error).__name__)
