"""Resting limit orders: against a naive twin, by their laws, and on recorded quotes and trades."""

import math
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from execution.naive_queue import rest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.errors import DataError
from harmony_pipeline.execution.limit_order_replay import rest_limit_orders
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.ticks.asof import with_quotes
from harmony_pipeline.market.ticks.conditions import HIGH_LOW, LAST, eligibility
from harmony_pipeline.schemas import TIME

NYSE = Calendar.of("XNYS")
OPEN = datetime(2024, 1, 3, 14, 30, tzinfo=UTC)
RULES = ["none", "quoted", "pro_rata"]


def moment(milliseconds):
    return OPEN + timedelta(milliseconds=milliseconds)


def quote_frame(quotes, symbol="AAA"):
    names = ["bid", "bid_size", "ask", "ask_size"]
    rows = [(symbol, moment(when), *rest) for when, *rest in quotes]
    types = {"symbol": pl.String, "timestamp": TIME} | dict.fromkeys(names, pl.Float64)
    return pl.DataFrame(rows, types, orient="row")


def trade_frame(trades, symbol="AAA"):
    rows = [(symbol, moment(when), price, size, "", False) for when, price, size in trades]
    types = {
        "symbol": pl.String, "timestamp": TIME, "price": pl.Float64, "size": pl.Float64,
        "conditions": pl.String, "suspicious": pl.Boolean,
    }  # fmt: skip
    return pl.DataFrame(rows, types, orient="row")


def order_frame(orders, symbol="AAA"):
    rows = [
        (symbol, moment(arrival), None if until == math.inf else moment(until), *terms)
        for arrival, until, *terms in orders
    ]
    types = {
        "symbol": pl.String, "timestamp": TIME, "until": TIME, "side": pl.Int8,
        "limit_price": pl.Float64, "quantity": pl.Float64,
    }  # fmt: skip
    return pl.DataFrame(rows, types, orient="row")


def resting(orders, quotes, trades, rule="none"):
    return rest_limit_orders(
        order_frame(orders), quote_frame(quotes), trade_frame(trades), NYSE, cancels=rule
    )


PRICES = [9.98, 9.99, 10.0, 10.01, 10.02, 10.03]
SIZES = st.integers(1, 9).map(lambda lots: lots * 100.0)


@st.composite
def tapes(draw):
    """A tape on few prices and few moments, so that everything coincides; a side may be missing."""
    times = st.integers(0, 40)
    quotes = []
    for when in sorted(draw(st.lists(times, max_size=25))):
        low, high = sorted(draw(st.tuples(st.sampled_from(PRICES), st.sampled_from(PRICES))))
        bid = None if draw(st.integers(0, 9)) == 0 else low
        ask = None if draw(st.integers(0, 9)) == 0 or high == low else high
        bid_size, ask_size = draw(SIZES), draw(SIZES)
        quotes.append((when, bid, bid_size if bid else None, ask, ask_size if ask else None))
    prices = st.sampled_from([*PRICES, 9.985, 10.005])
    trades = sorted(
        draw(st.lists(st.tuples(times, prices, SIZES), max_size=25)), key=lambda t: t[0]
    )
    orders = draw(
        st.lists(
            st.tuples(
                times,
                st.one_of(times.map(lambda one: one + 1), st.just(math.inf)),
                st.sampled_from([1, -1]),
                st.sampled_from(PRICES),
                SIZES,
            ),
            min_size=1,
            max_size=8,
        )
    )
    return orders, quotes, trades


@settings(max_examples=75)
@given(tape=tapes(), rule=st.sampled_from(RULES))
def test_every_order_does_what_the_naive_twin_does(tape, rule):
    orders, quotes, trades = tape
    result = resting(orders, quotes, trades, rule)
    for number, order in enumerate(orders):
        status, at_arrival, ahead, fills = rest(order, quotes, trades, rule)
        found = result.orders.row(number, named=True)
        finite = [None if one in (None, math.inf) else one for one in (at_arrival, ahead)]
        assert found["status"] == status
        assert [found["ahead_at_arrival"], found["ahead"]] == finite
        assert found["filled_quantity"] == sum(quantity for _, quantity, _ in fills)
        mine = result.fills.filter(pl.col("order") == number)
        assert mine.select(
            "timestamp", "quantity", "trade_price", "trade_size", "through"
        ).rows() == [
            (moment(trades[trade][0]), quantity, trades[trade][1], trades[trade][2], through)
            for trade, quantity, through in fills
        ]


