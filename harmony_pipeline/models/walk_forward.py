"""Walk-forward training: one model a retraining period, and its predictions inside that period
only.

A model of period P uses no outcome that was resolved after the embargo before P began, and predicts
only events in `P.start <= timestamp < P.end`. Purging uses `end_timestamp`, the moment an outcome
became known, of every symbol alike. The embargo adds a distance for lasting effects, counted in
regular bars of the market (embargo.py; Lopez de Prado 2018, ch. 7.4).

    training part                       calibration part         embargo   P: predictions
    |--- fitted: settled by C -----|   C |--- settled by E ---|  E ......| start --------- end |

The walk-forward test is the backfill of every period, and the newest period is the retraining. Both
use the same code.
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from harmony_pipeline.arrays import BoolArray, FloatArray
from harmony_pipeline.frames import moment_literal
from harmony_pipeline.hashing import hash_of_parts
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import Period
from harmony_pipeline.models.base import Forecaster, Model, build_forecaster, sigmoid
from harmony_pipeline.models.blend import BlendedModel
from harmony_pipeline.models.calibration import Platt, fit_platt, match_base_rate, shrink_slope
from harmony_pipeline.models.embargo import embargo_start
from harmony_pipeline.models.evaluation import evaluate
from harmony_pipeline.models.horizon_blend import BLEND, HorizonBlend, others_to_fit
from harmony_pipeline.models.samples import Samples, event_days
from harmony_pipeline.models.scores import reliability, scores
from harmony_pipeline.models.search import SearchResult, search_parameters
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.models.time_decay import decayed, decayed_weights, remembered
from harmony_pipeline.models.trained import ModelCard, TrainedModel
from harmony_pipeline.schemas import FOLDS, MODELS, PREDICTIONS

__all__ = ["Fold", "evaluate", "predict_period", "split", "train_period"]

_FEWEST_FIT_ROWS = 20
_TOP_IMPORTANCES = 20


@dataclass(frozen=True)
class Fold:
    """One period: its training rows and, if there was enough history, the model.

    model_row: MODELS with one row, or none. fold_row: FOLDS with one row. reason: why there is no
    model.
    """

    model: TrainedModel | None
    model_row: pl.DataFrame
    fold_row: pl.DataFrame
    metrics: dict[str, Any]
    reason: str | None = None


@dataclass(frozen=True)
class Split:
    """The events that a period may use; masks are bool [rows] over the samples."""

    train_end: datetime
    train: BoolArray
    fit: BoolArray
    calibrate: BoolArray
    purged: BoolArray
    test: BoolArray


def split(
    samples: Samples,
    period: Period,
    calendar: Calendar,
    timeframe: str,
    settings: ModelSettings,
) -> Split:
    """Training, purged and test events of one period.

    train: resolved before the embargo began (and inside the rolling window, if there is one).
    purged: earlier than the period but not resolved by then. calibrate: the latest
    `calibration_fraction` of the training events, cut between two timestamps. fit: training events
    that were resolved by the first calibration event.
    """
    train_end = embargo_start(calendar, timeframe, period.start, settings.embargo_bars)
    stamp, start = pl.col("timestamp"), moment_literal(period.start)
    window = pl.lit(value=True)
    if settings.maximum_train_days is not None:
        first = period.start - timedelta(days=settings.maximum_train_days)
        window = stamp >= moment_literal(first)
    ended = (pl.col("end_timestamp") <= moment_literal(train_end)).fill_null(value=False)
    settled = ended & pl.col("label").is_not_null()
    before = window & (stamp < start)
    masks = samples.frame.select(
        train=before & settled,
        purged=before & ~settled,
        test=(stamp >= start) & (stamp < moment_literal(period.end)),
    )
    train, purged, test = (masks[name].to_numpy().copy() for name in ("train", "purged", "test"))
    fit, calibrate = fit_and_calibration(samples, train, settings.calibration_fraction)
    return Split(train_end, train, fit, calibrate, purged, test)


def fit_and_calibration(
    samples: Samples, train: BoolArray, fraction: float
) -> tuple[BoolArray, BoolArray]:
    """The training rows to fit and those to calibrate with, masks [rows]: the latest `fraction` of
    the training events, and what was settled before the first of them.
    """
    rows = np.flatnonzero(train)
    if not rows.size:
        return train.copy(), train.copy()
    first = samples.frame["timestamp"][
        int(rows[min(int(rows.size * (1.0 - fraction)), rows.size - 1)])
    ]
    masks = samples.frame.select(
        late=pl.col("timestamp") >= moment_literal(first),
        settled=(pl.col("end_timestamp") <= moment_literal(first)).fill_null(value=False),
    )
    return train & masks["settled"].to_numpy(), train & masks["late"].to_numpy()


def train_period(
    samples: Samples,
    period: Period,
    horizon: int,
    calendar: Calendar,
    timeframe: str,
    settings: ModelSettings,
    feature_set_hash: str,
    data_hash: str | None = None,
    code_version: str = "",
    seed: int | None = None,
    created_at: datetime | None = None,
    recipe: str | None = None,
    others: Mapping[int, Samples] | None = None,
) -> Fold:
    """Train the model of one period from outcomes before it. `samples` may hold any other events
    too; they change nothing.

    With `data_hash` None it is the hash of the training events themselves, which stays the same
    when later data arrives. With `seed` None it is the settings' seed. recipe: hash of everything
    that decides how the model is made, but for the data. Too little history is no error: the fold
    then has no model and a reason. others: the events of further horizons, for a blend
    (horizon_blend.py).
    """
    parts = split(samples, period, calendar, timeframe, settings)
    seed = settings.seed if seed is None else seed
    training = samples.where(parts.train)
    metrics: dict[str, Any] = {
        "train_rows": training.height,
        "purged_rows": int(parts.purged.sum()),
        "test_rows": int(parts.test.sum()),
        "out_of_sample": None,
    }
    reason = missing_history(samples, parts, settings)
    if reason is not None:
        row = _fold_row(None, training, parts, period, horizon, settings)
        return Fold(None, MODELS.empty(), row, {**metrics, "reason": reason}, reason)
    forecaster, search = choose_forecaster(samples, parts, settings, seed, calendar, timeframe)
    path = settings.forecaster
    if others:
        known = others_to_fit(samples.where(parts.fit), others, settings.oldest_weight)
        forecaster, path = HorizonBlend(forecaster, path, horizon, known), BLEND
    bins = _bins_of(samples, parts)
    found = fit_calibrated(forecaster, samples, parts, settings.oldest_weight)
    card = ModelCard(
        path, forecaster.short, period.key, horizon, feature_set_hash,
        data_hash or training_hash(training), forecaster.parameters, seed, samples.names,
        samples.inputs.feature_columns if samples.inputs else None,
        samples.inputs.regimes if samples.inputs else False, found.calibration.slope,
        found.calibration.intercept,
        tuple(itertools.compress(samples.names, found.complete.tolist())), recipe,
        search.trials if search else None, bins,
    )  # fmt: skip
    trained = TrainedModel(card.build_id(found.model.save()), card, found.model)
    metrics |= _metrics(trained, training, found) | _search_metrics(search)
    fold_row = _fold_row(trained.model_id, training, parts, period, horizon, settings)
    row = _model_row(trained, metrics, code_version, created_at or datetime.now(UTC))
    return Fold(trained, row, fold_row, metrics)


def choose_forecaster(
    samples: Samples,
    parts: Split,
    settings: ModelSettings,
    seed: int,
    calendar: Calendar,
    timeframe: str,
) -> tuple[Forecaster, SearchResult | None]:
    """The forecaster of the settings, with parameters searched inside the part to fit where
    `model.search` asks for it.
    """
    if settings.search.trials == 0:
        return build_forecaster(settings.forecaster, settings.parameters, seed), None
    events = remembered(samples.where(parts.fit), settings.oldest_weight)
    found = search_parameters(events, settings, seed, calendar, timeframe)
    return build_forecaster(settings.forecaster, found.parameters, seed), found


def missing_history(samples: Samples, parts: Split, settings: ModelSettings) -> str | None:
    """Why these events cannot make a model; None when they can."""
    rows, weights = int(parts.train.sum()), samples.weights()[parts.fit]
    kept = decayed_weights(weights, settings.oldest_weight) != 0.0
    fit_rows = int(kept.sum())
    if rows < settings.minimum_train_rows:
        return (
            f"{rows} events were settled by {parts.train_end:%Y-%m-%d %H:%M} UTC;"
            f" model.minimum_train_rows is {settings.minimum_train_rows}"
        )
    if fit_rows < _FEWEST_FIT_ROWS:
        return (
            f"only {fit_rows} of {rows} events were settled before the calibration part began"
            f"{'' if kept.all() else ' and have a weight'}; {_FEWEST_FIT_ROWS} are needed"
        )
    if np.unique(samples.labels()[parts.fit][kept]).size < 2:
        return f"all {fit_rows} events to fit had the same outcome"
    return None


class CalibratedFit(NamedTuple):
    """A model of the part to fit and its calibration by the later part.

    fit_rows: events fitted to. later: the calibration events with a weight and all required inputs.
    margin: of these. complete: [inputs], those that were known in every fitted event, and are
    required.
    """

    model: Model
    fit_rows: int
    calibration: Platt
    later: Samples
    margin: FloatArray
    complete: BoolArray


def fit_calibrated(
    forecaster: Forecaster, samples: Samples, parts: Split, oldest_weight: float = 1.0
) -> CalibratedFit:
    """Fit the part to fit, whose weights decay with age (models/time_decay.py), and calibrate by
    the later part, which also weighs the members of a blend. Events without weight are left out of
    both.
    """
    fitted = decayed(samples.where(parts.fit), oldest_weight)
    later = samples.where(parts.calibrate).events_with_weight()
    complete: BoolArray = np.logical_not(np.isnan(fitted.X).any(axis=0))
    answerable: BoolArray = np.logical_not(np.isnan(later.X[:, complete]).any(axis=1))
    if not answerable.all():
        later = later.where(answerable)
    model = forecaster.fit(fitted)
    if isinstance(model, BlendedModel):
        model = model.weighted_by(later)
    margin, labels, weight = model.margin(later.X), later.labels(), later.weights()
    calibration = shrink_slope(
        fit_platt(margin, labels, weight), margin, labels, weight, event_days(later)
    )
    rate = _smoothed_rate(samples.labels()[parts.train], samples.weights()[parts.train])
    calibration = match_base_rate(calibration, margin, weight, rate)
    return CalibratedFit(model, fitted.height, calibration, later, margin, complete)


def _bins_of(samples: Samples, parts: Split) -> dict[str, Any] | None:
    """The first window whose bins the samples have. Raises ValueError where it was not over before
    this period's training ended.
    """
    window = samples.bin_window
    if window is None:
        return None
    if window.settled_by > parts.train_end:
        raise ValueError(
            f"bins of the window of {window.period}, settled by {window.settled_by}, are not known"
            f" to a model whose training ends {parts.train_end}"
        )
    return window.description


def _smoothed_rate(labels: FloatArray, weights: FloatArray) -> float:
    """Frequency of label 1 with one event a side added, as in Platt's targets."""
    return float(((labels * weights).sum() + 1.0) / (weights.sum() + 2.0))


