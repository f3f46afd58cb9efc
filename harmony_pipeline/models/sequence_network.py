"""A small recurrent network over the latest bars of the event's symbol, fitted with PyTorch.

Inputs called `lagged_NAME_K`, the value of NAME K bars before the event, are the sequence: one step
a lag, oldest first. The last step is the event's own row of all other inputs, which also has a
straight linear way to the margin. Without lagged inputs the sequence is that one row. Lags are
ordinary features (`lagged_return_3`), so research and the live session build the same sequence and
a row depends on nothing but itself.

PyTorch (`pip install 'harmony-pipeline[torch]'`) is needed to fit and not to predict: the forward
pass is a kernel of our own (`gated_recurrence.py`), in float64. The fit is deterministic: one
thread, `torch.use_deterministic_algorithms`, weights and batches drawn from one seeded generator of
numpy. Whatever is set in PyTorch is put back afterwards.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.models.base import Range, sigmoid, to_json, validate_parameters
from harmony_pipeline.models.gated_recurrence import Weights, recurrent_margins
from harmony_pipeline.models.logistic import LinearModel
from harmony_pipeline.models.samples import Samples, training_targets
from harmony_pipeline.settings_base import FrozenSettings

_LAGGED = re.compile(r"lagged_(?P<channel>.+)_(?P<lag>\d+)(?:_sided)?")


class SequenceParameters(FrozenSettings):
    """Parameters of the network and of its fit by Adam."""

    units: int = Field(8, ge=1, le=256, description="hidden units")
    epochs: int = Field(12, ge=1, le=1000, description="passes over the training rows")
    batch_rows: int = Field(256, ge=16)
    learning_rate: float = Field(0.01, gt=0.0, le=1.0)
    weight_decay: float = Field(
        0.05, ge=0.0, description="decoupled, at each step in parts of the learning rate"
    )


class SequenceNetwork:
    """A gated recurrent unit on log loss."""

    short: ClassVar[str] = "gru"
    artifact: ClassVar[str] = "model.json"
    search_space: ClassVar[Mapping[str, Range]] = {
        "units": Range(4, 32, logarithmic=True, whole=True),
        "epochs": Range(4, 40, logarithmic=True, whole=True),
        "learning_rate": Range(0.001, 0.05, logarithmic=True),
        "weight_decay": Range(0.001, 1.0, logarithmic=True),
    }

    def __init__(self, parameters: Mapping[str, Any], seed: int) -> None:
        self._parameters = validate_parameters(SequenceParameters, parameters)
        self._seed = seed

    @property
    def parameters(self) -> dict[str, Any]:
        """Every effective parameter."""
        return self._parameters.model_dump()

    def fit(self, samples: Samples) -> "RecurrentModel":
        """Fit all rows, weighted. Raises DataError when a row is unresolved or only one label
        occurs, and ConfigError without PyTorch.
        """
        torch = pytorch()
        samples = samples.events_with_weight()
        labels, weights = training_targets(samples)
        scaling = LinearModel.from_samples(samples, weights)
        layout = SequenceLayout(samples.names)
        past, row = layout.arrays(scaling.standardise(samples.X))
        random = np.random.default_rng(self._seed)
        chosen = self._parameters
        start = _first_weights(random, past.shape[2], row.shape[1], chosen.units)
        with _reproducible(torch):
            tensors = [torch.tensor(value, dtype=torch.float64) for value in start]
            for tensor in tensors:
                tensor.requires_grad_(requires_grad=True)
            optimiser = torch.optim.AdamW(
                tensors, lr=chosen.learning_rate, weight_decay=chosen.weight_decay
            )
            data = [torch.tensor(each) for each in (past, row, labels, weights)]
            for _ in range(chosen.epochs):
                order = random.permutation(samples.height)
                for first in range(0, samples.height, chosen.batch_rows):
                    batch = torch.from_numpy(order[first : first + chosen.batch_rows])
                    optimiser.zero_grad()
                    _loss(torch, tensors, [each[batch] for each in data]).backward()
                    optimiser.step()
            fitted = Weights(*(tensor.detach().numpy().copy() for tensor in tensors))
        return RecurrentModel(samples.names, scaling, fitted)

    @classmethod
    def load(cls, blob: bytes) -> "RecurrentModel":
        """The model from its JSON; PyTorch is not needed."""
        held = json.loads(blob)
        names, median, mean, deviation = (
            tuple(held[name]) for name in ("names", "median", "mean", "deviation")
        )
        scaling = LinearModel(names, median, mean, deviation)
        weights = Weights(
            *(
                np.array(each["values"], dtype=np.float64).reshape(each["shape"])
                for each in held["weights"]
            )
        )
        return RecurrentModel(scaling.names, scaling, weights)


@dataclass(frozen=True)
class SequenceLayout:
    """Which inputs are which past bar of which channel, and which belong to the event itself."""

    names: tuple[str, ...]

    @cached_property
    def _places(self) -> tuple[IntArray, IntArray]:
        """(position of each [step, channel], -1 for none; positions of the other inputs)."""
        found = [_LAGGED.fullmatch(name) for name in self.names]
        channels = sorted({match["channel"] for match in found if match})
        lags = sorted({int(match["lag"]) for match in found if match}, reverse=True)
        places = np.full((len(lags), len(channels)), -1, dtype=np.int64)
        for position, match in enumerate(found):
            if match:
                step, channel = lags.index(int(match["lag"])), channels.index(match["channel"])
                places[step, channel] = position
        own = [position for position, match in enumerate(found) if not match]
        return places, np.array(own, dtype=np.int64)

    def arrays(self, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(past [rows, steps, channels], row [rows, other inputs]) of scores [rows, inputs]; 0
        where a channel lacks a lag.
        """
        places, own = self._places
        past = np.where(places >= 0, scores[:, np.maximum(places, 0)], 0.0)
        return np.ascontiguousarray(past), np.ascontiguousarray(scores[:, own])

    def by_input(self, past: FloatArray, own: FloatArray) -> FloatArray:
        """Values [inputs] of a value a channel, [channels], and one an own input."""
        places, positions = self._places
        found = np.zeros(len(self.names))
        for channel in range(places.shape[1]):
            found[places[places[:, channel] >= 0, channel]] = past[channel]
        found[positions] = own
        return found


