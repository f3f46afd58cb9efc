"""Ingest over a venue that is asked piece by piece: complete, resumed wherever it was cut,
incremental, and aware of corrections.
"""

from contextlib import suppress
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market.venue import PowerCut, Venue, market_over

from harmony_pipeline.market.ingest import download_cache
from harmony_pipeline.stages import ingest, market
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.testing.tiny import tiny_market


def bars_of(pipeline: PipelineContext) -> pl.DataFrame:
    return pipeline.lake.read("raw_bars").drop("ingested_at")


def ingested(pipeline: PipelineContext, *, again: bool = False) -> None:
    ingest.raw_bars(pipeline, pipeline.trading_periods(), again=again)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[PipelineContext, Venue]:
    pipeline, venue = market_over(tmp_path_factory.mktemp("whole"))
    ingested(pipeline)
    return pipeline, venue


def test_it_is_complete(whole: tuple[PipelineContext, Venue]) -> None:
    pipeline, venue = whole
    truth = venue.inside.bars(
        list(pipeline.settings.market.symbols),
        pipeline.trading_periods()[0].start,
        pipeline.market_close,
        "30Min",
    )
    assert (
        bars_of(pipeline)
        .select("symbol", "timestamp", "close")
        .equals(truth.select("symbol", "timestamp", "close"))
    )
    assert len(venue.asked) == len(set(venue.asked)) > 4


@given(cuts=st.lists(st.integers(0, 7), max_size=4), in_lake=st.sampled_from([None, 1, 2, 3]))
@settings(max_examples=12)
def test_any_interleaving_of_ingest_and_kill_gives_the_same_lake(
    whole, tmp_path_factory, cuts, in_lake
):
    pipeline, venue = market_over(tmp_path_factory.mktemp("cut"))
    for cut in cuts:
        venue.cut_at = len(venue.asked) + cut
        with suppress(PowerCut):
            ingested(pipeline)
    venue.cut_at = None
    if in_lake is not None:
        _cut_in_the_lake(pipeline, in_lake)
    ingested(pipeline)
    assert bars_of(pipeline).equals(bars_of(whole[0]))
    assert (
        pipeline.lake.read("coverage")
        .drop("learned_at")
        .equals(whole[0].lake.read("coverage").drop("learned_at"))
    )
    history = [
        each for each in venue.asked if each.end < pipeline.market_close - timedelta(days=10)
    ]
    assert len(history) == len(set(history)), "a piece of the past was fetched twice"
    assert not list((pipeline.settings.state_root / "inbox").rglob("*.parquet"))


def _cut_in_the_lake(pipeline: PipelineContext, moment: int) -> None:
    """An ingest that is killed before its n-th update of a partition."""
    update, count = pipeline.lake.update, 0

    def dying(*arguments, **options):
        nonlocal count
        count += 1
        if count == moment:
            raise PowerCut
        return update(*arguments, **options)

    pipeline.lake.update = dying
    with suppress(PowerCut):
        ingested(pipeline)
    pipeline.lake.update = update


def test_a_second_ingest_asks_only_for_the_latest_sessions_again(tmp_path):
    pipeline, venue = market_over(tmp_path, ingest={"recheck_sessions": 2})
    ingested(pipeline)
    first, before = len(venue.asked), bars_of(pipeline)
    ingested(pipeline)
    asked = venue.asked[first:]
    assert asked
    assert {each.start for each in asked} == {pipeline.trading_day_start(date(2024, 2, 28))}
    assert bars_of(pipeline).equals(before)


def test_without_a_recheck_a_second_ingest_asks_nothing_and_a_new_symbol_is_fetched_alone(tmp_path):
    pipeline, venue = market_over(tmp_path, ingest={"recheck_sessions": 0})
    ingested(pipeline)
    first = len(venue.asked)
    ingested(pipeline)
    assert len(venue.asked) == first
    names = sorted(venue.inside.universe()["symbol"].unique())[:4]
    wider = tiny_market(
        tmp_path, symbols=tuple(names), end=date(2024, 3, 1), ingest={"recheck_sessions": 0}
    )
    wider.__dict__["source"] = venue
    ingested(wider)
    assert {each.symbols for each in venue.asked[first:]} == {(names[3],)}


