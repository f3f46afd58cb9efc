"""A blend of horizons pools one model a horizon, each of outcomes that were known by then."""

import numpy as np
import polars as pl
import pytest

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import period_from_key
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


def blended(short, long):
    return train_period(short, FEBRUARY, 4, CLOCK, "15Min", SETTINGS, "f", others={60: long}).model


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
