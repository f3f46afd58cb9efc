"""Whether the world that a model predicts is still the one it was trained on.

Inputs and probabilities: the population stability index between training and test, the symmetric
Kullback-Leibler divergence of two histograms (Kullback & Leibler 1951; Yurdakul 2018, "Statistical
properties of population stability index"). Bins have equal counts in training, and a missing value
is a bin of its own. Without drift the index is about chi-squared times (1/n + 1/m), so that
`threshold` says what chance alone reaches: the rule of thumb of 0.1 and 0.25 means nothing for 80
rows.

Calibration: Spiegelhalter 1986, "Probabilistic prediction in patient management and clinical
trials". With calibrated probabilities p the sum of (outcome - p)(1 - 2p) has mean 0 and variance
sum of (1 - 2p)^2 p (1 - p), whatever the outcomes' mean.
"""

import math

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.models.samples import HIDDEN_REGIME, REGIME_NAMES

PROBABILITY, CALIBRATION = "probability", "calibration"  # measures that are no input
BINS = 10
_PRIOR = 0.5  # of a row in each bin, so that an empty bin is no infinite surprise


def stability_index(training: FloatArray, later: FloatArray) -> float | None:
    """Population stability index of `later` against `training` (both [n], NaN: missing); 0 for the
    same shares. None when one of them is empty.
    """
    if not training.size or not later.size:
        return None
    edges = _edges(training, BINS)
    expected, found = _shares(training, edges), _shares(later, edges)
    return float(np.sum((found - expected) * np.log(found / expected)))


def chance_threshold(training: FloatArray, later: FloatArray, level: float) -> float | None:
    """The index that independent rows of one distribution exceed with probability `level`.

    Rows of one market are dependent, so their index exceeds it more often.
    """
    from scipy.special import chdtri  # of scipy.stats, which takes a second to import

    if not training.size or not later.size:
        return None
    cells = _edges(training, BINS).size + 1 + int(np.isnan(training).any() or np.isnan(later).any())
    if cells < 2:
        return 0.0
    return float(chdtri(cells - 1, level) * (1.0 / training.size + 1.0 / later.size))


def calibration_statistic(
    probability: FloatArray, outcome: FloatArray, days: FloatArray
) -> float | None:
    """Spiegelhalter's statistic of probabilities [n] and outcomes [n] of 0 and 1, standard normal
    while they are calibrated; positive: outcomes are less extreme than the probabilities.

    Events of one of the `days` [n] share their market, so the deviation is that of the sums by day
    where that is larger. None without an event or where every probability is one half.
    """
    if not probability.size:
        return None
    lean = 1.0 - 2.0 * probability
    plain = float(np.sum(lean**2 * probability * (1.0 - probability)))
    gaps = (outcome - probability) * lean
    by_day = np.bincount(np.unique(days, return_inverse=True)[1], weights=gaps)
    variance = max(plain, float(np.sum(by_day**2)))
    return None if plain <= 0.0 else float(gaps.sum()) / math.sqrt(variance)


def newest_drift(drift: pl.DataFrame, rows: int) -> tuple[float | None, float | None]:
    """(largest stability index of an input that exceeds its own `threshold`, 0 without one;
    calibration's statistic) of the newest period of at least `rows` events.

    drift: rows of table DRIFT, of one horizon. None for what was not measured there. Inputs that
    tell the regime are left out: there is one value a day for all events, and regimes change.
    """
    enough = drift.filter(pl.col("rows") >= rows)
    newest = enough.filter(pl.col("period") == pl.col("period").max())
    others = [PROBABILITY, CALIBRATION, *REGIME_NAMES, HIDDEN_REGIME]
    inputs = newest.filter(~pl.col("measure").is_in(others) & pl.col("value").is_not_null())
    beyond = inputs.filter(pl.col("value") > pl.col("threshold"))["value"].max()
    index = None if inputs.is_empty() else 0.0 if beyond is None else beyond
    known = newest.filter(pl.col("measure") == CALIBRATION)["value"].drop_nulls()
    return index, known[0] if known.len() else None  # type: ignore[return-value]


def _edges(training: FloatArray, bins: int) -> FloatArray:
    """Inner edges of bins with about equal counts; a value that fills several has one."""
    known = training[~np.isnan(training)]
    if not known.size:
        return np.empty(0)
    edges = np.unique(np.quantile(known, np.arange(1, bins) / bins))
    return np.asarray(edges[edges < known.max()], dtype=np.float64)


def _shares(values: FloatArray, edges: FloatArray) -> FloatArray:
    """Share of each bin, the last is that of missing values; with half a row added to each."""
    known = values[~np.isnan(values)]
    counts = np.bincount(np.searchsorted(edges, known, side="left"), minlength=edges.size + 1)
    every = np.append(counts, values.size - known.size) + _PRIOR
    return np.asarray(every / every.sum(), dtype=np.float64)
