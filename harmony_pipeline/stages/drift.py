"""Drift of inputs, probabilities and calibration, period by period."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.arrays import BoolArray
from harmony_pipeline.frames import moment_literal
from harmony_pipeline.market.periods import Period
from harmony_pipeline.models.drift import (
    CALIBRATION,
    PROBABILITY,
    calibration_statistic,
    chance_threshold,
    stability_index,
)
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.trained import TrainedModel
from harmony_pipeline.reports import sketches
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.market import ALL
from harmony_pipeline.stages.models import samples_until, why_no_model
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.unchanged import unchanged_since

LEVEL = 0.01  # of the tests
MATERIAL = 0.25  # an index below it is small, however many rows prove that it is not 0
_NORMAL = 2.5758  # of 1 % on both sides


def drift(pipeline: PipelineContext) -> StageResult:
    """How far the inputs and probabilities of each period were from those of its model's training,
    and whether its probabilities were calibrated.
    """
    names = ("models", "folds", "labels", "features", "regimes")
    made_from = pipeline.made_from(
        {name: pipeline.lake.partitions(name) for name in names}, pipeline.settings.trade_horizon
    )
    since = unchanged_since(pipeline, ("drift",), ALL, made_from)
    if since is not None:
        table = pipeline.lake.read("drift")
        return StageResult(rows={"drift": table.height}, preview=table, unchanged_since=since)
    horizon = pipeline.settings.trade_horizon
    folds = pipeline.lake.read("folds").filter(
        (pl.col("horizon") == horizon) & pl.col("model_id").is_not_null()
    )
    rows: list[dict[str, Any]] = []
    if folds.height:
        samples = samples_until(pipeline, folds["test_end"].max(), horizon)  # type: ignore[arg-type]
        for number, fold in enumerate(folds.sort("test_start").iter_rows(named=True), start=1):
            rows += _of_period(pipeline, samples, fold)
            pipeline.progress("drift", number, folds.height)
    schema = pipeline.lake.tables["drift"]
    table = schema.conform(pl.DataFrame(rows, schema=schema.dtypes))
    pipeline.lake.write("drift", ALL, table, made_from)
    drifted = table.filter("drifted")
    return StageResult(
        rows={"drift": table.height},
        preview=drifted,
        pictures={"drifted measures by period": sketches.bars(_by_period(table))},
        notes=[
            f"{period}: {', '.join(measures)}"
            for period, measures in drifted.group_by("period", maintain_order=True)
            .agg("measure")
            .iter_rows()
        ],
        nothing="" if table.height else f"no model: {why_no_model(pipeline)}",
    )


def _by_period(table: pl.DataFrame) -> list[int]:
    return table.group_by("period").agg(pl.col("drifted").sum()).sort("period")["drifted"].to_list()


def _of_period(
    pipeline: PipelineContext, samples: Samples, fold: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """The rows of one period; none where it has no event."""
    period = Period(
        fold["test_start"], fold["test_end"], fold["period"], fold["test_start"].date(),
        fold["test_end"].date(),
    )  # fmt: skip
    train, test = _masks(samples, fold["train_start"], fold["train_end"], period)
    if not test.any() or not train.any():
        return
    trained = pipeline.registry.load(fold["model_id"])
    common = {
        "period": fold["period"],
        "horizon": fold["horizon"],
        "model_id": fold["model_id"],
        "rows": int(test.sum()),
    }
    for place, name in enumerate(samples.names):
        yield common | _index(name, samples.X[train, place], samples.X[test, place])
    probability = trained.predict(samples.X)
    yield common | _index(PROBABILITY, probability[train], probability[test])
    yield common | _calibration(pipeline, samples.where(test), trained)


def _masks(
    samples: Samples, train_start: datetime, train_end: datetime, period: Period
) -> tuple[BoolArray, BoolArray]:
    """Rows of the training, by what the fold says of it, and those of the period."""
    stamp, start = pl.col("timestamp"), moment_literal(period.start)
    settled = (pl.col("end_timestamp") <= moment_literal(train_end)).fill_null(value=False)
    masks = samples.frame.select(
        train=(stamp >= moment_literal(train_start)) & (stamp < start) & settled,
        test=(stamp >= start) & (stamp < moment_literal(period.end)),
    )
    return masks["train"].to_numpy(), masks["test"].to_numpy()


def _index(name: str, training: Any, later: Any) -> dict[str, Any]:
    value = stability_index(training, later)
    threshold = chance_threshold(training, later, LEVEL)
    beyond = value is not None and threshold is not None and value > max(threshold, MATERIAL)
    return {"measure": name, "value": value, "threshold": threshold, "drifted": beyond}


def _calibration(
    pipeline: PipelineContext, events: Samples, trained: TrainedModel
) -> dict[str, Any]:
    probability, outcome = trained.predict(events.X), events.labels()
    known = np.isfinite(probability) & np.isfinite(outcome)
    local = events.frame["timestamp"].dt.convert_time_zone(pipeline.zone).dt.date()
    days = local.to_physical().to_numpy()[known]
    value = calibration_statistic(probability[known], outcome[known], days)
    return {
        "measure": CALIBRATION,
        "value": value,
        "threshold": _NORMAL,
        "drifted": value is not None and abs(value) > _NORMAL,
    }
