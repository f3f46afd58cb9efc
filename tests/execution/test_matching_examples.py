"""What each kind of order does on a gap, on its entry bar, on both barriers in one bar, in halts,
at bands and in auctions: the table of docs/matching.md, row by row.
"""

from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl
import pytest
from execution.engine_cases import CALENDAR, OPEN, bars, engine, rules, story, ticket
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.execution.matching_engine import EngineSettings, MatchingEngine
from harmony_pipeline.execution.order_types import (
    ALPACA,
    bracket,
    one_cancels_other,
    one_triggers_other,
)

BEFORE = OPEN - timedelta(minutes=1)
CALM = (100.0, 101.0, 99.0, 100.5)


def fills(made):
    return [
        (row["order_id"], row["quantity"], row["price"], row["liquidity"])
        for row in made.fills().rows(named=True)
    ]


def run(*rows, tickets, settings=None, position=0.0, columns=None, start=OPEN, **costs):
    made = engine(settings, position, **costs)
    answers = made.submit(*tickets)
    assert not any(answers.values()), answers
    made.run_bars(bars(*rows, start=start, **(columns or {})), "30Min")
    return made


# --- one order, one bar ---------------------------------------------------------------------------

RESTING = {"at": BEFORE, "force": "gtc"}
LIMIT_BUY = {"kind": "limit", "limit_price": 99.0, **RESTING}
STOP_SELL = {"side": -1, "kind": "stop", "stop_price": 99.0, **RESTING}
STOP_BUY = {"kind": "stop", "stop_price": 101.0, **RESTING}
STOP_LIMIT_BUY = {"kind": "stop_limit", "stop_price": 101.0, "limit_price": 101.5, **RESTING}


@pytest.mark.parametrize(
    ("order", "row", "expected"),
    [
        # a market order fills at the open, whatever the gap
        ({**RESTING}, (103.0, 104.0, 102.0, 103.0), [(100.0, 103.0)]),
        # a limit: touched, untouched, opened through (better than its limit)
        (LIMIT_BUY, (100.0, 101.0, 99.0, 100.0), [(100.0, 99.0)]),
        (LIMIT_BUY, (100.0, 101.0, 99.01, 100.0), []),
        (LIMIT_BUY, (98.0, 98.5, 97.0, 98.0), [(100.0, 98.0)]),
        # a stop: reached at its level, gapped at the open
        (STOP_SELL, (100.0, 101.0, 99.0, 100.0), [(100.0, 99.0)]),
        (STOP_SELL, (97.5, 98.0, 97.0, 97.0), [(100.0, 97.5)]),
        (STOP_BUY, (100.0, 101.0, 99.0, 100.0), [(100.0, 101.0)]),
        (STOP_BUY, (102.5, 103.0, 102.0, 103.0), [(100.0, 102.5)]),
        # a stop-limit: through its stop; gapped within its limit; gapped beyond: rests
        (STOP_LIMIT_BUY, (100.0, 101.2, 99.0, 101.0), [(100.0, 101.0)]),
        (STOP_LIMIT_BUY, (101.3, 103.0, 101.0, 102.0), [(100.0, 101.3)]),
        (STOP_LIMIT_BUY, (103.0, 104.0, 102.0, 103.0), []),
        # gapped beyond, and the bar comes back to the limit
        (STOP_LIMIT_BUY, (103.0, 104.0, 101.5, 103.0), [(100.0, 101.5)]),
    ],
)
def test_one_order_meets_one_bar(order, row, expected):
    made = run(row, tickets=[ticket("a", **order)])
    assert [(quantity, price) for _, quantity, price, _ in fills(made)] == expected


CALM_BEFORE = (100.0, 100.5, 99.5, 100.0)


def test_a_limit_that_waits_is_a_maker_and_one_that_crosses_at_once_pays_the_spread_up_to_its_limit():
    order = {"kind": "limit", "limit_price": 100.05, "at": BEFORE}
    made = run((100.0, 101.0, 99.0, 100.0), tickets=[ticket("a", **order)], half_spread_bps=2.0)
    assert fills(made) == [("a", 100.0, 100.02, "taker")]
    made = run((100.0, 101.0, 99.0, 100.0), tickets=[ticket("a", **order)], half_spread_bps=20.0)
    assert fills(made) == [("a", 100.0, 100.05, "taker")]
    order["limit_price"] = 99.0
    rows = (CALM_BEFORE, (98.0, 99.0, 97.0, 98.0))
    made = run(*rows, tickets=[ticket("a", **order)], half_spread_bps=20.0)
    assert fills(made) == [("a", 100.0, 98.0, "maker")]