def training_hash(training: Samples) -> str:
    """Hash of exactly what is learned from."""

    def parts() -> Iterator[str | bytes | memoryview]:
        yield repr(training.names)
        for column in training.frame.select(
            "symbol", "timestamp", "end_timestamp", "label", "weight"
        ).iter_columns():
            plain = _without_mask(column).to_frame()
            yield plain.write_ipc(None, compression="uncompressed").getvalue()
        missing = np.isnan(training.X)
        # of many kinds of NaN only one counts
        yield (np.where(missing, np.nan, training.X) if missing.any() else training.X).data

    return hash_of_parts(parts(), 16)


def _without_mask(column: pl.Series) -> pl.Series:
    """The same values without a mask of nulls, where none is null: rows filtered from a frame with
    unsettled outcomes keep one, and their bytes would differ from the same rows of a later day.
    """
    if column.dtype == pl.String or column.has_nulls():
        return column
    return pl.Series(column.name, column.to_numpy(), dtype=column.dtype)


def _metrics(trained: TrainedModel, training: Samples, found: CalibratedFit) -> dict[str, Any]:
    """Metrics at training time. The calibration part's scores are slightly optimistic: two numbers
    were fitted to it.
    """
    labels, weights = training.labels(), training.weights()
    outcome, margin = found.later.labels(), found.margin
    probability = trained.calibration.apply(margin)
    ranked = sorted(trained.model.importance().items(), key=lambda item: (-item[1], item[0]))
    return {
        "fit_rows": found.fit_rows,
        "calibration_rows": outcome.size,
        "effective_rows": float(weights.sum()),
        "base_rate": float((labels * weights).sum() / weights.sum()),
        "calibration": {
            "slope": trained.card.slope,
            "intercept": trained.card.intercept,
            **scores(probability, outcome),
        },
        "uncalibrated": scores(sigmoid(margin), outcome),
        "reliability": reliability(probability, outcome).to_dicts(),
        "importance": dict(ranked[:_TOP_IMPORTANCES]),
    }