@given(tape=tapes(), rule=st.sampled_from(RULES))
def test_a_fill_has_a_trade_as_its_witness_and_fills_never_exceed_their_volume(tape, rule):
    orders, quotes, trades = tape
    result = resting(orders, quotes, trades, rule)
    for number, (arrival, until, side, price, _) in enumerate(orders):
        reached = [
            size
            for when, traded, size in trades
            if arrival < when < until and side * traded <= side * price
        ]
        assert result.orders["filled_quantity"][number] <= sum(reached)
        mine = result.fills.filter(pl.col("order") == number)
        assert (mine["quantity"] <= mine["trade_size"]).all()
        assert (side * mine["trade_price"] <= side * mine["price"]).all()


@given(tape=tapes())
def test_a_rule_that_counts_more_cancels_fills_no_less(tape):
    filled = [resting(*tape, rule).orders["filled_quantity"] for rule in RULES]
    assert (filled[0] <= filled[1]).all()
    assert (filled[1] <= filled[2]).all()


QUOTE = (0, 10.0, 500.0, 10.02, 500.0)
BID = (1, math.inf, 1, 10.0, 300.0)


def test_the_order_joins_the_back_and_is_filled_by_what_exceeds_the_queue():
    trades = [(2, 10.0, 400.0), (3, 10.0, 250.0), (4, 10.0, 1_000.0)]
    result = resting([BID], [QUOTE], trades)
    assert result.orders["ahead_at_arrival"].to_list() == [500.0]
    assert result.fills["quantity"].to_list() == [150.0, 150.0]
    assert result.fills["timestamp"].to_list() == [moment(3), moment(4)]
    assert result.orders["status"].to_list() == ["filled"]


def test_a_trade_through_the_price_fills_no_more_than_its_size():
    result = resting([BID], [QUOTE], [(2, 9.99, 200.0), (3, 10.0, 50.0)])
    assert result.fills["quantity"].to_list() == [200.0, 50.0]
    assert result.fills["through"].to_list() == [True, False]
    assert result.orders["status"].to_list() == ["partly_filled"]


def test_trades_at_the_offer_or_at_the_middle_do_not_move_the_queue_of_the_bid():
    inside = (1, math.inf, 1, 10.01, 300.0)
    result = resting([BID, inside], [QUOTE], [(2, 10.02, 9_000.0), (3, 10.01, 9_000.0)])
    assert result.fills.height == 0
    assert result.orders["ahead"].to_list() == [500.0, 0.0]


def test_quotes_alone_never_fill_and_a_marketable_order_does_not_rest():
    crossing = [(2, 9.97, 100.0, 9.98, 100.0), (3, 10.05, 100.0, 10.06, 100.0)]
    assert resting([BID], [QUOTE, *crossing], []).fills.height == 0
    result = resting([(1, math.inf, 1, 10.02, 300.0)], [QUOTE], [(2, 9.0, 100.0)])
    assert result.orders["status"].to_list() == ["marketable"]
    assert result.fills.height == 0


@pytest.mark.parametrize(
    ("rule", "ahead"), [("none", 500.0), ("quoted", 300.0), ("pro_rata", 200.0)]
)
def test_cancels_ahead_count_by_the_stated_rule(rule, ahead):
    more = (2, 10.0, 750.0, 10.02, 500.0)  # 250 join behind us
    less = (3, 10.0, 300.0, 10.02, 500.0)  # 450 of 750 go: three fifths of what is ahead, or not
    assert resting([BID], [QUOTE, more, less], [], rule).orders["ahead"].to_list() == [ahead]


def test_behind_the_best_price_the_queue_is_unknown_until_the_best_price_comes():
    order = (1, math.inf, 1, 9.99, 100.0)
    trades = [(2, 9.99, 5_000.0), (4, 9.99, 800.0), (6, 9.99, 150.0)]
    result = resting([order], [QUOTE, (3, 9.99, 850.0, 10.01, 100.0)], trades)
    assert result.orders["ahead_at_arrival"].to_list() == [None]
    assert result.fills.select("timestamp", "quantity").rows() == [(moment(6), 100.0)]