def test_a_post_only_limit_that_the_open_reaches_on_its_arrival_is_rejected():
    order = {"kind": "limit", "limit_price": 100.05, "at": BEFORE, "post_only": True}
    made = run((100.0, 101.0, 99.0, 100.0), tickets=[ticket("a", **order)])
    assert fills(made) == []
    assert made.lifecycle()["reason"].to_list()[-1] == "post_only"
    order["limit_price"] = 99.5
    made = run((100.0, 101.0, 99.0, 100.0), tickets=[ticket("a", **order)])
    assert fills(made) == [("a", 100.0, 99.5, "maker")]


def test_a_limit_may_need_a_price_beyond_it():
    through = EngineSettings(resting="through")
    order = ticket("a", kind="limit", limit_price=99.0, at=BEFORE)
    assert fills(run((100.0, 101.0, 99.0, 100.0), tickets=[order], settings=through)) == []
    made = run((100.0, 101.0, 98.99, 100.0), tickets=[order], settings=through)
    assert fills(made) == [("a", 100.0, 99.0, "maker")]


# --- trailing stops -------------------------------------------------------------------------------


@pytest.mark.parametrize("trail", [{"trail_amount": 2.0}, {"trail_percent": 2.0}])
def test_a_trailing_stop_follows_the_best_price_of_the_bars_before(trail):
    order = ticket("a", -1, kind="trailing_stop", force="gtc", at=BEFORE, **trail)
    rows = [(100.0, 105.0, 99.0, 104.0), (104.0, 104.5, 102.9, 103.0)]
    made = run(*rows, tickets=[order], position=100.0)
    level = 103.0 if "trail_amount" in trail else 102.9
    assert fills(made) == [("a", 100.0, level, "taker")]
    assert made.fills()["timestamp"].to_list() == [OPEN + timedelta(minutes=30)]


def test_a_trailing_stop_of_a_long_position_meets_the_low_first_and_then_the_close():
    """The low of 98.5 comes before the high of 110: the stop is still at 98. The close of 107 lies
    behind the stop that the high has drawn to 108.
    """
    order = ticket("a", -1, kind="trailing_stop", force="gtc", at=BEFORE, trail_amount=2.0)
    made = run((100.0, 110.0, 98.5, 109.0), tickets=[order], position=100.0)
    assert fills(made) == []
    made = run((100.0, 110.0, 98.5, 107.0), tickets=[order], position=100.0)
    assert fills(made) == [("a", 100.0, 108.0, "taker")]


def test_a_trailing_stop_that_buys_follows_the_lowest_price():
    order = ticket("a", 1, kind="trailing_stop", force="gtc", at=BEFORE, trail_amount=2.0)
    rows = [(100.0, 101.0, 95.0, 96.0), (96.0, 97.0, 95.5, 96.5)]
    assert fills(run(*rows, tickets=[order], position=-100.0)) == [("a", 100.0, 97.0, "taker")]


# --- brackets, OCO, OTO ---------------------------------------------------------------------------


def test_the_stop_comes_first_when_one_bar_holds_both():
    for side, stop, take in ((1, 98.0, 102.0), (-1, 102.0, 98.0)):
        made = run(
            (100.0, 103.0, 97.0, 101.0), tickets=bracket(ticket("e", side, at=BEFORE), take, stop)
        )
        assert fills(made)[1:] == [("e-stop", 100.0, stop, "taker")]
        assert story(made, "e-take")[-1][0] == "canceled"
        assert made.position("AAA") == 0.0


def test_the_bar_s_own_direction_decides_where_that_is_asked_for():
    settings = EngineSettings(path="bar_direction")
    entry = ticket("e", at=BEFORE)
    made = run((100.0, 103.0, 97.0, 99.0), tickets=bracket(entry, 102.0, 98.0), settings=settings)
    assert fills(made)[1][0] == "e-take"  # a falling bar: the high came first
    made = run((100.0, 103.0, 97.0, 101.0), tickets=bracket(entry, 102.0, 98.0), settings=settings)
    assert fills(made)[1][0] == "e-stop"


