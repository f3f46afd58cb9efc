"""The tape of the simulated market: it adds up to the bars, and can be told in any pieces."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from market.simulated_worlds import EVER, everything, world
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.sources.base import SOURCE_QUOTE_DTYPES, SOURCE_TRADE_DTYPES
from harmony_pipeline.market.ticks.asof import with_spreads
from harmony_pipeline.market.ticks.bars import BarKind, trade_bars
from harmony_pipeline.market.ticks.validate import validate_quotes, validate_trades
from harmony_pipeline.schemas import QUOTE_TICKS, TRADE_TICKS

NYSE = Calendar.of("XNYS")
LEARNED = pl.lit(datetime(2041, 1, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def minutes():
    # a half-day, a holiday, a day
    return world(
        start=date(2023, 7, 3),
        end=date(2023, 7, 6),
        timeframe="1Min",
        symbols=2,
        low_float_symbols=2,
    )


@pytest.fixture(scope="module")
def trades(minutes):
    return minutes.trades(None, *EVER)


@pytest.fixture(scope="module")
def quotes(minutes):
    return minutes.quotes(None, *EVER)


@pytest.mark.parametrize(
    ("timeframe", "calendar", "extended"),
    [
        ("1Min", "XNYS", True),
        ("15Min", "XNYS", True),
        ("1Hour", "XNYS", False),
        ("30Min", "24/7", True),
    ],
)
def test_bars_of_the_tape_are_the_bars_of_the_market(timeframe, calendar, extended):
    source = world(
        start=date(2023, 7, 3),
        end=date(2023, 7, 6),
        timeframe=timeframe,
        calendar=calendar,
        extended_hours=extended,
        symbols=2,
        low_float_symbols=2,
    )
    bars = everything(source)
    made = trade_bars(
        source.trades(None, *EVER), BarKind.of(timeframe), Calendar.of(calendar)
    ).sort("symbol", "timestamp")
    told = ["symbol", "timestamp", "open", "high", "low", "close", "volume"]
    assert_frame_equal(made.select(told), bars.select(told), check_exact=True)
    assert (made["trade_count"] >= bars["trade_count"]).all()
    # thin bars that claim one trade and have two prices
    assert (made["trade_count"] > bars["trade_count"]).sum() < 0.2 * bars.height


def test_a_day_s_bar_is_that_of_its_tape():
    source = world(
        start=date(2023, 7, 3),
        end=date(2023, 7, 6),
        timeframe="1Day",
        symbols=2,
        low_float_symbols=0,
    )
    made = trade_bars(source.trades(None, *EVER), BarKind.of("1440Min"), NYSE).sort(
        "symbol", "timestamp"
    )
    told = ["symbol", "open", "high", "low", "close", "volume"]
    assert_frame_equal(made.select(told), everything(source).select(told), check_exact=True)


def test_it_is_a_tick_source_of_the_right_shape_and_order(minutes, trades, quotes):
    assert minutes.capabilities.trades and minutes.capabilities.quotes
    assert dict(trades.schema) == SOURCE_TRADE_DTYPES
    assert dict(quotes.schema) == SOURCE_QUOTE_DTYPES
    assert_frame_equal(trades, trades.sort(TRADE_TICKS.key, maintain_order=True))
    assert_frame_equal(quotes, quotes.sort(QUOTE_TICKS.key, maintain_order=True))


def test_any_piece_is_its_part_of_the_whole(minutes, trades, quotes):
    symbol = trades["symbol"][0]
    start, end = (
        datetime(2023, 7, 3, 14, 0, 30, tzinfo=UTC),
        datetime(2023, 7, 5, 13, 29, 59, tzinfo=UTC),
    )
    piece = (
        (pl.col("symbol") == symbol) & (pl.col("timestamp") >= start) & (pl.col("timestamp") < end)
    )
    fresh = world(
        start=date(2023, 7, 3),
        end=date(2023, 7, 6),
        timeframe="1Min",
        symbols=2,
        low_float_symbols=2,
    )
    assert_frame_equal(fresh.trades([symbol], start, end), trades.filter(piece), check_exact=True)
    assert_frame_equal(fresh.quotes([symbol], start, end), quotes.filter(piece), check_exact=True)


def test_every_tick_is_sound(trades, quotes):
    market = MarketSettings()
    for received, validate in ((trades, validate_trades), (quotes, validate_quotes)):
        result = validate(received.with_columns(ingested_at=LEARNED), NYSE, market)
        assert result.kept.height == received.height
        assert result.notes == []


def test_a_trade_is_at_the_bid_or_the_ask_that_stood_before_it(trades, quotes):
    joined = with_spreads(trades.lazy(), quotes.lazy()).collect(engine="in-memory")
    assert joined["bid"].null_count() == 0
    assert joined.select(
        ((pl.col("price") == pl.col("bid")) | (pl.col("price") == pl.col("ask"))).all()
    ).item()
    assert joined["inside"].all()
    assert 0.4 < (joined["sign"] == 1).mean() < 0.6
    assert joined["quoted_spread"].min() > 0.0


def test_another_seed_is_another_tape_and_an_unknown_symbol_is_refused(minutes, trades):
    other = world(
        start=date(2023, 7, 3),
        end=date(2023, 7, 6),
        timeframe="1Min",
        symbols=2,
        low_float_symbols=2,
        seed=8,
    )
    assert other.trades(None, *EVER).height != trades.height
    with pytest.raises(DataError, match="no symbol 'NOPE'"):
        minutes.trades(["NOPE"], *EVER)
    assert minutes.trades(None, EVER[0], EVER[0] + timedelta(days=1)).is_empty()