def test_orders_that_cannot_rest_are_refused_by_row_and_rule():
    for wrong, text in [
        ((1, 2, 2, 10.0, 1.0), "row 1 of AAA needs side 1"),
        ((1, 2, 1, math.nan, 1.0), "needs a limit_price above 0"),
        ((1, 2, 1, 10.0, 0.0), "needs a quantity above 0"),
    ]:
        with pytest.raises(DataError, match=text):
            resting([BID, wrong], [QUOTE], [])
    with pytest.raises(DataError, match="use one of none, quoted, pro_rata"):
        resting([BID], [QUOTE], [], "some")
    with pytest.raises(DataError, match="quotes of AAA are not in the order of time"):
        resting([BID], [(2, *QUOTE[1:]), QUOTE], [])
    assert resting([], [QUOTE], []).orders.height == 0


def volume_reached(trades, start, end, side, price):
    """Shares traded at a limit price or through it, and those of them through it."""
    first = trades["timestamp"].search_sorted(start, side="right")
    life = trades[first : trades["timestamp"].search_sorted(end, side="left")]
    distance = side * (life["price"] - price)
    sizes = [life["size"].filter(kept).sum() for kept in (distance <= 0.0, distance < 0.0)]
    return tuple(float(size) for size in sizes)


def test_on_recorded_ticks_limit_orders_are_filled_only_where_a_trade_went(market_data):
    """BAC and IBM on 2013-10-08: each minute a bid and an offer at the best price and a tick away."""
    folder = market_data / "us_equity_ticks"
    quotes, trades = (
        pl.concat(
            [
                pl.read_parquet(folder / f"{kind}_{name}_2013-10-08.parquet")
                for name in ("BAC", "IBM")
            ]
        )
        for kind in ("quotes", "trades")
    )
    first = datetime(2013, 10, 8, 13, 31, tzinfo=UTC)
    minutes = pl.DataFrame({"timestamp": [first + timedelta(minutes=one) for one in range(380)]})
    placed = (
        minutes.with_columns(pl.col("timestamp").cast(TIME))
        .join(pl.DataFrame({"symbol": ["BAC", "IBM"]}), how="cross")
        .join(pl.DataFrame({"side": [1, -1]}), how="cross")
        .join(pl.DataFrame({"away": [0, 1]}), how="cross")
    )
    best = pl.when(pl.col("side") == 1).then("bid").otherwise("ask")
    orders = (
        with_quotes(placed.lazy(), quotes.lazy())
        .collect()
        .with_columns(
            limit_price=(best - 0.01 * pl.col("side") * pl.col("away")).round(2),
            quantity=pl.lit(300.0),
            until=pl.col("timestamp") + pl.duration(minutes=5),
        )
    )
    result = rest_limit_orders(orders, quotes, trades, NYSE, codes="lean")
    # what was traded at the limit or through it in the life of each order, by slices of the tape
    session = NYSE.parts(trades["timestamp"])["session"]
    full = eligibility(trades.with_columns(session), "lean") & (HIGH_LOW | LAST) == HIGH_LOW | LAST
    tapes = trades.filter(full).partition_by("symbol", as_dict=True)
    rows = result.orders.select("symbol", "timestamp", "until", "side", "limit_price").rows()
    volumes = [volume_reached(tapes[(symbol,)], *terms) for symbol, *terms in rows]
    joined = result.orders.with_columns(
        pl.DataFrame(volumes, {"reached": pl.Float64, "through": pl.Float64}, orient="row")
    )
    filled = joined.filter(pl.col("filled_quantity") > 0)
    assert filled.height > 1_000
    assert (filled["filled_quantity"] <= filled["reached"]).all()
    # without a trade through the price, more traded there than stood before us
    at_price = filled.filter((pl.col("through") == 0) & pl.col("ahead_at_arrival").is_not_null())
    assert at_price.height > 100
    assert (at_price["reached"] >= at_price["ahead_at_arrival"] + at_price["filled_quantity"]).all()
    # whoever saw enough trades through the price was filled, all others by trades at it
    went_through = joined.filter(pl.col("through") >= 300.0)
    assert (went_through["status"] == "filled").all()
    untouched = joined.filter(pl.col("reached") == 0)
    assert untouched.height > 100
    assert (untouched["status"] == "unfilled").all()
    # a touch alone is not a fill: many orders at the best price were touched and not filled
    touched = joined.filter((pl.col("reached") > 0) & (pl.col("status") == "unfilled"))
    assert touched.height > 100
