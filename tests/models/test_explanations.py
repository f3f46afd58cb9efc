"""SHAP values are Shapley's by brute force; permutation importance tells inputs from noise."""

from itertools import combinations
from math import factorial

import numpy as np
import pytest

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import period_from_key
from harmony_pipeline.models.base import NORMAL_LOG_ODDS
from harmony_pipeline.models.boosted_returns import BoostedQuantiles, BoostedReturns
from harmony_pipeline.models.calibration import Platt
from harmony_pipeline.models.explanations import importances, permutation_importance, shap_values
from harmony_pipeline.models.gradient_boosting import GradientBoosting
from harmony_pipeline.models.logistic import LinearModel, Logistic
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.models.walk_forward import split
from harmony_pipeline.testing.forecaster_contract import planted_samples

FEBRUARY = period_from_key("2023-02", "month", "UTC")
SMALL = {"rounds": 3, "num_leaves": 5, "feature_fraction": 1.0, "lambda_l2": 0.0}


def expectation(node, row, known):
    """The tree's value when only the inputs in `known` are known: others are averaged by the
    training rows that went each way (Lundberg et al. 2020, algorithm 1).
    """
    if "leaf_value" in node:
        return node["leaf_value"]
    left, right = node["left_child"], node["right_child"]
    if node["split_feature"] in known:
        goes_left = row[node["split_feature"]] <= node["threshold"]
        return expectation(left if goes_left else right, row, known)
    size = [child.get("internal_count", child.get("leaf_count")) for child in (left, right)]
    values = [expectation(child, row, known) for child in (left, right)]
    return (size[0] * values[0] + size[1] * values[1]) / sum(size)


def shapley(trees, row, inputs):
    """Shapley's formula over every coalition of inputs."""

    def value(known):
        return sum(expectation(tree["tree_structure"], row, known) for tree in trees)

    found = np.zeros(inputs)
    for place in range(inputs):
        others = [each for each in range(inputs) if each != place]
        for size in range(inputs):
            share = factorial(size) * factorial(inputs - size - 1) / factorial(inputs)
            for known in combinations(others, size):
                found[place] += share * (value({*known, place}) - value(set(known)))
    return found, value(set())


def test_shap_values_are_shapley_s_over_every_coalition():
    samples = planted_samples(600, 1.5, inputs=4)
    model = GradientBoosting(SMALL, 3).fit(samples)
    trees = model._booster.dump_model()["tree_info"]
    assert len(trees) == 3
    found = model.contributions(samples.X[:25])
    for row, contributions in zip(samples.X[:25], found, strict=True):
        expected, base = shapley(trees, row, 4)
        assert np.allclose(contributions[:-1], expected, atol=1e-12)
        assert contributions[-1] == pytest.approx(base, abs=1e-12)


def test_shap_values_sum_to_the_margin_and_exist_for_sums_of_trees_alone():
    samples = planted_samples(600, 1.5)
    trees = GradientBoosting({}, 3).fit(samples)
    assert np.allclose(trees.contributions(samples.X).sum(axis=1), trees.margin(samples.X))
    assert trees.contributions(samples.X[:0]).shape == (0, 7)
    means = BoostedReturns({}, 3).fit(samples)
    base = means.margin(samples.X) - shap_values(means, samples.X).sum(axis=1)
    assert np.ptp(base) < 1e-9 * NORMAL_LOG_ODDS
    assert shap_values(BoostedQuantiles({"rounds": 2}, 3).fit(samples), samples.X) is None
    assert shap_values(Logistic({}, 3).fit(samples), samples.X) is None


def importance_of(strength):
    samples = planted_samples(3000, strength, per_day=13)
    settings = ModelSettings(minimum_train_rows=100)
    parts = split(samples, FEBRUARY, Calendar.of("24/7"), "15Min", settings)
    return permutation_importance(GradientBoosting({"rounds": 40}, 3), samples, parts, seed=5)


def test_the_planted_input_alone_is_told_from_noise():
    found = importance_of(1.5)
    assert found.above[0] == "input_0"
    assert found.table["importance"][0] > 5.0 * max(found.floor, 1e-4)
    assert found.table["importance"].is_sorted(descending=True)
    assert importance_of(1.5).table.equals(found.table)
    assert found.table.height == 6  # the copies without meaning are not shown


def test_nothing_stands_out_of_noise():
    found = importance_of(0.0)
    assert found.table["importance"].abs().max() < 0.01


def test_importance_is_what_the_loss_grows_by():
    samples = planted_samples(500, 1.0, inputs=2)
    scale = ((0.0, 0.0), (0.0, 0.0), (1.0, 1.0))
    line = LinearModel(samples.names, *scale, coefficients=(2.0, 0.0), intercept=0.1)
    found = importances(line, Platt(1.0, 0.0), samples, np.random.default_rng(4), 2)

    def loss(x):
        p = 1.0 / (1.0 + np.exp(-(2.0 * x + 0.1)))
        return -np.log(np.where(samples.labels() == 1.0, p, 1.0 - p)).mean()

    random = np.random.default_rng(4)
    expected = [
        loss(samples.X[random.permutation(500), 0]) - loss(samples.X[:, 0]) for _ in range(2)
    ]
    assert np.allclose(found[0], expected)
    assert (found[1] == 0.0).all()  # an input that the model does not use
