"""What the gate asks about the stability of forecasts: the paths of the cross-validation, and drift
of inputs and calibration in the newest period.

Both tables are made here where a rule asks for them and something they are made from has changed,
so that no decision rests on the figures of older bars.
"""

from dataclasses import dataclass

import polars as pl

from harmony_pipeline.models.drift import newest_drift
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.cross_validation import cross_validation
from harmony_pipeline.stages.drift import drift


@dataclass(frozen=True)
class Stability:
    """Measures of the rules about stability; None: not asked, or could not be measured."""

    cross_validation_sharpe: float | None = None
    input_drift: float | None = None
    calibration_drift: float | None = None


def stability_tables(pipeline: PipelineContext) -> tuple[str, ...]:
    """The tables that the rules in force read; none for a strategy without a model."""
    settings = pipeline.settings
    if not settings.strategies[settings.session.strategy].uses_model:
        return ()
    gate = settings.gate
    drift_rules = (gate.maximum_input_drift, gate.maximum_calibration_drift)
    return (
        *(("cross_validation",) if gate.minimum_cross_validation_sharpe is not None else ()),
        *(("drift",) if any(rule is not None for rule in drift_rules) else ()),
    )


def make_current(pipeline: PipelineContext) -> list[str]:
    """Make the tables that the rules in force read, where they are not those of today; returns a
    sentence for each that stays empty.
    """
    stages = {"cross_validation": cross_validation, "drift": drift}
    made = {name: stages[name](pipeline) for name in stability_tables(pipeline)}
    return [f"{name}: {result.nothing}" for name, result in made.items() if result.nothing]


def stability_of(pipeline: PipelineContext, recipe: str | None) -> Stability:
    """The measures of the forecasts of one recipe at the traded horizon, of the tables as they
    are.
    """
    gate, horizon = pipeline.settings.gate, pipeline.settings.trade_horizon
    asked = stability_tables(pipeline)
    if recipe is None or not asked:
        return Stability()
    sharpe: float | None = None
    found: tuple[float | None, float | None] = (None, None)
    if "cross_validation" in asked:
        own = (pl.col("recipe") == recipe) & (pl.col("horizon") == horizon)
        paths = pipeline.lake.read("cross_validation").filter(own)["sharpe"]
        # a path on which nothing is traded has no Sharpe ratio, and the whole no measure
        if not paths.null_count():
            sharpe = paths.quantile(gate.cross_validation_quantile, "linear")
    if "drift" in asked:
        models = pipeline.lake.read("models").filter(pl.col("recipe") == recipe)["model_id"]
        rows = pipeline.lake.read("drift").filter(
            pl.col("model_id").is_in(models.to_list()) & (pl.col("horizon") == horizon)
        )
        found = newest_drift(rows, gate.drift_rows)
    return Stability(sharpe, *found)
