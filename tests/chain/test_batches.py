"""A period that is worked on some symbols at a time gives the tables of the period worked on at
once, also when it is built again after a correction.
"""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from harmony_pipeline.stages import ingest, market
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.testing.tiny import tiny_market

TABLES = ("bars", "quarantine", "quality_warnings", "bar_state", "daily_summary")


def built(folder, rows, monkeypatch) -> tuple[PipelineContext, list[str]]:
    """The tables of a small market, built, corrected and built again; and what the second building
    said of itself.
    """
    monkeypatch.setattr(market, "BATCH_ROWS", rows)
    pipeline = tiny_market(folder, end=date(2024, 4, 1))
    periods = pipeline.trading_periods()
    ingest.raw_bars(pipeline, periods)
    market.corporate_actions(pipeline)
    market.bars(pipeline, periods)
    market.daily_summary(pipeline, periods)
    raw = pipeline.lake.read("raw_bars", [periods[0].key])
    late = raw.gather_every(97).with_columns(
        pl.col("close") * 1.001,
        high=pl.col("high") * 1.01,
        ingested_at=pl.lit(datetime(2030, 1, 1, tzinfo=UTC)).cast(raw.schema["ingested_at"]),
    )
    broken = raw[3:4].with_columns(
        low=-1.0, row=pl.lit(7, pl.Int64), ingested_at=late["ingested_at"][:1]
    )
    pipeline.lake.write("raw_bars", periods[0].key, pl.concat([raw, late, broken]))
    said = market.bars(pipeline, periods)
    market.daily_summary(pipeline, periods)
    return pipeline, said.notes


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return built(tmp_path_factory.mktemp("whole"), 1_000_000, patch)


@pytest.mark.parametrize("rows", [1, 700])
def test_the_size_of_a_batch_changes_no_table(whole, tmp_path, monkeypatch, rows):
    pipeline, notes = built(tmp_path, rows, monkeypatch)
    for table in TABLES:
        assert pipeline.lake.content_hashes(table) == whole[0].lake.content_hashes(table), table
        assert pipeline.lake.content_hashes(table), table
    assert notes == whole[1]
    assert any("rebuilt" in note for note in notes)
    assert pipeline.lake.read("quarantine").height > 0


def test_a_period_without_raw_rows_hands_the_memory_of_symbols_on(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(market, "BATCH_ROWS", 1)
    pipeline = tiny_market(tmp_path, end=date(2024, 4, 1))
    january, february, march = pipeline.trading_periods()
    ingest.raw_bars(pipeline, [january, march])
    market.corporate_actions(pipeline)
    market.bars(pipeline, [january, february, march])
    states = {
        period.key: pipeline.lake.read("bar_state", [period.key])
        for period in (january, february, march)
    }
    assert states[february.key].height
    assert states[february.key].equals(states[january.key])
    assert not states[march.key].equals(states[january.key])
    assert pipeline.lake.read("bars", [february.key]).is_empty()
