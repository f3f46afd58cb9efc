"""The matching engine on quotes and trades: by example, by law on random tapes, and on a recorded
day against the queue of `limit_order_replay.py`.
"""

from bisect import bisect_right
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pytest
from execution.engine_cases import OPEN, bars, engine, rules, story, ticket
from execution.test_matching_laws import executions, tickets_of
from execution.tick_cases import quotes_of, run_tape, trades_of
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.errors import DataError
from harmony_pipeline.execution.lifecycle import FACTS, TABLE, Status
from harmony_pipeline.execution.limit_order_replay import rest_limit_orders
from harmony_pipeline.execution.matching_engine import EngineSettings, MatchingEngine
from harmony_pipeline.execution.order_types import bracket
from harmony_pipeline.market.calendars import Calendar

SEEDS = st.integers(0, 10**9)
AT = OPEN + timedelta(seconds=10)
FACT_OF = {kind.__struct_config__.tag: kind for kind in FACTS}
WIDE = (5, 99.0, 300.0, 101.0, 200.0)


def run(quotes, trades, *tickets, settings=None, position=0.0):
    made = engine(settings, position)
    answers = made.submit(*tickets)
    assert not any(answers.values()), answers
    made.run_ticks(quotes, trades)
    return made


def fills(made):
    rows = made.fills().rows(named=True)
    seconds = [(row["timestamp"] - OPEN).total_seconds() for row in rows]
    return [
        (row["order_id"], row["quantity"], row["price"], row["liquidity"], second)
        for row, second in zip(rows, seconds, strict=True)
    ]


# --- by example -----------------------------------------------------------------------------------


def test_a_market_order_takes_the_quote_that_stands_and_waits_for_the_next():
    quotes = quotes_of(WIDE, (20, 99.0, 300.0, 102.0, 500.0))
    made = run(quotes, trades_of(), ticket("a", quantity=250, at=AT))
    assert fills(made) == [("a", 200.0, 101.0, "taker", 10.0), ("a", 50.0, 102.0, "taker", 20.0)]


def test_ioc_and_fok_meet_that_quote_alone():
    quotes = quotes_of(WIDE, (20, 99.0, 300.0, 101.0, 500.0))
    orders = [
        ticket("f", quantity=250, force="fok", at=AT),
        ticket("i", quantity=250, force="ioc", at=AT),
    ]
    made = run(quotes, trades_of(), *orders)
    assert fills(made) == [("i", 200.0, 101.0, "taker", 10.0)]
    assert story(made, "f") == [("canceled", 250.0, None)]


def test_a_limit_rests_behind_what_is_quoted_and_trades_fill_it():
    order = ticket("a", kind="limit", limit_price=99.0, quantity=100, at=AT)
    tape = quotes_of(WIDE, (40, 99.0, 100.0, 101.0, 200.0))
    # 300 are ahead: 200 trade, then 150 more, of which 50 are ours, then a trade goes through
    made = run(tape, trades_of((20, 99.0, 200.0), (30, 99.0, 150.0), (35, 98.5, 20.0)), order)
    assert fills(made) == [("a", 50.0, 99.0, "maker", 30.0), ("a", 20.0, 99.0, "maker", 35.0)]
    # a quote at or through our price is no trade
    made = run(quotes_of(WIDE, (40, 98.0, 100.0, 98.5, 200.0)), trades_of(), order)
    assert fills(made) == []


def test_a_post_only_limit_rests_or_is_rejected_on_arrival():
    quotes = quotes_of(WIDE, (20, 99.0, 300.0, 100.0, 200.0), (40, 99.0, 300.0, 101.0, 200.0))
    orders = [
        ticket("rests", kind="limit", limit_price=100.9, at=AT, post_only=True),
        ticket("crosses", kind="limit", limit_price=101.0, at=AT, post_only=True),
        ticket("later", kind="limit", limit_price=100.5, at=AT + timedelta(seconds=20), post_only=True),
    ]  # fmt: skip
    made = run(quotes, trades_of((25, 99.5, 500.0)), *orders)
    assert fills(made) == [("rests", 100.0, 100.9, "maker", 25.0)]
    ends = made.lifecycle().group_by("order_id", maintain_order=True).last()
    assert {row["order_id"]: row["reason"] for row in ends.rows(named=True)} == {
        "rests": None,
        "crosses": "post_only",
        "later": "post_only",
    }