def test_the_children_of_an_entry_inside_the_bar_may_lose_in_it_but_win_only_at_its_close():
    entry = ticket("e", kind="limit", limit_price=99.0, at=BEFORE)
    legs = bracket(entry, 101.0, 97.0)
    both = run((100.0, 103.0, 96.0, 102.0), tickets=legs)
    assert [name for name, *_ in fills(both)] == ["e", "e-stop"]
    high_only = run((100.0, 103.0, 98.0, 100.0), tickets=legs)
    assert [name for name, *_ in fills(high_only)] == ["e"]
    close_beyond = run((100.0, 103.0, 98.0, 102.0), tickets=legs)
    assert fills(close_beyond)[1:] == [("e-take", 100.0, 101.0, "maker")]


def test_children_wait_for_the_end_of_their_parent_and_take_what_it_filled():
    legs = bracket(ticket("e", quantity=100, at=BEFORE), 110.0, 90.0)
    rows = [(100.0, 101.0, 99.0, 100.0, 60.0), (100.0, 101.0, 99.0, 100.0, 60.0)]
    made = engine()
    made.submit(*legs)
    made.run_bars(bars(*rows)[:1], "30Min")
    assert made.position("AAA") == 60.0
    assert story(made, "e-stop") == [("held", 100.0, None)]
    made.cancel("e", OPEN + timedelta(minutes=30))
    made.run_bars(bars(*rows)[1:], "30Min")
    assert story(made, "e-stop")[1:] == [("adjusted", 60.0, None)]
    assert made.open_orders("AAA") == ["e-take", "e-stop"]


def test_a_child_may_ask_for_a_complete_parent():
    parent = ticket("a", kind="limit", limit_price=99.0, force="ioc", at=BEFORE)
    chain = one_triggers_other(parent, ticket("b", at=BEFORE), after_parent="filled")
    made = run((98.0, 101.0, 97.0, 100.0, 50.0), tickets=chain)
    assert story(made, "b")[-1][0] == "canceled"
    made = run(*[(98.0, 101.0, 97.0, 100.0, 500.0)] * 2, tickets=chain)
    assert fills(made)[1] == ("b", 100.0, 98.0, "taker")


def test_oco_orders_share_one_quantity():
    pair = one_cancels_other(
        "x",
        ticket("up", -1, 100, "limit", "gtc", BEFORE, limit_price=101.0),
        ticket("down", -1, 100, "stop", "gtc", BEFORE, stop_price=99.0),
    )
    rows = [(100.0, 101.5, 99.5, 100.0, 40.0), (99.0, 99.5, 98.0, 98.5, 1e6)]
    made = run(*rows, tickets=pair, position=100.0)
    assert [(name, quantity) for name, quantity, *_ in fills(made)] == [
        ("up", 40.0),
        ("down", 60.0),
    ]
    assert made.position("AAA") == 0.0
    assert story(made, "up")[-1][0] == "canceled"


def test_canceling_one_order_of_an_oco_group_cancels_the_group():
    pair = one_cancels_other(
        "x",
        ticket("up", -1, 100, "limit", "gtc", BEFORE, limit_price=105.0),
        ticket("down", -1, 100, "stop", "gtc", BEFORE, stop_price=95.0),
    )
    made = run(CALM, tickets=pair, position=100.0)
    assert made.cancel("up", OPEN + timedelta(minutes=30)) is None
    made.advance(OPEN + timedelta(hours=1))
    assert made.open_orders("AAA") == []


# --- reduce only ----------------------------------------------------------------------------------


def test_reduce_only_is_clipped_to_the_position_and_ends_with_it():
    order = ticket("a", -1, 100, "limit", "gtc", BEFORE, limit_price=101.0, reduce_only=True)
    made = run((100.0, 102.0, 99.0, 100.0), tickets=[order], position=30.0)
    assert fills(made) == [("a", 30.0, 101.0, "maker")]
    assert story(made, "a")[-1][0] == "canceled"
    made = run((100.0, 102.0, 99.0, 100.0), tickets=[order])
    assert fills(made) == []
    assert story(made, "a") == [("canceled", 100.0, None)]


# --- time in force, sessions, auctions ------------------------------------------------------------


