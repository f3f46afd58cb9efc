"""The kernel over trees gives LightGBM's own margins, bit for bit."""

from dataclasses import replace

import lightgbm
import numpy as np
import pytest

from harmony_pipeline.errors import DataError
from harmony_pipeline.models.gradient_boosting import GradientBoosting
from harmony_pipeline.models.tree_margins import nodes_of, tree_margins
from harmony_pipeline.testing.forecaster_contract import planted_samples

KNOWN = planted_samples(3000, 1.0)
HOLES = replace(
    KNOWN, X=np.where(np.random.default_rng(1).random(KNOWN.X.shape) < 0.2, np.nan, KNOWN.X)
)


@pytest.mark.parametrize("samples", [KNOWN, HOLES], ids=["known", "missing"])
@pytest.mark.parametrize(
    "parameters", [{}, {"rounds": 40, "max_depth": 9, "num_leaves": 60, "min_data_in_leaf": 5}]
)
@pytest.mark.parametrize("rows", [1, 3, 4, 7, 2001])
def test_margins_are_those_of_lightgbm(samples, parameters, rows):
    model = GradientBoosting(parameters, 3).fit(samples)
    booster = lightgbm.Booster(model_str=model.text)
    for asked in (KNOWN.X, HOLES.X, np.zeros_like(KNOWN.X), KNOWN.X * 1e300, KNOWN.X * 1e-35):
        margin = booster.predict(asked[:rows], raw_score=True, num_threads=1)
        assert np.array_equal(model.margin(asked[:rows]), margin)
    # a threshold itself goes left
    nodes = nodes_of(model.text)
    below = np.nextafter(nodes.thresholds, -np.inf)
    edges = np.resize(
        np.r_[nodes.thresholds, below][np.tile(nodes.left != np.arange(nodes.left.size), 2)],
        (rows, 6),
    )
    assert np.array_equal(model.margin(edges), booster.predict(edges, raw_score=True))


def test_a_tree_of_one_leaf_and_any_layout_of_the_rows():
    model = GradientBoosting({"min_gain_to_split": 1e9, "rounds": 3}, 3).fit(KNOWN)
    booster = lightgbm.Booster(model_str=model.text)
    assert nodes_of(model.text).steps.max() == 0
    assert np.array_equal(model.margin(KNOWN.X), booster.predict(KNOWN.X, raw_score=True))
    deep = GradientBoosting({}, 3).fit(KNOWN)
    assert np.array_equal(deep.margin(np.asfortranarray(KNOWN.X)), deep.margin(KNOWN.X))
    assert tree_margins(np.empty((0, 6)), nodes_of(deep.text)).shape == (0,)


def test_rows_of_other_inputs_are_refused():
    model = GradientBoosting({"rounds": 2}, 3).fit(KNOWN)
    for X in (np.zeros((2, 5)), np.zeros(6)):
        with pytest.raises(ValueError, match="rows of 6 inputs are needed"):
            model.margin(X)


@pytest.mark.parametrize(
    "options",
    [{"zero_as_missing": True}, {"linear_tree": True}, {}],
    ids=["zeros", "linear leaves", "categories"],
)
def test_trees_that_harmony_does_not_grow_are_refused(options):
    X = np.round(np.abs(KNOWN.X))
    X[:, 0] *= 2.0
    categories = "auto" if options else [0]
    data = lightgbm.Dataset(
        X, KNOWN.labels(), categorical_feature=categories, params={**options, "verbosity": -1}
    )
    grown = lightgbm.train({**options, "objective": "binary", "verbosity": -1}, data, 5)
    with pytest.raises(DataError, match="Harmony does not grow"):
        nodes_of(grown.model_to_string())
