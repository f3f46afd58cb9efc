"""The number of independent trials that would be as lucky as those made."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harmony_pipeline import schemas
from harmony_pipeline.robustness.effective_trials import (
    effective_trials,
    expected_maximum,
    trials_of_maximum,
)

DAY = datetime(2021, 1, 4, tzinfo=UTC)


def rows_of(columns: list[np.ndarray], starts: list[int] | None = None) -> pl.DataFrame:
    """TRIAL_RETURNS of trials t0, t1, ..., each from its own first day on."""
    starts = [0] * len(columns) if starts is None else starts
    frames = [
        pl.DataFrame(
            {
                "trial_id": f"t{number}",
                "timestamp": [DAY + timedelta(days=start + i) for i in range(len(values))],
                "return": values,
            },
            schema=schemas.TRIAL_RETURNS.dtypes,
        )
        for number, (values, start) in enumerate(zip(columns, starts, strict=True))
    ]
    return pl.concat(frames) if frames else schemas.TRIAL_RETURNS.empty()


def effective(columns: list[np.ndarray], starts: list[int] | None = None) -> float:
    ids = [f"t{number}" for number in range(len(columns))]
    return effective_trials(ids, rows_of(columns, starts))


def correlated(trials: int, correlation: float, days: int = 500, seed: int = 1) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    common = generator.normal(size=(days, 1)) * np.sqrt(correlation)
    own = generator.normal(size=(days, trials)) * np.sqrt(1.0 - correlation)
    return list((0.01 * (common + own)).T)


@pytest.mark.parametrize("trials", [2, 3, 10, 100])
def test_the_expected_maximum_is_that_of_order_statistics(trials):
    by_scipy = stats.norm.expect(
        lambda x: x * trials * stats.norm.cdf(x) ** (trials - 1), epsabs=1e-12, limit=200
    )
    assert expected_maximum(trials) == pytest.approx(by_scipy, abs=1e-7)
    assert trials_of_maximum(expected_maximum(trials)) == pytest.approx(trials, rel=1e-6)


def test_known_values_and_the_ends():
    assert expected_maximum(1.0) == 0.0
    assert expected_maximum(2.0) == pytest.approx(1.0 / np.sqrt(np.pi), abs=1e-9)
    assert expected_maximum(3.0) == pytest.approx(1.5 / np.sqrt(np.pi), abs=1e-9)
    assert trials_of_maximum(0.0) == trials_of_maximum(-1.0) == 1.0
    with pytest.raises(ValueError, match="at least 1 is needed"):
        expected_maximum(0.5)


@pytest.mark.parametrize("trials", [1_000, 100_000])
def test_for_many_trials_it_is_the_false_strategy_theorem(trials):
    gamma = 0.5772156649015329
    theorem = (1 - gamma) * stats.norm.isf(1 / trials) + gamma * stats.norm.isf(1 / trials / np.e)
    assert expected_maximum(trials) == pytest.approx(theorem, rel=0.005)


def test_independent_trials_count_in_full_and_copies_do_not():
    alone = correlated(1, 0.0)
    assert effective(alone) == 1.0
    assert effective(alone * 7) == pytest.approx(1.0, abs=1e-9)
    assert effective(correlated(20, 0.0, days=2_000)) == pytest.approx(20.0, rel=0.15)
    assert effective([2.0 * alone[0], 1e-7 * alone[0] + 0.01]) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("correlation", [0.3, 0.8, 0.95])
def test_correlated_trials_count_as_their_luckiest_would_in_a_simulation(correlation):
    trials = 30
    generator = np.random.default_rng(5)
    best = (
        generator.normal(size=(40_000, 1)) * np.sqrt(correlation)
        + generator.normal(size=(40_000, trials)) * np.sqrt(1.0 - correlation)
    ).max(axis=1)
    expected = trials_of_maximum(best.mean())
    assert effective(correlated(trials, correlation, days=3_000)) == pytest.approx(
        expected, rel=0.15
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.floats(0.0, 0.99), st.integers(0, 300))
def test_another_trial_never_lowers_the_number_and_their_order_is_nothing(
    seed, trials, correlation, start
):
    columns = correlated(trials, correlation, days=80, seed=seed)
    starts = [0] * (trials - 1) + [start]
    fewer, more = effective(columns[:-1], starts[:-1]), effective(columns, starts)
    assert 1.0 <= fewer <= more + 1e-9
    assert more <= trials
    turned = effective(columns[::-1], starts[::-1])
    assert turned == pytest.approx(more, rel=1e-9)


def test_other_days_are_another_chance():
    values = correlated(1, 0.0, days=200)[0]
    assert effective([values, values], [0, 0]) == pytest.approx(1.0, abs=1e-9)
    assert effective([values, values[:100]], [0, 300]) == pytest.approx(2.0, rel=0.1)
    half = effective([values, values[:100]], [0, 0])
    assert 1.1 < half < 1.9


def test_a_trial_that_never_traded_is_the_choice_of_nothing():
    flat = np.zeros(500)
    one, two = correlated(2, 0.0)
    assert effective([flat, flat]) == 1.0
    # the larger of a normal number and 0 has the mean 1 / sqrt(2 pi)
    assert effective([one, flat, flat]) == pytest.approx(
        trials_of_maximum(1.0 / np.sqrt(2.0 * np.pi)), rel=0.02
    )
    assert effective([one, two, np.full(500, 0.1 + 0.2)]) > effective([one, two])
    assert effective_trials(["t0", "t1"], schemas.TRIAL_RETURNS.empty()) == 1.0
