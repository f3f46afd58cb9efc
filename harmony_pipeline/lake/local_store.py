"""A lake in a folder: temporaries beside their target, rename as the commit, hard links as history.

Readers open a file once and read from that descriptor. A scan by path would open it twice, for the
footer and for the rows; a rename between the two made every other read fail or panic (tried: 742 of
2,100).
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import polars as pl
from polars.io.plugins import register_io_source

from harmony_pipeline.errors import DataError
from harmony_pipeline.files import flush, flushing, publish, temporary_beside, write_bytes
from harmony_pipeline.lake.manifest import FOOTER_KEY, parsed
from harmony_pipeline.lake.recent_rows import Identity, RecentRows, identity_of
from harmony_pipeline.lake.store import (
    FileFacts,
    FileVersion,
    LockHandle,
    not_parquet,
    schema_of_bytes,
    with_added,
)
from harmony_pipeline.locks import file_lock, is_locked

_OPEN_AT_ONCE = 64  # files that one scan holds open; a process is usually allowed 1,024
_SMALL_FILE = 16_384  # bytes; files without rows are smaller
_FOOTERS = 1_024  # footers that are kept, of some kilobytes each

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class _FileLock:
    """A lock of the kernel, which cannot be lost while its holder lives."""

    def check(self) -> None:
        """Nothing to check."""


class LocalStore:
    """Files below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder.as_posix()
        self._footers: dict[str, tuple[Identity, dict[str, str]]] = {}
        self._recent = RecentRows()

    def address(self, name: str) -> str:
        """Its path."""
        return f"{self.root}/{name}"

    def files(self, folder: str, *, hidden: bool = False) -> list[FileFacts]:
        """Every file below `folder`."""
        found = _files_below(f"{self.root}/{folder}" if folder else self.root, folder, hidden)
        return sorted(found, key=lambda one: one.name)

    def exists(self, name: str) -> bool:
        """Whether the file is there."""
        return (self.folder / name).exists()

    def footer(self, name: str) -> dict[str, str] | None:
        """Key-value pairs of a footer, which is read once: a file that was published is never
        written to, and its successor is another file.
        """
        path = f"{self.root}/{name}"
        try:
            known = self._footers.get(name)
            if known is not None and known[0] == identity_of(os.stat(path)):
                return known[1]
            with open(path, "rb") as file:
                identity = identity_of(os.fstat(file.fileno()))
                found = pl.read_parquet_metadata(file)
        except FileNotFoundError:
            return None
        except (pl.exceptions.PolarsError, OSError) as error:
            raise not_parquet(self.address(name), error) from None
        self._keep_footer(name, identity, found)
        return found

    def _keep_footer(self, name: str, identity: Identity, footer: dict[str, str]) -> None:
        if len(self._footers) >= _FOOTERS:
            self._footers.clear()
        self._footers[name] = (identity, footer)

    def schema(self, name: str) -> pl.Schema | None:
        """Columns of a file."""
        try:
            with open(f"{self.root}/{name}", "rb", buffering=0) as file:
                content = file.read(_SMALL_FILE + 1)
                if len(content) <= _SMALL_FILE:
                    return schema_of_bytes(content)
                file.seek(0)
                return pl.Schema(pl.read_parquet_schema(file))
        except (FileNotFoundError, pl.exceptions.ComputeError):
            return None

    def map_parallel(
        self, function: Callable[[Item], Answer], items: Sequence[Item]
    ) -> list[Answer]:
        """One after the other: a disk answers at once."""
        return [function(item) for item in items]

    def open(self, version: FileVersion) -> IO[bytes]:
        """The file, or the one that keeps this very version when another was published since."""
        file = (self.folder / version.name).open("rb")
        if version.kept is not None:
            manifest = parsed(pl.read_parquet_metadata(file)) or {}
            file.seek(0)
            if manifest.get("known_since") != version.known_since:
                file.close()
                return (self.folder / version.kept).open("rb")
        return file

    def open_lazy(self, name: str) -> IO[bytes]:
        """The file."""
        return (self.folder / name).open("rb")

    def scan(
        self, versions: Sequence[FileVersion], schema: pl.Schema, added: Mapping[str, Any]
    ) -> pl.LazyFrame:
        """Lazy rows; with very many files they are opened some at a time, when the rows are asked
        for.
        """
        if (recent := self._recent_rows(versions, added)) is not None:
            return recent.lazy()
        if len(versions) <= _OPEN_AT_ONCE and not added:
            return self._scan(versions)

        first = with_added(self.schema(versions[0].name), added)
        if len(versions) <= _OPEN_AT_ONCE:
            return self._scan(versions, first)

        def rows(
            with_columns: list[str] | None,
            predicate: pl.Expr | None,
            n_rows: int | None,
            _batch: int | None,
        ) -> Iterator[pl.DataFrame]:
            left = n_rows
            for start in range(0, len(versions), _OPEN_AT_ONCE):
                frame = self._scan(versions[start : start + _OPEN_AT_ONCE], first)
                if left is not None:
                    frame = frame.head(left).collect(engine="in-memory").lazy()
                    left -= frame.select(pl.len()).collect(engine="in-memory").item()
                frame = frame if predicate is None else frame.filter(predicate)
                yield (frame if with_columns is None else frame.select(with_columns)).collect(
                    engine="in-memory"
                )
                if left == 0:
                    return

        return register_io_source(rows, schema=first if first is not None else schema)

    def _scan(
        self, versions: Sequence[FileVersion], schema: pl.Schema | None = None
    ) -> pl.LazyFrame:
        with ExitStack() as files:  # Polars keeps descriptors of its own
            opened = [files.enter_context(self.open(one)) for one in versions]
            return pl.scan_parquet(
                opened,
                schema=schema,
                hive_partitioning=False,
                missing_columns="insert",
                extra_columns="ignore",
            )

    def _recent_rows(
        self, versions: Sequence[FileVersion], added: Mapping[str, Any]
    ) -> pl.DataFrame | None:
        """The rows of all these files, where all of them are remembered and have the columns of
        the first; None otherwise.
        """
        frames: list[pl.DataFrame] = []
        for one in versions:
            rows = self.recent(one)
            if rows is None or (frames and rows.schema != frames[0].schema):
                return None
            frames.append(rows)
        if not all(name in frames[0].columns for name in added):
            return None
        return frames[0] if len(frames) == 1 else pl.concat(frames)

    def remember(self, name: str, rows: pl.DataFrame | None, manifest: Mapping[str, Any]) -> None:
        """The rows are kept in memory where they are few, and the manifest as its footer."""
        path = self.address(name)
        self._keep_footer(name, identity_of(os.stat(path)), {FOOTER_KEY: json.dumps(manifest)})
        if rows is not None:
            self._recent.keep(path, rows)

    def recent(self, version: FileVersion) -> pl.DataFrame | None:
        """Rows of the present version; an earlier one is read."""
        return self._recent.of(self.address(version.name)) if version.kept is None else None

    def scratch(self, name: str) -> Path:
        """A hidden file beside its target, so that the rename stays within one file system."""
        return temporary_beside(self.folder / name)

    def filling(self, temporary: Path) -> AbstractContextManager[None]:
        """Its bytes go to the disk meanwhile."""
        return flushing(temporary)

    def publish(self, temporary: Path, name: str, lock: LockHandle | None) -> None:
        """A rename; a schema file, which nobody locks, is made again when a power cut takes it."""
        if lock is not None:
            lock.check()
        publish(temporary, self.folder / name, durable=lock is not None)

    def write_bytes(self, name: str, content: bytes) -> None:
        """Written aside and renamed."""
        write_bytes(f"{self.root}/{name}", content, durable=False)

    def text(self, name: str) -> str | None:
        """Its text."""
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def keep(self, name: str, kept: str) -> None:
        """A hard link under a temporary name, renamed: the bytes stay where they are."""
        target = self.folder / kept
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        temporary.unlink(missing_ok=True)
        os.link(self.folder / name, temporary)
        temporary.replace(target)
        # a rename onto another link of the same file does nothing and leaves both
        temporary.unlink(missing_ok=True)
        flush(target.parent)

    def remove(self, name: str) -> None:
        """Remove a file, and its folder when that is empty now."""
        path = self.folder / name
        path.unlink(missing_ok=True)
        for parent in path.relative_to(self.folder).parents:
            try:
                (self.folder / parent).rmdir()
            except OSError:
                return

    @contextmanager
    def lock(
        self, table: str, partition: str, name: str, timeout_seconds: float
    ) -> Iterator[LockHandle]:
        """The lock file of a partition."""

        def refusal(holder: str) -> DataError:
            return DataError(
                f"{table} {partition} is being written by {holder}; waited {timeout_seconds:g} s:"
                " try again when it is done"
            )

        with file_lock(self._lock_file(table, partition), refusal, timeout_seconds):
            yield _FileLock()

    def locked(self, table: str, partition: str) -> bool:
        """Whether the kernel knows a holder."""
        return is_locked(self._lock_file(table, partition))

    def _lock_file(self, table: str, partition: str) -> Path:
        return self.folder / "_locks" / table / f"{partition}.lock"

    def file_system(self) -> None:
        """DuckDB reads folders by itself."""


def _files_below(place: str, inside: str, hidden: bool) -> Iterator[FileFacts]:
    """Every file below the folder `place`, which is called `inside`; none where it cannot be
    listed. A link to a folder is not followed.
    """
    try:
        entries = os.scandir(place)
    except OSError:
        return
    with entries:
        for entry in entries:
            name = f"{inside}/{entry.name}" if inside else entry.name
            if entry.is_dir():
                if not entry.is_symlink():
                    yield from _files_below(entry.path, name, hidden)
            elif hidden or not entry.name.startswith("."):
                try:
                    state = entry.stat()
                except FileNotFoundError:  # a temporary that was published meanwhile
                    continue
                yield FileFacts(name, state.st_size, state.st_mtime)
