"""What a forecaster is: the seam that every kind of model fits through.

A forecaster learns, from resolved events, how likely the primary signal is to be right (meta-labelling, Lopez de Prado 2018,
"Advances in Financial Machine Learning", ch. 3.6). It says so as a margin (log-odds) and as a probability. Calibration, walk-forward,
storage and promotion are the same for all of them and are not its business.

A new one is a class with these few methods, named in `harmony.toml` as `model.forecaster = "package.module:Class"`; it must pass
`harmony_pipeline.testing.forecaster_contract.ForecasterContract`.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
from pydantic import ValidationError

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.import_paths import import_object
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.settings_base import FrozenSettings

P = TypeVar("P", bound=FrozenSettings)


class Model(Protocol):
    """A fitted forecaster: immutable, safe to share between threads.

    `X` is float64 [rows, inputs], in the order of `names`; NaN marks an input that is not known and is never an error. A row's answer depends
    on that row alone: one row at a time gives the same bits as all at once. What a model says of an input that is missing and never was in
    training means nothing, and nobody hears it: `TrainedModel` gives no probability there, whatever the forecaster.
    """

    names: tuple[str, ...]

    def margin(self, X: FloatArray) -> FloatArray:
        """Log-odds that the label is 1, float64 [rows], finite."""

    def predict(self, X: FloatArray) -> FloatArray:
        """Probability that the label is 1, float64 [rows], each in [0, 1]; not calibrated."""

    def importance(self) -> dict[str, float]:
        """Share of each input in what was learned: not negative, sums to 1 (all 0 when nothing was learned)."""

    def save(self) -> bytes:
        """Everything that `load` needs; the same model gives the same bytes, with no clock, path or host name in them."""


class Forecaster(Protocol):
    """Fits models. Built as `Class(parameters, seed)`; must raise ConfigError on a parameter that it does not know.

    Obligations: `fit` is deterministic, the same samples, parameters and seed give the same bytes; no global state is read or changed (no global
    random generator, no thread count of the process); sample weights are honoured as numbers of observations; inputs may be NaN.
    """

    short: ClassVar[str]  # a word for model ids
    artifact: ClassVar[str]  # file name of a saved model

    def __init__(self, parameters: Mapping[str, Any], seed: int) -> None: ...

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter in force, defaults included."""

    def fit(self, samples: Samples) -> Model:
        """Learn from resolved samples that hold both labels. Raises DataError otherwise."""

    @classmethod
    def load(cls, blob: bytes) -> Model:
        """The model that `save` wrote, exact to the last bit."""


def forecaster_class(path: str) -> type[Forecaster]:
    """The class named `package.module:Class`. Raises ConfigError."""
    kind: type[Forecaster] = import_object(path, "model.forecaster")
    return kind


def build_forecaster(path: str, parameters: Mapping[str, Any], seed: int) -> Forecaster:
    """The forecaster named by an import path, with `parameters` over its own defaults. Raises ConfigError."""
    return forecaster_class(path)(parameters, seed)


def checked_parameters(kind: type[P], parameters: Mapping[str, Any]) -> P:
    """`parameters` as the settings class of a forecaster. Raises ConfigError naming the parameter and what is allowed."""
    try:
        return kind.model_validate(dict(parameters))
    except ValidationError as error:
        detail = error.errors()[0]
        key = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "extra_forbidden":
            raise ConfigError(f"model.parameters.{key} is not known; valid here: {', '.join(sorted(kind.model_fields))}") from None
        raise ConfigError(f"model.parameters.{key} = {detail.get('input')!r}: {detail['msg']}") from None


def sigmoid(margin: FloatArray) -> FloatArray:
    """1 / (1 + exp(-margin)), without overflow on either side."""
    small = np.exp(-np.abs(margin))
    return np.asarray(np.where(margin >= 0.0, 1.0, small) / (1.0 + small), dtype=np.float64)


def to_json(value: Any) -> bytes:
    """JSON with sorted keys: equal values give equal bytes, and every float comes back exactly."""
    return json.dumps(value, sort_keys=True, indent=1).encode()
