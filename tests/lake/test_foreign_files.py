"""Only what the lake wrote is read, by Harmony and by any DuckDB client; what lies beside it is
named.
"""

import shutil

import duckdb
import polars as pl
import pytest
from lake.lake_rows import actions, many_bars

from harmony_pipeline.errors import DataError
from harmony_pipeline.lake import sql
from harmony_pipeline.lake.foreign_files import foreign_files
from harmony_pipeline.lake.lake import Lake

BARS = many_bars(2, 5)


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path / "lake").open()
    lake.write("bars", "2024-01", BARS)
    lake.write("corporate_actions", "all", actions(1.0))
    return lake


def put(lake, name, frame):
    path = lake.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)


FOREIGN = [
    "_history/bars/partition=2024-01/bars.parquet",
    "bars/backup/bars.parquet",
    "bars/bars.parquet",
    "bars/partition=2024-01/bars (copy).parquet",
    "bars/partition=2024-01/mine.parquet",
    "bars/partition=2024-01/old/bars.parquet",
    "bars/partition=2024-02/else.parquet",
]


@pytest.mark.parametrize("foreign", [pl.DataFrame({"x": [1, 2]}), BARS.head(3)])
def test_foreign_files_are_read_by_nobody_and_named(lake, foreign):
    for name in FOREIGN:
        put(lake, name, foreign)
    assert lake.partitions("bars") == ["2024-01"]
    assert lake.read("bars").equals(BARS)
    assert sql.query(lake, "select count(*) as n, count(symbol) as named from bars").row(0) == (
        10,
        10,
    )
    assert sql.query(lake, "select count(*) as n from bars_as_of(now())").item() == 10
    with duckdb.connect() as client:
        client.execute(sql.views_script(lake, ["bars"]))
        assert client.execute("select count(*), count(symbol) from bars").fetchone() == (10, 10)
    assert [one.name for one in foreign_files(lake)] == FOREIGN
    lake.write("bars", "2024-01", BARS.head(4))
    assert lake.read("bars").height == 4


def test_a_lake_without_foreign_files_has_none(lake):
    lake.write("bars", "2024-01", BARS.head(4))
    assert len(lake.versions("bars", "2024-01")) == 2
    assert foreign_files(lake) == []


@pytest.mark.parametrize("content", [b"", b"PAR1 and nothing of it", b"symbol,timestamp\n"])
def test_a_broken_file_under_a_name_of_the_lake_is_named(lake, content):
    path = lake.path("bars", "2024-01")
    path.write_bytes(content)
    for read in (lake.read, lambda table: list(lake.batches(table, "2024-01"))):
        with pytest.raises(DataError, match=r"bars/partition=2024-01/bars\.parquet") as told:
            read("bars")
        assert "\n" not in str(told.value)
        assert "move it away" in str(told.value)
    assert [one.name for one in foreign_files(lake)] == ["bars/partition=2024-01/bars.parquet"]


def test_a_file_with_other_columns_under_a_name_of_the_lake_is_named(lake):
    put(lake, "bars/partition=2024-01/bars.parquet", pl.DataFrame({"x": [1, 2]}))
    with pytest.raises(DataError, match=r"bars\.parquet has no column 'symbol' \(it has x\)"):
        lake.read("bars")
    assert [one.name for one in foreign_files(lake)] == ["bars/partition=2024-01/bars.parquet"]


def test_a_copy_of_a_whole_partition_is_told_by_its_manifest(lake):
    shutil.copytree(lake.path("bars", "2024-01").parent, lake.root / "bars" / "partition=2024-03")
    assert [one.name for one in foreign_files(lake)] == ["bars/partition=2024-03/bars.parquet"]
