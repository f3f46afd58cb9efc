"""A search looks inside the training window alone, is repeatable, and is told in the card."""

import json
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import period_from_key
from harmony_pipeline.models.base import build_forecaster
from harmony_pipeline.models.calibration import fit_platt
from harmony_pipeline.models.purged_folds import folds
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.search import out_of_fold_loss, search_parameters
from harmony_pipeline.models.settings import CrossValidationSettings, ModelSettings
from harmony_pipeline.models.walk_forward import split, train_period
from harmony_pipeline.testing.forecaster_contract import planted_samples

CLOCK = Calendar.of("24/7")
LOGISTIC = "harmony_pipeline.models.logistic:Logistic"
FEBRUARY = period_from_key("2023-02", "month", "UTC")
SAMPLES = planted_samples(2400, 1.0, per_day=10)  # 60 days from 2 January 2023


def settings_of(trials, **more):
    return ModelSettings(
        forecaster=LOGISTIC, minimum_train_rows=100, search={"trials": trials}, **more
    )


def trained(samples, settings):
    return train_period(samples, FEBRUARY, 8, CLOCK, "15Min", settings, "f")


def test_the_loss_is_that_of_every_event_predicted_by_a_model_that_has_not_seen_it():
    chosen = folds(SAMPLES, CLOCK, "15Min", 4, CrossValidationSettings(groups=3, test_groups=1))
    margins = np.full(SAMPLES.height, np.nan)
    for fold in chosen:
        assert not (fold.train & fold.test).any()
        model = build_forecaster(LOGISTIC, {}, 1).fit(SAMPLES.where(fold.train))
        margins[fold.test] = model.margin(SAMPLES.X[fold.test])
    raised = fit_platt(margins, SAMPLES.labels(), SAMPLES.weights())
    p = raised.apply(margins)
    expected = -np.log(np.where(SAMPLES.labels() == 1.0, p, 1.0 - p)).mean()
    assert out_of_fold_loss(SAMPLES, chosen, LOGISTIC, {}, 1) == pytest.approx(expected)


def test_without_a_range_there_is_nothing_to_search():
    settings = ModelSettings(forecaster="harmony_pipeline.models.blend:Blend", search={"trials": 2})
    with pytest.raises(ConfigError, match="has no search_space; set trials = 0"):
        search_parameters(SAMPLES, settings, 1, CLOCK, "15Min")


def test_too_few_events_for_the_folds_leave_the_settings_alone():
    few = SAMPLES.where(np.arange(SAMPLES.height) < 8)
    found = search_parameters(few, settings_of(3), 1, CLOCK, "15Min")
    assert (found.parameters, found.trials, found.score) == ({}, 0, None)


def test_no_search_leaves_card_and_recipe_as_they_were():
    model = trained(SAMPLES, settings_of(0)).model
    assert "searched" not in json.loads(model.files()["card.json"])
    assert "search" not in ModelSettings().model_dump(mode="json")
    assert settings_of(2).model_dump(mode="json")["search"]["trials"] == 2


class TestWithOptuna:
    """What needs optuna."""

    @pytest.fixture(autouse=True)
    def optuna(self):
        return pytest.importorskip("optuna")

    def test_a_search_improves_what_the_settings_say_and_repeats_itself(self):
        noisy = planted_samples(600, 0.3, inputs=40)
        bad = settings_of(6, parameters={"max_iterations": 200})
        found = search_parameters(noisy, bad, 5, CLOCK, "15Min")
        assert found.trials == 6
        assert found.score < found.score_of_settings
        assert found.parameters["max_iterations"] == 200  # what the settings say is decided
        assert search_parameters(noisy, bad, 5, CLOCK, "15Min") == found

    def test_the_number_of_trials_is_in_the_card_and_the_measures(self):
        fold = trained(SAMPLES, settings_of(3))
        assert fold.model.card.searched == 3
        assert type(fold.model).from_files(fold.model.files()).card == fold.model.card
        told = json.loads(fold.model_row["metrics"][0])["search"]
        assert told["trials"] == 3
        assert told["score"] <= told["score_of_settings"]
        shown = json.loads(fold.model_row["parameters"][0])
        assert shown["inverse_penalty"] == fold.model.card.parameters["inverse_penalty"]

    def test_rows_of_the_test_period_and_the_calibration_part_change_nothing_in_the_search(self):
        settings = settings_of(3)
        parts = split(SAMPLES, FEBRUARY, CLOCK, "15Min", settings)
        random = np.random.default_rng(8)

        def disturbed(mask):
            label = np.where(mask, random.integers(0, 2, SAMPLES.height), SAMPLES.labels())
            X = np.where(mask[:, None], random.normal(size=SAMPLES.X.shape), SAMPLES.X)
            frame = SAMPLES.frame.with_columns(label=pl.Series(label.astype(np.int8)))
            return Samples(frame, X, SAMPLES.names)

        honest = trained(SAMPLES, settings)
        later = SAMPLES.frame["end_timestamp"] > FEBRUARY.start - timedelta(hours=2)
        assert trained(disturbed(later.to_numpy()), settings).model.files() == honest.model.files()
        other = trained(disturbed(~parts.fit), settings)
        assert other.model.model.save() == honest.model.model.save()
        assert other.model.card.parameters == honest.model.card.parameters
        assert other.model.card.slope != honest.model.card.slope
