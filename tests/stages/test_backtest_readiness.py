"""What a backtest needs is looked for in the newest partition first."""

import polars as pl
from lake.lake_rows import actions

from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.stages.backtest_readiness import _any_row


def test_older_partitions_are_read_only_where_the_newest_has_no_such_row(tmp_path, monkeypatch):
    lake, asked = Lake(tmp_path / "lake").open(), []
    scan = lake.scan
    monkeypatch.setattr(lake, "scan", lambda table, keys: asked.append(keys) or scan(table, keys))
    assert not _any_row(lake, "corporate_actions")
    lake.write("corporate_actions", "2023", actions(2.0, 3.0))
    lake.write("corporate_actions", "2024", actions(4.0))
    asked.clear()
    assert _any_row(lake, "corporate_actions")
    assert _any_row(lake, "corporate_actions", pl.col("value") > 3.5)
    assert asked == [["2024"], ["2024"]]
    asked.clear()
    assert _any_row(lake, "corporate_actions", pl.col("value") < 2.5)
    assert asked == [["2024"], None]
    assert not _any_row(lake, "corporate_actions", pl.col("value") > 9.0)