def test_ioc_takes_what_there_is_and_fok_all_or_nothing():
    rows = [(100.0, 101.0, 99.0, 100.0, 60.0)] * 2
    made = run(*rows, tickets=[ticket("i", force="ioc", at=BEFORE)])
    assert fills(made) == [("i", 60.0, 100.0, "taker")]
    assert story(made, "i")[-1] == ("canceled", 40.0, None)
    made = run(*rows, tickets=[ticket("f", force="fok", at=BEFORE)])
    assert fills(made) == []
    assert story(made, "f") == [("canceled", 100.0, None)]


def test_a_day_order_ends_at_the_close_and_on_a_half_day_early():
    for day, close in ((1, 20), (3, 17)):
        at = datetime(2024, 7, day, 14, 0, tzinfo=UTC)
        made = engine()
        made.submit(ticket("a", kind="limit", limit_price=50.0, at=at))
        made.advance(at + timedelta(days=1))
        row = made.lifecycle().filter(pl.col("event") == "expired").row(0, named=True)
        assert row["timestamp"] == datetime(2024, 7, day, close, tzinfo=UTC)


def test_only_an_extended_order_trades_before_the_open():
    early = OPEN - timedelta(hours=1)
    order = {"kind": "limit", "limit_price": 101.0, "at": early}
    row = (100.0, 100.5, 99.5, 100.0)
    assert fills(run(row, tickets=[ticket("a", **order)], start=early)) == []
    made = run(row, tickets=[ticket("a", **order, extended_hours=True)], start=early)
    assert fills(made) == [("a", 100.0, 100.0, "taker")]


def test_opg_and_cls_fill_at_the_auctions_alone():
    rows = [(100.0 + number, 103.0 + number, 99.0 + number, 101.0 + number) for number in range(13)]
    orders = [
        ticket("o", force="opg", at=BEFORE),
        ticket("c", force="cls", at=BEFORE),
        ticket("lo", -1, 100, "limit", "opg", BEFORE, limit_price=101.0),
        ticket("lc", -1, 100, "limit", "cls", BEFORE, limit_price=113.0),
    ]
    made = run(*rows, tickets=orders, half_spread_bps=5.0)
    assert fills(made) == [
        ("o", 100.0, 100.0, "taker"), ("c", 100.0, 113.0, "taker"), ("lc", 100.0, 113.0, "taker"),
    ]  # fmt: skip
    assert story(made, "lo") == [("expired", 100.0, None)]


def test_an_auction_without_a_bar_is_no_auction():
    made = run(
        *[CALM] * 3,
        tickets=[ticket("o", force="opg", at=BEFORE)],
        start=OPEN + timedelta(minutes=30),
    )
    assert story(made, "o") == [("expired", 100.0, None)]
    assert made.lifecycle()["timestamp"][-1] == OPEN


# --- halts, bands, requests, splits ---------------------------------------------------------------


def test_a_halt_holds_orders_or_refuses_new_ones():
    rows = [CALM, (100.0, 101.0, 99.0, 100.0), (102.0, 103.0, 101.0, 102.0)]
    columns = {"halted": [False, True, False]}
    second = OPEN + timedelta(minutes=30)
    waits = ticket("a", at=second)
    late = ticket("b", at=second + timedelta(minutes=30))
    made = run(*rows, tickets=[waits, late], columns=columns)
    assert [(name, price) for name, _, price, _ in fills(made)] == [("a", 102.0), ("b", 102.0)]
    refuse = EngineSettings(halted="refuse")
    made = run(*rows, tickets=[waits, late], columns=columns, settings=refuse)
    assert [name for name, *_ in fills(made)] == ["a"]
    assert made.lifecycle().filter(pl.col("event") == "rejected")["reason"].to_list() == ["halted"]


def test_nobody_buys_at_the_upper_band_nor_sells_at_the_lower():
    locked = (105.0, 105.0, 105.0, 105.0)
    columns = {"upper_band": [105.0, None], "lower_band": [95.0, None]}
    made = run(locked, CALM, tickets=[ticket("a", at=BEFORE)], columns=columns)
    assert fills(made) == [("a", 100.0, 100.0, "taker")]
    made = run(locked, CALM, tickets=[ticket("a", -1, at=BEFORE)], columns=columns)
    assert fills(made) == [("a", 100.0, 105.0, "taker")]
    near = (104.99, 104.99, 104.0, 104.5)
    made = run(
        near,
        tickets=[ticket("a", at=BEFORE)],
        columns={"upper_band": [105.0]},
        half_spread_bps=50.0,
    )
    assert fills(made) == [("a", 100.0, 105.0, "taker")]


