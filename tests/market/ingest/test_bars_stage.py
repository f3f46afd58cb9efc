"""The stage that judges: some symbols at a time, and only where something changed."""

from datetime import date

import polars as pl
import pytest
from market.venue import market_over

from harmony_pipeline.stages import ingest, market

MADE = ("bars", "quarantine", "quality_warnings", "bar_state", "daily_summary")


def built(pipeline):
    market.corporate_actions(pipeline)
    ingest.raw_bars(pipeline, pipeline.trading_periods())
    market.daily_summary(pipeline, pipeline.trading_periods())
    told = market.bars(pipeline, pipeline.trading_periods())
    market.daily_summary(pipeline, pipeline.trading_periods())
    return told


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    pipeline, _ = market_over(tmp_path_factory.mktemp("whole"))
    return pipeline, built(pipeline)


@pytest.mark.parametrize("rows", [1, 700])
def test_judging_some_symbols_at_a_time_gives_the_same_tables(whole, tmp_path, monkeypatch, rows):
    monkeypatch.setattr(market, "BATCH_ROWS", rows)
    pipeline, _ = market_over(tmp_path)
    told = built(pipeline)
    assert told.rows == whole[1].rows
    assert told.facts == whole[1].facts
    for table in MADE:
        assert pipeline.lake.content_hashes(table) == whole[0].lake.content_hashes(table), table


def test_a_period_that_nothing_changed_in_is_not_judged_again_and_says_the_same(whole, monkeypatch):
    pipeline, told = whole
    monkeypatch.setattr(market, "validate_each", None)  # would raise when called
    monkeypatch.setattr(market, "summarise", None)
    again = market.bars(pipeline, pipeline.trading_periods())
    market.daily_summary(pipeline, pipeline.trading_periods())
    assert (again.rows, again.facts, again.partitions) == (told.rows, told.facts, told.partitions)


def test_a_symbol_that_rests_for_a_period_is_remembered_through_it(tmp_path):
    pipeline, _ = market_over(tmp_path)
    built(pipeline)
    resting = pipeline.settings.market.symbols[1]
    key = pipeline.trading_periods()[-1].key
    without = pipeline.lake.read("raw_bars", [key]).filter(pl.col("symbol") != resting)
    pipeline.lake.write("raw_bars", key, without)
    market.bars(pipeline, pipeline.trading_periods())
    before, after = (
        pipeline.lake.read("bar_state", [period.key]).filter(pl.col("symbol") == resting)
        for period in pipeline.trading_periods()
    )
    assert before.height == after.height == 1
    assert after.equals(before)
    assert pipeline.lake.read("bar_state", [key])["symbol"].is_sorted()


def test_a_rebuilt_period_names_what_changed_and_later_periods_follow(tmp_path):
    pipeline, venue = market_over(tmp_path)
    built(pipeline)
    row = (
        pipeline.lake.read("bars")
        .filter(
            (pl.col("session") == "regular") & (pl.col("timestamp").dt.date() == date(2024, 1, 31))
        )
        .sort("timestamp")
        .row(-1, named=True)
    )
    venue.corrections[row["symbol"], row["timestamp"]] = row["close"] * 1.01
    ingest.raw_bars(pipeline, pipeline.trading_periods(), again=True)
    told = market.bars(pipeline, pipeline.trading_periods())
    [note] = [note for note in told.notes if "rebuilt" in note]
    assert note.startswith("2024-01 rebuilt: 1 bars changed, 0 left, 0 came: ")
    assert f"{row['symbol']} 2024-01-31" in note
    assert told.facts["quarantined by superseded"] == 1
