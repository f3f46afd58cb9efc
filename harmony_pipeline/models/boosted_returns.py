"""Gradient-boosted trees that predict the label's return: its mean, or its quantiles.

The target is the return over its root mean square in the training rows. A predicted mean in
deviations becomes a margin by the normal distribution; the calibration of the walk-forward turns it
into the probability of a positive return, as for every forecaster. Quantiles give the margin mean
over spread, and stay in the model for whoever sizes by them (`quantiles`). (Koenker & Bassett 1978,
"Regression quantiles", Econometrica 46.)

The leaves are shrunk by as many observations as in `gradient_boosting.py`: there an observation
counts a quarter, because it adds p (1 - p) to the Hessian, and here it counts 1.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.models.base import (
    NORMAL_LOG_ODDS,
    Range,
    sigmoid,
    to_json,
    validate_parameters,
)
from harmony_pipeline.models.gradient_boosting import (
    BoostedTrees,
    GradientBoosting,
    GradientBoostingParameters,
    grow_trees,
)
from harmony_pipeline.models.samples import Samples, training_returns

_LEAST_SPREAD = 0.25  # root mean squares of the returns; a spread of 0 would give any margin
_NORMAL_QUARTILES = 1.349  # deviations between the quartiles of the normal distribution


class BoostedReturnParameters(GradientBoostingParameters):
    """LightGBM's parameters; the shrinkage is in effective observations."""

    min_sum_hessian_in_leaf: float = Field(4.0, ge=0.0, description="effective observations")
    lambda_l2: float = Field(40.0, ge=0.0, description="in the same unit")


class BoostedQuantileParameters(BoostedReturnParameters):
    """The same with the levels; a third of the rounds each, since each level has its own trees."""

    rounds: int = Field(60, ge=1, le=5000, description="trees for each level")
    learning_rate: float = Field(0.1, gt=0.0, le=1.0)
    levels: tuple[float, float, float] = Field(
        (0.25, 0.5, 0.75), description="lower, middle and upper quantile, strictly increasing"
    )

    @field_validator("levels")
    @classmethod
    def _ordered(cls, levels: tuple[float, float, float]) -> tuple[float, float, float]:
        if not 0.0 < levels[0] < levels[1] < levels[2] < 1.0:
            raise ValueError("levels must increase strictly between 0 and 1")
        return levels


class BoostedReturns:
    """LightGBM on squared error of the return."""

    short: ClassVar[str] = "gbr"
    artifact: ClassVar[str] = "model.json"
    uses_bins: ClassVar[bool] = True
    search_space: ClassVar[Mapping[str, Range]] = {
        **GradientBoosting.search_space,
        "lambda_l2": Range(4.0, 400.0, logarithmic=True),
    }

    def __init__(self, parameters: Mapping[str, Any], seed: int) -> None:
        self._parameters = validate_parameters(BoostedReturnParameters, parameters)
        self._seed = seed

    @property
    def parameters(self) -> dict[str, Any]:
        """Every effective parameter."""
        return self._parameters.model_dump()

    def fit(self, samples: Samples) -> "ReturnTrees":
        """Fit all rows, weighted. Raises DataError when a row is unresolved or only one label
        occurs.
        """
        samples = samples.events_with_weight()
        returns, weights, deviation = training_returns(samples)
        trees = grow_trees(samples, returns, weights, self.parameters, self._seed, "regression")
        return ReturnTrees((trees,), (), deviation)

    @classmethod
    def load(cls, blob: bytes) -> "ReturnTrees":
        """The model from its JSON."""
        return ReturnTrees.from_json(blob)


