"""Whether a backtest could trade at all, from when on, and what helps where it could not."""

from datetime import datetime

import polars as pl

from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.models import why_no_model
from harmony_pipeline.stages.quote_runs import has_quotes
from harmony_pipeline.stages.reasons import NO_BARS, NO_QUOTES, NO_REGULAR_BARS, TOO_FEW_BARS
from harmony_pipeline.stages.trading_rules import members_of
from harmony_pipeline.strategies.registry import build_strategy
from harmony_pipeline.strategies.settings import acts_on_quotes


def first_prediction(pipeline: PipelineContext) -> datetime:
    """Start of the first period with a model: before it a model strategy did not exist."""
    folds = pipeline.lake.read("folds").filter(
        (pl.col("horizon") == pipeline.settings.trade_horizon) & pl.col("model_id").is_not_null()
    )
    if folds.is_empty():
        return pipeline.retraining_periods()[-1].end
    start = folds["test_start"].min()
    assert isinstance(start, datetime)
    return start


def nothing_to_trade(pipeline: PipelineContext, strategy: str) -> str:
    """Why a backtest of this strategy could not trade at all, with the command that helps; empty
    when it could. A portfolio can where one of its strategies can.
    """
    lake = pipeline.lake
    if strategy in pipeline.settings.portfolios:
        reasons = [nothing_to_trade(pipeline, one) for one in members_of(pipeline, strategy)]
        return "; ".join(dict.fromkeys(reasons)) if all(reasons) else ""
    if acts_on_quotes(pipeline.settings.strategies[strategy]):
        return "" if has_quotes(pipeline) else NO_QUOTES
    if not _any_row(lake, "bars", pl.col("session") == "regular"):
        return NO_REGULAR_BARS if _any_row(lake, "bars") else NO_BARS
    if not lake.partitions("signals"):
        return f"there are no signals of {strategy} yet; make them with: harmony backfill research"
    taken = (pl.col("strategy") == strategy) & (pl.col("side") != 0)
    if not _any_row(lake, "signals", taken):
        return _no_side(pipeline, strategy)
    if not pipeline.settings.strategies[strategy].uses_model:
        return ""
    if not _any_row(lake, "predictions", pl.col("horizon") == pipeline.settings.trade_horizon):
        why = why_no_model(pipeline)
        return (
            f"no model: {why}"
            if why
            else "there are no predictions yet; make them with: harmony backfill retrain"
        )
    if not _any_row(lake, "signals", taken & (pl.col("timestamp") >= first_prediction(pipeline))):
        return f"{strategy} takes no side since the first model"
    return ""


def _no_side(pipeline: PipelineContext, strategy: str) -> str:
    if not _any_row(pipeline.lake, "signals", pl.col("strategy") == strategy):
        needed = build_strategy(pipeline.settings.strategies[strategy]).required_features()
        if needed and set(needed) <= set(pipeline.lake.scan("features").collect_schema().names()):
            known = pl.all_horizontal(pl.col(*needed).is_not_null())
            if not _any_row(pipeline.lake, "features", known):
                return TOO_FEW_BARS
        return (
            f"there are no signals of {strategy}: it was added since; make them with: harmony"
            " backfill research"
        )
    return (
        f"{strategy} takes a side on no bar: the history is too short for it, or its parameters are"
        " too strict"
    )


def _any_row(lake: Lake, table: str, condition: pl.Expr | None = None) -> bool:
    """Whether a row of the table meets the condition. The newest partition nearly always has one;
    only where it has none all others are read.
    """
    for keys in (lake.partitions(table)[-1:], None):
        rows = lake.scan(table, keys)
        found = rows if condition is None else rows.filter(condition)
        # counting reads the columns of the conditions alone
        if found.select(pl.len()).collect(engine="in-memory").item():
            return True
    return False
