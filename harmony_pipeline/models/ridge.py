"""Ridge regression of the label's return: the linear baseline that learns how much, not only
whether.

Inputs are imputed and standardised as in `logistic.py`. The target is the return over its root mean
square. The predicted mean in deviations becomes a margin by the normal distribution, and the
calibration of the walk-forward turns it into the probability of a positive return, as for every
forecaster. (Hoerl & Kennard 1970, "Ridge regression: biased estimation for nonorthogonal problems",
Technometrics 12.)

The sums are numpy's own, not BLAS, so that the number of its threads changes no bit.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from harmony_pipeline.models.base import NORMAL_LOG_ODDS, Range, validate_parameters
from harmony_pipeline.models.logistic import LinearModel, Logistic
from harmony_pipeline.models.samples import Samples, training_returns
from harmony_pipeline.settings_base import FrozenSettings


class RidgeParameters(FrozenSettings):
    """Parameters of the linear regression."""

    penalty: float = Field(
        40.0, gt=0.0, description="squared coefficients' weight, in effective observations"
    )


class Ridge:
    """Weighted ridge regression of the return on standardised, median-imputed inputs."""

    short: ClassVar[str] = "ridge"
    artifact: ClassVar[str] = "model.json"
    search_space: ClassVar[Mapping[str, Range]] = {"penalty": Range(1.0, 1e4, logarithmic=True)}

    def __init__(self, parameters: Mapping[str, Any], seed: int) -> None:
        self._parameters = validate_parameters(RidgeParameters, parameters)
        self._seed = seed  # part of the interface; the solution is closed

    @property
    def parameters(self) -> dict[str, Any]:
        """Every effective parameter."""
        return self._parameters.model_dump()

    def fit(self, samples: Samples) -> LinearModel:
        """Fit all rows, weighted. Raises DataError when a row is unresolved or only one label
        occurs.
        """
        samples = samples.events_with_weight()
        returns, weights, _ = training_returns(samples)
        blank = LinearModel.from_samples(samples, weights)
        scores = blank.standardise(samples.X)
        centre = float((returns * weights).sum() / weights.sum())
        weighted = scores * weights[:, None]
        gram = np.einsum("ri,rj->ij", weighted, scores)
        gram[np.diag_indices_from(gram)] += self._parameters.penalty
        slopes = np.linalg.solve(gram, np.einsum("ri,r->i", weighted, returns - centre))
        return replace(
            blank,
            coefficients=tuple((NORMAL_LOG_ODDS * slopes).tolist()),
            intercept=NORMAL_LOG_ODDS * centre,
        )

    @classmethod
    def load(cls, blob: bytes) -> LinearModel:
        """The model from its JSON."""
        return Logistic.load(blob)
