"""The learned policy of size: the posterior against its closed form, what a policy may have seen, and
that it can only make a trade smaller.
"""

import math
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harmony_pipeline.portfolio.kernel_types import ACCOUNT, MONEY, RULES
from harmony_pipeline.risk import sizing as S
from harmony_pipeline.risk.bandit import BanditRule, Lessons, LinUCB, learn_policies
from harmony_pipeline.risk.policies import SizingPolicies
from harmony_pipeline.risk.policy_kernels import (
    SIGNAL_NAMES,
    drawdown_signal,
    edge_signal,
    move_signal,
    unrest_signal,
)
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.schemas import SIZING_POLICIES

RULE = BanditRule((0.25, 0.5, 1.0), 1.0, 2.0, 0.2, 5)


def random_lessons(seed, count=80, tied=False):
    rng = np.random.default_rng(seed)
    decided = np.sort(rng.integers(0, 40 if tied else 10_000, count))
    settled = decided + rng.integers(1, 10 if tied else 500, count)
    signals = np.column_stack([np.ones(count), rng.normal(0, 1, (count, 4))])
    return Lessons(decided, settled, signals, rng.normal(0.1, 1.0, count))


def test_the_posterior_is_the_ridge_regression_of_what_each_multiplier_earned():
    rng, bandit = np.random.default_rng(3), LinUCB(RULE, 5)
    given_to = {arm: [] for arm in range(3)}
    for _ in range(60):
        arm, x, reward = int(rng.integers(3)), rng.normal(size=5), float(rng.normal())
        bandit.learn(arm, x, reward)
        given_to[arm].append((x, reward))
    for arm, rows in given_to.items():
        X, y = np.array([x for x, _ in rows]), np.array([reward for _, reward in rows])
        closed = np.linalg.solve(X.T @ X + 2.0 * np.eye(5), X.T @ y)
        np.testing.assert_allclose(bandit.weights()[arm], closed, rtol=1e-12, atol=1e-12)
        # the same optimum by least squares with the penalty as further rows
        stacked = np.linalg.lstsq(
            np.vstack([X, math.sqrt(2.0) * np.eye(5)]), np.concatenate([y, np.zeros(5)]), rcond=None
        )[0]
        np.testing.assert_allclose(closed, stacked, rtol=1e-9, atol=1e-12)
    x = rng.normal(size=5)
    bounds = [
        bandit.weights()[arm] @ x
        + RULE.exploration * math.sqrt(x @ np.linalg.inv(bandit.precision[arm]) @ x)
        for arm in range(3)
    ]
    assert bandit.choose(x) == int(np.argmax(bounds))


def test_of_equal_multipliers_the_smallest_is_taken():
    assert LinUCB(RULE, 5).choose(np.ones(5)) == 0


def naive_policies(lessons, rule, starts):
    """The algorithm trade by trade: before each decision everything that was settled by then is
    taken in, in the order in which it was settled.
    """
    found = []
    for start in starts:
        bandit, chosen, taken = LinUCB(rule, 5), {}, set()

        def take(until, bandit=bandit, chosen=chosen, taken=taken):
            due = sorted(
                (int(lessons.settled[row]), row)
                for row in chosen
                if row not in taken and lessons.settled[row] <= until
            )
            for _at, row in due:
                reward = rule.reward(rule.multipliers[chosen[row]], lessons.gains[row])
                bandit.learn(chosen[row], lessons.signals[row], reward)
                taken.add(row)

        for row in range(len(lessons.decided)):
            if lessons.decided[row] <= start:
                take(lessons.decided[row])
                chosen[row] = bandit.choose(lessons.signals[row])
        take(start)
        found.append((len(taken), bandit.weights() if len(taken) >= rule.minimum_trades else None))
    return found


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_policies_are_those_of_the_algorithm_trade_by_trade(seed, tied):
    lessons = random_lessons(seed, tied=tied)
    starts = [0, 3, 20, 35, 60] if tied else [0, 500, 2_000, 6_000, 20_000]
    for policy, (trades, weights) in zip(
        learn_policies(lessons, RULE, starts), naive_policies(lessons, RULE, starts), strict=True
    ):
        assert policy.trades == trades
        if weights is None:
            assert policy.weights is None
        else:
            np.testing.assert_allclose(policy.weights, weights, rtol=1e-12, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), start=st.integers(500, 9_000))
def test_what_is_settled_later_changes_no_policy(seed, start):
    lessons = random_lessons(seed)
    before = learn_policies(lessons, RULE, [start])[0]
    later = lessons.settled > start
    other = replace(lessons, gains=np.where(later, -7.0, lessons.gains))
    after = learn_policies(other, RULE, [start])[0]
    assert after.trades == before.trades == int((~later).sum())
    assert (before.weights is None) == (after.weights is None)
    assert before.weights is None or np.array_equal(before.weights, after.weights)