def test_a_limit_that_crosses_takes_first_and_rests_with_what_is_left():
    order = ticket("a", kind="limit", limit_price=101.0, quantity=300, at=AT)
    made = run(quotes_of(WIDE), trades_of((30, 100.5, 70.0)), order)
    assert fills(made) == [("a", 200.0, 101.0, "taker", 10.0), ("a", 70.0, 101.0, "maker", 30.0)]


def test_a_stop_is_reached_by_a_trade_and_takes_the_quote():
    order = ticket("s", -1, kind="stop", stop_price=98.0, at=AT)
    made = run(
        quotes_of(WIDE), trades_of((20, 98.5, 10.0), (30, 98.0, 10.0)), order, position=100.0
    )
    assert [event for event, *_ in story(made, "s")] == ["triggered", "filled"]
    assert fills(made) == [("s", 100.0, 99.0, "taker", 30.0)]


def test_a_trailing_stop_follows_trades():
    order = ticket("s", -1, kind="trailing_stop", trail_amount=1.0, at=AT)
    tape = trades_of((1, 100.0, 10.0), (20, 102.0, 10.0), (25, 101.5, 10.0), (30, 101.0, 10.0))
    made = run(quotes_of(WIDE), tape, order, position=100.0)
    assert fills(made) == [("s", 100.0, 99.0, "taker", 30.0)]


def test_odd_lots_and_late_reports_reach_nothing():
    order = ticket("s", -1, kind="stop", stop_price=98.0, at=AT)
    made = run(quotes_of(WIDE), trades_of((20, 97.0, 10.0, "I"), (30, 97.0, 10.0, "Z")), order)
    assert story(made, "s") == []


def test_a_bracket_lives_on_ticks():
    legs = bracket(ticket("e", at=AT), 102.0, 98.0)
    made = run(quotes_of(WIDE), trades_of((20, 102.5, 60.0), (30, 97.5, 10.0)), *legs)
    assert fills(made) == [
        ("e", 100.0, 101.0, "taker", 10.0),
        ("e-take", 60.0, 102.0, "maker", 20.0),
        ("e-stop", 40.0, 99.0, "taker", 30.0),
    ]
    assert made.position("AAA") == 0.0


def test_auction_prints_fill_the_orders_that_wait_for_them():
    settings = EngineSettings(auction_wait=timedelta(minutes=5))
    early = OPEN - timedelta(minutes=30)
    orders = [
        ticket("o", force="opg", at=early),
        ticket("l", kind="limit", limit_price=99.5, force="opg", at=early),
        ticket("late", force="opg", at=AT),
    ]
    made = run(
        quotes_of(WIDE),
        trades_of((7, 100.0, 500.0, "O"), (20, 99.0, 9.0)),
        *orders,
        settings=settings,
    )
    assert fills(made) == [("o", 100.0, 100.0, "taker", 7.0)]
    made.advance(OPEN + timedelta(hours=1))
    assert story(made, "l") == [("expired", 100.0, None)]
    assert made.open_orders("AAA") == ["late"]


def test_an_order_of_before_the_open_meets_the_first_regular_quote():
    tape = quotes_of((-30, 90.0, 500.0, 110.0, 500.0), (2, 99.0, 300.0, 101.0, 200.0))
    made = run(tape, trades_of(), ticket("a", at=OPEN - timedelta(seconds=20)))
    assert fills(made) == [("a", 100.0, 101.0, "taker", 2.0)]
    extended = ticket(
        "x", kind="limit", limit_price=110.0, extended_hours=True, at=OPEN - timedelta(seconds=20)
    )
    assert fills(run(tape, trades_of(), extended)) == [("x", 100.0, 110.0, "taker", -20.0)]


