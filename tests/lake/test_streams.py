"""Rows that come and go in batches are the rows of a single write, and memory holds a few batches
only.
"""

import os
from itertools import pairwise

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake.lake_rows import many_bars

from harmony_pipeline.errors import DataError
from harmony_pipeline.lake import manifest
from harmony_pipeline.lake.lake import Lake

BARS = many_bars(symbols=9, minutes=40)


@given(cuts=st.lists(st.integers(0, BARS.height), max_size=6), group_rows=st.integers(7, 150))
def test_a_stream_cut_anywhere_is_the_single_write(tmp_path_factory, cuts, group_rows):
    from harmony_pipeline.lake import streaming

    root = tmp_path_factory.mktemp("cut")
    whole = Lake(root / "whole").write("bars", "k", BARS)
    edges = [0, *sorted(cuts), BARS.height]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "ROW_GROUP_ROWS", group_rows)
        lake = Lake(root / "cut")
        with lake.writing("bars", "k") as out:
            for start, end in pairwise(edges):
                out.append(BARS[start:end])
    assert out.written.content_hash == whole.content_hash
    assert lake.read("bars").equals(BARS)
    assert lake.manifest("bars", "k")["content_hash"] == whole.content_hash
    assert out.written.rows == BARS.height


@given(rows=st.integers(1, BARS.height), cut=st.integers(0, BARS.height))
def test_a_content_hash_does_not_depend_on_the_slices_that_it_is_taken_in(rows, cut):
    whole = manifest.content_hash(BARS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "_HASHED_ROWS", rows)
        assert manifest.content_hash(BARS) == whole
        parts = (BARS[:cut], BARS[cut:])
        assert manifest.hash_of(parts, BARS.schema).text() == whole
        changed = BARS.with_columns(close=pl.col("close").reverse())
        assert manifest.content_hash(changed) != whole


@given(rows=st.integers(1, 400), group_rows=st.integers(7, 400))
def test_batches_hold_whole_symbols_in_order_and_lose_nothing(tmp_path_factory, rows, group_rows):
    """In memory they are cut as the row groups of the file are."""
    from harmony_pipeline.lake import lake as lakes
    from harmony_pipeline.lake import streaming

    lake = Lake(tmp_path_factory.mktemp("batches"))
    with pytest.MonkeyPatch.context() as patch:
        for module in (streaming, lakes):
            patch.setattr(module, "ROW_GROUP_ROWS", group_rows)
        lake.write("bars", "k", BARS)
        batches = list(lake.batches("bars", "k", rows))
    of_file = Lake(lake.root).batches("bars", "k", rows)
    assert [len(batch) for batch in batches] == [len(batch) for batch in of_file]
    assert pl.concat(batches).equals(BARS)
    assert pl.concat(list(lake.batches("bars", "k", rows, ["close", "timestamp"]))).equals(
        BARS.select("close", "timestamp")
    )
    symbols = [name for batch in batches for name in batch["symbol"].unique(maintain_order=True)]
    assert len(symbols) == len(set(symbols))
    # the symbol that was cut off would have filled it
    assert all(batch.height + 40 >= rows for batch in batches[:-1])
    assert all(batch.height < 2 * rows + group_rows + 40 for batch in batches)


def test_a_stream_of_nothing_is_an_empty_partition(tmp_path):
    lake = Lake(tmp_path)
    with lake.writing("bars", "k"):
        pass
    assert lake.has("bars", "k")
    assert lake.read("bars").is_empty()
    assert list(lake.batches("bars", "k")) == []
    assert list(lake.batches("bars", "absent")) == []


def test_more_partitions_than_a_process_may_open_are_scanned_in_order(tmp_path):
    import resource

    lake = Lake(tmp_path)
    keys = [f"{number:04d}" for number in range(150)]
    for key in keys:
        lake.write("bars", key, many_bars(1, 2, first_symbol=int(key)))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = len(os.listdir("/dev/fd"))  # by other tests of this process too
    resource.setrlimit(resource.RLIMIT_NOFILE, (held + 200, hard))
    try:
        rows = lake.scan("bars").select("symbol", "close").collect()
        few = lake.scan("bars").filter(pl.col("symbol") == "S00149").collect()
        first = lake.scan("bars").head(3).collect()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert rows["symbol"].unique(maintain_order=True).to_list() == [
        f"S{key.zfill(5)}" for key in keys
    ]
    assert few.height == 2
    assert first["symbol"].to_list() == ["S00000", "S00000", "S00001"]


def test_from_the_first_line_of_an_update_on_nobody_else_writes_the_partition(tmp_path):
    lake, other = Lake(tmp_path).open(), Lake(tmp_path, lock_timeout_seconds=0.05)
    lake.write("corporate_actions", "all", lake.tables["corporate_actions"].empty())
    with lake.updating("corporate_actions", "all") as out:
        with pytest.raises(DataError, match="is being written by"):
            other.write(
                "corporate_actions",
                "all",
                lake.tables["corporate_actions"].empty(),
                {"made": "differently"},
            )
        for frame in lake.batches("corporate_actions", "all"):
            out.append(frame)
    assert out.written is not None
    other.write(
        "corporate_actions",
        "all",
        lake.tables["corporate_actions"].empty(),
        {"made": "differently"},
    )
    assert other.manifest("corporate_actions", "all")["made_from"] == {"made": "differently"}


def test_an_update_that_fails_changes_nothing_and_lets_go(tmp_path):
    lake = Lake(tmp_path, lock_timeout_seconds=0.05).open()
    lake.write("corporate_actions", "all", lake.tables["corporate_actions"].empty())
    before = lake.manifest("corporate_actions", "all")
    with (
        pytest.raises(RuntimeError, match="stop"),
        lake.updating("corporate_actions", "all", {"made": "never"}),
    ):
        raise RuntimeError("stop")
    assert lake.manifest("corporate_actions", "all") == before
    lake.write(
        "corporate_actions", "all", lake.tables["corporate_actions"].empty(), {"made": "again"}
    )


def test_streamed_times_are_stored_as_differences_that_every_reader_reads(tmp_path, monkeypatch):
    monkeypatch.setattr("harmony_pipeline.lake.streaming.ROW_GROUP_ROWS", 100)
    lake = Lake(tmp_path).open()
    with lake.writing("bars", "2024-01") as out:
        out.append(BARS)
    file = lake.path("bars", "2024-01")
    stored = pq.ParquetFile(file).metadata.row_group(0)
    encodings = {
        stored.column(at).path_in_schema: stored.column(at).encodings
        for at in range(stored.num_columns)
    }
    assert "DELTA_BINARY_PACKED" in encodings["timestamp"]
    assert "RLE_DICTIONARY" in encodings["symbol"]
    assert stored.column(2).statistics.has_min_max
    assert pl.read_parquet(file).equals(BARS)
    rows = duckdb.sql(
        f"select symbol, epoch_us(timestamp) as t, close from read_parquet('{file}',"
        " hive_partitioning = false) order by all"
    ).pl()
    assert rows["t"].to_list() == BARS["timestamp"].to_physical().to_list()