def test_a_stop_that_cannot_fill_goes_on_as_a_market_order():
    rows = [
        (100.0, 101.0, 98.0, 98.5, 30.0),
        (97.0, 98.0, 96.0, 97.0, 30.0),
        (95.0, 96.0, 94.0, 95.0),
    ]
    order = ticket("a", -1, kind="stop", force="gtc", at=BEFORE, stop_price=99.0)
    made = run(*rows, tickets=[order], position=100.0)
    assert fills(made) == [
        ("a", 30.0, 99.0, "taker"), ("a", 30.0, 97.0, "taker"), ("a", 40.0, 95.0, "taker"),
    ]  # fmt: skip


def test_a_replacement_keeps_what_was_filled_and_its_groups():
    legs = bracket(ticket("e", at=BEFORE), 105.0, 95.0)
    made = run(CALM, tickets=legs)
    at = OPEN + timedelta(minutes=30)
    assert made.replace("e-stop", "s2", at, stop_price=99.5) is None
    made.run_bars(bars((100.0, 100.5, 99.0, 100.0), start=at), "30Min")
    assert fills(made)[1:] == [("s2", 100.0, 99.5, "taker")]
    assert [story(made, name)[-1][0] for name in ("e-stop", "e-take")] == ["replaced", "canceled"]


def test_a_request_takes_the_latency_and_may_lose_to_a_fill():
    settings = EngineSettings(latency=timedelta(minutes=20))
    order = ticket("a", kind="limit", limit_price=99.0, at=OPEN - timedelta(hours=1), force="gtc")
    made = run(CALM_BEFORE, tickets=[order], settings=settings)
    made.cancel("a", OPEN + timedelta(minutes=30))
    made.run_bars(bars((100.0, 101.0, 98.0, 100.0), start=OPEN + timedelta(minutes=30)), "30Min")
    assert [event for event, *_ in story(made, "a")] == ["cancel_requested", "filled"]


def test_a_split_moves_orders_and_positions_into_new_shares():
    made = run(CALM, tickets=bracket(ticket("e", at=BEFORE), 110.0, 90.0))
    at = OPEN + timedelta(minutes=30)
    made.split("AAA", 2.0, at)
    assert made.position("AAA") == 200.0
    made.run_bars(bars((50.0, 51.0, 44.0, 50.0), start=at), "30Min")
    assert fills(made)[1:] == [("e-stop", 200.0, 45.0, "taker")]
    assert made.position("AAA") == 0.0


# --- answers --------------------------------------------------------------------------------------


def test_a_refused_order_is_in_the_lifecycle_and_the_run_goes_on():
    made = engine()
    answers = made.submit(ticket("bad", side=2, at=BEFORE), ticket("good", at=BEFORE))
    assert answers["good"] is None
    assert answers["bad"].reason == "side"
    made.run_bars(bars(CALM), "30Min")
    rows = made.lifecycle().filter(pl.col("order_id") == "bad")
    assert rows.select("from_status", "to_status", "event", "reason").rows() == [
        (None, "intended", "intent", None),
        ("intended", "refused", "refused", "side"),
    ]
    assert fills(made) == [("good", 100.0, 100.0, "taker")]


@given(
    order_id=st.one_of(st.text(max_size=3), st.integers(), st.none()),
    symbol=st.one_of(st.just("AAA"), st.text(max_size=3), st.none()),
    side=st.one_of(st.integers(-2, 2), st.none(), st.text(max_size=2)),
    quantity=st.one_of(st.floats(), st.integers(-5, 500), st.none(), st.text(max_size=2)),
    at=st.one_of(st.just(BEFORE), st.none(), st.just(BEFORE.replace(tzinfo=None)), st.integers()),
    limit_price=st.one_of(st.none(), st.floats(), st.just(100.0), st.text(max_size=2)),
    parent_id=st.one_of(st.none(), st.text(max_size=3), st.integers()),
)
def test_nothing_that_a_strategy_sends_stops_the_run(
    order_id, symbol, side, quantity, at, limit_price, parent_id
):
    made = engine()
    bad = msgspec.structs.replace(
        ticket("x"), order_id=order_id, symbol=symbol, side=side, quantity=quantity,
        submitted_at=at, kind="limit", limit_price=limit_price, parent_id=parent_id,
    )  # fmt: skip
    answers = made.submit(bad, ticket("good order", at=BEFORE))
    assert answers["good order"] is None
    made.run_bars(bars(CALM), "30Min")
    refused = made.lifecycle().filter(pl.col("event") == "refused")
    assert refused.height == sum(refusal is not None for refusal in answers.values())
    assert ("good order", 100.0, 100.0, "taker") in fills(made)


