"""Upkeep changes no answer: it removes what nobody asks for, and gives files a good shape."""

import os
from datetime import timedelta

import polars as pl
import pytest
from lake.lake_rows import START, Clock, actions, many_bars, raw_rows

from harmony_pipeline.config import Settings
from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.lake import sql, streaming, upkeep
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.upkeep import lake_upkeep

TABLE = "corporate_actions"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lake(tmp_path, clock):
    return Lake(tmp_path / "lake", clock=clock).open()


def test_leftovers_of_killed_writers_go_once_they_are_a_day_old_and_nobody_holds_the_lock(lake):
    lake.write(TABLE, "all", actions(1.0))
    folder = lake.path(TABLE, "all").parent
    old, young, held = (
        folder / ".old.tmp",
        folder / ".young.tmp",
        lake.root / TABLE / "partition=other" / ".held.tmp",
    )
    held.parent.mkdir()
    now = START + timedelta(days=400)
    for file, age in ((old, 25), (young, 1), (held, 25)):
        file.write_bytes(b"half")
        stamp = (now - timedelta(hours=age)).timestamp()
        os.utime(file, (stamp, stamp))
    with lake.writable().holding(TABLE, "other"):
        assert upkeep.remove_leftovers(lake, now) == [f"{TABLE}/partition=all/.old.tmp"]
    assert (young.exists(), held.exists(), lake.read(TABLE)["value"].to_list()) == (
        True,
        True,
        [1.0],
    )
    assert upkeep.remove_leftovers(lake, now) == [f"{TABLE}/partition=other/.held.tmp"]


def test_history_past_its_time_is_removed_and_then_refused_never_answered_wrongly(lake, clock):
    for value in (1.0, 2.0, 3.0):
        lake.write(TABLE, "all", actions(value))
        clock.move(86_400)
    removed = upkeep.prune_history(lake, START + timedelta(days=1))
    assert len(removed) == 1
    assert [version.known_since for version in lake.versions(TABLE, "all")] == [
        START + timedelta(days=1),
        START + timedelta(days=2),
    ]
    assert Lake(lake.root, as_of=START + timedelta(days=1)).read(TABLE)["value"].to_list() == [2.0]
    with pytest.raises(
        DataError, match=r"was removed: it is kept from 2025-01-02.*keep_history_days"
    ):
        Lake(lake.root, as_of=START + timedelta(hours=1)).read(TABLE)
    assert sql.query(lake, f"from {TABLE}_as_of('2025-01-02T00:00Z')")["value"].to_list() == [2.0]
    with pytest.raises(DataError, match="earlier versions were removed"):
        sql.query(lake, f"from {TABLE}_as_of('2025-01-01T01:00Z')")
    assert upkeep.prune_history(lake, START + timedelta(days=1)) == []


@pytest.mark.parametrize("group_rows", [50, 10_000_000])
def test_a_file_in_bad_shape_is_written_anew_and_says_the_same(
    lake, clock, group_rows, monkeypatch
):
    monkeypatch.setattr(upkeep, "LARGEST_GROUP", 200_000)
    bars = many_bars(symbols=20 if group_rows == 50 else 1_000, minutes=250)
    with monkeypatch.context() as patch:
        patch.setattr(streaming, "ROW_GROUP_ROWS", group_rows)
        lake.write("bars", "k", bars, {"source": "files"})
    before = lake.manifest("bars", "k")
    clock.move()
    assert not upkeep.shape(lake, "bars", "k").healthy
    assert upkeep.rewrite_unhealthy(lake) == ["bars k"]
    after = lake.manifest("bars", "k")
    assert upkeep.shape(lake, "bars", "k").healthy
    assert max(upkeep.shape(lake, "bars", "k").groups) <= streaming.ROW_GROUP_ROWS
    assert lake.read("bars").equals(bars)
    assert {**after, "written_at": None} == {**before, "written_at": None}
    assert after["written_at"] > before["written_at"]
    assert len(lake.versions("bars", "k")) == 1
    assert upkeep.rewrite_unhealthy(lake) == []


def test_raw_bars_that_grew_by_many_small_updates_are_one_file_in_good_order(lake, clock):
    schema = lake.tables["raw_bars"]
    for minute in range(40):
        fresh = raw_rows({(symbol, minute): 10.0 for symbol in "ABC"}, clock.move())
        lake.update(
            "raw_bars", "k", lambda rows, fresh=fresh: pl.concat([rows, schema.conform(fresh)])
        )
    rows = lake.read("raw_bars")
    assert rows.equals(rows.sort(schema.key))
    assert upkeep.shape(lake, "raw_bars", "k").groups == [120]
    assert len(lake.versions("raw_bars", "k")) == 1


def test_the_inventory_counts_files_rows_groups_and_versions(lake, clock):
    lake.write("bars", "a", many_bars(2, 10))
    clock.move()
    lake.write("bars", "a", many_bars(3, 10))
    lake.write("bars", "b", many_bars(1, 10))
    row = upkeep.inventory(lake).row(0, named=True)
    assert (
        row["table"],
        row["partitions"],
        row["rows"],
        row["row_groups"],
        row["rows_per_group"],
        row["versions"],
    ) == ("bars", 2, 40, 2, 20.0, 1)
    kept = lake.root / lake.versions("bars", "a")[0].name
    assert row["history_megabytes"] == kept.stat().st_size / 2**20


def test_the_stage_keeps_history_for_ever_unless_told_otherwise(tmp_path):
    def work(**lake):
        return PipelineContext(
            Settings.model_validate(
                {
                    "paths": {"lake": str(tmp_path / "lake"), "state": str(tmp_path / "state")},
                    "lake": lake,
                }
            )
        )

    first = work()
    for value in (1.0, 2.0):
        first.lake.write(TABLE, "all", actions(value))
    assert lake_upkeep(first).facts["earlier versions"] == 1
    later = first.lake.versions(TABLE, "all")[-1].known_since + timedelta(days=3)
    assert lake_upkeep(work(keep_history_days=4), later).facts["versions removed"] == 0
    assert lake_upkeep(work(keep_history_days=2), later).facts["versions removed"] == 1
    assert lake_upkeep(first).facts["earlier versions"] == 0
    with pytest.raises(ConfigError, match="read-only"):
        upkeep.remove_leftovers(Lake(tmp_path / "lake", as_of=later), later)
