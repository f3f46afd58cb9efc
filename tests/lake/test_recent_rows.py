"""Rows that were just written are read from memory: just those that the file has, and only while it
is the very file.
"""

import os
import random
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lake.lake_rows import Clock, actions, many_bars
from polars.testing import assert_frame_equal

from harmony_pipeline.lake import recent_rows
from harmony_pipeline.lake.history import present_name
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.lake.store import FileVersion
from harmony_pipeline.schemas import TABLES, Table, features_table

FIRST = datetime(2024, 1, 2, tzinfo=UTC)


def remembered(lake: Lake, table: str, partition: str) -> pl.DataFrame | None:
    return lake.store.recent(FileVersion(present_name(table, partition)))


def value(dtype: Any, draw: random.Random) -> Any:
    if isinstance(dtype, pl.List | pl.Array):
        width = dtype.size if isinstance(dtype, pl.Array) else draw.randrange(4)
        return [value(dtype.inner, draw) for _ in range(width)]
    if isinstance(dtype, pl.Datetime):
        return FIRST + timedelta(microseconds=draw.randrange(10**15))
    if dtype == pl.Date:
        return date(2024, 1, 2) + timedelta(days=draw.randrange(3000))
    if dtype == pl.Boolean:
        return draw.random() < 0.5
    if dtype == pl.String:
        return draw.choice(["", "A", "S1", "a text of more than twelve bytes", "ü\x00"])
    if dtype.is_integer():
        return draw.randrange(100)
    return draw.choice([0.0, -0.0, 1e-300, float("nan"), float("inf"), draw.random()])


def rows_of(table: Table, count: int, seed: int) -> pl.DataFrame:
    draw = random.Random(seed)
    columns = {
        name: [
            None if column.nullable and draw.random() < 0.3 else value(column.dtype, draw)
            for _ in range(count)
        ]
        for name, column in table.columns.items()
    }
    return table.conform(pl.DataFrame(columns, schema=table.dtypes))


@pytest.mark.parametrize("count", [0, 1, 40])
@pytest.mark.parametrize("name", [*TABLES, "features"])
def test_rows_in_memory_are_those_of_the_file(name: str, count: int, tmp_path: Path) -> None:
    tables = {"features": features_table(["rsi_14", "volatility_20"])}
    lake, other = (Lake(tmp_path, tables) for _ in range(2))
    rows = rows_of(lake.tables[name], count, seed=count)
    lake.write(name, "all", rows)
    assert remembered(lake, name, "all") is not None
    assert remembered(other, name, "all") is None
    assert_frame_equal(lake.read(name), other.read(name), check_exact=True)
    for read in (lake, other):
        assert_frame_equal(read.scan(name).collect(), rows, check_exact=True)
        batches = list(read.batches(name, "all", columns=list(rows.columns[::-1])))
        assert_frame_equal(pl.concat([rows.clear(), *(one[rows.columns] for one in batches)]), rows)


def test_a_stream_is_remembered_until_it_fills_a_row_group(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for symbols, whole in ((3, True), (400, False)):
        bars = many_bars(symbols, 100)
        with lake.writing("bars", f"20{symbols}") as out:
            for symbol in bars.partition_by("symbol", maintain_order=True):
                out.append(symbol)
        assert (remembered(lake, "bars", f"20{symbols}") is not None) == whole
        assert_frame_equal(lake.read("bars", [f"20{symbols}"]), bars)


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(0, 1), st.sampled_from("wu")), max_size=14))
def test_two_lakes_over_one_folder_never_answer_with_the_others_past(
    steps: list[tuple[int, str]],
) -> None:
    """`w`: write other rows, `u`: write rows made of those that are there."""
    there: pl.DataFrame = TABLES["corporate_actions"].empty()
    clock, raised = Clock(), pl.col("value") + 1.0
    with tempfile.TemporaryDirectory() as folder:
        lakes = [Lake(folder, clock=clock) for _ in range(2)]
        for number, (which, step) in enumerate(steps):
            clock.move()
            if step == "w":
                there = actions(*range(1, number + 2))
                lakes[which].write("corporate_actions", "all", there)
            else:
                there = there.with_columns(raised)
                lakes[which].update(
                    "corporate_actions", "all", lambda rows: rows.with_columns(raised)
                )
            for lake in lakes:
                assert_frame_equal(lake.read("corporate_actions"), there)


