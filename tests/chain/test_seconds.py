"""Bars of seconds, and bars of a threshold, made of simulated trades, through every stage: models
learned within a day, trades, the gate, and the session of a day like its backtest.
"""

import re
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from assets.chain import run_stages
from harmony_pipeline.config import Settings
from harmony_pipeline.stages.backtests import latest_backtest
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.trade_pages import trade_page_of
from harmony_pipeline.testing.recompute_backtests import recompute
from harmony_pipeline.testing.tiny import tiny_settings

FIRST, END = date(2024, 7, 1), date(2024, 7, 4)  # the last day closes at 13:00


def by_the_second(folder: Path, bars: str, retraining: str) -> PipelineContext:
    settings = tiny_settings(
        folder,
        timeframe="30Sec",
        start=FIRST,
        end=END,
        extended_hours=False,
        ticks={"bars": bars},
        simulated={"symbols": 2, "low_float_symbols": 0, "edge_strength": 0.3},
        partitions={"trading_period": "day", "retraining_period": retraining},
    )
    off = {"rsi_momentum", "moving_average_crossover"}
    changed = {
        **settings.model_dump(),
        "file": settings.file,
        "strategies": {
            name: {**rules.model_dump(), "enabled": name not in off}
            for name, rules in settings.strategies.items()
        },
        "model": {**settings.model.model_dump(), "threshold": 0.0},
        "scanner": {
            **settings.scanner.model_dump(),
            "minimum_absolute_gap": None,
            "minimum_premarket_volume": None,
            "rank_by": "dollar_volume",
        },
        "session": {**settings.session.model_dump(), "replay_days": 1},
    }
    return PipelineContext(Settings.model_validate(changed))


@pytest.mark.slow
@pytest.mark.parametrize(("bars", "retraining"), [("time", "day"), ("200Tick", "hour")])
def test_the_chain_of_seconds(bars, retraining, tmp_path):
    pipeline = by_the_second(tmp_path, bars, retraining)
    run_stages(pipeline)
    lake = pipeline.lake
    found = lake.read("bars")
    assert lake.read("quarantine").is_empty()
    assert found["timestamp"].dt.date().n_unique() == 3
    if bars == "time":
        assert found.height > 0.9 * 2 * (6.5 + 6.5 + 3.5) * 120
    else:
        assert found["trade_count"].min() < 200
        assert (found["trade_count"] >= 200).mean() > 0.99
    assert set(lake.read("gaps")["kind"].unique()) <= {"no_trade"}
    _labels_end_with_bars(lake.read("labels"), found)
    folds = lake.read("folds").filter(pl.col("model_id").is_not_null())
    assert folds.height
    assert (folds["train_last_end"] <= folds["train_end"]).all()
    assert (folds["train_end"] < folds["test_start"]).all()
    assert lake.read("predictions").height
    fills = lake.read("trades").filter(pl.col("backtest_id").str.starts_with("meta_labelled"))
    assert fills.height
    assert [one.differences for one in recompute(pipeline)] == [[]] * 2
    verdict = lake.read("promotions")
    assert verdict.height
    assert not verdict["promoted"].any()
    compared = lake.read("divergence")
    # models of an hour change within the day, which a session does not
    assert (compared.height > 0) == (retraining == "day")
    assert compared["equal"].all()
    book = latest_backtest(pipeline, "meta_labelled")["backtest_id"]
    page = trade_page_of(pipeline, "meta_labelled", book)
    assert re.search(r"2024-07-0\d \d\d:\d\d:30", page), "no time of the page has seconds"


def _labels_end_with_bars(labels: pl.DataFrame, bars: pl.DataFrame) -> None:
    """Every settled label knows its end from the end of a bar of its symbol."""
    settled = labels.filter(pl.col("label").is_not_null())
    assert settled.height
    ends = bars.select("symbol", end_timestamp=pl.col("timestamp") + timedelta(seconds=30))
    assert settled.join(ends, on=["symbol", "end_timestamp"], how="anti").is_empty()
