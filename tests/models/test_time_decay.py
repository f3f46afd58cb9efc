"""Time decay as in the book's snippet 4.11, and its way into the fit."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import period_from_key, period_of
from harmony_pipeline.models.first_window import first_window
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.models.time_decay import decay_factors, decayed, remembered
from harmony_pipeline.models.walk_forward import split, train_period
from harmony_pipeline.testing.forecaster_contract import planted_samples


def of_the_book(weights, oldest):
    """Lopez de Prado 2018, snippet 4.11, line by line."""
    found = pd.Series(weights).sort_index().cumsum()
    slope = (
        (1.0 - oldest) / found.iloc[-1] if oldest >= 0 else 1.0 / ((oldest + 1) * found.iloc[-1])
    )
    const = 1.0 - slope * found.iloc[-1]
    found = const + slope * found
    found[found < 0] = 0
    return found.to_numpy()


@given(
    st.lists(st.floats(0.01, 1.0), min_size=1, max_size=40),
    st.sampled_from([-0.9, -0.25, 0.0, 0.4, 0.99]),
)
def test_the_decay_is_the_book_s(weights, oldest):
    expected = of_the_book(weights, oldest)
    assert decay_factors(np.array(weights), oldest) == pytest.approx(expected, abs=1e-9)


def test_the_newest_keeps_all_and_below_zero_the_oldest_part_counts_nothing():
    factors = decay_factors(np.full(100, 0.5), -0.3)
    assert factors[-1] == 1.0
    assert (factors[:29] == 0.0).all()
    assert (factors[31:] > 0.0).all()
    assert (np.diff(factors[31:]) > 0.0).all()


def test_without_decay_the_samples_are_the_same_object():
    samples = planted_samples(50, 0.5)
    assert decayed(samples, 1.0) is samples
    assert decayed(samples, 0.5).weights()[-1] == samples.weights()[-1]


def test_events_that_keep_no_weight_are_left_out():
    samples = planted_samples(100, 0.5)
    factors = decay_factors(samples.weights(), -0.3)
    kept = decayed(samples, -0.3)
    assert kept.height == np.count_nonzero(factors) < 100
    assert kept.frame["timestamp"].to_list() == samples.frame["timestamp"][-kept.height :].to_list()
    assert np.array_equal(kept.weights(), 0.5 * factors[factors > 0.0])
    own = remembered(samples, -0.3)
    assert (own.height, set(own.weights())) == (kept.height, {0.5})
    assert remembered(samples, 0.5) is samples


CLOCK = Calendar.of("24/7")
MONTHS = [period_from_key(f"2023-{month:02}", "month", "UTC") for month in (2, 3)]
EVENTS = planted_samples(2400, 1.0, per_day=10)  # 60 days from 2 January 2023
FORGETFUL = {"minimum_train_rows": 100, "oldest_weight": -0.4}
TREES = {**FORGETFUL, "parameters": {"rounds": 20}}
LINEAR = {**FORGETFUL, "forecaster": "harmony_pipeline.models.logistic:Logistic"}


def probabilities(samples, settings):
    window = first_window(samples, MONTHS, CLOCK, "15Min", settings)
    fold = train_period(samples.binned(window), MONTHS[1], 8, CLOCK, "15Min", settings, "f")
    return fold, fold.model.predict(samples)


@pytest.mark.parametrize(
    "chosen",
    [
        TREES,
        {**TREES, "bins": "first_window"},
        LINEAR,
        pytest.param({**LINEAR, "search": {"trials": 3}}, id="search"),
    ],
)
def test_other_inputs_of_events_that_keep_no_weight_move_no_bit(chosen):
    """Neither values nor missing ones, in the fit, its bins and its search."""
    if "search" in chosen:
        pytest.importorskip("optuna")
    settings = ModelSettings(**chosen)
    fits = [split(EVENTS, month, CLOCK, "15Min", settings).fit for month in MONTHS]
    forgotten = min(np.count_nonzero(decay_factors(np.ones(fit.sum()), -0.4) == 0) for fit in fits)
    assert forgotten > 100
    X = EVENTS.X.copy()
    X[:forgotten] = 30.0 - 7.0 * X[:forgotten]
    X[:forgotten:2, 1] = np.nan
    fold, calm = probabilities(EVENTS, settings)
    other, wild = probabilities(Samples(EVENTS.frame, X, EVENTS.names), settings)
    assert np.array_equal(calm[forgotten:], wild[forgotten:])
    assert other.model.card.complete == fold.model.card.complete == EVENTS.names
    assert fold.metrics["fit_rows"] == fits[1].sum() - np.count_nonzero(
        decay_factors(np.ones(fits[1].sum()), -0.4) == 0
    )


def test_where_too_few_keep_a_weight_there_is_no_model():
    settings = ModelSettings(minimum_train_rows=100, oldest_weight=-0.99)
    fold = train_period(EVENTS, MONTHS[0], 8, CLOCK, "15Min", settings, "f")
    assert fold.model is None
    assert "before the calibration part began and have a weight; 20 are needed" in fold.reason


def test_calibration_events_without_weight_do_not_calibrate():
    settings = ModelSettings(**{**LINEAR, "oldest_weight": 1.0})
    calibrate = split(EVENTS, MONTHS[1], CLOCK, "15Min", settings).calibrate
    mute = calibrate & (np.arange(EVENTS.height) % 2 == 0)
    frame = EVENTS.frame.with_columns(weight=pl.Series(np.where(mute, 0.0, 0.5)))
    X = np.where(mute[:, None], -50.0 * EVENTS.X, EVENTS.X)
    _, calm = probabilities(Samples(frame, EVENTS.X, EVENTS.names), settings)
    _, wild = probabilities(Samples(frame, X, EVENTS.names), settings)
    assert np.array_equal(calm[~mute], wild[~mute])


def test_the_model_learns_from_decayed_weights():
    """The edge turns its sign half-way: with the old half without weight the new sign is learned."""
    samples = planted_samples(4_000, 1.5, per_day=96, symbols=1)
    turned = samples.X.copy()
    turned[:2_000, 0] *= -2.0
    samples = type(samples)(samples.frame, turned, samples.names, samples.inputs)
    last = samples.frame["timestamp"][-1]
    period = period_of(last.date(), "month", Calendar.of("24/7").zone)
    margins = []
    for oldest in (1.0, -0.6):
        chosen = ModelSettings(
            forecaster="harmony_pipeline.models.logistic:Logistic",
            minimum_train_rows=100,
            oldest_weight=oldest,
        )
        fold = train_period(samples, period, 8, Calendar.of("24/7"), "15Min", chosen, "f")
        assert fold.model is not None, fold.reason
        margins.append(fold.model.model.margin(np.eye(6))[0])
    assert margins[1] > margins[0]


@pytest.mark.parametrize("oldest", [-1.0, 1.5])
def test_an_impossible_decay_is_refused(oldest):
    with pytest.raises(ValidationError, match="oldest_weight"):
        ModelSettings(oldest_weight=oldest)
