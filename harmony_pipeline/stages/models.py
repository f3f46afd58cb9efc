"""Walk-forward: one model a retraining period and horizon, trained on what was settled before the period, predicting inside it."""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from harmony_pipeline.lake import code_version
from harmony_pipeline.market.periods import Period
from harmony_pipeline.models.samples import Samples, build_samples
from harmony_pipeline.models.walk_forward import predict_period, train_period
from harmony_pipeline.reports.figures import feature_importance, fold_timeline
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.workspace import Workspace


def train(work: Workspace, periods: Sequence[Period]) -> StageResult:
    """Train the models of these retraining periods and keep them in the registry."""
    samples = {horizon: samples_until(work, periods[-1].end, horizon) for horizon in work.settings.labels.horizons_bars}
    notes: list[str] = []
    importance: dict[str, float] = {}
    folds, rows = [], []
    for number, period in enumerate(periods, start=1):
        fitted = [
            train_period(rows_of, period, horizon, work.timeframe, work.settings.model, work.feature_set.hash, code_version=code_version())
            for horizon, rows_of in samples.items()
        ]
        for horizon, fold in zip(samples, fitted, strict=True):
            if fold.model is None:
                notes.append(f"{period.key}, horizon {horizon}: no model: {fold.reason}")
                continue
            work.registry.save(fold.model)
            if horizon == work.settings.trade_horizon:
                importance = fold.model.model.importance()
        made_from = work.made_from({"labels": work.overlapping(work.trading_periods()[0].start, period.end)}, work.settings.model)
        model_rows = pl.concat([fold.model_row for fold in fitted])
        work.lake.write("models", period.key, model_rows, made_from)
        work.lake.write("folds", period.key, pl.concat([fold.fold_row for fold in fitted]), made_from)
        folds.append(pl.concat([fold.fold_row for fold in fitted]))
        rows.append(model_rows)
        work.progress("models", number, len(periods))
    every_fold, every_model = pl.concat(folds), pl.concat(rows)
    pictures = {"walk-forward": fold_timeline(every_fold.filter(pl.col("horizon") == work.settings.trade_horizon))}
    if importance:
        pictures["feature importance"] = feature_importance(list(importance), list(importance.values()))
    return StageResult(rows={"models": every_model.height, "folds": every_fold.height}, preview=every_fold.tail(10), pictures=pictures, notes=notes)


def predict(work: Workspace, periods: Sequence[Period]) -> StageResult:
    """Probabilities of every event inside each period, by the model trained before it."""
    samples = {horizon: samples_until(work, periods[-1].end, horizon, start=periods[0].start) for horizon in work.settings.labels.horizons_bars}
    total = 0
    latest = pl.DataFrame()
    for number, period in enumerate(periods, start=1):
        ids = work.lake.read("models", [period.key]).select("horizon", "model_id").iter_rows()
        frames = [predict_period(work.registry.load(model_id), samples[horizon], period) for horizon, model_id in ids if horizon in samples]
        table = pl.concat(frames) if frames else work.lake.tables["predictions"].empty()
        work.lake.write("predictions", period.key, table, work.made_from({"models": [period.key], "features": work.overlapping(period.start, period.end)}))
        total += table.height
        latest = table.tail(8) if table.height else latest
        work.progress("predictions", number, len(periods))
    return StageResult(rows={"predictions": total}, preview=latest)


def samples_until(work: Workspace, end: datetime, horizon: int, start: datetime | None = None) -> Samples:
    """Events of one horizon before `end` (and from `start` on), each with the features of its own bar."""
    keys = work.overlapping(start or work.trading_periods()[0].start, end)
    events = work.lake.scan("labels", keys).filter((pl.col("horizon") == horizon) & (pl.col("timestamp") < end)).collect(engine="in-memory")
    wanted = events.lazy().select("symbol", "timestamp")
    known = work.lake.scan("features", keys).join(wanted, on=["symbol", "timestamp"], how="semi").collect(engine="in-memory").sort("symbol", "timestamp")
    return build_samples(known, events, work.lake.read("regimes"), model_columns(work), horizon)


def model_columns(work: Workspace) -> tuple[str, ...]:
    """Feature columns that models see: the chosen set and cusum_event, without what only primary signals need."""
    return (*work.settings.features.names, "cusum_event")
