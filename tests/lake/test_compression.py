"""Numbers that hardly repeat are kept as they are, whoever writes them; lakes with older files
answer as before.
"""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from lake.lake_rows import START, Clock, many_bars
from pyarrow.parquet import ParquetFile

from harmony_pipeline.lake import sql, streaming
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.schemas import features_table

FEATURES = features_table(("rsi_14", "gap"))
ROWS = (
    many_bars(symbols=5, minutes=60)
    .select("symbol", "timestamp")
    .with_columns(rsi_14=np.random.default_rng(5).random(300), gap=pl.lit(0.01))
)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lake(tmp_path, clock):
    return Lake(tmp_path / "lake", {"features": FEATURES}, clock=clock).open()


def columns_of(lake: Lake, table: str, key: str):
    group = ParquetFile(lake.path(table, key)).metadata.row_group(0)
    return {group.column(at).path_in_schema: group.column(at) for at in range(group.num_columns)}


def stream(lake: Lake, key: str) -> None:
    """Batch by batch, in more than one row group."""
    with lake.writing("features", key) as out:
        out.append(ROWS[:100])
        out.append(ROWS[100:])


def test_features_are_not_compressed_and_bars_are_kept_by_zstd(lake, monkeypatch):
    monkeypatch.setattr(streaming, "ROW_GROUP_ROWS", 64)
    lake.write("features", "whole", ROWS)
    stream(lake, "cut")
    lake.write("bars", "k", many_bars(symbols=5, minutes=60))
    for key in ("whole", "cut"):
        found = columns_of(lake, "features", key)
        assert {column.compression for column in found.values()} == {"UNCOMPRESSED"}
        assert "RLE_DICTIONARY" not in found["rsi_14"].encodings
        assert "RLE_DICTIONARY" in found["symbol"].encodings
    assert {one.compression for one in columns_of(lake, "bars", "k").values()} == {"ZSTD"}


def test_a_partition_of_an_older_lake_is_read_beside_new_ones(lake, clock, tmp_path):
    """Its content hash is that of the same rows now, so that it is not written again."""
    older = Lake(lake.root, {"features": replace(FEATURES, compressible=True)}, clock=clock)
    older.write("features", "a", ROWS)
    before = lake.path("features", "a").read_bytes()
    clock.move()
    assert not lake.write("features", "a", ROWS).changed
    assert lake.path("features", "a").read_bytes() == before
    lake.write("features", "b", ROWS.with_columns(gap=0.02))
    whole = pl.concat([ROWS, ROWS.with_columns(gap=0.02)]).sort("symbol", "timestamp")
    assert (
        lake.read("features")
        .sort("symbol", "timestamp", "gap")
        .equals(whole.sort("symbol", "timestamp", "gap"))
    )
    asked = "select symbol, timestamp, rsi_14, gap from features order by 1, 2, 4"
    assert sql.query(lake, asked).equals(whole.sort("symbol", "timestamp", "gap"))
    clock.move()
    lake.write("features", "a", ROWS.with_columns(gap=0.03))
    past = Lake(lake.root, {"features": FEATURES}, as_of=START)
    assert past.read("features", ["a"]).equals(ROWS)
    assert columns_of(lake, "features", "a")["gap"].compression == "UNCOMPRESSED"
