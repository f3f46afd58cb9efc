"""Quotes, trades, corporate actions and the universe over real connections."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market.alpaca.alpaca_world import FIRST_DAY, market, minutes, serving, source_of, symbols
from market.simulated_worlds import world
from polars.testing import assert_frame_equal

from harmony_pipeline.exchange import wire
from harmony_pipeline.market.sources.base import SOURCE_QUOTE_DTYPES, SOURCE_TRADE_DTYPES
from harmony_pipeline.schemas import CORPORATE_ACTIONS

pytestmark = pytest.mark.network

OPEN = datetime(2023, 1, 4, 14, 30, tzinfo=UTC)
_LATER = st.lists(st.integers(0, 400), min_size=1, max_size=60)


def trades_at(offsets: list[int], name: str = "AAPL") -> pl.DataFrame:
    """Trades so many microseconds after the open, as a source should hand them out."""
    stamps = [OPEN + timedelta(microseconds=each) for each in sorted(offsets)]
    frame = pl.DataFrame(
        {
            "timestamp": pl.Series(stamps, dtype=SOURCE_TRADE_DTYPES["timestamp"]),
            "price": [100.0 + at / 100 for at in range(len(stamps))],
        }
    )
    return frame.select(
        symbol=pl.lit(name),
        timestamp="timestamp",
        price="price",
        size=pl.lit(5.0),
        exchange=pl.lit("V"),
        conditions=pl.lit("@,I"),
        suspicious=pl.col("price") > 100.3,
        trade_id=pl.int_range(pl.len()).cast(pl.String),
        source=pl.lit("alpaca"),
        origin=pl.lit("iex raw"),
        row=pl.int_range(1, pl.len() + 1).over("timestamp"),
    ).select(pl.col(column).cast(dtype) for column, dtype in SOURCE_TRADE_DTYPES.items())


@pytest.fixture(scope="module")
def server():
    with serving(page_rows=7) as running:
        yield running


@given(_LATER, st.integers(0, 401), st.integers(0, 401))
@settings(max_examples=15)
def test_trades_of_adjoining_ranges_over_any_pages_make_up_the_whole(server, offsets, cut, end):
    server.trades = trades_at(offsets)
    source = source_of(server)
    cut_at, end_at = (OPEN + timedelta(microseconds=each) for each in sorted((cut, end)))
    parts = [source.trades(["AAPL"], OPEN, cut_at), source.trades(["AAPL"], cut_at, end_at)]
    assert_frame_equal(
        pl.concat(parts), server.trades.filter(pl.col("timestamp") < end_at), check_exact=True
    )


def test_quotes_have_sizes_in_shares_and_absent_sides_are_null(server):
    quotes = pl.DataFrame(
        {"symbol": ["AAPL"] * 3, "timestamp": [OPEN, OPEN, OPEN + timedelta(seconds=1)],
        "bid": [10.0, None, 10.1], "bid_size": [300.0, None, 100.0],
         "ask": [10.2, 10.2, None], "ask_size": [100.0, 200.0, None], "conditions": ["R", "R,O", "R"], "source": ["alpaca"] * 3, "origin": ["iex raw"] * 3, "row": [1, 2, 1]},
        schema=SOURCE_QUOTE_DTYPES,
    )  # fmt: skip
    server.quotes = quotes
    source = source_of(server)
    assert_frame_equal(
        source.quotes(["AAPL"], OPEN, OPEN + timedelta(seconds=2)), quotes, check_exact=True
    )
    assert source.quotes(["AAPL"], OPEN, OPEN + timedelta(seconds=1)).height == 2
    assert source.quotes(["MSFT"], OPEN, OPEN + timedelta(seconds=2)).height == 0
    lots_of_one = source_of(server, quote_lot_shares=1.0)
    assert lots_of_one.quotes(["AAPL"], OPEN, OPEN + timedelta(seconds=2))[
        "bid_size"
    ].to_list() == [3.0, None, 1.0]


def test_real_ticks_of_a_day_go_through_unchanged(market_data):
    file = next(iter(sorted((market_data / "us_equity_ticks").glob("quotes_*.parquet"))))
    real = pl.read_parquet(file).head(3_000)
    frame = (
        real.with_columns(
            conditions=pl.lit("R"), source=pl.lit("alpaca"), origin=pl.lit("iex raw"),
            row=pl.int_range(1, pl.len() + 1).over("symbol", "timestamp"),
            **{size: pl.when(pl.col(price) > 0).then(size) for price, size in (("bid", "bid_size"), ("ask", "ask_size"))},
            **{price: pl.when(pl.col(price) > 0).then(price) for price in ("bid", "ask")},
        )
        .select(pl.col(name).cast(dtype) for name, dtype in SOURCE_QUOTE_DTYPES.items())
        .sort("symbol", "timestamp", "row")
    )  # fmt: skip
    with serving(quotes=frame) as running:
        start, end = frame["timestamp"].min(), frame["timestamp"].max()
        received = source_of(running, page_rows=700).quotes(
            frame["symbol"].unique().to_list(), start, end + timedelta(microseconds=1)
        )
        assert len(running.asked("/v2/stocks/quotes")) == 5
    assert_frame_equal(received, frame, check_exact=False, rel_tol=1e-12)


# --- corporate actions ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def actions() -> pl.DataFrame:
    """Five years of a simulated market's splits and dividends."""
    return world(
        start=date(2018, 1, 2), end=date(2023, 1, 9), timeframe="1Day", symbols=20
    ).corporate_actions(None)


