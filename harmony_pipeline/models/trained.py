"""A trained model: forecaster, calibration, and its exact inputs.

Its id is a hash of everything that determines its results, the fitted bytes included, and of no
clock. The same data, features, parameters and seed give the same id, and one id never stands for
two models.

Where no training row had an input missing, a missing value has no meaning: LightGBM reads it as
0.0, a linear model as the median. Such a row has no probability (NaN here, null in tables), and
`refusals` has the reason. An input that was missing in training too was learned from.
"""

import json
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from harmony_pipeline.arrays import BoolArray, FloatArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.hashing import short_hash
from harmony_pipeline.models.base import Model, forecaster_class, to_json
from harmony_pipeline.models.calibration import Platt
from harmony_pipeline.models.samples import HIDDEN_REGIME, InputMap, Samples

CARD = "card.json"


@dataclass(frozen=True)
class ModelCard:
    """The description of a trained model, without its fitted bytes."""

    forecaster: str  # import path
    short: str
    period: str
    horizon: int  # bars
    feature_set_hash: str
    data_hash: str
    parameters: dict[str, Any]
    seed: int
    names: tuple[str, ...]  # of the inputs
    feature_columns: tuple[str, ...] | None  # None: the inputs were made elsewhere
    regimes: bool
    slope: float  # of the calibration
    intercept: float
    # inputs that training never saw missing; None: not known, a model of an earlier version
    complete: tuple[str, ...] | None = None
    # hash of everything that decides how the model is made, but for the data; None: not known
    recipe: str | None = None
    # sets of parameters that were tried inside the training window; None: no search
    searched: int | None = None
    # the first training window, whose bins the trees have (bins.py); None: bins of their own
    bins: dict[str, Any] | None = None

    def build_id(self, blob: bytes) -> str:
        """`gbm-h8-2024-01-1f3a9c0e`."""
        content = short_hash(to_json(self.fields()) + blob, 4)
        return f"{self.short}-h{self.horizon}-{self.period}-{content}"

    def fields(self) -> dict[str, Any]:
        """The stored fields. A field that an earlier version did not have is left out, so that its
        ids stay.
        """
        return {
            name: value
            for name, value in ((each.name, getattr(self, each.name)) for each in fields(self))
            if name not in ("complete", "recipe", "searched", "bins") or value is not None
        }

    @cached_property
    def required_inputs(self) -> BoolArray:
        """By input: whether a missing value prevents a prediction."""
        return np.isin(np.array(self.names), np.array(self.complete or ()))


@dataclass(frozen=True)
class TrainedModel:
    """A model of one retraining period and horizon. Immutable; safe to share between threads."""

    model_id: str
    card: ModelCard
    model: Model

    @cached_property
    def inputs(self) -> InputMap | None:
        """The map from feature columns, side and regime to its inputs."""
        return (
            None
            if self.card.feature_columns is None
            else InputMap(
                self.card.feature_columns, self.card.regimes, HIDDEN_REGIME in self.card.names
            )
        )

    @property
    def calibration(self) -> Platt:
        """The map from margins to probabilities."""
        return Platt(self.card.slope, self.card.intercept)

    def predict(self, rows: Samples | FloatArray) -> FloatArray:
        """Calibrated probability [rows] that the primary signal is right; NaN where a required
        input is missing.

        Raises DataError when the inputs are not those of the training.
        """
        if isinstance(rows, Samples):
            if rows.names != self.card.names:
                raise DataError(
                    f"{self.model_id} was trained on the inputs {', '.join(self.card.names)}; these"
                    f" are {', '.join(rows.names)}"
                )
            rows = rows.X
        if rows.ndim != 2 or rows.shape[1] != len(self.card.names):
            raise DataError(
                f"{self.model_id} needs inputs of shape [rows, {len(self.card.names)}], found"
                f" {list(rows.shape)}"
            )
        probability = self.calibration.apply(self.model.margin(rows))
        return np.where(self._is_answerable(rows), probability, np.nan)

    def refusals(self, X: FloatArray) -> list[str | None]:
        """By row: why `predict` returns no probability; None where it does."""
        missing = np.isnan(X) & self.card.required_inputs
        if not missing.any():
            return [None] * len(X)
        names = np.array(self.card.names, dtype=object)
        return [
            (
                f"{', '.join(names[row])} missing; training saw no missing value there"
                if row.any()
                else None
            )
            for row in missing
        ]

    def _is_answerable(self, X: FloatArray) -> BoolArray:
        return np.asarray(~(np.isnan(X) & self.card.required_inputs).any(axis=1))

    def files(self) -> dict[str, bytes]:
        """The artifact: file name -> content. The same model gives the same bytes."""
        return {
            CARD: to_json(self.card.fields()),
            forecaster_class(self.card.forecaster).artifact: self.model.save(),
        }

    @classmethod
    def from_files(cls, files: dict[str, bytes]) -> "TrainedModel":
        """The model of `files`. Raises DataError when a file is missing."""
        if CARD not in files:
            raise DataError(
                f"a model artifact without {CARD}; found {', '.join(files) or 'nothing'}"
            )
        held = json.loads(files[CARD])
        columns, complete = held["feature_columns"], held.get("complete")
        lists = {
            "names": tuple(held["names"]),
            "feature_columns": None if columns is None else tuple(columns),
        }
        card = ModelCard(
            **{**held, **lists, "complete": None if complete is None else tuple(complete)}
        )
        kind = forecaster_class(card.forecaster)
        if kind.artifact not in files:
            raise DataError(f"a model artifact without {kind.artifact}; found {', '.join(files)}")
        blob = files[kind.artifact]
        return cls(card.build_id(blob), card, kind.load(blob))
