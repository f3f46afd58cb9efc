"""A lake that an older version wrote opens: what a table gained since is null there."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from harmony_pipeline.lake import sql
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.schemas import TABLES, Table

NOW = datetime(2024, 1, 2, tzinfo=UTC)
ADDED = sorted(name for name, table in TABLES.items() if table.added)


def older(table: Table) -> Table:
    """The table as it was before its columns were added."""
    kept = {name: one for name, one in table.columns.items() if not one.added}
    return replace(table, columns=kept)


def row(table: Table, key: str) -> pl.DataFrame:
    """One row with some value in every column."""
    values: dict[Any, Any] = {pl.String: key, pl.Int64: 1, pl.Float64: 0.5, pl.Boolean: True}
    found = {name: values.get(type(column.dtype), NOW) for name, column in table.columns.items()}
    return pl.DataFrame([found], schema=table.dtypes)


def key_of(table: Table, number: int) -> str:
    return "all" if table.partitioned_by == "none" else f"2024-0{number}"


@pytest.mark.parametrize("name", ADDED)
def test_files_of_an_older_lake_are_read_beside_new_ones(name: str, tmp_path: Path) -> None:
    table = TABLES[name]
    old, new = key_of(table, 1), key_of(table, 2)
    before = Lake(tmp_path, {name: older(table)}).open()
    before.write(name, old, row(older(table), "old"))
    lake = Lake(tmp_path, {name: table}).open()
    alone = lake.read(name)
    assert dict(alone.schema) == table.dtypes
    assert alone.select(list(table.added)).null_count().row(0) == (1,) * len(table.added)
    assert table.conform(alone).schema == pl.Schema(table.dtypes)
    if old == new:
        return
    lake.write(name, new, row(table, "new"))
    both = lake.read(name)
    assert dict(both.schema) == table.dtypes
    for column in table.added:
        assert both[column].null_count() == 1
        assert lake.scan(name, [new]).select(column).collect()[column].null_count() == 0
    seen = sql.query(lake, f"select {', '.join(table.added)} from {name}")
    assert seen.null_count().row(0) == (1,) * len(table.added)


@pytest.mark.parametrize("name", ["promotions", "trials"])
def test_rows_are_put_under_those_of_an_older_lake(name: str, tmp_path: Path) -> None:
    """These tables only grow: what was read is written again with new rows below it."""
    table = TABLES[name]
    before = Lake(tmp_path, {name: older(table)}).open()
    before.write(name, "all", row(older(table), "old"))
    read = Lake(tmp_path, {name: table}).open().read(name)
    assert pl.concat([read, row(table, "new")])[list(table.added)[-1]].to_list() == [None, "new"]


def test_the_tables_of_the_gate_gained_columns() -> None:
    assert {"models", "predictions", "promotions", "trials", "overfitting"} <= set(ADDED)
    assert all(
        one.nullable for table in TABLES.values() for one in table.columns.values() if one.added
    )
