"""The hidden-state model against plain recursions, and regimes as a fold."""

import math

import numpy as np
import pytest
from features.feature_markets import XNYS, at
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.features.hidden_states import PARAMETERS, filter_all, fit
from harmony_pipeline.features.regime_fold import TURBULENT, fold_regimes, initial_state
from harmony_pipeline.features.settings import RegimeSettings

SETTINGS = RegimeSettings(
    trend_days=5, volatility_days=4, volatility_history_days=30, volatility_minimum_days=20,
    hidden_history_days=120, hidden_minimum_days=60,
)  # fmt: skip
DAYS = XNYS.sessions(at("2021-01-01").date(), at("2023-03-01").date())
YEARS = np.array([day.year for day in DAYS])


def two_states(seed, n, means=(0.0005, -0.001), deviations=(0.006, 0.02), stays=(0.98, 0.95)):
    rng, state = np.random.default_rng(seed), 0
    states = np.empty(n, int)
    for t in range(n):
        state = state if rng.random() < stays[state] else 1 - state
        states[t] = state
    return states, rng.normal(np.array(means)[states], np.array(deviations)[states])


CHANGES = np.concatenate([[math.nan], two_states(4, len(DAYS) - 1)[1]])
LEVELS = np.concatenate([[1.0], np.cumprod(1.0 + CHANGES[1:])])


def density(value, mean, variance):
    return math.exp(-((value - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)


def plain_filter(parameters, returns, start=None):
    """P(turbulent) after each return: predict with the matrix, weigh by the densities."""
    _, m0, m1, v0, v1, s0, s1 = parameters
    matrix = np.array([[s0, 1 - s0], [1 - s1, s1]])
    values, vectors = np.linalg.eig(matrix.T)
    chances = np.real(vectors[:, np.argmax(np.real(values))])
    chances, found = chances / chances.sum(), []
    if start is not None:
        chances = np.array([1 - start, start]) @ matrix
    for value in returns:
        joint = chances * [density(value, m0, v0), density(value, m1, v1)]
        found.append(joint[1] / joint.sum())
        chances = (joint / joint.sum()) @ matrix
    return found


def plain_baum_welch(returns, steps):
    """The textbook in numpy, with whole matrices; unscaled sums are kept small by short series."""
    begin, spread = np.array([0.5, 0.5]), returns.var()
    mean, variance = np.full(2, returns.mean()), np.array([0.25, 2.25]) * spread
    matrix = np.array([[0.95, 0.05], [0.05, 0.95]])
    n, likelihoods = len(returns), []
    for _ in range(steps):
        b = np.array([[density(x, mean[k], variance[k]) for k in (0, 1)] for x in returns])
        alpha, beta = np.empty((n, 2)), np.ones((n, 2))
        alpha[0] = begin * b[0]
        for t in range(1, n):
            alpha[t] = alpha[t - 1] @ matrix * b[t]
        for t in range(n - 2, -1, -1):
            beta[t] = matrix @ (b[t + 1] * beta[t + 1])
        total = alpha[-1].sum()
        likelihoods.append(math.log(total))
        gamma = alpha * beta / total
        xi = sum(np.outer(alpha[t], b[t + 1] * beta[t + 1]) * matrix / total for t in range(n - 1))
        begin, matrix = gamma[0], xi / gamma[:-1].sum(0)[:, None]
        mean = (gamma * returns[:, None]).sum(0) / gamma.sum(0)
        variance = (gamma * (returns[:, None] - mean) ** 2).sum(0) / gamma.sum(0)
    return mean, variance, np.diag(matrix), likelihoods


def fitted(returns):
    parameters = np.zeros(PARAMETERS)
    fit(np.ascontiguousarray(returns), parameters)
    return parameters


def test_the_estimate_is_that_of_the_plain_recursions_whose_likelihood_never_falls():
    returns = two_states(8, 90, stays=(0.9, 0.85), deviations=(0.01, 0.06))[1]
    mean, variance, stays, likelihoods = plain_baum_welch(returns, 100)
    assert (np.diff(likelihoods) > -1e-9).all()
    found = fitted(returns)
    order = np.argsort(variance)
    expected = [1.0, *mean[order], *variance[order], *stays[order]]
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_states_of_a_long_series_are_found_again():
    states, returns = two_states(2, 4_000)
    found = fitted(returns)
    assert np.sqrt(found[3:5]) == pytest.approx([0.006, 0.02], rel=0.1)
    assert found[5:] == pytest.approx([0.98, 0.95], abs=0.02)
    says = np.array(plain_filter(found, returns)) > 0.5
    assert (says == states.astype(bool)).mean() > 0.9


@pytest.mark.parametrize("returns", [np.zeros(100), np.full(100, 0.25)])
def test_returns_that_do_not_move_give_no_model(returns):
    assert fitted(returns)[0] == 0.0


def test_an_outlier_takes_no_state_for_itself_and_gives_no_nan():
    returns = two_states(3, 300)[1]
    returns[150] = 5.0
    found = fitted(returns)
    assert np.isfinite(found).all()
    assert found[0] == 1.0
    assert 0.0 <= filter_all(found, np.append(returns, -400.0)) <= 1.0


def test_a_year_is_filtered_by_a_model_of_earlier_years_alone():
    _, values = fold_regimes(initial_state(SETTINGS), LEVELS, CHANGES, YEARS, SETTINGS, 252.0)
    known = values[TURBULENT]
    assert np.isnan(known[YEARS == 2021]).all()  # nothing earlier
    for year in (2022, 2023):
        past = CHANGES[1:][YEARS[1:] < year][-SETTINGS.hidden_history_days :]
        parameters = fitted(past)
        before = plain_filter(parameters, past)[-1]
        expected = plain_filter(parameters, CHANGES[year == YEARS], start=before)
        assert known[year == YEARS] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert 0.05 < (known[YEARS >= 2022] > 0.5).mean() < 0.95


@given(
    cuts=st.lists(st.integers(0, len(DAYS)), max_size=6).map(sorted),
    missing=st.sets(st.integers(1, len(DAYS) - 1), max_size=5),
)
@settings(max_examples=10)
def test_any_cut_of_the_sessions_gives_the_same_bits(cuts, missing):
    changes = CHANGES.copy()
    changes[list(missing)] = math.nan
    start = initial_state(SETTINGS)
    state, whole = fold_regimes(start, LEVELS, changes, YEARS, SETTINGS, 252.0)
    carried, pieces = start, []
    for begin, end in zip([0, *cuts], [*cuts, len(DAYS)], strict=True):
        part = slice(begin, end)
        carried, values = fold_regimes(
            carried, LEVELS[part], changes[part], YEARS[part], SETTINGS, 252.0
        )
        pieces.append(values)
    assert np.array_equal(np.concatenate(pieces, axis=1).view(np.int64), whole.view(np.int64))
    assert carried.tobytes() == state.tobytes()
    assert np.isfinite(state).all()
    assert not start.any()
    assert np.isnan(whole[1:, sorted(missing)]).all()


def test_later_returns_change_no_earlier_probability():
    changed = CHANGES.copy()
    changed[400:] *= -3.0
    start = initial_state(SETTINGS)
    _, one = fold_regimes(start, LEVELS, CHANGES, YEARS, SETTINGS, 252.0)
    _, two = fold_regimes(start, LEVELS, changed, YEARS, SETTINGS, 252.0)
    assert np.array_equal(one[:, :400], two[:, :400], equal_nan=True)
    assert not np.array_equal(one[:, 400:], two[:, 400:], equal_nan=True)