def test_corporate_actions_come_over_any_pages_also_when_they_are_paid_long_after(actions):
    with serving(
        actions=wire.action_rows(actions, days_to_payment=90),
        page_rows=13,
        now=datetime(2023, 1, 9, 15, 0, tzinfo=UTC),
    ) as server:
        source = source_of(server, market_settings=market(start=date(2018, 1, 1)))
        received = source.corporate_actions(None)
        chosen = sorted(actions["symbol"].unique())[:3]
        some = source.corporate_actions(chosen)
        assert len(server.asked("/v1/corporate-actions")) > actions.height // 13
    assert actions.filter(pl.col("kind") == "split").height
    assert_frame_equal(received, CORPORATE_ACTIONS.conform(actions), check_exact=True)
    assert_frame_equal(
        some,
        CORPORATE_ACTIONS.conform(actions.filter(pl.col("symbol").is_in(chosen))),
        check_exact=True,
    )


def test_an_action_whose_ex_date_has_not_come_is_not_known_yet(actions):
    now = datetime(2020, 6, 1, 15, 0, tzinfo=UTC)
    with serving(actions=wire.action_rows(actions), now=now) as server:
        received = source_of(
            server, market_settings=market(start=date(2018, 1, 1))
        ).corporate_actions(None)
    assert_frame_equal(
        received,
        CORPORATE_ACTIONS.conform(actions.filter(pl.col("date") <= now.date())),
        check_exact=True,
    )


def test_the_universe_is_who_is_listed_today_and_who_is_gone(actions):
    merger = {
        "id": "m",
        "acquiree_symbol": "GONE",
        "process_date": "2023-01-06",
        "effective_date": "2023-01-05",
    }
    with serving(actions={**wire.action_rows(actions), "stock_mergers": [merger]}) as server:
        universe = source_of(server).universe()
        types = {each.query["types"] for each in server.asked("/v1/corporate-actions")}
    assert types == {"name_change,worthless_removal,cash_merger,stock_merger,stock_and_cash_merger"}
    assert universe["symbol"].to_list() == sorted([*symbols(), "GONE"])
    assert dict(
        universe.filter(pl.col("delisted").is_not_null()).select("symbol", "delisted").iter_rows()
    ) == {"GONE": date(2023, 1, 5)}
    assert universe["date"].unique().to_list() == [date(2023, 2, 2)], (
        "asked after the open, it is of use from the next session on"
    )


def test_every_symbol_means_the_assets_that_can_be_traded():
    assets = [
        *wire.asset_rows(symbols()[:2], symbols()[2:3]),
        {**wire.asset_rows([symbols()[3]])[0], "tradable": False},
    ]
    with serving(assets=assets) as server:
        bars = source_of(server).bars(None, OPEN, OPEN + timedelta(hours=1), "1Min")
    assert set(bars["symbol"]) == set(symbols()[:2])
    assert set(symbols()) == set(minutes()["symbol"])
    assert OPEN.date() > FIRST_DAY
