"""Ridge-penalised logistic regression: the baseline for other forecasters.

Unknown inputs are set to the training median. Then each input is standardised with the weighted
mean and deviation of the training rows. scikit-learn fits. A prediction is a sum over the columns
in fixed order, without BLAS, so that one row gives the same bits as many.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.models.base import Range, sigmoid, to_json, validate_parameters
from harmony_pipeline.models.blas_threads import one_blas_thread
from harmony_pipeline.models.samples import Samples, training_targets
from harmony_pipeline.settings_base import FrozenSettings

_LARGEST_SCORE = 8.0  # standard deviations; one wild input cannot decide a probability alone


class LogisticParameters(FrozenSettings):
    """Parameters of the baseline."""

    inverse_penalty: float = Field(
        0.1, gt=0.0, description="scikit-learn's C, against the effective number of observations"
    )
    max_iterations: int = Field(500, ge=10)


class Logistic:
    """Logistic regression on standardised, median-imputed inputs."""

    short: ClassVar[str] = "logit"
    artifact: ClassVar[str] = "model.json"
    search_space: ClassVar[Mapping[str, Range]] = {
        "inverse_penalty": Range(1e-4, 10.0, logarithmic=True)
    }

    def __init__(self, parameters: Mapping[str, Any], seed: int) -> None:
        self._parameters = validate_parameters(LogisticParameters, parameters)
        self._seed = seed  # part of the interface; the solver draws nothing

    @property
    def parameters(self) -> dict[str, Any]:
        """Every effective parameter."""
        return self._parameters.model_dump()

    def fit(self, samples: Samples) -> "LinearModel":
        """Fit all rows, weighted. Raises DataError when a row is unresolved or only one label
        occurs.
        """
        from sklearn.linear_model import LogisticRegression

        samples = samples.events_with_weight()
        labels, weights = training_targets(samples)
        blank = LinearModel.from_samples(samples, weights)
        solver = LogisticRegression(
            C=self._parameters.inverse_penalty, max_iter=self._parameters.max_iterations, tol=1e-8
        )
        with one_blas_thread():
            solver.fit(blank.standardise(samples.X), labels, sample_weight=weights)
        return LinearModel(
            blank.names,
            blank.median,
            blank.mean,
            blank.deviation,
            tuple(solver.coef_[0].tolist()),
            float(solver.intercept_[0]),
        )

    @classmethod
    def load(cls, blob: bytes) -> "LinearModel":
        """The model from its JSON."""
        held: dict[str, Any] = json.loads(blob)
        intercept = held.pop("intercept")
        return LinearModel(
            **{key: tuple(values) for key, values in held.items()}, intercept=intercept
        )


@dataclass(frozen=True)
class LinearModel:
    """Log-odds = intercept + sum over inputs of coefficient * (value - mean) / deviation."""

    names: tuple[str, ...]
    median: tuple[float, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    coefficients: tuple[float, ...] = ()
    intercept: float = 0.0

    @classmethod
    def from_samples(cls, samples: Samples, weights: FloatArray) -> "LinearModel":
        """A model without coefficients, with the imputation and scaling of `samples`.

        An input that is never known, or constant, becomes 0 throughout.
        """
        known = (column[np.isfinite(column)] for column in samples.X.T)
        median = np.array(
            [np.median(values) if values.size else 0.0 for values in known], dtype=np.float64
        )
        filled = np.where(np.isfinite(samples.X), samples.X, median)
        share = (weights / weights.sum())[:, None]
        mean = (filled * share).sum(axis=0)
        deviation = np.sqrt(((filled - mean) ** 2 * share).sum(axis=0))
        constant = deviation <= 1e-12 * np.maximum(1.0, np.abs(mean))
        return cls(
            samples.names,
            tuple(median.tolist()),
            tuple(mean.tolist()),
            tuple(np.where(constant, np.inf, deviation).tolist()),
        )

    def standardise(self, X: FloatArray) -> FloatArray:
        """Standard scores [rows, inputs], unknown inputs imputed, extreme ones clipped at +-8."""
        filled = np.where(np.isfinite(X), X, np.array(self.median))
        scores = (filled - np.array(self.mean)) / np.array(self.deviation)
        return np.asarray(np.clip(scores, -_LARGEST_SCORE, _LARGEST_SCORE), dtype=np.float64)

    def margin(self, X: FloatArray) -> FloatArray:
        """Log-odds [rows]."""
        total = np.full(X.shape[0], self.intercept)
        for column, coefficient in zip(self.standardise(X).T, self.coefficients, strict=True):
            total = total + column * coefficient
        return total

    def predict(self, X: FloatArray) -> FloatArray:
        """Probability [rows], before calibration."""
        return sigmoid(self.margin(X))

    def importance(self) -> dict[str, float]:
        """Share of each absolute coefficient on standardised inputs."""
        size = np.abs(np.array(self.coefficients, dtype=np.float64))
        total = size.sum()
        return dict(zip(self.names, (size / total if total > 0.0 else size).tolist(), strict=True))

    def save(self) -> bytes:
        """JSON. Python writes floats so that they are restored exactly."""
        return to_json(asdict(self))