@dataclass(frozen=True)
class RecurrentModel:
    """A fitted network with the scaling of its inputs."""

    names: tuple[str, ...]
    scaling: LinearModel
    weights: Weights

    @cached_property
    def _layout(self) -> SequenceLayout:
        return SequenceLayout(self.names)

    def margin(self, X: FloatArray) -> FloatArray:
        """Log-odds [rows]."""
        past, row = self._layout.arrays(self.scaling.standardise(X))
        return np.asarray(recurrent_margins(past, row, self.weights), dtype=np.float64)

    def predict(self, X: FloatArray) -> FloatArray:
        """Probability [rows], before calibration."""
        return sigmoid(self.margin(X))

    def importance(self) -> dict[str, float]:
        """Share of the absolute weights that leave each input."""
        size = self._layout.by_input(
            np.abs(self.weights.past).sum(axis=1),
            np.abs(self.weights.row).sum(axis=1) + np.abs(self.weights.skip),
        )
        size = np.where(np.isinf(np.array(self.scaling.deviation)), 0.0, size)
        total = size.sum()
        return dict(zip(self.names, (size / total if total > 0.0 else size).tolist(), strict=True))

    def save(self) -> bytes:
        """JSON. Python writes floats so that they are restored exactly."""
        scaling = self.scaling
        return to_json(
            {
                "names": scaling.names,
                "median": scaling.median,
                "mean": scaling.mean,
                "deviation": scaling.deviation,
                "weights": [
                    {"shape": list(each.shape), "values": each.ravel().tolist()}
                    for each in self.weights
                ],
            }
        )


def pytorch() -> Any:
    """The torch module. Raises ConfigError with the command that installs it."""
    try:
        import torch
    except ImportError:
        raise ConfigError(
            "model.forecaster = SequenceNetwork is fitted with PyTorch, which is not installed;"
            " install it with: pip install 'harmony-pipeline[torch]'"
        ) from None
    return torch


@contextmanager
def _reproducible(torch: Any) -> Iterator[None]:
    """One thread and deterministic algorithms; afterwards what was set before."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict)
        torch.set_num_threads(threads)


def _first_weights(random: np.random.Generator, channels: int, inputs: int, units: int) -> Weights:
    """Normal weights of variance 1 / inputs of the sum (LeCun et al. 1998); nothing straight."""

    def drawn(rows: int, columns: int) -> FloatArray:
        return np.asarray(random.normal(size=(rows, columns)) / np.sqrt(max(rows, 1)))

    return Weights(
        drawn(channels, 3 * units),
        drawn(inputs, 3 * units),
        drawn(units, 3 * units),
        np.zeros(3 * units),
        np.zeros(inputs),
        np.zeros(units + 1),
    )


def _loss(torch: Any, tensors: Sequence[Any], batch: Sequence[Any]) -> Any:
    """Weighted mean cross entropy of a batch: past, row, labels, weights."""
    past, row, labels, weights = batch
    margin = network_margin(torch, Weights(*tensors), past, row)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(margin, labels, reduction="none")
    return (loss * weights).sum() / weights.sum()


def network_margin(torch: Any, weights: Weights, past: Any, row: Any) -> Any:
    """The margins [rows] of tensors, as `recurrent_margins` computes them of arrays."""
    units = weights.hidden.shape[0]
    state = torch.zeros((row.shape[0], units), dtype=torch.float64)
    for step in range(past.shape[1] + 1):
        seen = past[:, step] @ weights.past if step < past.shape[1] else row @ weights.row
        seen, recalled = seen + weights.bias, state @ weights.hidden
        reset = torch.sigmoid(seen[:, :units] + recalled[:, :units])
        keep = torch.sigmoid(seen[:, units : 2 * units] + recalled[:, units : 2 * units])
        candidate = torch.tanh(seen[:, 2 * units :] + reset * recalled[:, 2 * units :])
        state = (1.0 - keep) * candidate + keep * state
    return state @ weights.out[:units] + weights.out[units] + row @ weights.skip
