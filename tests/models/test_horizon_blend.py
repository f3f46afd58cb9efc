"""A blend of horizons pools one model a horizon, each of outcomes that were known by then."""

import numpy as np
import polars as pl
import pytest

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import period_from_key
from harmony_pipeline.models.base import build_forecaster
from harmony_pipeline.models.horizon_blend import BLEND, known_with
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.models.walk_forward import predict_period, split, train_period
from harmony_pipeline.testing.forecaster_contract import planted_samples

CLOCK = Calendar.of("24/7")
FEBRUARY = period_from_key("2023-02", "month", "UTC")
SETTINGS = ModelSettings(
    forecaster="harmony_pipeline.models.logistic:Logistic", minimum_train_rows=100
)
SHORT, LONG = (planted_samples(2400, 1.0, per_day=10, horizon=horizon) for horizon in (4, 60))


def blended(short, long, chosen=SETTINGS):
    return train_period(short, FEBRUARY, 4, CLOCK, "15Min", chosen, "f", others={60: long}).model


def test_the_model_of_the_traded_horizon_is_a_pool_of_both():
    model = blended(SHORT, LONG)
    assert model.card.forecaster == BLEND
    assert model.card.parameters["horizons"] == [4, 60]
    assert len(model.model.models) == 2
    assert sum(model.model.shares) == pytest.approx(1.0)
    again = type(model).from_files(model.files())
    assert again.model_id == model.model_id
    assert predict_period(again, SHORT, FEBRUARY).equals(predict_period(model, SHORT, FEBRUARY))
    alone = train_period(SHORT, FEBRUARY, 4, CLOCK, "15Min", SETTINGS, "f").model
    assert model.model.models[0].save() == alone.model.save()


def test_no_outcome_of_the_other_horizon_that_came_later_counts():
    parts = split(SHORT, FEBRUARY, CLOCK, "15Min", SETTINGS)
    known = known_with(SHORT.where(parts.fit), LONG)
    first_calibrating = SHORT.frame.filter(pl.Series(parts.calibrate))["timestamp"].min()
    assert 0 < known.height < int(parts.fit.sum())
    assert known.frame["end_timestamp"].max() <= first_calibrating
    later = (LONG.frame["end_timestamp"] > known.frame["end_timestamp"].max()).to_numpy()
    random = np.random.default_rng(3)
    label = np.where(later, random.integers(0, 2, LONG.height), LONG.labels()).astype(np.int8)
    X = np.where(later[:, None], random.normal(size=LONG.X.shape), LONG.X)
    changed = Samples(LONG.frame.with_columns(label=pl.Series(label)), X, LONG.names)
    assert blended(SHORT, changed).files() == blended(SHORT, LONG).files()


@pytest.mark.parametrize("oldest", [0.3, 0.0, -0.5])
def test_the_events_of_every_horizon_lose_their_weight_with_age(oldest):
    """Against a model that is fitted to events whose weights were decayed by hand."""
    chosen = SETTINGS.model_copy(update={"oldest_weight": oldest})
    parts = split(SHORT, FEBRUARY, CLOCK, "15Min", SETTINGS)
    known = known_with(SHORT.where(parts.fit), LONG)
    weights = known.weights()
    age = 1.0 - np.cumsum(weights) / weights.sum()  # 0: the newest
    part = 1.0 - (1.0 - oldest) * age if oldest >= 0.0 else 1.0 - age / (1.0 + oldest)
    kept = weights * np.maximum(part, 0.0)
    right = known.where(kept > 0.0)
    right = Samples(
        right.frame.with_columns(weight=pl.Series(kept[kept > 0.0])), right.X, right.names
    )
    alone = build_forecaster(chosen.forecaster, chosen.parameters, chosen.seed).fit(right)
    model = blended(SHORT, LONG, chosen).model.models[1]
    X = LONG.X[::7]
    np.testing.assert_allclose(model.margin(X), alone.margin(X), rtol=1e-9, atol=1e-12)
    flat = blended(SHORT, LONG).model.models[1]
    assert np.abs(model.margin(X) - flat.margin(X)).max() > 1e-4


def test_without_decay_the_blend_is_fitted_to_the_weights_of_the_labels():
    parts = split(SHORT, FEBRUARY, CLOCK, "15Min", SETTINGS)
    known = known_with(SHORT.where(parts.fit), LONG)
    alone = build_forecaster(SETTINGS.forecaster, SETTINGS.parameters, SETTINGS.seed).fit(known)
    assert blended(SHORT, LONG).model.models[1].save() == alone.save()