def test_an_order_of_the_evening_does_not_meet_the_quote_of_the_close():
    close = OPEN + timedelta(hours=6.5)
    seconds = (close - OPEN).total_seconds()
    tape = quotes_of((seconds - 1, 99.0, 300.0, 101.0, 200.0))
    made = run(tape, trades_of(), ticket("a", at=close + timedelta(seconds=5)))
    made.advance(close + timedelta(hours=1))
    assert fills(made) == []
    assert made.open_orders("AAA") == ["a"]


def test_a_halt_holds_orders_and_crossed_quotes_are_none():
    tape = quotes_of(WIDE, (20, 99.0, 300.0, 101.0, 200.0)).with_columns(
        halted=pl.Series([True, False])
    )
    made = run(tape, trades_of(), ticket("a", at=AT))
    assert fills(made) == [("a", 100.0, 101.0, "taker", 20.0)]
    tape = quotes_of((5, 101.0, 100.0, 99.0, 100.0), (20, 99.0, 300.0, 101.0, 200.0))
    assert fills(run(tape, trades_of(), ticket("a", at=AT))) == [("a", 100.0, 101.0, "taker", 20.0)]


def test_bars_may_follow_ticks():
    made = run(quotes_of(WIDE), trades_of(), ticket("a", at=AT))
    later = OPEN + timedelta(minutes=30)
    made.submit(ticket("b", -1, at=AT + timedelta(minutes=1)), ticket("c", at=later))
    made.run_bars(bars((100.0, 101.0, 99.0, 100.0), start=later), "30Min")
    assert [price for _, _, price, *_ in fills(made)][:2] == [101.0, 99.0]
    made.submit(ticket("d", at=later + timedelta(minutes=30)))
    made.advance(later + timedelta(hours=1))
    assert made.open_orders("AAA") == ["d"]  # no quote stands any more


def test_ticks_out_of_order_are_refused():
    quotes = quotes_of((20, 99.0, 1.0, 101.0, 1.0), WIDE)
    with pytest.raises(DataError, match="sort them by timestamp"):
        engine().run_ticks(quotes, trades_of())
    made = run(quotes_of(WIDE), trades_of())
    with pytest.raises(DataError, match="matched already"):
        made.run_ticks(quotes_of((1, 99.0, 1.0, 101.0, 1.0)), trades_of())


# --- by law ---------------------------------------------------------------------------------------


@given(seed=SEEDS, data=st.data())
def test_the_cut_of_the_tape_into_calls_changes_nothing(seed, data):
    cuts = data.draw(st.lists(st.integers(1, 119), unique=True, max_size=8))
    whole = run_tape(seed)[0].lifecycle()
    assert whole.equals(run_tape(seed, cuts)[0].lifecycle())
    assert whole.equals(run_tape(seed, range(1, 120))[0].lifecycle())


@given(seed=SEEDS)
def test_every_row_is_a_transition_of_the_lifecycle_in_order_of_time(seed):
    made, _, position = run_tape(seed)
    frame = made.lifecycle().sort("sequence")
    assert frame["timestamp"].is_sorted()
    for row in frame.rows(named=True):
        if row["event"] == "triggered":
            assert row["from_status"] == row["to_status"]
        elif row["event"] != "intent":
            after = TABLE[Status(row["from_status"]), FACT_OF[row["event"]]]
            assert row["to_status"] == after or row["event"] == "replace_rejected"
    known = tickets_of(made)
    for name, one in known.items():
        assert made.filled(name) <= one.quantity
    held = sum(known[name].side * made.filled(name) for name in known)
    assert made.position("AAA") == position + held