def test_it_learns_when_to_be_small():
    """Trades with an edge earn, trades without one lose: the policy must tell them apart."""
    rng = np.random.default_rng(5)
    count = 2_000
    edge = rng.choice([-1.0, 1.0], count)
    signals = np.column_stack([np.ones(count), edge, np.zeros((count, 3))])
    at = np.arange(count) * 10
    lessons = Lessons(at, at + 5, signals, 0.4 * edge + rng.normal(0, 1.0, count))
    weights = learn_policies(lessons, RULE, [10**9])[0].weights
    good, bad = (weights @ np.array([1.0, side, 0.0, 0.0, 0.0]) for side in (1.0, -1.0))
    assert RULE.multipliers[int(np.argmax(good))] == 1.0
    assert RULE.multipliers[int(np.argmax(bad))] == 0.25


def test_signals_are_what_the_page_says():
    assert edge_signal(math.nan, 2.0, 1.0) == 0.0
    assert edge_signal(1 / 3 + 0.05, 2.0, 1.0) == pytest.approx(0.5)
    assert edge_signal(1.0, 2.0, 1.0) == 3.0
    assert move_signal(0.01, 4) == pytest.approx(0.0)
    assert move_signal(0.01, 16) == pytest.approx(math.log(2.0))
    assert unrest_signal(0.0004, 0.01) == pytest.approx(2.0)
    assert unrest_signal(0.0, 0.01) == 0.0
    assert drawdown_signal(90.0, 100.0, 0.25) == pytest.approx(0.4)
    assert drawdown_signal(50.0, 100.0, 0.25) == 1.0


def wanted(policies, probability, volatility, equity, variance, day=date(2024, 6, 1)):
    risk = RiskSettings(sizing="bandit")
    rules, account = np.zeros(1, RULES), np.zeros(1, ACCOUNT)
    values = {
        **risk.kernel_values(), **policies.kernel_values(day),
        "horizon": 16, "profit_take": 2.0, "stop_loss": 1.0, "multiplier": 1.0,
    }  # fmt: skip
    for name, value in values.items():
        if name in RULES.names:
            rules[name] = value
    account["equity"], account["peak"] = round(equity * MONEY), round(1e5 * MONEY)
    account["variance"] = variance
    whole = rules.copy()
    whole["sizing"] = S.VOLATILITY_TARGET
    asked = (account[0], 50.0, volatility, 1.0, probability)
    return S.wanted_size(rules[0], *asked), S.wanted_size(whole[0], *asked)


WEIGHT = st.floats(-2.0, 2.0)
ARMS = st.lists(
    st.tuples(st.sampled_from([0.1, 0.25, 0.5, 0.75, 1.0]), st.tuples(*[WEIGHT] * 5)),
    max_size=5, unique_by=lambda arm: arm[0],
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    arms=ARMS,
    probability=st.one_of(st.just(math.nan), st.floats(0.0, 1.0)),
    volatility=st.floats(1e-5, 0.5),
    equity=st.floats(5e4, 1e5),
    variance=st.floats(0.0, 0.01),
)
def test_the_size_is_one_of_the_multipliers_of_the_volatility_target(
    arms, probability, volatility, equity, variance
):
    arms = tuple(sorted(arms))
    size, whole = wanted(
        SizingPolicies(((date(2024, 1, 1), arms),)), probability, volatility, equity, variance
    )
    assert 0.0 <= size <= whole
    if not arms:
        assert size == whole
        return
    rounded = round(equity * MONEY) / MONEY
    x = [
        1.0, edge_signal(probability, 2.0, 1.0), move_signal(volatility, 16),
        unrest_signal(variance, 0.01), drawdown_signal(rounded, 1e5, 0.25),
    ]  # fmt: skip
    worth = []
    for _, weights in arms:
        total = weights[0]
        for weight, value in zip(weights[1:], x[1:], strict=True):
            total = total + weight * value
        worth.append(total)
    assert size == whole * arms[int(np.argmax(worth))][0]


def test_a_policy_is_in_force_from_its_period_on():
    table = SIZING_POLICIES.conform(
        pl.DataFrame(
            {
                "period": ["2024-01", "2024-01", "2024-02", "2024-02"],
                "since": [date(2024, 1, 1)] * 2 + [date(2024, 2, 1)] * 2,
                "multiplier": [0.5, 1.0, 0.5, 1.0],
                "trades": [0, 0, 60, 60],
                **{name: [None, None, 0.5, 0.25] for name in SIGNAL_NAMES},
            }
        )
    )
    policies = SizingPolicies.of_table(table)
    assert policies.changes() == [date(2024, 1, 1), date(2024, 2, 1)]
    assert [
        policies.kernel_values(day)["policy_arms"]
        for day in (date(2023, 12, 31), date(2024, 1, 31), date(2024, 2, 1))
    ] == [0, 0, 2]
    half, whole = wanted(policies, math.nan, 0.02, 1e5, 0.0)
    assert half == whole * 0.5
    before = wanted(policies, math.nan, 0.02, 1e5, 0.0, date(2024, 1, 31))
    assert before[0] == before[1]
    assert not SizingPolicies()


@pytest.mark.parametrize(
    "multipliers", [(0.5, 1.5), (0.0, 1.0), (1.0, 0.5), (0.5, 0.5), (1.0,), (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)]
)  # fmt: skip
def test_multipliers_that_could_make_a_trade_bigger_are_refused(multipliers):
    with pytest.raises(ValidationError, match="bandit_multipliers"):
        RiskSettings(bandit_multipliers=multipliers)
