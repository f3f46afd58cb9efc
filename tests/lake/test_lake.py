import os
import signal
import subprocess
import sys
import textwrap
import time
from datetime import UTC, date, datetime

import polars as pl
import pytest

from harmony_pipeline.lake import writing
from harmony_pipeline.lake.lake import Lake, content_hash
from harmony_pipeline.schemas import TABLES, features_table


def actions(*values: float) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "symbol": [f"S{i}" for i in range(len(values))],
            "date": [date(2024, 1, 2)] * len(values),
            "kind": ["split"] * len(values),
            "value": list(values),
        }
    )


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake").open()


def test_what_is_written_is_read_back_sorted_by_key(lake):
    lake.write("corporate_actions", "all", actions(2.0, 3.0).reverse())
    assert lake.read("corporate_actions")["symbol"].to_list() == ["S0", "S1"]


def test_an_absent_table_is_empty_and_typed(lake):
    assert lake.read("bars").schema == pl.Schema(TABLES["bars"].dtypes)
    assert lake.partitions("bars") == []
    assert lake.manifest("bars", "2024-01") is None


def test_a_missing_column_is_refused_before_anything_is_written(lake):
    with pytest.raises(ValueError, match="lacks the column"):
        lake.write("corporate_actions", "all", actions(1.0).drop("kind"))
    assert lake.partitions("corporate_actions") == []


def test_the_manifest_says_what_made_the_partition(lake):
    lake.write("corporate_actions", "all", actions(2.0), {"source": "files"})
    manifest = lake.manifest("corporate_actions", "all")
    assert manifest["rows"] == 1
    assert manifest["made_from"] == {"source": "files"}
    assert manifest["content_hash"] == lake.content_hashes("corporate_actions")["all"]
    assert (lake.path("corporate_actions", "all").parent / "manifest.json").exists()


def test_a_footer_is_read_once_and_again_when_another_lake_wrote_the_partition(lake, monkeypatch):
    reads, read = [], pl.read_parquet_metadata
    monkeypatch.setattr(pl, "read_parquet_metadata", lambda file: reads.append(1) or read(file))
    other = Lake(lake.root)
    for value in (2.0, 3.0):  # the file is of the same size
        other.write("corporate_actions", "all", actions(value))
        written = content_hash(actions(value))
        reads.clear()
        assert lake.content_hashes("corporate_actions") == {"all": written}
        assert lake.content_hashes("corporate_actions") == {"all": written}
        assert len(reads) == 1
    lake.path("corporate_actions", "all").unlink()
    assert lake.manifest("corporate_actions", "all") is None


def test_the_bytes_of_a_large_frame_are_flushed_while_it_is_written(lake, monkeypatch):
    seen, filling = [], lake.store.filling
    monkeypatch.setattr(lake.store, "filling", lambda path: seen.append(path) or filling(path))
    monkeypatch.setattr(writing, "_LARGE_ROWS", 3)
    lake.write("corporate_actions", "few", actions(2.0, 3.0))
    assert not seen
    written = lake.write("corporate_actions", "many", actions(2.0, 3.0, 4.0))
    assert [path.parent for path in seen] == [written.path.parent]
    assert lake.read("corporate_actions", ["many"]).equals(actions(2.0, 3.0, 4.0))


def test_the_content_hash_is_blind_to_wall_clock_columns_only():
    frame = pl.DataFrame({"a": [1.0], "ingested_at": [datetime(2024, 1, 1, tzinfo=UTC)]})
    later = frame.with_columns(ingested_at=pl.lit(datetime(2025, 1, 1, tzinfo=UTC)))
    assert content_hash(frame) == content_hash(later)
    assert content_hash(frame) != content_hash(frame.with_columns(a=pl.lit(2.0)))


def test_a_changed_feature_set_makes_a_new_empty_schema(tmp_path):
    Lake(tmp_path, {"features": features_table(("a",))}).open()
    wider = Lake(tmp_path, {"features": features_table(("a", "b"))}).open()
    assert wider.read("features").columns == ["symbol", "timestamp", "a", "b"]


def test_a_writer_killed_at_any_moment_leaves_the_old_or_the_new_partition(tmp_path):
    """A process rewrites one partition for ever and is killed many times: the file is always whole
    and one of the versions.
    """
    script = textwrap.dedent(f"""
        import polars as pl
        from datetime import date
        from pathlib import Path
        from harmony_pipeline.lake.lake import Lake
        lake = Lake(Path({str(tmp_path)!r})).open()
        print("ready", flush=True)
        version = 0
        while True:
            version += 1
            rows = pl.DataFrame({{"symbol": [f"S{{i:06d}}" for i in range(20000)], "date": [date(2024, 1, 2)] * 20000, "kind": ["split"] * 20000, "value": [float(version)] * 20000}})
            lake.write("corporate_actions", "all", rows)
    """)
    lake = Lake(tmp_path).open()
    lake.write("corporate_actions", "all", actions(0.0))
    for attempt in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ) as process:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(0.05 + 0.037 * attempt)
            process.send_signal(signal.SIGKILL)
        rows = lake.read("corporate_actions")
        assert rows["value"].n_unique() == 1
        assert rows.height in (1, 20000)
        assert lake.manifest("corporate_actions", "all")["rows"] == rows.height
