"""What SQL says of ticks and of longer bars is what the library says."""

from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from ticks.tapes import at, quotes, trades

from harmony_pipeline.errors import DataError
from harmony_pipeline.lake import sql
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.market.resampling import resample
from harmony_pipeline.market.ticks.asof import with_spreads
from harmony_pipeline.stages import ingest, market
from harmony_pipeline.stages.ticks import quote_ticks, trade_ticks
from harmony_pipeline.testing.tiny import tiny_market

DAYS = [date(2024, 1, 2), date(2024, 1, 3)]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """Three months of bars over a split or dividend, and two days of ticks."""
    pipeline = tiny_market(tmp_path_factory.mktemp("market"))
    market.corporate_actions(pipeline)
    ingest.raw_bars(pipeline, pipeline.trading_periods())
    market.bars(pipeline, pipeline.trading_periods())
    quote_ticks(pipeline, DAYS)
    trade_ticks(pipeline, DAYS)
    return pipeline


@pytest.mark.parametrize("span", ["30Min", "1Hour", "90Min", "4Hour", "1Day", "1Week", "1Month"])
def test_longer_bars_in_sql_are_those_of_the_library(pipeline, span):
    bars = pipeline.lake.read("bars")
    assert bars["adjustment_factor"].n_unique() > 1
    found = sql.query(
        pipeline.lake, f"select * from bars_at('{span}') order by symbol, timestamp, session"
    )
    made = resample(bars.lazy(), span, pipeline.calendar).collect(engine="in-memory")
    exact = [
        "symbol",
        "timeframe",
        "timestamp",
        "session",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "trade_count",
        "adjustment_factor",
    ]
    assert_frame_equal(found.select(exact), made.select(exact), check_exact=True)
    assert_frame_equal(found.select("vwap"), made.select("vwap"), rel_tol=1e-12)
    assert (found["slot_end"] >= made["known_at"]).all()


@pytest.mark.parametrize("span", ["1Fortnight", "0Min", "2Day", "", "Hour"])
def test_a_span_that_is_none_is_refused_in_words(pipeline, span):
    with pytest.raises(DataError, match="no length of a bar"):
        sql.query(pipeline.lake, f"select * from bars_at('{span}')")


def test_the_named_query_gives_hours(pipeline):
    hours = sql.query(pipeline.lake, sql.named_query("resampled_bars"))
    assert hours["timeframe"].unique().to_list() == ["1Hour"]
    assert hours["volume"].sum() == pipeline.lake.read("bars")["volume"].sum()


def same_as_the_library(lake):
    found = sql.query(lake, sql.named_query("trades_with_quotes"))
    made = (
        with_spreads(lake.read("trade_ticks").lazy(), lake.read("quote_ticks").lazy())
        .collect(engine="in-memory")
        .select(found.columns)
    )
    assert_frame_equal(found, made, check_exact=True)
    return found


def test_trades_of_the_market_and_their_quotes(pipeline):
    found = same_as_the_library(pipeline.lake)
    assert found.height == pipeline.lake.read("trade_ticks").height
    assert found["inside"].all()
    assert (found["quote_timestamp"] < found["timestamp"]).all()


def test_ties_missing_sides_and_the_tick_test(tmp_path):
    lake = Lake(tmp_path).open()
    book = [
        (at(0), 10.0, 10.1),
        (at(1), 10.0, 10.2),
        (at(1), 10.04, 10.06),
        (at(5), None, 10.2),
        (at(7), 10.0, 10.1),
    ]
    tape = [
        (at(0), 9.0, 1.0),
        (at(1), 10.05, 1.0),
        (at(2), 10.05, 1.0),
        (at(2), 10.07, 1.0),
        (at(3), 10.05, 1.0),
        (at(4), 10.05, 1.0),
        (at(6), 10.1, 1.0),
        (at(8), 10.0, 1.0),
    ]
    lake.write(
        "quote_ticks",
        "2024-07-02",
        pl.concat([quotes(*book), quotes((at(0), 5.0, 6.0), symbol="BBB")]),
    )
    lake.write(
        "trade_ticks",
        "2024-07-02",
        pl.concat([trades(*tape), trades((at(9), 5.5, 1.0), symbol="BBB")]),
    )
    found = same_as_the_library(lake)
    # of two quotes at one time the later stands
    assert found["bid"].to_list() == [None, 10.0, 10.04, 10.04, 10.04, 10.04, None, 10.0, 5.0]
    assert found["sign"].to_list() == [None, 1, 1, 1, -1, -1, None, -1, 0]
