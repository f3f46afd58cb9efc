"""Every forecaster keeps the contract."""

from typing import ClassVar

import numpy as np
import polars as pl
import pytest

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.models.bagging import SequentialBagging
from harmony_pipeline.models.base import build_forecaster
from harmony_pipeline.models.boosted_returns import BoostedQuantiles, BoostedReturns
from harmony_pipeline.models.gradient_boosting import GradientBoosting
from harmony_pipeline.models.logistic import Logistic
from harmony_pipeline.models.ridge import Ridge
from harmony_pipeline.models.samples import Samples, training_returns
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


class TestRidge(ForecasterContract):
    kind = Ridge


class TestBoostedReturns(ForecasterContract):
    kind = BoostedReturns


class TestBoostedQuantiles(ForecasterContract):
    kind = BoostedQuantiles


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


def test_ridge_regression_equals_scikit_learn_s():
    from sklearn.linear_model import Ridge as Reference

    samples = planted_samples(800, 1.0)
    gains = samples.labels() * np.random.default_rng(2).exponential(0.02, 800) - 0.01
    frame = samples.frame.with_columns(
        pl.Series("return", gains), weight=pl.Series(np.random.default_rng(3).random(800))
    )
    samples = Samples(frame, samples.X, samples.names)
    model = Ridge({"penalty": 7.0}, 3).fit(samples)
    returns, weights, deviation = training_returns(samples)
    assert np.allclose(deviation**2 * weights.sum(), (gains**2 * weights).sum())
    reference = Reference(alpha=7.0, tol=1e-12).fit(
        model.standardise(samples.X), returns, sample_weight=weights
    )
    assert np.allclose(
        model.margin(samples.X) / 1.702, reference.predict(model.standardise(samples.X)), atol=1e-9
    )


def test_boosted_quantiles_cover_what_they_say_and_stay_in_order():
    samples = planted_samples(6000, 0.0)
    spread = np.where(samples.X[:, 1] > 0.0, 3.0, 1.0)  # input 1 moves the spread alone
    gains = spread * np.random.default_rng(2).normal(size=6000) * 0.01
    frame = samples.frame.with_columns(
        pl.Series("return", gains), label=pl.Series((gains > 0.0).astype(np.int8))
    )
    learned, unseen = np.arange(6000) < 4000, np.arange(6000) >= 4000
    samples = Samples(frame, samples.X, samples.names)
    model = BoostedQuantiles({}, 3).fit(samples.where(learned))
    quantiles = model.quantiles(samples.X[unseen])
    assert (np.diff(quantiles, axis=1) >= 0.0).all()
    covered = (gains[unseen][:, None] <= quantiles).mean(axis=0)
    assert np.allclose(covered, [0.25, 0.5, 0.75], atol=0.04)
    width = quantiles[:, 2] - quantiles[:, 0]
    wide = spread[unseen] == 3.0
    assert 2.0 < width[wide].mean() / width[~wide].mean() < 4.0
    assert BoostedReturns({}, 3).fit(samples.where(learned)).quantiles(samples.X).shape == (6000, 0)


def test_a_regression_expects_the_return_that_was_planted():
    samples = planted_samples(6000, 0.0)
    mean = np.where(samples.X[:, 0] > 0.0, 0.01, -0.01)
    gains = mean + np.random.default_rng(2).normal(size=6000) * 0.01
    frame = samples.frame.with_columns(
        pl.Series("return", gains), label=pl.Series((gains > 0.0).astype(np.int8))
    )
    samples = Samples(frame, samples.X, samples.names)
    expected = BoostedReturns({}, 3).fit(samples).returns(samples.X)
    assert expected[mean > 0.0].mean() == pytest.approx(0.01, rel=0.25)  # shrunk
    assert expected[mean < 0.0].mean() == pytest.approx(-0.01, rel=0.25)


def test_a_regression_refuses_what_has_no_return():
    samples = planted_samples(300, 1.0)
    for gain, said in ((None, "return None"), (0.0, "all have the return 0")):
        frame = samples.frame.with_columns(pl.lit(gain, dtype=pl.Float64).alias("return"))
        with pytest.raises(DataError, match=said):
            Ridge({}, 3).fit(Samples(frame, samples.X, samples.names))


def test_quantile_levels_must_increase():
    with pytest.raises(ConfigError, match="levels must increase"):
        BoostedQuantiles({"levels": (0.5, 0.5, 0.75)}, 3)
