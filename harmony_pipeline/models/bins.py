"""Bins of the inputs, which trees split between, kept from the first training window.

LightGBM sorts the values of every input into a few bins of about equal counts. Found anew for each
training window they take a third of a fit. With `model.bins = "first_window"` they are found once,
on the events to fit of the first retraining period that has a model. That window is a fixed part of
the plan and lies before every model, so a period that is trained alone finds the same bins as in a
backfill, and no later value shapes them: later values only fall into them.

    first window |-- bins are found --|
    later window |---------- values fall into them ----------|

Three cases decide what the first window cannot:

- A missing value always has a bin of its own, also where the first window has none.
- An input of which one value (missing is one) fills more than half of the first window, and that
  has other values later, has no bins there worth keeping: it has those of each window's own.
- Without a first window (nothing could be trained yet) there is no model, and no bins are needed.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
from harmony_pipeline.hashing import hash_of_parts
from harmony_pipeline.models.openmp import lightgbm

_MOST_ROWS = 199_999  # LightGBM draws rows by chance beyond 200,000
_COMMON = 0.5  # share of one value from which on the others have too few bins


@runtime_checkable
class BinnedForecaster(Protocol):
    """A forecaster that reads `Samples.bins`. One that does not say so has bins of its own."""

    uses_bins: bool


def uses_bins(forecaster: object) -> bool:
    """Whether a forecaster reads `Samples.bins`."""
    return isinstance(forecaster, BinnedForecaster) and forecaster.uses_bins


@dataclass(frozen=True, eq=False)
class BinWindow:
    """The events on which bins are found.

    period: the retraining period whose training window it is. first, last: their timestamps.
    settled_by: when the last of their outcomes was known at the latest. X: float64 [rows, inputs].
    """

    period: str
    first: datetime
    last: datetime
    settled_by: datetime
    X: FloatArray
    names: tuple[str, ...]

    @cached_property
    def description(self) -> dict[str, Any]:
        """What a model's card says of it; `hash` is of names and values."""
        values = np.where(np.isnan(self.X), np.nan, self.X)
        return {
            "period": self.period,
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "rows": self.X.shape[0],
            "hash": hash_of_parts((repr(self.names), values.tobytes()), 16),
        }

    @cached_property
    def _unresolved(self) -> dict[int, FloatArray]:
        """The inputs of which one value fills more than half of the events, with their values."""
        found = {}
        for place, column in enumerate(self.X.T):
            values, counts = np.unique(column, return_counts=True)
            if counts.max() > _COMMON * len(column):
                found[place] = values
        return found

    def completed(self, X: FloatArray) -> FloatArray:
        """The events on which the bins of a later window `X` [rows, inputs] are found: these, but
        of an input that is mostly one value here and has other values in `X` those of `X`, at even
        ranks. The same array where there is no such input.
        """
        found = self.X
        ranks = np.round(np.linspace(0, len(X) - 1, len(found))).astype(np.int64)
        for place, known in self._unresolved.items():
            values = np.unique(X[:, place])
            if np.isin(values[~np.isnan(values)], known).all():
                continue
            # an input's bins depend on its own values alone, so their partners do not count
            found = found.copy() if found is self.X else found
            found[:, place] = np.sort(X[:, place])[ranks]
        return found


class BinnedEvents:
    """Events in the bins of a first window, each put there once for all models of a run."""

    def __init__(self, window: BinWindow, X: FloatArray) -> None:
        self.window, self._X = window, X
        self._held: dict[int, Any] = {}

    def dataset(self, most_bins: int) -> Any:
        """LightGBM's data set of all events, with at most `most_bins` bins an input."""
        if most_bins not in self._held:
            self._held[most_bins] = _dataset(
                self._X,
                label=np.zeros(len(self._X)),
                params=_binning(most_bins),
                reference=_reference(self.window.X, most_bins),
            ).construct()
        return self._held[most_bins]


@dataclass(frozen=True, eq=False)
class BinnedRows:
    """Some of the events, as `Samples` hold them: int64 [rows] of their places in all."""

    events: BinnedEvents
    rows: IntArray

    @classmethod
    def all(cls, window: BinWindow, X: FloatArray) -> "BinnedRows":
        """Every event of `X` [rows, inputs]."""
        return cls(BinnedEvents(window, X), np.arange(len(X)))

    def where(self, mask: BoolArray) -> "BinnedRows":
        """Those where `mask` is true."""
        return BinnedRows(self.events, self.rows[mask])


def training_data(
    X: FloatArray,
    bins: BinnedRows | None,
    target: FloatArray,
    weights: FloatArray,
    parameters: dict[str, Any],
) -> Any:
    """LightGBM's data set of the rows to fit: X float64 [rows, inputs], their targets and weights
    [rows], in the bins of the first window or, without `bins`, in their own.

    `parameters` are those of the training. Where bins are kept, two ways of LightGBM are left in
    them that take later events to be like those of the first window: inputs that were never
    together there are bundled, and bins that stand row by row crash (LightGBM 4.7.0, in a segment
    fault or a check of its own) where inputs were mostly one value there and are not later.
    """
    given = {"label": target, "weight": weights}
    if bins is None:
        return _dataset(X, **given, params=parameters)
    parameters |= {"enable_bundle": False, "force_row_wise": False, "force_col_wise": True}
    window, most = bins.events.window, parameters["max_bin"]
    found_on = window.completed(X)
    if found_on is not window.X:
        reference = _reference(found_on, most)
        return _dataset(X, **given, params=_binning(most), reference=reference)
    data = lightgbm().Dataset(None, params=_binning(most), reference=bins.events.dataset(most))
    data.used_indices = bins.rows.astype(np.int32)
    return data.construct().set_label(target).set_weight(weights)


def _reference(X: FloatArray, most_bins: int) -> Any:
    """A data set whose bins others may take: those of `X` and one for missing values."""
    rows = np.unique(np.round(np.linspace(0, len(X) - 1, min(len(X), _MOST_ROWS))).astype(np.int64))
    known = np.vstack([X[rows], np.full((1, X.shape[1]), np.nan)])
    return _dataset(known, label=np.zeros(len(known)), params=_binning(most_bins))


def _binning(most_bins: int) -> dict[str, Any]:
    return {
        "max_bin": most_bins,
        "bin_construct_sample_cnt": _MOST_ROWS + 1,
        "enable_bundle": False,
        "feature_pre_filter": False,
        "num_threads": 1,
        "verbosity": -1,
    }


def _dataset(X: FloatArray, **options: Any) -> Any:
    # LightGBM refuses some characters in names; the real ones are stored with the model
    names = [f"input_{number}" for number in range(X.shape[1])]
    return lightgbm().Dataset(X, feature_name=names, **options)