def test_a_file_that_somebody_replaced_is_read(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    path = lake.write("corporate_actions", "all", actions(2.0)).path
    assert remembered(lake, "corporate_actions", "all") is not None
    TABLES["corporate_actions"].conform(actions(3.0)).write_parquet(path)
    assert remembered(lake, "corporate_actions", "all") is None
    assert lake.read("corporate_actions")["value"].to_list() == [3.0]
    lake.write("corporate_actions", "all", actions(4.0))
    path.unlink()
    assert lake.read("corporate_actions").is_empty()


def test_equal_rows_that_are_not_written_again_are_those_of_the_first_time(tmp_path: Path) -> None:
    clock = Clock()
    lake = Lake(tmp_path, clock=clock)
    table = lake.tables["models"]
    rows = rows_of(table, 3, seed=1).with_columns(
        created_at=pl.lit(FIRST).cast(pl.Datetime("us", "UTC"))
    )
    later = rows.with_columns(pl.col("created_at") + timedelta(days=1))
    lake.write("models", "2024", rows, {"made": "one"})
    clock.move()
    for made in ("one", "two"):  # left as it is; written again under another manifest
        lake.write("models", "2024", later, {"made": made})
        assert_frame_equal(lake.read("models"), table.conform(rows))
        assert_frame_equal(Lake(tmp_path).read("models"), table.conform(rows))


def test_a_caller_that_changes_what_it_read_changes_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    rows = many_bars(2, 5)
    lake.write("bars", "2024", rows)
    read = lake.read("bars")
    read.insert_column(0, pl.Series("other", range(read.height)))
    read.replace_column(1, read["symbol"] + "x")
    read[0, "close"] = -1.0
    read.extend(read)
    assert_frame_equal(lake.read("bars"), rows)


@pytest.mark.parametrize("count", [1, 2, 500])
def test_an_array_that_a_caller_writes_on_changes_nothing(count: int, tmp_path: Path) -> None:
    """Polars borrows the memory of an array, and so does a frame that is made of it."""
    lake = Lake(tmp_path)
    rows = many_bars(1, count)
    close = rows["close"].to_numpy().copy()
    lake.write("bars", "2024", rows.with_columns(close=pl.Series(close)))
    assert remembered(lake, "bars", "2024") is not None
    close[:] = -1.0
    assert_frame_equal(lake.read("bars", ["2024"]), Lake(tmp_path).read("bars", ["2024"]))


def test_a_partition_without_rows_is_read_in_no_pieces(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("bars", "2024", TABLES["bars"].empty())
    assert remembered(lake, "bars", "2024") is not None
    for read in (lake, Lake(tmp_path)):
        found = read.find("bars", "2024")
        assert found is not None
        assert list(found.frames()) == []


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = actions(*range(1, 11))
    size = int(TABLES["corporate_actions"].conform(rows).estimated_size())
    monkeypatch.setattr(recent_rows, "_FILE_BYTES", size)
    monkeypatch.setattr(recent_rows, "_ALL_BYTES", 2 * size)
    lake = Lake(tmp_path)
    for key in ("a", "b", "c"):
        lake.write("corporate_actions", key, rows)
    kept = [remembered(lake, "corporate_actions", key) is not None for key in "abc"]
    assert kept == [False, True, True]
    lake.write("corporate_actions", "b", actions(*range(1, 12)))
    kept = [remembered(lake, "corporate_actions", key) is not None for key in "abc"]
    assert kept == [False, False, True], "of a larger file nothing is kept"
    os.utime(lake.path("corporate_actions", "c"))
    assert remembered(lake, "corporate_actions", "c") is None


@pytest.mark.parametrize("rows", [1, 1_000, 33_000, 1_000_000])
def test_batches_are_cut_in_memory_as_those_of_the_file_are(tmp_path: Path, rows: int) -> None:
    lake, other = Lake(tmp_path), Lake(tmp_path)
    lake.write("bars", "2024", many_bars(8, 4_200))  # more than one row group
    assert remembered(lake, "bars", "2024") is not None
    columns = ["close", "symbol"]
    found = list(lake.batches("bars", "2024", rows, columns))
    expected = list(other.batches("bars", "2024", rows, columns))
    assert [len(one) for one in found] == [len(one) for one in expected]
    for one, read in zip(found, expected, strict=True):
        assert_frame_equal(one, read, check_exact=True)


def test_the_manifest_of_a_write_is_that_of_the_file(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for table, rows in (("bars", many_bars(2, 3)), ("corporate_actions", actions(2.0, 3.0))):
        written = lake.write(table, "all", rows, {"by": "é"})
        assert lake.manifest(table, "all") == Lake(tmp_path).manifest(table, "all")
        other = Lake(tmp_path).write(table, "all", rows.head(1), {"by": "another"})
        assert written.content_hash != other.content_hash
        assert lake.manifest(table, "all") == Lake(tmp_path).manifest(table, "all")
    Path(other.path).unlink()
    assert lake.manifest("corporate_actions", "all") is None
