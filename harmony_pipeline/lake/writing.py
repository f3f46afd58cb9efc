"""Writing a partition: lock, then history, then replace.

Whole frames are written by Polars, streams by PyArrow in row groups of the same size; the content
hash does not depend on which, nor on how a stream was cut. Rows that are equal to what is there are
not written again: the partition keeps its file and the moment since which it is known, and when
something else made them, its footer alone is renewed.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from harmony_pipeline.lake.history import History, kept_name, present_name
from harmony_pipeline.lake.manifest import (
    WALL_CLOCK_COLUMNS,
    NowFunction,
    code_version,
    content_hash,
    hash_of,
    iso,
    known_since,
    moment,
)
from harmony_pipeline.lake.row_groups import row_groups
from harmony_pipeline.lake.store import FileVersion, LockHandle, Store
from harmony_pipeline.lake.streaming import Stream, Written, span, write_whole
from harmony_pipeline.schemas import Table

_TICK = timedelta(microseconds=1)
_LARGE_ROWS = 1 << 18  # rows whose bytes are flushed while they are written


@dataclass(frozen=True)
class _Draft:
    """Rows that wait to become a partition: their hash, and what writes them with a manifest into a
    file.
    """

    rows: int
    content_hash: str
    learned: tuple[datetime | None, datetime | None]
    """When its first and its last row were learned, of a table that says so."""
    past_hash: Callable[[datetime], str]
    """Hash of the rows learned by a moment."""
    fill: Callable[[Path, Mapping[str, Any]], None]
    whole: Callable[[], pl.DataFrame | None]
    """All rows where they are in memory; None where only a file has them."""


@dataclass(frozen=True)
class Writer:
    """Writes partitions of one store."""

    store: Store
    clock: NowFunction
    timeout_seconds: float

    @contextmanager
    def holding(self, table: str, partition: str) -> Iterator[LockHandle]:
        """Hold the lock of a partition."""
        with self.store.lock(
            table, partition, present_name(table, partition), self.timeout_seconds
        ) as lock:
            yield lock

    def write(
        self,
        table: Table,
        partition: str,
        rows: pl.DataFrame,
        made_from: Mapping[str, str],
        lock: LockHandle,
    ) -> Written:
        """Replace a partition by `rows`, which are conformed and sorted."""

        def past_hash(until: datetime) -> str:
            return content_hash(rows.filter(pl.col(table.known_by or "") <= until))

        learned = (
            (None, None) if table.known_by is None else span((None, None), rows[table.known_by])
        )

        def fill(path: Path, manifest: Mapping[str, Any]) -> None:
            with self.store.filling(path) if rows.height >= _LARGE_ROWS else nullcontext():
                write_whole(rows, path, manifest, compressible=table.compressible)

        draft = _Draft(rows.height, content_hash(rows), learned, past_hash, fill, lambda: rows)
        return self._commit(table, partition, draft, made_from, lock)

    @contextmanager
    def writing(
        self,
        table: Table,
        partition: str,
        made_from: Mapping[str, str],
        lock: LockHandle | None = None,
    ) -> Iterator[Stream]:
        """Stream batches into a partition; published when the block ends well, and only then: under
        `lock`, or else under a lock taken for that.
        """
        name = present_name(table.name, partition)
        temporary = self.store.scratch(name)
        try:
            stream = Stream(table, temporary)
            try:
                yield stream
            except BaseException:
                stream.abandon()
                raise
            stream.written = self._finish(table, partition, stream, temporary, made_from, lock)
        finally:
            temporary.unlink(missing_ok=True)

    def _finish(
        self,
        table: Table,
        partition: str,
        stream: Stream,
        temporary: Path,
        made_from: Mapping[str, str],
        lock: LockHandle | None,
    ) -> Written:
        """Commit a stream under the lock. The manifest goes into its footer last, when everything
        about the rows is known.
        """

        def past_hash(until: datetime) -> str:
            stream.seal({})
            with temporary.open("rb") as file:
                past = (
                    frame.filter(pl.col(table.known_by or "") <= until)
                    for frame in row_groups(file, table)
                )
                return hash_of(past, table.dtypes).text()

        def fill(path: Path, manifest: Mapping[str, Any]) -> None:
            stream.seal(manifest)
            if stream.manifest == manifest:
                temporary.replace(path)
                return
            # sealed before its manifest was known: copied with it, group by group
            with temporary.open("rb") as file:
                copy = Stream(table, path)
                for frame in row_groups(file, table):
                    copy.append(frame)
                copy.seal(manifest)

        digest = stream.digest
        with nullcontext(lock) if lock is not None else self.holding(table.name, partition) as held:
            draft = _Draft(
                digest.rows, digest.text(), stream.learned, past_hash, fill, lambda: stream.whole
            )
            try:
                return self._commit(table, partition, draft, made_from, held)
            finally:
                stream.abandon()

    def _commit(
        self,
        table: Table,
        partition: str,
        draft: _Draft,
        made_from: Mapping[str, str],
        lock: LockHandle,
    ) -> Written:
        name = present_name(table.name, partition)
        before = History(self.store).manifest(name)
        made = {str(key): str(value) for key, value in made_from.items()}
        now = moment(self.clock(), "the lake's clock says")
        same = before is not None and before.get("content_hash") == draft.content_hash
        written = Written(
            table.name,
            partition,
            self.store.address(name),
            draft.rows,
            draft.content_hash,
            changed=not same,
        )
        manifest = {
            "table": table.name,
            "partition": partition,
            "rows": draft.rows,
            "content_hash": draft.content_hash,
            "code_version": code_version(),
            "made_from": made,
            "known_since": iso(now),
            "written_at": iso(now),
        }
        if table.known_by:
            manifest["learned_last"] = iso(draft.learned[1]) if draft.learned[1] else None
        if before is not None and same:
            if (
                before.get("made_from") == made
                and before.get("code_version") == manifest["code_version"]
            ):
                return written
            self._renew(table, name, before, manifest, draft, lock)
            return written
        if before is None:
            manifest["known_since"] = iso(min(now, draft.learned[0] or now))
        elif self._grew(table, before, draft):
            manifest["known_since"] = iso(known_since(before))
            # left by a writer that died: fewer rows than there are now
            self.store.remove(kept_name(table.name, partition, known_since(before)))
        else:
            manifest["known_since"] = iso(max(now, known_since(before) + _TICK))
            self.store.keep(name, kept_name(table.name, partition, known_since(before)))
        self._publish_draft(name, manifest, draft, lock)
        return written

    def _grew(self, table: Table, before: Mapping[str, Any], draft: _Draft) -> bool:
        """Whether the new rows tell the past themselves: those learned by then are just the rows
        that were there.
        """
        if table.known_by is None:
            return False
        last = before.get("learned_last")
        if last is None:
            return draft.learned[0] is None or draft.learned[0] > known_since(before)
        return draft.past_hash(datetime.fromisoformat(last)) == before.get("content_hash")

    def _renew(
        self,
        table: Table,
        name: str,
        before: Mapping[str, Any],
        manifest: dict[str, Any],
        draft: _Draft,
        lock: LockHandle,
    ) -> None:
        """Write another manifest over rows that did not change. Their wall-clock columns stay those
        of the first time, as `known_since` does.
        """
        manifest["known_since"] = iso(known_since(before))
        if not set(table.columns) & set(WALL_CLOCK_COLUMNS):
            self._publish_draft(name, manifest, draft, lock)
            return
        if "learned_last" in before:
            manifest["learned_last"] = before["learned_last"]
        self._copy(table, name, manifest, lock)

    def rewrite(self, table: Table, partition: str, lock: LockHandle) -> None:
        """Write the rows of a partition again, in row groups of the usual size; what is known and
        since when stays as it is.
        """
        name = present_name(table.name, partition)
        manifest = History(self.store).manifest(name)
        if manifest:
            self._copy(
                table,
                name,
                {**manifest, "written_at": iso(moment(self.clock(), "the lake's clock says"))},
                lock,
            )

    def _copy(self, table: Table, name: str, manifest: Mapping[str, Any], lock: LockHandle) -> None:
        """Publish the rows that are there under another manifest, group by group."""

        def again(path: Path, manifest: Mapping[str, Any]) -> None:
            copy = Stream(table, path)
            with self.store.open(FileVersion(name)) as file:
                for frame in row_groups(file, table):
                    copy.append(frame)
            copy.seal(manifest)

        self._publish(name, manifest, again, lock)

    def _publish_draft(
        self, name: str, manifest: Mapping[str, Any], draft: _Draft, lock: LockHandle
    ) -> None:
        self._publish(name, manifest, draft.fill, lock)
        self.store.remember(name, draft.whole(), manifest)

    def _publish(
        self,
        name: str,
        manifest: Mapping[str, Any],
        fill: Callable[[Path, Mapping[str, Any]], None],
        lock: LockHandle | None,
    ) -> None:
        temporary = self.store.scratch(name)
        try:
            fill(temporary, manifest)
            self.store.publish(temporary, name, lock)
        finally:
            temporary.unlink(missing_ok=True)
        self.store.write_bytes(
            name.rsplit("/", 1)[0] + "/manifest.json",
            json.dumps(manifest, indent=1, sort_keys=True).encode(),
        )

    def write_schema(self, table: Table, name: str) -> None:
        """Publish a file of no rows."""
        self.store.write_bytes(name, file_without_rows(table))


_WITHOUT_ROWS: dict[str, tuple[Table, bytes]] = {}


def file_without_rows(table: Table) -> bytes:
    """A schema file; a new lake needs two a table, and processes open many lakes."""
    known = _WITHOUT_ROWS.get(table.name)
    if known is None or known[0] is not table:
        file = io.BytesIO()
        write_whole(table.empty(), file, {})
        known = _WITHOUT_ROWS[table.name] = (table, file.getvalue())
    return known[1]
