"""Keeping a lake in good order: leftovers of killed writers, history past its time, files in bad
shape, and a list of what there is.

Nothing here changes an answer of the lake, but for moments before the versions that were removed
because `keep_history_days` said so: those are refused from then on.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from harmony_pipeline.lake.history import present_name
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.lake.streaming import ROW_GROUP_ROWS

LEFTOVER_AGE = timedelta(days=1)  # no write takes a day
SMALLEST_GROUP, LARGEST_GROUP = ROW_GROUP_ROWS // 2, ROW_GROUP_ROWS * 4

INVENTORY = {
    "table": pl.String, "partitions": pl.Int64, "rows": pl.Int64, "megabytes": pl.Float64,
    "row_groups": pl.Int64, "rows_per_group": pl.Float64,
    "versions": pl.Int64, "history_megabytes": pl.Float64,
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """Row groups of one file."""

    rows: int
    groups: list[int]

    @property
    def healthy(self) -> bool:
        """Whether the groups are of a size that reads and prunes well; a file of one small group is
        as good as it can be.
        """
        most = max(self.groups, default=0)
        return most <= LARGEST_GROUP and (
            len(self.groups) < 2 or self.rows / len(self.groups) >= SMALLEST_GROUP
        )


def shape(lake: Lake, table: str, partition: str) -> Shape:
    """The row groups of a partition, from its footer."""
    from pyarrow.parquet import ParquetFile

    with lake.store.open_lazy(present_name(table, partition)) as file:
        metadata = ParquetFile(file).metadata
    groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    return Shape(sum(groups), groups)


def remove_leftovers(lake: Lake, now: datetime) -> list[str]:
    """Remove temporaries of writers that were killed: older than a day, and nobody holds the
    partition's lock. Returns their names.
    """
    lake.writable()
    removed = []
    for file in lake.store.files("", hidden=True):
        *folders, name = file.name.split("/")
        if (
            not (name.startswith(".") and name.endswith(".tmp"))
            or file.modified > (now - LEFTOVER_AGE).timestamp()
        ):
            continue
        partition = next(
            (
                folder.removeprefix("partition=")
                for folder in folders
                if folder.startswith("partition=")
            ),
            "",
        )
        table = folders[1] if folders[:1] == ["_history"] else folders[0] if folders else ""
        if not lake.store.locked(table, partition):
            lake.store.remove(file.name)
            removed.append(file.name)
    return removed


def prune_history(lake: Lake, until: datetime) -> list[str]:
    """Remove every version that was superseded by `until`. Returns their names."""
    removed: list[str] = []
    for table in sorted(lake.tables):
        for partition in lake.partitions(table):
            with lake.writable().holding(table, partition):
                removed += lake.history.prune(table, partition, until)
    return removed


def rewrite_unhealthy(lake: Lake) -> list[str]:
    """Write files anew whose row groups are far too small or too large. Returns `table partition`
    of each.
    """
    done = []
    for table in sorted(lake.tables):
        for partition in lake.partitions(table):
            if shape(lake, table, partition).healthy:
                continue
            with lake.writable().holding(table, partition) as lock:
                lake.writable().rewrite(lake.tables[table], partition, lock)
            done.append(f"{table} {partition}")
    return done


def inventory(lake: Lake) -> pl.DataFrame:
    """One row a table that has partitions: how many files, rows, megabytes and row groups, and what
    its history holds.
    """
    rows = []
    for table in sorted(lake.tables):
        keys = lake.partitions(table)
        if not keys:
            continue
        shapes = [shape(lake, table, key) for key in keys]
        count, groups = sum(one.rows for one in shapes), sum(len(one.groups) for one in shapes)
        size = sum(
            file.size
            for file in lake.store.files(table)
            if file.name.endswith(".parquet") and "/partition=_schema/" not in file.name
        )
        kept = [
            file.size
            for file in lake.store.files(f"_history/{table}")
            if file.name.endswith(".parquet") and "/partition=_schema/" not in file.name
        ]
        rows.append(
            (
                table,
                len(keys),
                count,
                size / 2**20,
                groups,
                count / max(1, groups),
                len(kept),
                sum(kept) / 2**20,
            )
        )
    return pl.DataFrame(rows, schema=INVENTORY, orient="row")
