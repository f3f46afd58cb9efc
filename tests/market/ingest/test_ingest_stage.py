"""Ingest over a venue that is asked piece by piece: complete, resumed wherever it was cut, incremental, and aware of corrections."""

from contextlib import suppress
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market.venue import PowerCut, Venue, market_over

from harmony_pipeline.stages import ingest, market
from harmony_pipeline.stages.workspace import Workspace
from harmony_pipeline.testing.tiny import tiny_market


def bars_of(work: Workspace) -> pl.DataFrame:
    return work.lake.read("raw_bars").drop("ingested_at")


def ingested(work: Workspace, *, again: bool = False) -> None:
    ingest.raw_bars(work, work.trading_periods(), again=again)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Venue]:
    work, venue = market_over(tmp_path_factory.mktemp("whole"))
    ingested(work)
    return work, venue


def test_it_is_complete(whole: tuple[Workspace, Venue]) -> None:
    work, venue = whole
    truth = venue.inside.bars(list(work.settings.market.symbols), work.trading_periods()[0].start, work.market_close, "30Min")
    assert bars_of(work).select("symbol", "timestamp", "close").equals(truth.select("symbol", "timestamp", "close"))
    assert len(venue.asked) == len(set(venue.asked)) > 4


@given(cuts=st.lists(st.integers(0, 7), max_size=4), in_lake=st.sampled_from([None, 1, 2, 3]))
@settings(max_examples=12)
def test_any_interleaving_of_ingest_and_kill_gives_the_same_lake(whole, tmp_path_factory, cuts, in_lake):
    work, venue = market_over(tmp_path_factory.mktemp("cut"))
    for cut in cuts:
        venue.cut_at = len(venue.asked) + cut
        with suppress(PowerCut):
            ingested(work)
    venue.cut_at = None
    if in_lake is not None:
        _cut_in_the_lake(work, in_lake)
    ingested(work)
    assert bars_of(work).equals(bars_of(whole[0]))
    assert work.lake.read("coverage").drop("learned_at").equals(whole[0].lake.read("coverage").drop("learned_at"))
    history = [each for each in venue.asked if each.end < work.market_close - timedelta(days=10)]
    assert len(history) == len(set(history)), "a piece of the past was fetched twice"
    assert not list((work.settings.state_root / "inbox").rglob("*.parquet"))


def _cut_in_the_lake(work: Workspace, moment: int) -> None:
    """An ingest that is killed before its n-th update of a partition."""
    update, count = work.lake.update, 0

    def dying(*arguments, **options):
        nonlocal count
        count += 1
        if count == moment:
            raise PowerCut
        return update(*arguments, **options)

    work.lake.update = dying
    with suppress(PowerCut):
        ingested(work)
    work.lake.update = update


def test_a_second_ingest_asks_only_for_the_latest_sessions_again(tmp_path):
    work, venue = market_over(tmp_path, ingest={"recheck_sessions": 2})
    ingested(work)
    first, before = len(venue.asked), bars_of(work)
    ingested(work)
    asked = venue.asked[first:]
    assert asked
    assert {each.start for each in asked} == {work.trading_day_start(date(2024, 2, 28))}
    assert bars_of(work).equals(before)


def test_without_a_recheck_a_second_ingest_asks_nothing_and_a_new_symbol_is_fetched_alone(tmp_path):
    work, venue = market_over(tmp_path, ingest={"recheck_sessions": 0})
    ingested(work)
    first = len(venue.asked)
    ingested(work)
    assert len(venue.asked) == first
    names = sorted(venue.inside.universe()["symbol"].unique())[:4]
    wider = tiny_market(tmp_path, symbols=tuple(names), end=date(2024, 3, 1), ingest={"recheck_sessions": 0})
    wider.__dict__["source"] = venue
    ingested(wider)
    assert {each.symbols for each in venue.asked[first:]} == {(names[3],)}


def test_a_late_correction_is_a_new_version_and_the_bar_says_what_changed(tmp_path):
    work, venue = market_over(tmp_path)
    ingested(work)
    market.bars(work, work.trading_periods())
    chosen = work.lake.read("bars").filter((pl.col("session") == "regular") & (pl.col("timestamp").dt.date() == date(2024, 2, 29))).row(0, named=True)
    key = (pl.col("symbol") == chosen["symbol"]) & (pl.col("timestamp") == chosen["timestamp"])
    venue.corrections[chosen["symbol"], chosen["timestamp"]] = chosen["close"] * 1.01
    ingested(work)
    versions = work.lake.read("raw_bars").filter(key)
    assert versions["close"].to_list() == [chosen["close"], chosen["close"] * 1.01]
    assert versions["ingested_at"].is_sorted()
    assert versions["ingested_at"].n_unique() == 2
    result = market.bars(work, work.trading_periods())
    assert work.lake.read("bars").filter(key)["close"].item() == chosen["close"] * 1.01
    assert any(chosen["symbol"] in note and "close" in note for note in result.notes), result.notes


def test_a_correction_of_long_ago_is_learned_when_asked_again(tmp_path):
    work, venue = market_over(tmp_path)
    ingested(work)
    row = work.lake.read("raw_bars").row(5, named=True)
    venue.corrections[row["symbol"], row["timestamp"]] = row["close"] * 1.01
    ingested(work)
    assert work.lake.read("raw_bars").filter(pl.col("symbol") == row["symbol"]).select("timestamp").is_unique().all()
    ingested(work, again=True)
    assert work.lake.read("raw_bars").filter((pl.col("symbol") == row["symbol"]) & (pl.col("timestamp") == row["timestamp"])).height == 2


@pytest.mark.parametrize("rows", [1, 100, 500])
def test_merging_some_symbols_at_a_time_gives_the_same_lake(whole, tmp_path, monkeypatch, rows):
    monkeypatch.setattr(ingest, "_BATCH_ROWS", rows)
    work, venue = market_over(tmp_path)
    ingested(work)
    assert bars_of(work).equals(bars_of(whole[0]))
    row = work.lake.read("raw_bars").row(5, named=True)
    venue.corrections[row["symbol"], row["timestamp"]] = row["close"] * 1.01
    told = ingest.raw_bars(work, work.trading_periods(), again=True)
    assert told.facts["of these corrections"] == told.facts["new rows"] == 1
    assert told.facts["rows received"] == told.facts["new rows"] + told.facts["rows given twice"] + told.facts["rows known before"]
    assert told.facts["rows withdrawn"] == 0
    assert work.lake.read("raw_bars").height == bars_of(whole[0]).height + 1


def test_symbols_that_the_source_no_longer_has_stay(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "_BATCH_ROWS", 1)
    work, _ = market_over(tmp_path)
    ingested(work)
    names = work.settings.market.symbols
    for left in ((names[0],), (names[1],), (names[2],), names[1:], (names[0], names[2])):
        fewer = tiny_market(tmp_path, symbols=left, end=date(2024, 3, 1))
        fewer.__dict__["source"] = work.source
        ingest.raw_bars(fewer, fewer.trading_periods(), again=True)
        assert bars_of(work).equals(bars_of(whole[0])), left
