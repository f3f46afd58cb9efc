"""The life of every order: a path of the transition table that agrees with orders and fills."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from backtest.random_markets import Market, random_market, rules, run, with_lives
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from harmony_pipeline.execution.lifecycle import TABLE, Status

SEEDS = st.integers(0, 10**6)
EXITS = st.sampled_from(["barriers", "signal"])
ENTRIES = st.sampled_from([{}, {"entry": "close"}])
CHANCE = {"reject_probability": 0.1, "partial_fill_probability": 0.2, "latency_bars": 1}
TIGHT = {"max_position": 0.05, "max_orders_per_minute": 1, "max_daily_loss": 0.01}
FACTS = {kind.__struct_config__.tag: kind for _, kind in TABLE}
ANSWERS = {"approved": "approve", "resized": "resize", "queued": "queue"}
PUBLIC = {Status.CANCELED: "canceled", Status.EXPIRED: "canceled"}


def assert_legal(steps: list[dict]) -> None:
    """One order's rows are a path of the transition table, in order of time."""
    assert [step["sequence"] for step in steps] == [*range(1, len(steps) + 1)]
    assert steps[0]["event"] == "intent"
    assert (steps[0]["from_status"], steps[0]["to_status"]) == (None, "intended")
    for before, after in pairwise(steps):
        assert after["from_status"] == before["to_status"]
        assert after["timestamp"] >= before["timestamp"]
        if after["event"] in ANSWERS or after["event"] == "triggered":
            assert after["to_status"] == after["from_status"]
        else:
            legal = TABLE[Status(after["from_status"]), FACTS[after["event"]]]
            assert after["to_status"] == legal
    assert all(step["known_at"] >= step["timestamp"] for step in steps)


def assert_agrees(order: dict, steps: list[dict], fills: list[tuple]) -> None:
    """The rows say what the tables `orders` and `fills` say of one order."""
    filled = [step for step in steps if step["event"] in ("partially_filled", "filled")]
    assert [(step["timestamp"], step["quantity"], step["price"]) for step in filled] == fills
    done = sum(step["quantity"] for step in filled)
    status = Status(steps[-1]["to_status"])
    shown = PUBLIC.get(status, "open" if status in (Status.INTENDED, Status.ACCEPTED) else status)
    assert order["status"] == ("partially_filled" if done and shown != "filled" else shown)
    totals = [step["quantity"] for step in steps if step["event"] == "adjusted"]
    total = totals[-1] if totals else order["quantity"]
    assert done <= total
    assert (done == total) == (status is Status.FILLED) or status is Status.REFUSED or not total
    if steps[-1]["event"] in ("canceled", "expired", "rejected"):
        assert steps[-1]["quantity"] == total - done
    answers = [ANSWERS[step["event"]] for step in steps if step["event"] in ANSWERS]
    asked = order["verdict"] if order["status"] != "refused" else None
    assert answers == ([] if asked is None else [asked])
    if order["wanted_quantity"] is not None:
        assert steps[0]["quantity"] == order["wanted_quantity"]
    assert all(
        step["reason"] == order["risk_limit"] for step in steps if step["event"] == "refused"
    )


@settings(max_examples=15)
@given(
    seed=SEEDS, exits=EXITS, luck=st.sampled_from([{}, CHANCE]), risk=st.sampled_from([{}, TIGHT]),
    entry=ENTRIES,
)  # fmt: skip
def test_every_order_has_a_legal_life_that_agrees_with_orders_and_fills(
    seed, exits, luck, risk, entry
):
    chosen = rules(risk=risk, luck=luck, exits=exits, labels=entry)
    result = run(with_lives(random_market(seed), seed), chosen)
    lives = result.order_events.partition_by("order_id", as_dict=True)
    fills = result.fills.partition_by("order_id", as_dict=True)
    assert set(lives) == {(name,) for name in result.orders["order_id"]}
    for order in result.orders.iter_rows(named=True):
        steps = lives[order["order_id"],].to_dicts()
        assert_legal(steps)
        found = fills.get((order["order_id"],))
        done = [] if found is None else found.select("timestamp", "quantity", "price").rows()
        assert_agrees(order, steps, done)


@settings(max_examples=10)
@given(seed=SEEDS, exits=EXITS, entry=ENTRIES, hours=st.integers(1, 200))
def test_the_lives_of_a_run_cut_in_two_are_those_of_the_whole(seed, exits, entry, hours):
    market, chosen = random_market(seed), rules(luck=CHANCE, exits=exits, labels=entry)
    cut = datetime(2024, 6, 28, tzinfo=UTC) + timedelta(hours=hours)
    whole = run(market, chosen)
    parts = []
    state = None
    for here in (pl.col("timestamp") < cut, pl.col("timestamp") >= cut):
        part = Market(market.bars.filter(here), market.signals.filter(here), market.actions)
        result = run(part, chosen, state)
        state = result.state
        parts.append(result.order_events)
    key = ["order_id", "timestamp", "event"]
    both = pl.concat(parts).drop("sequence").sort(key)
    assert_frame_equal(both, whole.order_events.drop("sequence").sort(key))


@pytest.mark.parametrize("exits", ["barriers", "signal"])
def test_the_random_markets_have_every_event(exits):
    seen = set()
    for seed in range(6):
        luck = CHANCE if seed % 2 else {}
        seen |= set(
            run(random_market(seed), rules(TIGHT, luck=luck, exits=exits)).order_events["event"]
        )
    legs = {"triggered"} if exits == "barriers" else set()
    assert seen >= legs | {
        "intent", "refused", "approved", "resized", "queued", "submitted", "accepted", "adjusted",
        "partially_filled", "filled", "canceled", "expired", "rejected",
    }  # fmt: skip


def test_a_run_without_a_bar_has_no_event():
    market = random_market(1)
    nothing = Market(market.bars.clear(), market.signals.clear(), market.actions)
    assert run(nothing, rules()).order_events.height == 0
