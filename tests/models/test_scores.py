"""Scores agree with scikit-learn, and with sums done by hand."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from harmony_pipeline.models.scores import (
    area_under_curve,
    brier_score,
    calibration_error,
    log_loss,
    reliability,
    scores,
)


@st.composite
def forecasts(draw):
    size = draw(st.integers(2, 60))
    # few distinct values, so that ties are common
    p = draw(
        st.lists(
            st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.55, 0.9, 1.0]) | st.floats(0.0, 1.0),
            min_size=size,
            max_size=size,
        )
    )
    y = draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=size, max_size=size))
    return np.array(p), np.array(y)


@settings(max_examples=50, deadline=None)
@given(forecasts())
def test_brier_log_loss_and_auc_agree_with_scikit_learn(case):
    p, y = case
    assert brier_score(p, y) == pytest.approx(metrics.brier_score_loss(y, p), abs=1e-12)
    assert log_loss(p, y) == pytest.approx(metrics.log_loss(y, p, labels=[0, 1]), abs=1e-9)
    if 0.0 < y.mean() < 1.0:
        assert area_under_curve(p, y) == pytest.approx(metrics.roc_auc_score(y, p), abs=1e-12)


def test_the_reliability_curve_agrees_with_scikit_learn():
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(4)
    p = rng.beta(3.0, 3.0, 5000)
    y = (rng.random(5000) < p).astype(float)
    frequency, forecast = calibration_curve(y, p, n_bins=10)
    table = reliability(p, y)
    assert np.allclose(table["frequency"], frequency, rtol=0, atol=1e-12)
    assert np.allclose(table["probability"], forecast, rtol=0, atol=1e-12)


def test_the_calibration_error_of_a_case_done_by_hand():
    # bin [0.2, 0.3): 4 events, mean forecast 0.25, 2 happened: gap 0.25; bin [0.9, 1.0]: 1 event,
    # forecast 1.0, happened: gap 0
    p = np.array([0.25, 0.25, 0.25, 0.25, 1.0])
    y = np.array([1.0, 1.0, 0.0, 0.0, 1.0])
    assert calibration_error(p, y) == pytest.approx(4 / 5 * 0.25)
    assert reliability(p, y).rows() == [(0.2, 0.3, 4, 0.25, 0.5), (0.9, 1.0, 1, 1.0, 1.0)]


def test_what_cannot_be_measured_is_none():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert scores(np.empty(0), np.empty(0)) == {
            "brier": None,
            "log_loss": None,
            "auc": None,
            "calibration_error": None,
        }
        assert scores(np.array([0.4, 0.6]), np.ones(2))["auc"] is None
    assert reliability(np.empty(0), np.empty(0)).height == 0


def test_a_certain_and_wrong_forecast_costs_much_but_not_infinity():
    assert 30.0 < log_loss(np.array([1.0]), np.array([0.0])) < 40.0
