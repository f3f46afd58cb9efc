"""Gradient-boosted trees by LightGBM, tuned for labels that are mostly noise.

Shallow trees, slow learning, strong shrinkage of the leaves, and a fixed number of rounds. There is
no early stopping: the only rows that could stop it are the calibration rows, and their double use
makes the calibration look better than it is. (Ke et al. 2017, "LightGBM: a highly efficient
gradient boosting decision tree", NeurIPS 30.)

Weights are average uniqueness and are *not* rescaled to mean 1. Ten events that share one outcome
count as about one observation, so the leaves' regularisation is relative to the effective number of
observations (Lopez de Prado 2018, ch. 4).

The bits are reproducible: a pinned number of threads, `deterministic`, `force_row_wise`, one seed.
Bins are those of each training window, or of the first one (bins.py).
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.forks import lost_threads, threads_work
from harmony_pipeline.models.base import Range, sigmoid, validate_parameters
from harmony_pipeline.models.bins import training_data
from harmony_pipeline.models.openmp import lightgbm
from harmony_pipeline.models.samples import Samples, training_targets
from harmony_pipeline.models.tree_margins import TreeNodes, nodes_of, tree_margins
from harmony_pipeline.settings_base import FrozenSettings

_LIGHTGBM = "LightGBM"


class GradientBoostingParameters(FrozenSettings):
    """Parameters under LightGBM's own names, except `rounds`."""

    rounds: int = Field(100, ge=1, le=5000, description="trees")
    learning_rate: float = Field(0.03, gt=0.0, le=1.0)
    max_depth: int = Field(3, ge=1, le=12)
    num_leaves: int = Field(8, ge=2, le=1024)
    min_data_in_leaf: int = Field(40, ge=1, description="rows")
    min_sum_hessian_in_leaf: float = Field(
        1.0, ge=0.0, description="about four effective observations a unit"
    )
    lambda_l1: float = Field(0.0, ge=0.0)
    lambda_l2: float = Field(10.0, ge=0.0, description="in the same unit")
    feature_fraction: float = Field(0.7, gt=0.0, le=1.0)
    bagging_fraction: float = Field(0.7, gt=0.0, le=1.0, description="rows drawn for each tree")
    max_bin: int = Field(63, ge=3, le=255)
    min_gain_to_split: float = Field(0.0, ge=0.0)
    path_smooth: float = Field(0.0, ge=0.0)
    extra_trees: bool = False
    num_threads: int = Field(
        1, ge=1, le=2, description="the trees are the same to the last bit with one and with two"
    )


class GradientBoosting:
    """LightGBM on log loss, through `lgb.train`."""

    short: ClassVar[str] = "gbm"
    artifact: ClassVar[str] = "model.txt"
    uses_bins: ClassVar[bool] = True
    search_space: ClassVar[Mapping[str, Range]] = {
        "rounds": Range(25, 400, logarithmic=True, whole=True),
        "learning_rate": Range(0.01, 0.1, logarithmic=True),
        "max_depth": Range(2, 5, whole=True),
        "min_data_in_leaf": Range(20, 200, logarithmic=True, whole=True),
        "lambda_l2": Range(1.0, 100.0, logarithmic=True),
        "feature_fraction": Range(0.3, 1.0),
    }

    def __init__(self, parameters: Mapping[str, Any], seed: int) -> None:
        self._parameters = validate_parameters(GradientBoostingParameters, parameters)
        self._seed = seed

    @property
    def parameters(self) -> dict[str, Any]:
        """Every effective parameter."""
        return self._parameters.model_dump()

    def fit(self, samples: Samples) -> "BoostedTrees":
        """Fit all rows, weighted. Raises DataError when a row is unresolved or only one label
        occurs.
        """
        samples = samples.events_with_weight()
        labels, weights = training_targets(samples)
        return grow_trees(samples, labels, weights, self.parameters, self._seed, "binary")

    @classmethod
    def load(cls, blob: bytes) -> "BoostedTrees":
        """The model of LightGBM's text format, after a first line with the names of the inputs."""
        names, _, text = blob.decode().partition("\n")
        return BoostedTrees(
            text, tuple(names.removeprefix("inputs=").split(",")) if names != "inputs=" else ()
        )


class BoostedTrees:
    """A fitted LightGBM model, known by its text alone, so that a fresh and a loaded one are equal.

    Margins need no LightGBM (tree_margins.py); explanations do.
    """

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        self.text = text
        self.names = names

    def margin(self, X: FloatArray) -> FloatArray:
        """Log-odds [rows]: the sum of the trees' leaves. Raises ValueError for other inputs."""
        if X.ndim != 2 or X.shape[1] != len(self.names):
            raise ValueError(f"rows of {len(self.names)} inputs are needed, found {list(X.shape)}")
        return tree_margins(np.ascontiguousarray(X, dtype=np.float64), self._nodes)

    @cached_property
    def _nodes(self) -> TreeNodes:
        return nodes_of(self.text)

    @cached_property
    def _booster(self) -> Any:
        return lightgbm().Booster(model_str=self.text)

    def contributions(self, X: FloatArray) -> FloatArray:
        """SHAP values in log-odds, float64 [rows, inputs + 1]; the last column is the expectation,
        and a row sums to its margin.

        LightGBM computes them itself (Lundberg et al. 2020, "From local explanations to global
        understanding with explainable AI for trees", Nature Machine Intelligence 2).
        """
        if X.shape[0] == 0:
            return np.empty((0, len(self.names) + 1))
        found = self._booster.predict(X, pred_contrib=True, num_threads=1)
        return np.asarray(found, dtype=np.float64)

    def predict(self, X: FloatArray) -> FloatArray:
        """Probability [rows], before calibration."""
        return sigmoid(self.margin(X))

    def importance(self) -> dict[str, float]:
        """Share of the total gain by input."""
        gain = np.asarray(
            self._booster.feature_importance(importance_type="gain"), dtype=np.float64
        )
        total = gain.sum()
        return dict(zip(self.names, (gain / total if total > 0.0 else gain).tolist(), strict=True))

    def save(self) -> bytes:
        """LightGBM's text format, after a first line with the names of the inputs."""
        return f"inputs={','.join(self.names)}\n{self.text}".encode()


def grow_trees(
    samples: Samples,
    target: FloatArray,
    weights: FloatArray,
    parameters: Mapping[str, Any],
    seed: int,
    objective: str,
    **options: Any,
) -> BoostedTrees:
    """The trees that LightGBM grows for `target` [rows] under one of its objectives.

    `parameters` are those of `GradientBoostingParameters`; `options` belong to the objective.
    """
    chosen = {
        **parameters,
        **options,
        "objective": objective,
        "bagging_freq": 1,
        "feature_pre_filter": False,
        "verbosity": -1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
    }
    rounds = chosen.pop("rounds")
    threads = chosen["num_threads"]
    if threads > 1 and lost_threads(_LIGHTGBM):
        chosen["num_threads"] = 1
    elif threads > 1:
        threads_work(_LIGHTGBM)
    data = training_data(samples.X, samples.bins, target, weights, chosen)
    booster = lightgbm().train(chosen, data, num_boost_round=rounds)
    text = booster.model_to_string()
    if chosen["num_threads"] != threads:  # all that the text has of it
        text = text.replace(f"[num_threads: {chosen['num_threads']}]", f"[num_threads: {threads}]")
    return BoostedTrees(text, samples.names)
