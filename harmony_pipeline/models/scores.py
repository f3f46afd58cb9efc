"""Scores of probabilities: proper scores, ranking, and calibration.

`probability` is float64 [n] in [0, 1], `outcome` float64 [n] of 0.0 and 1.0. The score of an empty
array is NaN.

Brier score: Brier 1950, "Verification of forecasts expressed in terms of probability". Calibration
error: Naeini, Cooper & Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian
binning", in bins of equal width (equal counts would make narrow bins of probabilities that all lie
near one half, and measure mostly their noise).
"""

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray

BINS = 10


def brier_score(probability: FloatArray, outcome: FloatArray) -> float:
    """Mean squared difference. 0 is perfect; a constant one half has 0.25."""
    return float(np.mean((probability - outcome) ** 2)) if outcome.size else float("nan")


def log_loss(probability: FloatArray, outcome: FloatArray) -> float:
    """Mean negative log likelihood in nats. Probabilities are clipped one machine epsilon from 0
    and 1.
    """
    if not outcome.size:
        return float("nan")
    tiny = np.finfo(np.float64).eps
    kept = np.clip(probability, tiny, 1.0 - tiny)
    return float(-np.mean(outcome * np.log(kept) + (1.0 - outcome) * np.log(1.0 - kept)))


def area_under_curve(score: FloatArray, outcome: FloatArray) -> float:
    """Chance that a random 1 scores above a random 0, ties counting half (Mann-Whitney U); NaN when
    only one outcome occurs.
    """
    positives = float(outcome.sum())
    negatives = outcome.size - positives
    if positives == 0.0 or negatives == 0.0:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2.0
    rank_sum = float(mean_rank[inverse][outcome == 1.0].sum())
    return (rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives)


def reliability(probability: FloatArray, outcome: FloatArray) -> pl.DataFrame:
    """One row a non-empty bin of equal width: lower, upper, rows, probability (mean forecast),
    frequency (of outcome 1).
    """
    place = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    rows = np.bincount(place, minlength=BINS)
    forecast = np.bincount(place, weights=probability, minlength=BINS)
    happened = np.bincount(place, weights=outcome, minlength=BINS)
    held = np.flatnonzero(rows)
    return pl.DataFrame(
        {
            "lower": held / BINS,
            "upper": (held + 1) / BINS,
            "rows": rows[held],
            "probability": forecast[held] / rows[held],
            "frequency": happened[held] / rows[held],
        },
        schema={
            "lower": pl.Float64,
            "upper": pl.Float64,
            "rows": pl.Int64,
            "probability": pl.Float64,
            "frequency": pl.Float64,
        },
    )


def calibration_error(probability: FloatArray, outcome: FloatArray) -> float:
    """Expected calibration error: mean over events of |mean forecast - frequency| of their bin."""
    if not outcome.size:
        return float("nan")
    table = reliability(probability, outcome)
    gap = (table["probability"] - table["frequency"]).abs().to_numpy()
    return float((gap * table["rows"].to_numpy()).sum() / outcome.size)


def scores(probability: FloatArray, outcome: FloatArray) -> dict[str, float | None]:
    """Every score by name; None for what cannot be measured, for JSON."""
    found = {
        "brier": brier_score(probability, outcome),
        "log_loss": log_loss(probability, outcome),
        "auc": area_under_curve(probability, outcome),
        "calibration_error": calibration_error(probability, outcome),
    }
    return {name: finite_or_none(value) for name, value in found.items()}


def finite_or_none(value: float | None) -> float | None:
    """`value` as a float, or None when it is not a finite number."""
    return float(value) if value is not None and np.isfinite(value) else None
