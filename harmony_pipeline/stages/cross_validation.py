"""Cross-validation of the recipe of today: how its forecasts would have done on other paths."""

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.models.cross_validation import cross_validate, path_count, path_scores
from harmony_pipeline.reports import sketches
from harmony_pipeline.stages.bins import with_first_bins
from harmony_pipeline.stages.code_identity import source_of
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.market import ALL
from harmony_pipeline.stages.models import (
    model_columns,
    recipe_of_bins,
    samples_until,
)
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.unchanged import unchanged_since


def cross_validation(pipeline: PipelineContext) -> StageResult:
    """Scores of every horizon's forecasts on each path of the combinatorial purged
    cross-validation: a distribution beside the single walk-forward path.
    """
    settings, lake = pipeline.settings, pipeline.lake
    horizons = settings.labels.horizons_bars
    tables = {name: lake.partitions(name) for name in ("labels", "features", "regimes")}
    made_from = pipeline.made_from(
        tables,
        settings.model,
        settings.cross_validation,
        horizons,
        model_columns(pipeline),
        source_of(settings.model.forecaster),
    )
    since = unchanged_since(pipeline, ("cross_validation",), ALL, made_from)
    if since is not None:
        table = lake.read("cross_validation")
        return StageResult(
            rows={"cross_validation": table.height}, preview=table, unchanged_since=since
        )
    frames, notes = [], []
    for number, horizon in enumerate(horizons, start=1):
        found, said = _scored(pipeline, horizon)
        frames += found
        notes += [f"horizon {horizon}: {one}" for one in said]
        pipeline.progress("cross-validation", number, len(horizons))
    table = pl.concat(frames) if frames else lake.tables["cross_validation"].empty()
    lake.write("cross_validation", ALL, table, made_from)
    ratios = table.filter(pl.col("horizon") == settings.trade_horizon)["brier_ratio"]
    return StageResult(
        rows={"cross_validation": table.height},
        preview=table,
        pictures={"Brier ratio by path": sketches.bars(ratios.drop_nulls().to_list())},
        notes=notes,
        nothing="" if table.height else "no path could be predicted",
    )


def _scored(pipeline: PipelineContext, horizon: int) -> tuple[list[pl.DataFrame], list[str]]:
    """The rows of one horizon, none where it has too few events; and what is to be said."""
    settings = pipeline.settings
    samples = samples_until(pipeline, pipeline.market_close, horizon)
    try:
        paths = cross_validate(
            samples,
            pipeline.calendar,
            pipeline.timeframe,
            settings.model,
            settings.cross_validation,
        )
    except DataError as error:
        return [], [str(error)]
    year = pipeline.calendar.for_timeframe(pipeline.timeframe).sessions_per_year
    scored = path_scores(paths.predictions, settings.model.threshold, year, pipeline.zone)
    if scored.is_empty():
        return [], paths.reasons
    beat = int((scored["brier_ratio"] < 1.0).sum())
    window = with_first_bins(pipeline, {horizon: samples}, pipeline.retraining_periods()[-1])[
        horizon
    ].bin_window
    recipe = recipe_of_bins(pipeline, horizon, window)
    table = pipeline.lake.tables["cross_validation"].conform(
        scored.with_columns(recipe=pl.lit(recipe), horizon=pl.lit(horizon))
    )
    said = f"better than the base rate on {beat} of {path_count(settings.cross_validation)} paths"
    return [table], [said, *paths.reasons]
