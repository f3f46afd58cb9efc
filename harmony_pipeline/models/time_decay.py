"""Less weight for older training events (Lopez de Prado, Advances in Financial Machine Learning,
2018, ch. 4.7).

The decay is piecewise linear in cumulative weight, which is cumulative average uniqueness where
labels are weighted so: a year of many overlapping labels is no older than what they tell. The
newest event keeps its weight. The oldest keeps the part `oldest` of it; below 0, that part of the
history keeps nothing and is left out of the fit, its search and its bins.
"""

from dataclasses import replace
from typing import TypeVar

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.models.samples import Samples

S = TypeVar("S", bound=Samples)


def decay_factors(weights: FloatArray, oldest: float) -> FloatArray:
    """The part of its weight that each event keeps, float64 [rows], for `weights` [rows] from the
    oldest event to the newest. `oldest` lies in (-1, 1]; 1 is no decay.
    """
    total = weights.sum()
    if oldest == 1.0 or total == 0.0:
        return np.ones(weights.size)
    slope = (1.0 - oldest if oldest >= 0.0 else 1.0 / (1.0 + oldest)) / total
    kept: FloatArray = np.maximum(1.0 - slope * (total - np.cumsum(weights)), 0.0)
    return kept


def decayed_weights(weights: FloatArray, oldest: float) -> FloatArray:
    """What each event keeps of its weight, float64 [rows], from the oldest event to the newest."""
    return weights * decay_factors(weights, oldest)


def decayed(samples: S, oldest: float) -> S:
    """The events that keep a weight, with decayed weights; the same object where none changes."""
    if oldest != 1.0:
        samples = reweighted(samples, decayed_weights(samples.weights(), oldest))
    return samples.events_with_weight()


def remembered(samples: S, oldest: float) -> S:
    """The events that keep a weight, with the weights that they had; the same object where that is
    all of them.
    """
    kept = decayed_weights(samples.weights(), oldest) != 0.0
    return samples if kept.all() else samples.where(kept)


def reweighted(samples: S, weights: FloatArray) -> S:
    """The events with `weights` [rows] in place of theirs."""
    return replace(samples, frame=samples.frame.with_columns(weight=pl.Series(weights)))
