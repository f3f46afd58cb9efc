"""Bags of gradient-boosted trees, each grown on a sequential bootstrap of the training events.

`model.forecaster = "harmony_pipeline.models.bagging:SequentialBagging"`. Every bag draws as many
events as there are, with replacement, by how little they overlap (models/sequential_bootstrap.py);
an event that is drawn twice counts twice. The margin is the mean of the bags' margins (Breiman
1996, "Bagging predictors", Machine Learning 24). It takes as many fits as there are bags, so it is
a forecaster of its own beside `GradientBoosting`.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.models.base import sigmoid, validate_parameters
from harmony_pipeline.models.gradient_boosting import (
    BoostedTrees,
    GradientBoosting,
    GradientBoostingParameters,
)
from harmony_pipeline.models.samples import Samples, training_targets
from harmony_pipeline.models.sequential_bootstrap import lives, sequential_draws
from harmony_pipeline.models.time_decay import reweighted

_APART = 1_000_003  # between the seeds of two bags, so that two close seeds share none


class SequentialBaggingParameters(GradientBoostingParameters):
    """Those of the trees, and the number of bags."""

    bags: int = Field(5, ge=1, le=200, description="each with its own draws and its own trees")


class SequentialBagging:
    """`GradientBoosting` on each bag."""

    short: ClassVar[str] = "bags"
    artifact: ClassVar[str] = "bags.txt"
    uses_bins: ClassVar[bool] = True

    def __init__(self, parameters: Mapping[str, Any], seed: int) -> None:
        self._parameters = validate_parameters(SequentialBaggingParameters, parameters)
        self._seed = seed

    @property
    def parameters(self) -> dict[str, Any]:
        """Every effective parameter."""
        return self._parameters.model_dump()

    def fit(self, samples: Samples) -> "BaggedTrees":
        """Fit every bag, weighted. Raises DataError when a row is unresolved, or all events, or
        those of a bag, had the same outcome.
        """
        samples = samples.events_with_weight()
        _, weights = training_targets(samples)
        begin, end = lives(samples)
        of_trees = {name: value for name, value in self.parameters.items() if name != "bags"}
        models = []
        for bag in range(self._parameters.bags):
            seed = (self._seed + bag * _APART) % 2**31
            drawn = sequential_draws(begin, end, samples.height, seed)
            times = np.bincount(drawn, minlength=samples.height)
            chosen = reweighted(samples, weights * times).where(times > 0)
            models.append(GradientBoosting(of_trees, seed).fit(chosen))
        return BaggedTrees(tuple(models))

    @classmethod
    def load(cls, blob: bytes) -> "BaggedTrees":
        """The models that `BaggedTrees.save` wrote one behind the other."""
        models, rest = [], blob
        while rest:
            size, _, rest = rest.partition(b"\n")
            models.append(GradientBoosting.load(rest[: int(size)]))
            rest = rest[int(size) :]
        return BaggedTrees(tuple(models))


class BaggedTrees:
    """The fitted models of all bags."""

    def __init__(self, models: tuple[BoostedTrees, ...]) -> None:
        self._models = models
        self.names = models[0].names

    def margin(self, X: FloatArray) -> FloatArray:
        """Mean log-odds of the bags [rows]."""
        # added one by one: the order, and so the last bit, is the same for one row and for many
        total = np.zeros(X.shape[0])
        for model in self._models:
            total += model.margin(X)
        return total / len(self._models)

    def predict(self, X: FloatArray) -> FloatArray:
        """Probability [rows], before calibration."""
        return sigmoid(self.margin(X))

    def importance(self) -> dict[str, float]:
        """Share of the gain by input, the mean over bags that learned anything."""
        shares = [model.importance() for model in self._models]
        learned = max(1, sum(any(share.values()) for share in shares))
        return {name: sum(share[name] for share in shares) / learned for name in self.names}

    def save(self) -> bytes:
        """The models one behind the other, each after a line with its length in bytes."""
        saved = [model.save() for model in self._models]
        return b"".join(b"%d\n%s" % (len(blob), blob) for blob in saved)
