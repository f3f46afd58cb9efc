"""A blend of forecasters: a linear pool of their probabilities.

Every member is fitted to the part to fit. The calibration part alone decides how they are pooled:
each member gets its own Platt calibration there, and the weights are those of the mixture that
makes its outcomes most likely, by expectation and maximisation, which stays non-negative, sums to
one and never lowers the likelihood (Dempster, Laird & Rubin 1977). A prior of `equal_weight`
effective observations in favour of equal weights keeps noise from choosing a single member
(Dirichlet; equal weights are hard to beat: Clemen 1989, "Combining forecasts", Int. J. Forecasting
5). The pool is calibrated as any forecaster afterwards.

    [model]
    forecaster = "harmony_pipeline.models.blend:Blend"
    [[model.parameters.members]]
    forecaster = "harmony_pipeline.models.gradient_boosting:GradientBoosting"
    [[model.parameters.members]]
    forecaster = "harmony_pipeline.models.ridge:Ridge"
    parameters = { penalty = 100.0 }
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.models.base import (
    Model,
    build_forecaster,
    forecaster_class,
    sigmoid,
    to_json,
    validate_parameters,
)
from harmony_pipeline.models.bins import uses_bins
from harmony_pipeline.models.calibration import Platt, fit_platt, shrink_slope
from harmony_pipeline.models.samples import Samples, event_days
from harmony_pipeline.settings_base import FrozenSettings

_STEPS = 200
_SURE = 1e-12  # a probability is at least this far from 0 and 1, so that margins are finite


class BlendMember(FrozenSettings):
    """A forecaster with parameters over its own defaults."""

    forecaster: str
    parameters: dict[str, Any] = Field({}, description="over the forecaster's own defaults")


class BlendParameters(FrozenSettings):
    """The members, and how strongly their weights are held together."""

    members: tuple[BlendMember, ...] = Field(
        (
            BlendMember(forecaster="harmony_pipeline.models.gradient_boosting:GradientBoosting"),
            BlendMember(forecaster="harmony_pipeline.models.logistic:Logistic"),
            BlendMember(forecaster="harmony_pipeline.models.ridge:Ridge"),
        ),
        min_length=1,
    )
    equal_weight: float = Field(
        50.0, ge=0.0, description="effective observations in favour of equal weights"
    )


class Blend:
    """A linear pool of forecasters."""

    short: ClassVar[str] = "blend"
    artifact: ClassVar[str] = "model.json"

    def __init__(self, parameters: Mapping[str, Any], seed: int) -> None:
        self._parameters = validate_parameters(BlendParameters, parameters)
        self._paths = tuple(member.forecaster for member in self._parameters.members)
        self._members = [
            build_forecaster(member.forecaster, member.parameters, seed)
            for member in self._parameters.members
        ]

    @property
    def parameters(self) -> dict[str, Any]:
        """Every effective parameter, those of the members included."""
        members = [
            {"forecaster": path, "parameters": member.parameters}
            for path, member in zip(self._paths, self._members, strict=True)
        ]
        return {"members": members, "equal_weight": self._parameters.equal_weight}

    @property
    def uses_bins(self) -> bool:
        """Whether a member does."""
        return any(map(uses_bins, self._members))

    def fit(self, samples: Samples) -> "BlendedModel":
        """Fit every member to all rows; equal weights, until `weighted_by` has seen other rows.
        Raises DataError as the members do.
        """
        models = tuple(member.fit(samples) for member in self._members)
        return BlendedModel.equal(models, self._paths, self._parameters.equal_weight)

    @classmethod
    def load(cls, blob: bytes) -> "BlendedModel":
        """The model from its JSON."""
        held = json.loads(blob)
        members = held["members"]
        return BlendedModel(
            tuple(
                forecaster_class(each["forecaster"]).load(base64.b64decode(each["model"]))
                for each in members
            ),
            tuple(each["forecaster"] for each in members),
            tuple(Platt(each["slope"], each["intercept"]) for each in members),
            tuple(each["weight"] for each in members),
            held["equal_weight"],
        )


@dataclass(frozen=True)
class BlendedModel:
    """Fitted members; by member its import path, its calibration, and its weight in the pool."""

    models: tuple[Model, ...]
    paths: tuple[str, ...]
    calibrations: tuple[Platt, ...]
    shares: tuple[float, ...]
    equal_weight: float

    @classmethod
    def equal(
        cls, models: tuple[Model, ...], paths: tuple[str, ...], equal_weight: float
    ) -> "BlendedModel":
        """Members as they are, with equal weights."""
        count = len(models)
        plain = (Platt(1.0, 0.0),) * count
        return cls(models, paths, plain, (1.0 / count,) * count, equal_weight)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the inputs."""
        return self.models[0].names

    def weighted_by(self, later: Samples) -> "BlendedModel":
        """The same members, calibrated and weighted by events that they were not fitted to."""
        outcome, weight, days = later.labels(), later.weights(), event_days(later)
        margins = [model.margin(later.X) for model in self.models]
        calibrations = tuple(
            shrink_slope(fit_platt(margin, outcome, weight), margin, outcome, weight, days)
            for margin in margins
        )
        probability = np.stack(
            [
                calibration.apply(margin)
                for calibration, margin in zip(calibrations, margins, strict=True)
            ]
        )
        likelihood = np.where(outcome == 1.0, probability, 1.0 - probability)
        shares = mixture_weights(likelihood, weight, self.equal_weight)
        return replace(self, calibrations=calibrations, shares=tuple(shares.tolist()))

    def predict(self, X: FloatArray) -> FloatArray:
        """Probability [rows] of the pool."""
        return sigmoid(self.margin(X))

    def margin(self, X: FloatArray) -> FloatArray:
        """Log-odds [rows] of the pool."""
        total = np.zeros(X.shape[0])
        for model, calibration, share in zip(
            self.models, self.calibrations, self.shares, strict=True
        ):
            total = total + share * calibration.apply(model.margin(X))
        total = np.clip(total, _SURE, 1.0 - _SURE)
        return np.asarray(np.log(total) - np.log1p(-total), dtype=np.float64)

    def importance(self) -> dict[str, float]:
        """The members' shares, weighted as their probabilities are."""
        found = [np.array(list(model.importance().values())) for model in self.models]
        total = np.sum(
            [share * each for share, each in zip(self.shares, found, strict=True)], axis=0
        )
        size = float(total.sum())
        return dict(zip(self.names, (total / size if size > 0.0 else total).tolist(), strict=True))

    def save(self) -> bytes:
        """JSON with each member's own bytes in base 64."""
        members = [
            {
                "forecaster": path,
                "slope": calibration.slope,
                "intercept": calibration.intercept,
                "weight": share,
                "model": base64.b64encode(model.save()).decode(),
            }
            for model, path, calibration, share in zip(
                self.models, self.paths, self.calibrations, self.shares, strict=True
            )
        ]
        return to_json({"members": members, "equal_weight": self.equal_weight})


def mixture_weights(
    likelihood: FloatArray | Sequence[FloatArray], weight: FloatArray, equal_weight: float
) -> FloatArray:
    """The weights [members], not negative and of sum 1, of the mixture under which the outcomes are
    most likely.

    likelihood: of each outcome by each member, [members, rows]. weight: observations [rows].
    equal_weight: observations of the prior in favour of equal weights.
    """
    likely = np.asarray(likelihood, dtype=np.float64)
    members = likely.shape[0]
    shares = np.full(members, 1.0 / members)
    prior = equal_weight / members
    for _ in range(_STEPS):
        joint = shares[:, None] * likely
        # a row that no member finds possible says nothing about them
        total = np.maximum(joint.sum(axis=0), np.finfo(np.float64).tiny)
        counted = (joint / total * weight).sum(axis=1) + prior
        size = counted.sum()
        if size == 0.0:
            break
        shares = counted / size
    return shares