def test_a_late_correction_is_a_new_version_and_the_bar_says_what_changed(tmp_path):
    pipeline, venue = market_over(tmp_path)
    ingested(pipeline)
    market.bars(pipeline, pipeline.trading_periods())
    chosen = (
        pipeline.lake.read("bars")
        .filter(
            (pl.col("session") == "regular") & (pl.col("timestamp").dt.date() == date(2024, 2, 29))
        )
        .row(0, named=True)
    )
    key = (pl.col("symbol") == chosen["symbol"]) & (pl.col("timestamp") == chosen["timestamp"])
    venue.corrections[chosen["symbol"], chosen["timestamp"]] = chosen["close"] * 1.01
    ingested(pipeline)
    versions = pipeline.lake.read("raw_bars").filter(key)
    assert versions["close"].to_list() == [chosen["close"], chosen["close"] * 1.01]
    assert versions["ingested_at"].is_sorted()
    assert versions["ingested_at"].n_unique() == 2
    result = market.bars(pipeline, pipeline.trading_periods())
    assert pipeline.lake.read("bars").filter(key)["close"].item() == chosen["close"] * 1.01
    assert any(chosen["symbol"] in note and "close" in note for note in result.notes), result.notes


def test_a_correction_of_long_ago_is_learned_when_asked_again(tmp_path):
    pipeline, venue = market_over(tmp_path)
    ingested(pipeline)
    row = pipeline.lake.read("raw_bars").row(5, named=True)
    venue.corrections[row["symbol"], row["timestamp"]] = row["close"] * 1.01
    ingested(pipeline)
    assert (
        pipeline.lake.read("raw_bars")
        .filter(pl.col("symbol") == row["symbol"])
        .select("timestamp")
        .is_unique()
        .all()
    )
    ingested(pipeline, again=True)
    assert (
        pipeline.lake.read("raw_bars")
        .filter((pl.col("symbol") == row["symbol"]) & (pl.col("timestamp") == row["timestamp"]))
        .height
        == 2
    )


@pytest.mark.parametrize("rows", [1, 100, 500])
def test_merging_some_symbols_at_a_time_gives_the_same_lake(whole, tmp_path, monkeypatch, rows):
    monkeypatch.setattr(download_cache, "_BATCH_ROWS", rows)
    pipeline, venue = market_over(tmp_path)
    ingested(pipeline)
    assert bars_of(pipeline).equals(bars_of(whole[0]))
    row = pipeline.lake.read("raw_bars").row(5, named=True)
    venue.corrections[row["symbol"], row["timestamp"]] = row["close"] * 1.01
    told = ingest.raw_bars(pipeline, pipeline.trading_periods(), again=True)
    assert told.facts["of these corrections"] == told.facts["new rows"] == 1
    assert (
        told.facts["rows received"]
        == told.facts["new rows"] + told.facts["rows given twice"] + told.facts["rows known before"]
    )
    assert told.facts["rows withdrawn"] == 0
    assert pipeline.lake.read("raw_bars").height == bars_of(whole[0]).height + 1


def test_symbols_that_the_source_no_longer_has_stay(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(download_cache, "_BATCH_ROWS", 1)
    pipeline, _ = market_over(tmp_path)
    ingested(pipeline)
    names = pipeline.settings.market.symbols
    for left in ((names[0],), (names[1],), (names[2],), names[1:], (names[0], names[2])):
        fewer = tiny_market(tmp_path, symbols=left, end=date(2024, 3, 1))
        fewer.__dict__["source"] = pipeline.source
        ingest.raw_bars(fewer, fewer.trading_periods(), again=True)
        assert bars_of(pipeline).equals(bars_of(whole[0])), left
