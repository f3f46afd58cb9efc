"""Time decay as in the book's snippet 4.11, and its way into the fit."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import period_of
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.models.time_decay import decay_factors, decayed
from harmony_pipeline.models.walk_forward import train_period
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
