"""The matching engine and its twins in plain Python tell the same story of random orders on random
bars and on random tapes of quotes and trades, to the last event, quantity and price.
"""

import math

from execution.engine_cases import random_case, run_engine, run_naive
from execution.tick_cases import run_naive_tape, run_tape
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.instants import micros

PRICED = ("filled", "partially_filled", "triggered")
COUNTED = (*PRICED, "adjusted", "accepted", "held")


def engine_events(made):
    return [
        (
            row["order_id"],
            row["event"],
            micros(row["timestamp"]),
            row["quantity"] if row["event"] in COUNTED else None,
            row["price"] if row["event"] in PRICED else None,
        )
        for row in made.lifecycle().sort("sequence").iter_rows(named=True)
    ]


def naive_events(made):
    return [
        (
            order,
            event,
            at,
            quantity if event in COUNTED else None,
            price if event in PRICED else None,
        )
        for order, event, at, quantity, price in made.events
    ]


@settings(max_examples=75)
@given(seed=st.integers(0, 10**9))
def test_the_engine_and_its_twin_tell_the_same_story(seed):
    case = random_case(seed)
    compare(run_engine(case), run_naive(case))


@settings(max_examples=75)
@given(seed=st.integers(0, 10**9))
def test_the_engine_and_its_twin_tell_the_same_story_of_quotes_and_trades(seed):
    compare(run_tape(seed)[0], run_naive_tape(seed))


def compare(found, expected):
    for here, there in zip(engine_events(found), naive_events(expected), strict=False):
        assert here[:4] == there[:4]
        assert here[4] == there[4] or math.isclose(here[4], there[4], rel_tol=1e-12)
    assert len(engine_events(found)) == len(expected.events)
    assert found.position("AAA") == expected.position