def test_a_daily_bar_holds_both_auctions_and_the_whole_day():
    """Orders of the evening before (20:00 UTC is the close) on daily bars, stamped at midnight."""
    evening = datetime(2024, 7, 1, 20, 0, tzinfo=UTC)
    day = {
        "open": 100.0, "high": 105.0, "low": 95.0, "close": 104.0, "volume": 1e6, "symbol": "AAA",
    }  # fmt: skip
    frame = pl.DataFrame([{**day, "timestamp": datetime(2024, 7, 2, tzinfo=UTC)}]).with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC"))
    )
    made = engine()
    answers = made.submit(
        ticket("market", at=evening),
        ticket("opg", force="opg", at=evening),
        ticket("cls", force="cls", at=evening),
        ticket("day", kind="limit", limit_price=90.0, at=evening),
    )
    assert not any(answers.values())
    made.run_bars(frame, "1Day")
    assert [(name, price) for name, _, price, _ in fills(made)] == [
        ("market", 100.0), ("opg", 100.0), ("cls", 104.0),
    ]  # fmt: skip
    expired = made.lifecycle().filter(pl.col("event") == "expired")
    assert expired.select("order_id", "timestamp").rows() == [("day", evening + timedelta(days=1))]


def test_where_volume_does_not_bind_an_order_fills_whole():
    terms = rules(max_participation=0.1, impact_coefficient=0.5)
    terms["volume_binds"], terms["zero_volume_fills"] = 0, 1
    made = MatchingEngine(["AAA"], terms, CALENDAR)
    made.submit(ticket("a", volatility=0.01, at=BEFORE))
    made.run_bars(bars((100.0, 101.0, 99.0, 100.0, 0.0)), "30Min")
    assert fills(made) == [("a", 100.0, 100.16, "taker")]  # 0.5 * 1 % * sqrt(0.1) = 15.8 bps


def test_a_group_is_taken_whole_or_not_at_all():
    made = engine()
    entry = ticket("e", at=BEFORE)
    answers = made.submit(*bracket(entry, float("nan"), 98.0))
    assert {name: refusal.reason for name, refusal in answers.items()} == {
        "e": "child", "e-take": "limit_price", "e-stop": "oco",
    }  # fmt: skip
    assert made.open_orders("AAA") == []


def test_requests_for_what_is_not_there_are_refused():
    made = run(CALM, tickets=[ticket("a", at=BEFORE)])
    later = OPEN + timedelta(hours=1)
    assert made.cancel("nobody", later).reason == "unknown_order"
    assert made.cancel("a", later).reason == "done"
    assert made.replace("a", "b", later, quantity=5.0).reason == "done"
    assert made.submit(ticket("a", at=later))["a"].reason == "duplicate_order"
    assert made.submit(ticket("late", at=BEFORE))["late"].reason == "time"
    orphan = ticket("c", at=later, parent_id="a")
    assert made.submit(orphan)["c"].reason == "parent"


def test_auction_orders_come_in_time_where_the_venue_says_so():
    made = engine(EngineSettings(venue=ALPACA))
    at = {"late": OPEN - timedelta(minutes=1), "noon": OPEN + timedelta(hours=2)}
    at |= {"evening": OPEN + timedelta(hours=10), "early": OPEN - timedelta(hours=1)}
    answers = {
        name: made.submit(ticket(name, force="opg", at=moment))[name] for name, moment in at.items()
    }
    assert {name for name, refusal in answers.items() if refusal} == {"late", "noon"}


def test_bars_out_of_order_and_settings_that_nobody_knows_are_named():
    made = run(CALM, tickets=[])
    with pytest.raises(DataError, match="sort bars by time"):
        made.run_bars(bars(CALM), "30Min")
    with pytest.raises(DataError, match="pass their timeframe"):
        made.run_bars(bars(CALM))
    with pytest.raises(DataError, match="no symbol of this engine"):
        made.position("ZZZ")
    with pytest.raises(ConfigError, match="pessimistic, bar_direction"):
        EngineSettings(path="optimistic")
    assert CALENDAR.name == "XNYS"