@given(seed=SEEDS)
def test_takers_pay_the_quote_and_makers_have_a_trade_as_their_witness(seed):
    made, (quotes, trades), _ = run_tape(seed)
    known = tickets_of(made)
    taken, shared = defaultdict(float), defaultdict(float)
    for fill in executions(made):
        one, at = known[fill["order_id"]], fill["timestamp"]
        traded = trades.filter(pl.col("timestamp") == at)
        if one.time_in_force in ("opg", "cls"):
            assert fill["price"] in traded["price"].to_list()
            continue
        if one.limit_price is not None:
            assert (fill["price"] - one.limit_price) * one.side <= 0.0
        if fill["liquidity"] == "maker":
            assert fill["price"] == one.limit_price
            assert any((price - one.limit_price) * one.side <= 0 for price in traded["price"])
            shared[at, one.side] += fill["quantity"]
            continue
        price, size = ("ask", "ask_size") if one.side > 0 else ("bid", "bid_size")
        standing = quotes.with_row_index().filter(pl.col("timestamp") <= at)
        rows = [
            row
            for row in standing.rows(named=True)
            if row["timestamp"] == at
            or row["index"] == standing["index"][-1]
            or row["timestamp"] == standing.filter(pl.col("timestamp") < at)["timestamp"].max()
        ]
        assert fill["price"] in [row[price] for row in rows]
        taken[at, one.side] += fill["quantity"]
        assert taken[at, one.side] <= sum(row[size] for row in rows)
    for (at, _), quantity in shared.items():
        assert quantity <= trades.filter(pl.col("timestamp") == at)["size"].sum()


@given(seed=SEEDS)
def test_an_order_that_only_reduces_never_turns_the_position(seed):
    made, _, position = run_tape(seed)
    known = tickets_of(made)
    for fill in executions(made):
        one = known[fill["order_id"]]
        after = position + one.side * fill["quantity"]
        if one.reduce_only:
            assert position * one.side < 0
            assert after * position >= 0
        position = after


# --- on a recorded day ----------------------------------------------------------------------------


def test_limits_on_a_recorded_day_fill_as_the_queue_says(market_data):
    """200 limit orders on the quotes and trades of BAC, each alone in an engine, against
    `rest_limit_orders`: the same fills at the same moments.
    """
    folder = market_data / "us_equity_ticks"
    start = datetime(2013, 10, 8, 14, 0, tzinfo=UTC)
    inside = pl.col("timestamp").is_between(start, start + timedelta(minutes=40))
    quotes = pl.read_parquet(folder / "quotes_BAC_2013-10-08.parquet").filter(inside)
    trades = pl.read_parquet(folder / "trades_BAC_2013-10-08.parquet").filter(inside)
    rng, calendar = np.random.default_rng(11), Calendar.of("XNYS")
    stamps = [start + timedelta(milliseconds=int(at)) for at in rng.integers(0, 1_200_000, 200)]
    bids = dict(zip(quotes["timestamp"], quotes["bid"], strict=True))
    known = sorted(bids)
    sides = rng.choice([-1, 1], 200)
    orders = pl.DataFrame(
        {
            "symbol": "BAC",
            "timestamp": stamps,
            "until": [at + timedelta(minutes=10) for at in stamps],
            "side": sides,
            "limit_price": [
                bids[known[bisect_right(known, at) - 1]] + 0.005 - side * (0.005 + steps * 0.01)
                for at, side, steps in zip(stamps, sides, rng.integers(0, 4, 200), strict=True)
            ],
            "quantity": rng.integers(1, 20, 200) * 100.0,
        }
    ).with_columns(pl.col("limit_price").round(2))
    result = rest_limit_orders(orders, quotes, trades, calendar, codes="lean")
    columns = engine().tick_columns(quotes, trades, "lean")
    compared = 0
    for number, row in enumerate(result.orders.rows(named=True)):
        if row["status"] == "marketable":
            continue
        made = MatchingEngine(["BAC"], rules(symbols=["BAC"]), calendar)
        one = ticket(
            "a", int(row["side"]), row["quantity"], "limit", "gtc", row["timestamp"],
            limit_price=row["limit_price"],
        )  # fmt: skip
        assert made.submit(msgspec.structs.replace(one, symbol="BAC"))["a"] is None
        made.cancel("a", row["until"])
        made.run_tick_columns("BAC", columns, 0, len(columns.at))
        expected = result.fills.filter(pl.col("order") == number)
        found = made.fills()
        columns_of = ("timestamp", "quantity")
        assert (
            found.select(columns_of)
            .sort(columns_of)
            .equals(expected.select(columns_of).sort(columns_of))
        )
        compared += found.height
    assert compared > 100