def _search_metrics(search: SearchResult | None) -> dict[str, Any]:
    if search is None:
        return {}
    scored = {"score": search.score, "score_of_settings": search.score_of_settings}
    return {"search": {"trials": search.trials, **scored}}


def _model_row(
    trained: TrainedModel, metrics: dict[str, Any], code_version: str, created_at: datetime
) -> pl.DataFrame:
    card = trained.card
    row = {
        "model_id": trained.model_id, "period": card.period, "horizon": card.horizon,
        "forecaster": card.forecaster, "created_at": created_at,
        "feature_set_hash": card.feature_set_hash, "data_hash": card.data_hash,
        "code_version": code_version,
        "parameters": json.dumps({**card.parameters, "seed": card.seed}, sort_keys=True),
        "metrics": json.dumps(metrics),
        "artifact": f"models/{trained.model_id}",
        "recipe": card.recipe,
    }  # fmt: skip
    return MODELS.conform(
        pl.DataFrame([row], schema_overrides={"created_at": pl.Datetime("us", "UTC")})
    )


def _fold_row(
    model_id: str | None,
    training: Samples,
    parts: Split,
    period: Period,
    horizon: int,
    settings: ModelSettings,
) -> pl.DataFrame:
    events = training.frame
    row = {
        "period": period.key, "model_id": model_id, "horizon": horizon,
        "train_start": events["timestamp"].min(), "train_end": parts.train_end,
        "train_last_end": events["end_timestamp"].max(), "test_start": period.start,
        "test_end": period.end, "train_rows": training.height,
        "test_rows": int(parts.test.sum()), "purged_rows": int(parts.purged.sum()),
        "embargo": settings.embargo_bars,
    }  # fmt: skip
    return FOLDS.conform(pl.DataFrame([row], schema_overrides=FOLDS.dtypes))


def predict_period(
    fold: Fold | TrainedModel | None, samples: Samples, period: Period
) -> pl.DataFrame:
    """PREDICTIONS of every event in `period.start <= timestamp < period.end`; no rows without a
    model.

    An event without a probability has a reason.
    """
    trained = fold.model if isinstance(fold, Fold) else fold
    if trained is None:
        return PREDICTIONS.empty()
    inside = (
        samples.frame.select(
            (pl.col("timestamp") >= moment_literal(period.start))
            & (pl.col("timestamp") < moment_literal(period.end))
        )
        .to_series()
        .to_numpy()
    )
    events = samples.where(inside)
    rows = events.frame.select("symbol", "timestamp").with_columns(
        model_id=pl.lit(trained.model_id), period=pl.lit(period.key),
        horizon=pl.lit(trained.card.horizon),
        recipe=pl.lit(trained.card.recipe, dtype=pl.String),
        probability=pl.Series(trained.predict(events), dtype=pl.Float64, nan_to_null=True),
        reason=pl.Series(trained.refusals(events.X), dtype=pl.String),
    )  # fmt: skip
    return PREDICTIONS.conform(rows)
