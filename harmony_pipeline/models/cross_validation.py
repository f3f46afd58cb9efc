"""Combinatorial purged cross-validation: many ways through one history instead of a single one.

A walk-forward test is one path, and one path can be lucky. Here the events are cut into groups in
order of time. Every choice of `test_groups` of them is once the test of a model that is trained on
the others. Each group is then predicted several times, each time by a model that has not seen it,
and the predictions are put together to paths through the whole history: with 6 groups of which 2
are left out, 15 models and 5 paths. Their scores are a distribution (Lopez de Prado 2018, ch. 12).

A model is trained on later events too, so this measures a recipe and cannot be traded. Nothing of
the test is known to it all the same: an event is purged whose label's life meets that of any label
of a test group, of whatever symbol, and so is one within `embargo_bars` regular bars before the
first or after the last of them. Bins are found anew for every model (`model.bins` says it of the
walk-forward alone): the first window may lie in a test group.

    train    |embargo| test group: first event .. last outcome |embargo|   train   |embargo| test ..
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.models.purged_folds import Fold, as_datetime, folds, group_numbers
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.scores import scores
from harmony_pipeline.models.settings import CrossValidationSettings, ModelSettings
from harmony_pipeline.models.walk_forward import (
    Split,
    choose_forecaster,
    fit_and_calibration,
    fit_calibrated,
    missing_history,
)


@dataclass(frozen=True)
class Paths:
    """Predictions of every settled event on every path.

    predictions: path, symbol, timestamp, end_timestamp, label, return, probability (null: the
    model cannot answer), base (frequency of label 1 in its training). reasons: why test groups have
    no model, one sentence a fold.
    """

    predictions: pl.DataFrame
    reasons: list[str]


def path_count(settings: CrossValidationSettings) -> int:
    """Number of paths: each group is left out by so many models."""
    every = range(settings.groups - 1)
    return len(list(combinations(every, settings.test_groups - 1)))


def cross_validate(
    samples: Samples,
    calendar: Calendar,
    timeframe: str,
    model: ModelSettings,
    settings: CrossValidationSettings,
) -> Paths:
    """Train a model for every choice of test groups, and put its predictions on the paths.

    The j-th model that leaves a group out gives the group's predictions on path j. A choice that
    leaves too little to train on has no predictions, and a reason.
    """
    group = group_numbers(samples, settings.groups)
    used = np.zeros(settings.groups, np.int64)
    frames, reasons = [], []
    for fold in folds(samples, calendar, timeframe, model.embargo_bars, settings):
        probability, base, reason = _predicted(samples, fold, model, calendar, timeframe)
        for number in fold.test_groups:
            path, used[number] = int(used[number]), used[number] + 1
            if reason is None:
                rows = samples.frame.filter(pl.Series(group == number))
                frames.append(
                    rows.select(
                        "symbol", "timestamp", "end_timestamp", "label", "return",
                        path=pl.lit(path),
                        probability=pl.Series(probability[group == number], nan_to_null=True),
                        base=pl.lit(base),
                    )
                )  # fmt: skip
        if reason is not None:
            names = ", ".join(str(number + 1) for number in fold.test_groups)
            reasons.append(f"without the groups {names} there is no model: {reason}")
    empty = {
        **{name: samples.frame.schema[name] for name in ("symbol", "timestamp", "end_timestamp",
                                                         "label", "return")},
        "path": pl.Int32(), "probability": pl.Float64(), "base": pl.Float64(),
    }  # fmt: skip
    table = pl.concat(frames) if frames else pl.DataFrame(schema=empty)
    return Paths(table.sort("path", "timestamp", "symbol"), reasons)


def path_scores(
    paths: pl.DataFrame, threshold: float, sessions_per_year: int, zone: str
) -> pl.DataFrame:
    """One row a path: path, rows, brier_ratio (under 1: better than the base rate), auc,
    calibration_error, taken (events with at least the threshold), mean_return (of those, before
    costs), sharpe (annual, of their sum by day of `zone`, over the days with an event).
    """
    rows = []
    for (path,), every in paths.group_by("path", maintain_order=True):
        known = every.drop_nulls("probability")
        outcome = known["label"].cast(pl.Float64).to_numpy()
        found = scores(known["probability"].to_numpy(), outcome)
        rival = scores(known["base"].to_numpy(), outcome)["brier"]
        brier = found["brier"]
        taken = known.filter(pl.col("probability") >= threshold)
        by_day = known.group_by(
            day=pl.col("timestamp").dt.convert_time_zone(zone).dt.date(), maintain_order=True
        ).agg(
            pl.col("return").filter(pl.col("probability") >= threshold).sum()
        )["return"].to_numpy()  # fmt: skip
        rows.append(
            {
                "path": path,
                "rows": known.height,
                "brier_ratio": brier / rival if brier is not None and rival else None,
                "auc": found["auc"],
                "calibration_error": found["calibration_error"],
                "taken": taken.height,
                "mean_return": taken["return"].mean(),
                "sharpe": _annual_sharpe(by_day, sessions_per_year),
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None).sort("path") if rows else pl.DataFrame()


def _predicted(
    samples: Samples, fold: Fold, settings: ModelSettings, calendar: Calendar, timeframe: str
) -> tuple[FloatArray, float, str | None]:
    """Probability [rows] of the fold's model, the base rate of its training, why it has none."""
    fit, calibrate = fit_and_calibration(samples, fold.train, settings.calibration_fraction)
    latest = samples.frame.filter(pl.Series(fold.train))["end_timestamp"].max()
    parts = Split(as_datetime(latest), fold.train, fit, calibrate, fold.purged, fold.test)
    reason = missing_history(samples, parts, settings)
    if reason is not None:
        return np.empty(0), 0.0, reason
    forecaster, _ = choose_forecaster(samples, parts, settings, settings.seed, calendar, timeframe)
    found = fit_calibrated(forecaster, samples, parts, settings.oldest_weight)
    probability = found.calibration.apply(found.model.margin(samples.X))
    probability[np.isnan(samples.X[:, found.complete]).any(axis=1)] = np.nan
    labels, weights = samples.labels()[fold.train], samples.weights()[fold.train]
    return probability, float((labels * weights).sum() / weights.sum()), None


def _annual_sharpe(returns: FloatArray, sessions_per_year: int) -> float | None:
    if returns.size < 3 or np.ptp(returns) == 0.0:
        return None
    return float(returns.mean() / returns.std(ddof=1) * np.sqrt(sessions_per_year))
