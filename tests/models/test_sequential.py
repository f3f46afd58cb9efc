"""However often one looks, a worthless strategy is promoted no more often than the gate says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harmony_pipeline.models.sequential import look_level, spent_share
from harmony_pipeline.robustness.overfitting import moments, probabilistic_sharpe

QUARTERS = [63 * number for number in range(1, 21)]


def test_the_first_look_has_the_share_of_its_days():
    assert look_level([252], 0.05, 252) == pytest.approx(0.025, abs=1e-12)
    assert look_level([63], 0.05, 252) == pytest.approx(0.01, abs=1e-12)
    assert spent_share(252 * 99, 252) == pytest.approx(0.99)


def test_two_looks_are_those_of_the_bivariate_normal():
    first, second = 200, 500
    alpha, half = 0.05, 252.0
    one = stats.norm.isf(alpha * spent_share(first, half))
    two = stats.norm.isf(look_level([first, second], alpha, half))
    joint = stats.multivariate_normal(
        [0.0, 0.0], [[1.0, np.sqrt(first / second)], [np.sqrt(first / second), 1.0]]
    )
    assert 1.0 - joint.cdf([one, two]) == pytest.approx(
        alpha * spent_share(second, half), rel=0.003
    )


def test_twenty_looks_at_worthless_strategies_promote_less_than_five_percent():
    """Asked at 0.95 each quarter, one in five is promoted within five years."""
    generator = np.random.default_rng(20)
    markets = 4_000
    sums = generator.normal(size=(markets, QUARTERS[-1])).cumsum(axis=1)
    seen = sums[:, np.array(QUARTERS) - 1] / np.sqrt(QUARTERS)
    bounds = [stats.norm.isf(look_level(QUARTERS[:count], 0.05, 252)) for count in range(1, 21)]
    assert 0.17 < float(np.mean((seen > stats.norm.isf(0.05)).any(axis=1))) < 0.25
    promoted = float(np.mean((seen > bounds).any(axis=1)))
    # 20 quarters may have spent 5/6 of 5 %; three standard errors of 4,000 markets are 0.0095
    assert 0.03 < promoted < 0.05


def test_fat_tailed_returns_measured_by_psr_keep_the_rate():
    generator = np.random.default_rng(21)
    levels = {count: look_level(QUARTERS[:count], 0.05, 252) for count in range(4, 21, 4)}
    promoted = 0
    for _ in range(600):
        returns = generator.standard_t(4, QUARTERS[-1]) * 0.01
        promoted += any(
            probabilistic_sharpe(moments(returns[: QUARTERS[count - 1]])) >= 1.0 - level
            for count, level in levels.items()
        )
    assert promoted / 600 < 0.05


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(20, 1_500), min_size=1, max_size=6), st.floats(0.001, 0.2))
def test_looking_earlier_never_helps_and_no_look_has_more_than_the_whole(days, alpha):
    last = max(days)
    level = look_level(days, alpha, 252)
    alone = look_level([last], alpha, 252)
    assert 0.0 < level <= alone + 1e-6
    assert alone < alpha
    assert look_level([*days, *days], alpha, 252) == level
    assert look_level(sorted(days), alpha, 252) == level


def test_daily_looks_cost_little_more_than_quarterly_ones():
    quarterly = look_level(range(63, 505, 63), 0.05, 252)
    daily = look_level(range(63, 505), 0.05, 252)
    assert daily < quarterly
    assert stats.norm.isf(daily) - stats.norm.isf(quarterly) < 0.35


@pytest.mark.parametrize(("days", "alpha"), [([], 0.05), ([0], 0.05), ([10], 0.0), ([10], 0.5)])
def test_a_level_needs_a_look_and_an_error_to_spend(days, alpha):
    with pytest.raises(ValueError, match="needs looks"):
        look_level(days, alpha, 252)
