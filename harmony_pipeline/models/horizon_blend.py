"""Short and medium horizons together: the traded horizon's model is a pool of one model a horizon.

The events of all horizons are the same, with the same inputs; what differs is when and how they
ended. Each horizon's model learns from its own outcomes, of which only those count that were known
by the latest outcome of the part to fit; their weights decay with age as those of the traded
horizon. The pool (`blend.py`) is weighted and calibrated by the
traded horizon's outcomes in the calibration part, as any blend.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import polars as pl

from harmony_pipeline.models.base import Forecaster
from harmony_pipeline.models.blend import Blend, BlendedModel, BlendParameters
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.time_decay import decayed

BLEND = f"{Blend.__module__}:{Blend.__qualname__}"


class HorizonBlend:
    """One forecaster, fitted once for each horizon. `others` are what the models of the other
    horizons are fitted to (`others_to_fit`).
    """

    short: ClassVar[str] = Blend.short
    artifact: ClassVar[str] = Blend.artifact

    def __init__(
        self, forecaster: Forecaster, path: str, horizon: int, others: Mapping[int, Samples]
    ) -> None:
        self._forecaster, self._path, self._horizon = forecaster, path, horizon
        self._others = dict(sorted(others.items()))
        self._equal_weight = BlendParameters().equal_weight

    @property
    def parameters(self) -> dict[str, Any]:
        """Those of the forecaster, and the horizons."""
        return {
            **self._forecaster.parameters,
            "horizons": sorted((self._horizon, *self._others)),
            "equal_weight": self._equal_weight,
        }

    def fit(self, samples: Samples) -> BlendedModel:
        """Fit a model to `samples`, and one to the events of each other horizon; a horizon with too
        few of them is left out.
        """
        models = [self._forecaster.fit(samples)]
        for known in self._others.values():
            if known.height and known.frame["label"].n_unique() == 2:
                models.append(self._forecaster.fit(known))
        return BlendedModel.equal(tuple(models), (self._path,) * len(models), self._equal_weight)

    @classmethod
    def load(cls, blob: bytes) -> BlendedModel:
        """The model from its JSON."""
        return Blend.load(blob)


def others_to_fit(
    samples: Samples, others: Mapping[int, Samples], oldest_weight: float
) -> dict[int, Samples]:
    """Of each horizon in `others` the events that were known with the part to fit `samples`, with
    weights that decay over these events. What they are is decided before anything decays, so that
    nothing is older for one horizon than for another.
    """
    fitted = samples.events_with_weight()
    return {
        horizon: decayed(known_with(fitted, rows), oldest_weight)
        for horizon, rows in others.items()
    }


def known_with(samples: Samples, other: Samples) -> Samples:
    """The events of `other` inside the time of `samples` that were settled by the latest outcome in
    `samples`.
    """
    first, last = samples.frame["timestamp"].min(), samples.frame["end_timestamp"].max()
    kept = other.frame.select(
        (
            (pl.col("timestamp") >= first)
            & (pl.col("end_timestamp") <= last)
            & pl.col("label").is_not_null()
        ).fill_null(value=False)
    ).to_series()
    return other.where(kept.to_numpy())
