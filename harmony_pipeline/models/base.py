"""The interface of a forecaster.

A forecaster learns, from resolved events, the probability that the primary signal is right
(meta-labelling, Lopez de Prado 2018, "Advances in Financial Machine Learning", ch. 3.6). It returns
it as a margin (log-odds) and as a probability. Calibration, walk-forward training, storage and
promotion are the same for all forecasters and lie outside.

A new forecaster is a class with these methods, named in `harmony.toml` as `model.forecaster =
"package.module:Class"`. It must pass
`harmony_pipeline.testing.forecaster_contract.ForecasterContract`.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

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

    `X` is float64 [rows, inputs], in the order of `names`. NaN marks an unknown input and is never
    an error. The result of a row depends on that row alone: one row at a time gives the same bits
    as all at once. The result for a missing input that was never missing in training has no meaning
    and is not used: `TrainedModel` returns no probability there, for any forecaster.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """Of the inputs."""

    def margin(self, X: FloatArray) -> FloatArray:
        """Log-odds that the label is 1, float64 [rows], finite."""

    def predict(self, X: FloatArray) -> FloatArray:
        """Probability that the label is 1, float64 [rows], each in [0, 1]; not calibrated."""

    def importance(self) -> dict[str, float]:
        """Share of each input in the fit: not negative, sums to 1 (all 0 when nothing
        was learned).
        """

    def save(self) -> bytes:
        """Everything that `load` needs. The same model gives the same bytes, without clock, path or
        host name.
        """


class Range(NamedTuple):
    """Where a parameter is searched, both ends included."""

    low: float
    high: float
    logarithmic: bool = False
    whole: bool = False


class Forecaster(Protocol):
    """Fits models. It is built as `Class(parameters, seed)` and raises ConfigError for an unknown
    parameter.

    A class may say where its parameters are searched, in `search_space: ClassVar[Mapping[str,
    Range]]` (search.py).

    Obligations: `fit` is deterministic: the same samples, parameters and seed give the same bytes.
    It reads and changes no global state (no global random generator, no thread count of the
    process). Sample weights count as numbers of observations: a row of weight 0 is not fitted to.
    Inputs may be NaN.
    """

    short: ClassVar[str]  # a word for model ids
    artifact: ClassVar[str]  # file name of a saved model

    def __init__(self, parameters: Mapping[str, Any], seed: int) -> None: ...

    @property
    def parameters(self) -> dict[str, Any]:
        """Every effective parameter, defaults included."""

    def fit(self, samples: Samples) -> Model:
        """Fit resolved samples with both labels. Raises DataError otherwise."""

    @classmethod
    def load(cls, blob: bytes) -> Model:
        """The model that `save` wrote, bit for bit."""


def forecaster_class(path: str) -> type[Forecaster]:
    """The class named `package.module:Class`. Raises ConfigError."""
    kind: type[Forecaster] = import_object(path, "model.forecaster")
    return kind


def build_forecaster(path: str, parameters: Mapping[str, Any], seed: int) -> Forecaster:
    """The forecaster at an import path, with `parameters` over its defaults. Raises ConfigError."""
    return forecaster_class(path)(parameters, seed)


def validate_parameters(kind: type[P], parameters: Mapping[str, Any]) -> P:
    """`parameters` as the settings class of a forecaster. Raises ConfigError with the parameter and
    what is allowed.
    """
    try:
        return kind.model_validate(dict(parameters))
    except ValidationError as error:
        detail = error.errors()[0]
        key = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "extra_forbidden":
            raise ConfigError(
                f"model.parameters.{key} is not known; valid here:"
                f" {', '.join(sorted(kind.model_fields))}"
            ) from None
        raise ConfigError(
            f"model.parameters.{key} = {detail.get('input')!r}: {detail['msg']}"
        ) from None


NORMAL_LOG_ODDS = 1.702
"""Log-odds of a normal quantile, about: 1 / (1 + exp(-1.702 z)) is within 0.01 of the normal
distribution function at every z (Haley 1952). It turns a predicted mean in deviations into a
margin; the calibration corrects the rest.
"""


def sigmoid(margin: FloatArray) -> FloatArray:
    """1 / (1 + exp(-margin)), without overflow on either side."""
    small = np.exp(-np.abs(margin))
    return np.asarray(np.where(margin >= 0.0, 1.0, small) / (1.0 + small), dtype=np.float64)


def to_json(value: Any) -> bytes:
    """JSON with sorted keys. Equal values give equal bytes, and every float is restored exactly."""
    return json.dumps(value, sort_keys=True, indent=1).encode()
