"""Which version of a partition was known when.

The present version lies at `TABLE/partition=KEY/TABLE.parquet`; each earlier one at
`_history/TABLE/partition=KEY/known_since=STAMP/TABLE.parquet`, kept there *before* its successor is
published. A writer killed between the two leaves one version under both names, which says the same.

A table with `known_by` tells its past row by row: a successor that holds every row known before is
no new version, and the past is a filter. When rows were taken away or changed in place, the file is
kept like any other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from harmony_pipeline.errors import DataError
from harmony_pipeline.lake.manifest import folder_stamp, from_folder_stamp, iso, known_since, parsed
from harmony_pipeline.lake.store import FileVersion, Store

# holds zero rows, so that views of an empty table are empty and not an error
SCHEMA_PARTITION = "_schema"
_PRUNED = "pruned_before.txt"
_PARTITION, _SINCE = "partition=", "known_since="


@dataclass(frozen=True)
class Version:
    """One version of a partition: known from `known_since` (included) to `known_until` (excluded;
    None: still).
    """

    table: str
    partition: str
    known_since: datetime
    known_until: datetime | None
    name: str
    kept: str
    """The name under which it is kept, now or once it is superseded."""

    @property
    def file(self) -> FileVersion:
        """How to read exactly this version, whatever is published meanwhile."""
        return FileVersion(self.name, iso(self.known_since), self.kept)


def present_name(table: str, partition: str) -> str:
    """Name of a partition's file."""
    return f"{table}/{_PARTITION}{partition}/{table}.parquet"


def kept_name(table: str, partition: str, since: datetime) -> str:
    """Name of an earlier version."""
    return f"_history/{table}/{_PARTITION}{partition}/{_SINCE}{folder_stamp(since)}/{table}.parquet"


@dataclass(frozen=True)
class History:
    """The versions in one store."""

    store: Store

    def partitions(self, table: str) -> list[str]:
        """Keys of the partitions that exist now, in order."""
        names = {file.name for file in self.store.files(table)}
        keys = {
            name.split("/")[1].removeprefix(_PARTITION) for name in names if name.count("/") == 2
        }
        return sorted(
            key for key in keys if key != SCHEMA_PARTITION and present_name(table, key) in names
        )

    def manifest(self, name: str) -> dict[str, Any] | None:
        """The manifest of a file; an empty one for a file that has none; None when there is no such
        file.
        """
        footer = self.store.footer(name)
        return None if footer is None else parsed(footer) or {}

    def versions(self, table: str, partition: str) -> list[Version]:
        """Every version that is kept and the present one, oldest first."""
        current = self.manifest(present_name(table, partition))
        if current is None:
            return []
        last = known_since(current)
        starts = [*(start for start in self._kept(table, partition) if start < last), last]
        ends: list[datetime | None] = [*starts[1:], None]
        return [
            Version(
                table,
                partition,
                since,
                until,
                (
                    present_name(table, partition)
                    if until is None
                    else kept_name(table, partition, since)
                ),
                kept_name(table, partition, since),
            )
            for since, until in zip(starts, ends, strict=True)
        ]

    def at(self, table: str, partition: str, moment: datetime) -> Version | None:
        """The version that was known at `moment`; None when the partition was not known at all."""
        name = present_name(table, partition)
        current = self.manifest(name)
        if current is None:
            return None
        if known_since(current) <= moment:
            since = known_since(current)
            return Version(table, partition, since, None, name, kept_name(table, partition, since))
        found = next(
            (
                version
                for version in reversed(self.versions(table, partition))
                if version.known_since <= moment
            ),
            None,
        )
        before = None if found is not None else self.pruned_before(table, partition)
        if before is not None and moment < before:
            raise DataError(
                f"what {table} {partition} was at {iso(moment)} was removed: it is kept from"
                f" {iso(before)} on ([lake] keep_history_days)"
            )
        return found

    def pruned_before(self, table: str, partition: str | None = None) -> datetime | None:
        """The moment before which versions of a partition, or of any partition of a table, were
        removed; None when none were.
        """
        folder = (
            f"_history/{table}"
            if partition is None
            else f"_history/{table}/{_PARTITION}{partition}"
        )
        names = (
            [file.name for file in self.store.files(folder) if file.name.endswith(_PRUNED)]
            if partition is None
            else [f"{folder}/{_PRUNED}"]
        )
        moments = [text for text in map(self.store.text, names) if text is not None]
        return max((datetime.fromisoformat(text) for text in moments), default=None)

    def prune(self, table: str, partition: str, until: datetime) -> list[str]:
        """Remove the versions that were superseded by `until`; returns their names. The moment from
        which the past is whole is noted first.
        """
        gone = [
            version
            for version in self.versions(table, partition)
            if version.known_until is not None and version.known_until <= until
        ]
        if gone:
            until_now = max(one.known_until for one in gone if one.known_until is not None)
            self.store.write_bytes(
                f"_history/{table}/{_PARTITION}{partition}/{_PRUNED}", iso(until_now).encode()
            )
        for version in gone:
            self.store.remove(version.name)
        return [version.name for version in gone]

    def _kept(self, table: str, partition: str) -> Iterator[datetime]:
        for file in self.store.files(f"_history/{table}/{_PARTITION}{partition}"):
            parts = file.name.split("/")
            if len(parts) == 5 and parts[3].startswith(_SINCE) and parts[4] == f"{table}.parquet":
                yield from_folder_stamp(parts[3].removeprefix(_SINCE))