class BoostedQuantiles:
    """LightGBM on the quantile loss of the return, once for each of three levels."""

    short: ClassVar[str] = "gbq"
    artifact: ClassVar[str] = "model.json"
    uses_bins: ClassVar[bool] = True
    search_space: ClassVar[Mapping[str, Range]] = {
        **GradientBoosting.search_space,
        "lambda_l2": Range(4.0, 400.0, logarithmic=True),
    }

    def __init__(self, parameters: Mapping[str, Any], seed: int) -> None:
        self._parameters = validate_parameters(BoostedQuantileParameters, parameters)
        self._seed = seed

    @property
    def parameters(self) -> dict[str, Any]:
        """Every effective parameter."""
        return {**self._parameters.model_dump(), "levels": list(self._parameters.levels)}

    def fit(self, samples: Samples) -> "ReturnTrees":
        """Fit all rows, weighted. Raises DataError when a row is unresolved or only one label
        occurs.
        """
        samples = samples.events_with_weight()
        returns, weights, deviation = training_returns(samples)
        options = self._parameters.model_dump(exclude={"levels"})
        trees = tuple(
            grow_trees(samples, returns, weights, options, self._seed, "quantile", alpha=level)
            for level in self._parameters.levels
        )
        return ReturnTrees(trees, self._parameters.levels, deviation)

    @classmethod
    def load(cls, blob: bytes) -> "ReturnTrees":
        """The model from its JSON."""
        return ReturnTrees.from_json(blob)


class ReturnTrees:
    """Trees of the mean (no levels), or of each of three quantiles.

    `deviation` is the root mean square of the training returns, the unit of the trees.
    """

    def __init__(
        self, trees: tuple[BoostedTrees, ...], levels: tuple[float, ...], deviation: float
    ) -> None:
        self._trees = trees
        self.levels = levels
        self.deviation = deviation
        self.names = trees[0].names

    @classmethod
    def from_json(cls, blob: bytes) -> "ReturnTrees":
        """The model that `save` wrote."""
        held = json.loads(blob)
        names = tuple(held["names"])
        return cls(
            tuple(BoostedTrees(text, names) for text in held["trees"]),
            tuple(held["levels"]),
            held["deviation"],
        )

    def margin(self, X: FloatArray) -> FloatArray:
        """Log-odds [rows] of a positive return, as of a normal one with this mean and spread."""
        found = [trees.margin(X) for trees in self._trees]
        if not self.levels:
            return NORMAL_LOG_ODDS * found[0]
        low, middle, high = found
        spread = np.maximum((high - low) / self._unit_spread, _LEAST_SPREAD)
        return np.asarray(NORMAL_LOG_ODDS * ((low + middle + high) / 3.0) / spread)

    @property
    def _unit_spread(self) -> float:
        """The distance of the outer levels in a normal distribution of deviation 1."""
        if self.levels[0] == 0.25 and self.levels[-1] == 0.75:
            return _NORMAL_QUARTILES
        from scipy.special import ndtri

        return float(ndtri(self.levels[-1]) - ndtri(self.levels[0]))

    def returns(self, X: FloatArray) -> FloatArray:
        """Expected return [rows] in the label's own unit; the middle quantile where there are
        levels.
        """
        return self._trees[len(self._trees) // 2].margin(X) * self.deviation

    def quantiles(self, X: FloatArray) -> FloatArray:
        """Quantiles of the return [rows, levels], each row in increasing order; no columns without
        levels.
        """
        if not self.levels:
            return np.empty((X.shape[0], 0))
        found = np.stack([trees.margin(X) for trees in self._trees], axis=1)
        return np.asarray(np.sort(found, axis=1) * self.deviation)

    def contributions(self, X: FloatArray) -> FloatArray | None:
        """SHAP values in log-odds [rows, inputs] of trees of the mean; None for quantiles, whose
        margin is no sum of trees.
        """
        if self.levels:
            return None
        return NORMAL_LOG_ODDS * self._trees[0].contributions(X)[:, :-1]

    def predict(self, X: FloatArray) -> FloatArray:
        """Probability [rows] of a positive return, before calibration."""
        return sigmoid(self.margin(X))

    def importance(self) -> dict[str, float]:
        """Share of the gain by input, the mean over the levels."""
        shares = [np.array(list(trees.importance().values())) for trees in self._trees]
        total = np.sum(shares, axis=0)
        size = float(total.sum())
        return dict(zip(self.names, (total / size if size > 0.0 else total).tolist(), strict=True))

    def save(self) -> bytes:
        """JSON with LightGBM's text of each."""
        return to_json(
            {
                "names": list(self.names),
                "levels": list(self.levels),
                "deviation": self.deviation,
                "trees": [trees.text for trees in self._trees],
            }
        )
