"""Platt scaling repairs skewed margins and never invents confidence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from harmony_pipeline.models.calibration import Platt, fit_platt, match_base_rate, shrink_slope
from harmony_pipeline.models.scores import brier_score, calibration_error


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def skewed_forecaster(rows, seed):
    """Margins three times too bold and shifted up by one, with the outcomes they should have
    foretold.
    """
    rng = np.random.default_rng(seed)
    honest = rng.normal(0.0, 0.6, rows)
    return 3.0 * honest + 1.0, (rng.random(rows) < sigmoid(honest)).astype(float)


def test_calibration_repairs_a_forecaster_that_is_too_bold_and_too_hopeful():
    margin, outcome = skewed_forecaster(4000, 1)
    calibration = fit_platt(margin, outcome, np.ones(4000))
    assert calibration.slope == pytest.approx(1 / 3, abs=0.05)
    assert calibration.intercept == pytest.approx(-1 / 3, abs=0.1)
    unseen, happened = skewed_forecaster(4000, 2)
    before, after = sigmoid(unseen), calibration.apply(unseen)
    assert calibration_error(before, happened) > 0.15
    assert calibration_error(after, happened) < 0.03
    assert brier_score(after, happened) < brier_score(before, happened) - 0.02


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 200))
def test_newton_finds_the_minimum_that_a_general_optimiser_finds(seed, rows):
    rng = np.random.default_rng(seed)
    margin = rng.normal(0.0, 2.0, rows)
    outcome = (rng.random(rows) < sigmoid(margin - 0.5)).astype(float)
    weight = rng.uniform(0.1, 1.0, rows)
    up, down = weight[outcome == 1].sum(), weight[outcome == 0].sum()
    if up == 0 or down == 0:
        return
    target = np.where(outcome == 1, (up + 1) / (up + 2), 1 / (down + 2))

    def loss(parameters):
        z = parameters[0] * margin + parameters[1]
        return float((weight * (np.logaddexp(0.0, z) - target * z)).sum())

    found = fit_platt(margin, outcome, weight)
    best = minimize(
        loss,
        [0.0, 0.0],
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 4000},
    )
    if best.x[0] > 1e-6:
        assert loss([found.slope, found.intercept]) <= best.fun + 1e-8
    else:
        assert found.slope == pytest.approx(0.0, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-30, 30), st.booleans(), st.floats(0.01, 1.0)), min_size=1, max_size=40
    )
)
def test_whatever_is_given_the_result_is_monotone_and_strictly_between_zero_and_one(rows):
    margin, outcome, weight = (
        np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)
    )
    calibration = fit_platt(margin, outcome, weight)
    p = calibration.apply(np.linspace(-30.0, 30.0, 101))
    assert np.isfinite(p).all()
    assert calibration.slope >= 0.0
    assert (np.diff(p) >= 0.0).all()
    inside = calibration.apply(margin)
    assert ((inside > 0.0) & (inside < 1.0)).all()


def test_a_forecaster_that_ranks_backwards_is_muted_not_turned_round():
    rng = np.random.default_rng(3)
    margin = rng.normal(size=500)
    outcome = (rng.random(500) < sigmoid(-2.0 * margin)).astype(float)
    calibration = fit_platt(margin, outcome, np.ones(500))
    assert calibration.slope == 0.0
    assert calibration.apply(margin)[0] == pytest.approx(outcome.mean(), abs=0.01)


def test_a_few_events_with_one_outcome_do_not_make_certainty():
    assert fit_platt(np.array([1.0, 2.0, 3.0]), np.ones(3), np.ones(3)).apply(np.array([2.0]))[
        0
    ] == pytest.approx(4 / 5)
    assert fit_platt(np.empty(0), np.empty(0), np.empty(0)) == Platt(0.0, 0.0)


def test_a_perfect_separation_stays_short_of_certainty():
    margin = np.concatenate((np.full(50, -5.0), np.full(50, 5.0)))
    p = fit_platt(margin, (margin > 0).astype(float), np.ones(100)).apply(margin)
    assert p.max() == pytest.approx(51 / 52, abs=1e-6)
    assert p.min() == pytest.approx(1 / 52, abs=1e-6)


def test_weights_are_numbers_of_observations():
    rng = np.random.default_rng(8)
    margin, times = rng.normal(size=60), rng.integers(1, 5, 60)
    outcome = (rng.random(60) < 0.5).astype(float)
    weighted = fit_platt(margin, outcome, times.astype(float))
    repeated = fit_platt(np.repeat(margin, times), np.repeat(outcome, times), np.ones(times.sum()))
    assert weighted.slope == pytest.approx(repeated.slope, abs=1e-7)
    assert weighted.intercept == pytest.approx(repeated.intercept, abs=1e-7)


def days_of_luck(rows_a_day, seed, honest=0.0):
    """60 days whose events share one draw of luck: margin and outcome agree by day, by chance, and
    by `honest` for real.
    """
    rng = np.random.default_rng(seed)
    block = np.repeat(np.arange(60), rows_a_day)
    margin = np.repeat(rng.normal(size=60), rows_a_day) + 0.2 * rng.normal(size=block.size)
    log_odds = honest * margin + np.repeat(1.5 * rng.normal(size=60), rows_a_day)
    return (
        margin,
        (rng.random(block.size) < sigmoid(log_odds)).astype(float),
        np.ones(block.size),
        block,
    )


def test_luck_that_a_day_shares_is_not_taken_for_knowledge():
    plain, careful = [], []
    for seed in range(40):
        margin, outcome, weight, block = days_of_luck(50, seed)
        fitted = fit_platt(margin, outcome, weight)
        plain.append(fitted.slope)
        careful.append(shrink_slope(fitted, margin, outcome, weight, block).slope)
    assert np.mean(np.square(careful)) < 0.6 * np.mean(np.square(plain))
    assert sum(slope == 0.0 for slope in careful) > sum(slope == 0.0 for slope in plain) + 4


def test_knowledge_keeps_nearly_all_of_its_slope():
    margin, outcome, weight, block = days_of_luck(50, 3, honest=2.0)
    fitted = fit_platt(margin, outcome, weight)
    assert shrink_slope(fitted, margin, outcome, weight, block).slope > 0.9 * fitted.slope


def test_the_clustered_error_agrees_with_the_sandwich_written_out():
    margin, outcome, weight, block = days_of_luck(5, 9, honest=1.0)
    fitted = fit_platt(margin, outcome, weight)
    p = sigmoid(fitted.slope * margin + fitted.intercept)
    design = np.column_stack((margin, np.ones(margin.size)))
    bread = np.linalg.inv(design.T @ (design * (weight * p * (1 - p))[:, None]))
    scores = [design[block == day].T @ (weight * (outcome - p))[block == day] for day in range(60)]
    variance = (bread @ (60 / 59 * sum(np.outer(score, score) for score in scores)) @ bread)[0, 0]
    expected = fitted.slope * max(0.0, 1.0 - variance / fitted.slope**2)
    assert shrink_slope(fitted, margin, outcome, weight, block).slope == pytest.approx(
        expected, rel=1e-6
    )


def test_one_day_says_nothing_about_its_own_luck():
    margin, outcome = skewed_forecaster(500, 1)
    assert (
        shrink_slope(
            fit_platt(margin, outcome, np.ones(500)),
            margin,
            outcome,
            np.ones(500),
            np.zeros(500, dtype=np.int64),
        ).slope
        == 0.0
    )


@settings(max_examples=20, deadline=None)
@given(st.floats(0.0, 5.0), st.floats(0.02, 0.98), st.integers(0, 1000))
def test_the_level_is_the_rate_that_was_asked_for(slope, rate, seed):
    rng = np.random.default_rng(seed)
    margin, weight = rng.normal(0.0, 3.0, 50), rng.uniform(0.1, 1.0, 50)
    found = match_base_rate(Platt(slope, 7.0), margin, weight, rate)
    assert found.slope == slope
    assert np.average(found.apply(margin), weights=weight) == pytest.approx(rate, abs=1e-9)
