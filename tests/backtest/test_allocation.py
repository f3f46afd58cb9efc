"""Weights of an account's strategies: a reference in plain Python, the budget, no look-ahead."""

import math
import statistics
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harmony_pipeline.portfolio.allocation import inverse_volatility_weights, weight_schedule
from harmony_pipeline.portfolio.settings import SharedAccountSettings

FIRST = date(2024, 1, 2)
RETURN = st.one_of(st.floats(-0.1, 0.1, allow_subnormal=False), st.just(0.0), st.just(math.nan))


def naive_weights(columns):
    """Lists of returns by strategy -> weights, by the sentence of the module."""
    whole, known = 1.0 / len(columns), {}
    for number, returns in enumerate(columns):
        if len(returns) >= 2 and not any(math.isnan(one) for one in returns):
            deviation = statistics.stdev(returns)
            if deviation > 1e-300:
                known[number] = 1.0 / deviation
    total = sum(known.values())
    return [
        known[number] / total * len(known) * whole if number in known else whole
        for number in range(len(columns))
    ]


@st.composite
def tables(draw):
    rows, count = draw(st.integers(0, 12)), draw(st.integers(1, 4))
    return [draw(st.lists(RETURN, min_size=rows, max_size=rows)) for _ in range(count)]


@given(columns=tables())
def test_weights_equal_the_reference_and_never_exceed_the_account(columns):
    found = inverse_volatility_weights(np.array(columns).T.reshape(-1, len(columns)))
    deviations = [
        statistics.stdev(one) for one in columns if len(one) > 1 and not any(map(math.isnan, one))
    ]
    if all(one == 0.0 or one > 1e-9 for one in deviations):
        # constant returns may leave a deviation of rounding error, which either way is none to use
        assert found.tolist() == pytest.approx(naive_weights(columns), rel=1e-6)
    assert found.sum() <= 1.0 + 1e-12
    assert (found > 0.0).all()


@given(columns=tables(), seed=st.integers(0, 99))
def test_weights_do_not_depend_on_the_order_of_strategies(columns, seed):
    order = np.random.default_rng(seed).permutation(len(columns))
    table = np.array(columns).T.reshape(-1, len(columns))
    found, other = inverse_volatility_weights(table), inverse_volatility_weights(table[:, order])
    assert other.tolist() == pytest.approx(found[order].tolist(), rel=1e-9)


def days(count):
    return [FIRST + timedelta(days=number) for number in range(count)]


def frame(returns):
    stamps = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days(len(returns))]
    return pl.DataFrame(
        {"timestamp": stamps, "return": returns},
        schema={"timestamp": pl.Datetime("us", "UTC"), "return": pl.Float64},
    )


ACCOUNT = SharedAccountSettings(
    strategies=("a", "b"), allocation="inverse_volatility", window_sessions=5, rebalance_sessions=3
)


@given(seed=st.integers(0, 10**6), changed=st.integers(0, 19))
def test_weights_of_a_session_know_nothing_of_it_or_later_ones(seed, changed):
    own = np.random.default_rng(seed)
    before = {name: own.normal(0, 0.01, 20) for name in "ab"}
    after = {name: one.copy() for name, one in before.items()}
    after["a"][changed:] = own.normal(0, 0.09, 20 - changed)
    schedules = [
        weight_schedule(
            ACCOUNT, days(20), {name: frame(one.tolist()) for name, one in each.items()}
        )
        for each in (before, after)
    ]
    same = [since for since, _ in schedules[0] if since <= FIRST + timedelta(days=changed)]
    assert schedules[0][: len(same)] == schedules[1][: len(same)]
    if changed <= 15:
        assert schedules[0] != schedules[1]


def test_a_schedule_by_hand():
    calm, wild = [0.01, -0.01] * 5, [0.03, -0.03] * 5
    found = weight_schedule(ACCOUNT, days(10), {"a": frame(calm), "b": frame(wild)})
    # the first two rebalances have no whole window of 5 sessions behind them
    assert [since for since, _ in found] == [days(10)[row] for row in (0, 3, 6, 9)]
    assert found[0][1] == found[1][1] == (0.5, 0.5)
    assert found[2][1] == pytest.approx((0.75, 0.25))


def test_a_strategy_that_begins_later_has_its_equal_part_until_its_window_is_whole():
    late = frame([0.01, -0.02] * 5).filter(pl.col("timestamp").dt.date() >= days(10)[3])
    found = weight_schedule(ACCOUNT, days(10), {"a": frame([0.01, -0.01] * 5), "b": late})
    assert [weights for _, weights in found[:3]] == [(0.5, 0.5)] * 3
    assert found[3][1] == pytest.approx((0.6, 0.4))


@pytest.mark.parametrize(
    ("given_settings", "said"),
    [
        ({"strategies": ()}, "at least 1 item"),
        ({"strategies": ("a", "a")}, "name a twice"),
        ({"strategies": ("a/b",)}, "a name with /"),
        ({"strategies": ("a", "b"), "allocation": "fixed"}, "weights are of no strategy"),
        (
            {"strategies": ("a", "b"), "allocation": "fixed", "weights": {"a": 0.7, "b": 0.4}},
            "add up to 1.1",
        ),
        (
            {"strategies": ("a",), "allocation": "fixed", "weights": {"a": -0.5}},
            "weight -0.5 of a is not in",
        ),
        ({"strategies": ("a",), "weights": {"a": 1.0}}, "allocation is equal"),
    ],
)
def test_an_impossible_account_is_refused_with_its_reason(given_settings, said):
    with pytest.raises(ValidationError, match=said):
        SharedAccountSettings.model_validate(given_settings)
