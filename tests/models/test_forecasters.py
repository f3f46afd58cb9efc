"""Every forecaster keeps the contract."""

from typing import ClassVar

import numpy as np
import pytest

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.models.bagging import SequentialBagging
from harmony_pipeline.models.base import build_forecaster
from harmony_pipeline.models.gradient_boosting import GradientBoosting
from harmony_pipeline.models.logistic import Logistic
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.testing.forecaster_contract import ForecasterContract, planted_samples


class TestGradientBoosting(ForecasterContract):
    kind = GradientBoosting

    def test_the_seed_matters(self):
        samples = planted_samples(1200, 0.5)
        assert self.fit(samples, seed=1).save() != self.fit(samples, seed=2).save()

    def test_one_thread_and_two_grow_the_same_trees(self):
        samples = planted_samples(3000, 0.5)
        one, two = (
            GradientBoosting({"num_threads": threads}, 3).fit(samples) for threads in (1, 2)
        )
        assert one.save().replace(b"[num_threads: 1]", b"[num_threads: 2]") == two.save()

    def test_the_bits_do_not_depend_on_what_was_trained_before(self):
        samples = planted_samples(1200, 0.5)
        alone = self.fit(samples).save()
        self.fit(planted_samples(900, 0.1, seed=9))
        assert self.fit(samples).save() == alone


class TestSequentialBagging(ForecasterContract):
    kind = SequentialBagging
    parameters: ClassVar = {"bags": 2, "rounds": 40}

    def test_bags_differ_and_their_margin_is_the_mean(self):
        samples = planted_samples(1200, 0.5)
        both = self.fit(samples)
        first, second = both._models
        assert first.save() != second.save()
        mean = (first.margin(samples.X) + second.margin(samples.X)) / 2
        assert np.array_equal(both.margin(samples.X), mean)


class TestLogistic(ForecasterContract):
    kind = Logistic


def test_the_default_forecaster_can_be_built_from_the_settings():
    settings = ModelSettings()
    built = build_forecaster(settings.forecaster, {"rounds": 5}, settings.seed)
    assert isinstance(built, GradientBoosting)
    assert built.parameters["rounds"] == 5
    assert built.parameters["max_depth"] == 3


@pytest.mark.parametrize(
    "path",
    [
        "nowhere:Thing",
        "harmony_pipeline.models.logistic:Nothing",
        "harmony_pipeline.models.logistic",
        "",
    ],
)
def test_a_forecaster_that_cannot_be_imported_is_a_clear_error(path):
    with pytest.raises(
        ConfigError,
        match=r"model\.forecaster = .*(write package\.module:Name|there is no module|has no )",
    ):
        build_forecaster(path, {}, 1)


def test_an_impossible_parameter_is_refused_with_its_value():
    with pytest.raises(ConfigError, match=r"model\.parameters\.rounds = 0"):
        build_forecaster(
            "harmony_pipeline.models.gradient_boosting:GradientBoosting", {"rounds": 0}, 1
        )
