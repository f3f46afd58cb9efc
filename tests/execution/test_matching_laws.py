"""What must hold for any orders on any bars, whatever the path rule, latency, halts and requests."""

import math
from collections import defaultdict
from datetime import timedelta

import numpy as np
import polars as pl
from execution.engine_cases import (
    CALENDAR,
    OPEN,
    SESSIONS,
    bars,
    engine,
    random_case,
    run_engine,
    ticket,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.lifecycle import FACTS, Status, apply, start
from harmony_pipeline.execution.matching_engine import EngineSettings
from harmony_pipeline.execution.order_types import bracket
from harmony_pipeline.instants import micros
from harmony_pipeline.portfolio.exit_rules import NOTHING, exit_at_bar
from harmony_pipeline.portfolio.exit_rules import STOP as TOUCHED_STOP

SEEDS = st.integers(0, 10**9)
FACT_OF = {kind.__struct_config__.tag: kind for kind in FACTS}


def tickets_of(made):
    return {one.order_id: one for store in made._stores.values() for one in store.tickets}


def executions(made):
    """Fills with the bar in which they happened and the ticket, in order."""
    frame = made.lifecycle().filter(pl.col("event").is_in(["filled", "partially_filled"]))
    return frame.sort("sequence").rows(named=True)


@given(seed=SEEDS)
def test_every_row_is_a_transition_of_the_lifecycle_and_totals_agree(seed):
    made = run_engine(random_case(seed))
    known = tickets_of(made)
    orders = {}
    for row in made.lifecycle().sort("sequence").rows(named=True):
        name, event = row["order_id"], row["event"]
        one = known[name]
        head = {
            "happened_at": row["timestamp"], "known_at": row["known_at"],
            "client_order_id": name, "symbol": "AAA",
        }  # fmt: skip
        side = "buy" if one.side > 0 else "sell"
        if event == "intent":
            terms = ev.OrderTerms(
                client_order_id=name, order_id=name, symbol="AAA", role="entry", side=side,
                quantity=row["quantity"], decided_at=row["timestamp"],
            )  # fmt: skip
            orders[name] = start(ev.OrderIntended(order=terms, **head))
            assert row["from_status"] is None
            continue
        before = orders[name]
        assert row["from_status"] == before.status
        assert row["known_at"] >= row["timestamp"]
        if event == "triggered":
            assert row["to_status"] == before.status
            continue
        more = {}
        if event in ("filled", "partially_filled"):
            more = {
                "execution_id": str(row["sequence"]), "side": side, "quantity": row["quantity"],
                "price": row["price"], "cumulative_quantity": before.filled_quantity + row["quantity"],
            }  # fmt: skip
        elif event == "adjusted":
            more = {"quantity": row["quantity"]}
        elif event == "rejected":
            more = {"reason": row["reason"]}
        elif event == "replaced":
            more = {"replaced_by": "another"}
        orders[name] = apply(before, FACT_OF[event](**head, **more))
        assert orders[name].status == row["to_status"]
    for name, order in orders.items():
        assert made.filled(name) == order.filled_quantity <= order.quantity
        assert (order.status is Status.FILLED) == (order.filled_quantity == order.quantity)
    signed = sum(known[name].side * order.filled_quantity for name, order in orders.items())
    assert made.position("AAA") == random_case(seed).position + signed


@given(seed=SEEDS, data=st.data())
def test_the_cut_of_the_bars_into_calls_changes_nothing(seed, data):
    case = random_case(seed)
    cuts = data.draw(st.lists(st.integers(1, case.frame.height - 1), unique=True, max_size=12))
    whole = run_engine(case).lifecycle()
    assert whole.equals(run_engine(case, cuts).lifecycle())
    assert whole.equals(run_engine(case, range(1, case.frame.height)).lifecycle())


@given(seed=SEEDS)
def test_fills_stay_in_the_bar_but_for_stated_costs_and_within_its_volume(seed):
    case = random_case(seed)
    made = run_engine(case)
    known = tickets_of(made)
    rows = {row["timestamp"]: row for row in case.frame.rows(named=True)}
    taken = defaultdict(float)
    for fill in executions(made):
        bar, one = rows[fill["timestamp"]], known[fill["order_id"]]
        assert not bar["halted"]
        assert bar["session"] == "regular" or one.extended_hours
        assert bar["low"] <= fill["reference_price"] <= bar["high"]
        worse = (fill["price"] - fill["reference_price"]) * one.side
        assert worse >= -1e-12
        cost = case.costs["half_spread_bps"] / 1e4
        cost += case.costs["impact_coefficient"] * one.volatility
        allowed = 0.0 if fill["liquidity"] == "maker" else fill["reference_price"] * cost + 0.01
        assert worse <= allowed + 1e-9
        if one.limit_price is not None:
            assert (fill["price"] - one.limit_price) * one.side <= 0.0
        assert bar["lower_band"] <= fill["price"] <= bar["upper_band"]
        taken[fill["timestamp"], one.side] += fill["quantity"]
    for (stamp, _), quantity in taken.items():
        assert quantity <= case.costs["max_participation"] * rows[stamp]["volume"] + 1e-9


@given(seed=SEEDS)
def test_an_oco_group_never_fills_more_than_one_of_its_orders_would(seed):
    case = random_case(seed)
    case.replaces = []
    made = run_engine(case)
    groups = defaultdict(list)
    for one in tickets_of(made).values():
        if one.oco_id:
            groups[one.oco_id].append(one)
    for group in groups.values():
        assert sum(made.filled(one.order_id) for one in group) <= group[0].quantity


@given(seed=SEEDS)
def test_an_order_that_only_reduces_never_opens_nor_turns_a_position(seed):
    case = random_case(seed)
    made = run_engine(case)
    known = tickets_of(made)
    position = case.position
    for fill in executions(made):
        one = known[fill["order_id"]]
        after = position + one.side * fill["quantity"]
        if one.reduce_only:
            assert position * one.side < 0
            assert after * position >= 0
            assert abs(after) < abs(position)
        position = after


@given(seed=SEEDS)
def test_times_in_force_hold(seed):
    case = random_case(seed)
    made = run_engine(case)
    rows = {row["timestamp"]: row for row in case.frame.rows(named=True)}
    fills = defaultdict(list)
    for fill in executions(made):
        fills[fill["order_id"]].append(fill)
    for name, one in tickets_of(made).items():
        stamps = [fill["timestamp"] for fill in fills[name]]
        quantity = sum(fill["quantity"] for fill in fills[name])
        force, at = one.time_in_force, micros(one.submitted_at)
        assert all(stamp >= one.submitted_at + case.settings.latency for stamp in stamps)
        if force in ("ioc", "fok"):
            assert len(stamps) <= 1
        if force == "fok" and not name.endswith("r"):
            assert quantity in (0.0, one.quantity)
        if force == "day":
            ends = SESSIONS.post_closes if one.extended_hours else SESSIONS.closes
            assert all(micros(stamp) < ends[ends > at][0] for stamp in stamps)
        for fill in fills[name] if force in ("opg", "cls") else ():
            bar = rows[fill["timestamp"]]
            moments = SESSIONS.opens if force == "opg" else SESSIONS.closes
            auction = moments[moments > at][0]
            if force == "opg":
                assert micros(bar["timestamp"]) <= auction < micros(bar["bar_end"])
                assert fill["reference_price"] == bar["open"]
            else:
                assert micros(bar["bar_end"]) == auction
                assert fill["reference_price"] == bar["close"]


@given(seed=SEEDS)
def test_time_never_runs_backwards(seed):
    frame = run_engine(random_case(seed)).lifecycle().sort("sequence")
    assert frame["timestamp"].is_sorted()


@settings(max_examples=50)
@given(seed=SEEDS, side=st.sampled_from([-1, 1]))
def test_a_bracket_ends_as_the_exit_rules_say(seed, side):
    """An entry at the open of the first bar and its bracket, against `exit_at_bar` itself, levels
    on the wrong side of the entry included.
    """
    rng = np.random.default_rng(seed)
    rows, price = [], 100.0
    for _ in range(12):
        opened = price + rng.integers(-4, 5) * 0.5
        points = [opened, *(opened + rng.integers(-6, 7, 3) * 0.5)]
        rows.append((opened, max(points), min(points), points[-1]))
        price = points[-1]
    stop = 100.0 - side * rng.integers(-1, 9) * 0.5
    take = stop + side * rng.integers(1, 16) * 0.5
    made = engine()
    entry = ticket("e", side, 10, at=OPEN - timedelta(minutes=1))
    made.submit(*bracket(entry, float(take), float(stop)))
    made.run_bars(bars(*rows), "30Min")
    found = [
        (fill["order_id"], fill["timestamp"], fill["reference_price"]) for fill in executions(made)
    ]
    expected = [("e", OPEN, rows[0][0])]
    for number, (opened, high, low, _) in enumerate(rows):
        kind, reference = exit_at_bar(side, opened, high, low, stop, take, number == 0)
        if kind != NOTHING:
            name = "e-stop" if kind == TOUCHED_STOP else "e-take"
            expected.append((name, OPEN + timedelta(minutes=30 * number), reference))
            break
    assert found == expected
    assert made.position("AAA") == (0.0 if len(expected) == 2 else side * 10.0)


def test_chance_is_drawn_by_key_and_not_by_the_order_of_calls():
    """Partial fills and rejects of an order are the same whatever else is submitted, and however
    the bars are cut.
    """
    rows = [(100.0, 101.0, 99.0, 100.0)] * 10
    noise = {"reject_probability": 0.3, "partial_fill_probability": 0.5, "seed": 9}

    def story(names, cut):
        made = engine(noise=noise)
        for name in names:
            made.submit(ticket(name, 1, 1000, force="gtc", at=OPEN - timedelta(minutes=1)))
        frame = CALENDAR.with_session(bars(*rows), "30Min")
        for begin in range(0, 10, cut):
            made.run_bars(frame[begin : begin + cut])
        return made.lifecycle().filter(pl.col("order_id") == "x7").drop("sequence")

    alone = story(["x7"], 10)
    assert alone.equals(story([f"x{number}" for number in range(20)], 3))
    made = engine(noise=noise)
    for number in range(300):
        made.submit(ticket(f"y{number}", at=OPEN - timedelta(minutes=1)))
    made.advance(OPEN)
    rejected = made.lifecycle().filter(pl.col("event") == "rejected").height
    assert math.isclose(rejected / 300, 0.3, abs_tol=0.09)


def test_a_log_that_is_nearly_full_grows_and_loses_nothing():
    made = engine(EngineSettings())
    count = 3_000
    for number in range(count):
        at = OPEN - timedelta(minutes=1) + timedelta(seconds=number // 100)
        made.submit(ticket(f"m{number}", 1, 1, force="gtc", at=at))
    made.run_bars(bars((100.0, 101.0, 99.0, 100.0), (100.0, 101.0, 99.0, 100.0)), "30Min")
    frame = made.lifecycle()
    assert frame.height == 4 * count
    assert made.position("AAA") == count
