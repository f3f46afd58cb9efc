"""The trials of every strategy: each configuration that was ever backtested is kept and counted."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl

from harmony_pipeline.backtest.metrics import daily_returns
from harmony_pipeline.backtest.simulator import BacktestResult
from harmony_pipeline.robustness.sensitivity import Trial, TrialRows, merge_trials, trial_rows
from harmony_pipeline.stages.context import PipelineContext


def daily_returns_of_equity(pipeline: PipelineContext, equity: pl.DataFrame) -> pl.DataFrame:
    """Timestamp and return of every session of a backtest."""
    return daily_returns(
        equity, pipeline.calendar, pipeline.settings.backtest.initial_cash, pipeline.timeframe
    )


def count_trial(pipeline: PipelineContext, strategy: str, result: BacktestResult) -> None:
    """A backtest with the strategy's own parameters is a trial."""
    parameters = json.loads(result.row["parameters"][0])
    returns = daily_returns_of_equity(pipeline, result.equity)
    keep_trials(pipeline, strategy, [Trial(strategy, parameters, returns, datetime.now(UTC))])


def keep_trials(
    pipeline: PipelineContext, strategy: str, trials: Sequence[Trial], grid: str | None = None
) -> pl.DataFrame:
    """Add trials to those ever made; the same configuration on the same bars is the same trial.
    `grid` names an evaluated grid with all its inputs.
    """
    data_hash = pipeline.fingerprint(pipeline.lake.content_hashes("bars"))
    before = TrialRows(
        pipeline.lake.read("trials", [strategy]), pipeline.lake.read("trial_returns", [strategy])
    )
    year = pipeline.calendar.for_timeframe(pipeline.timeframe).sessions_per_year
    merged = merge_trials(before, trial_rows(trials, data_hash, year), year)
    made_from = {
        "bars": data_hash,
        "grid": evaluated_grid(pipeline, strategy) if grid is None else grid,
    }
    pipeline.lake.write("trials", strategy, merged.trials, made_from)
    pipeline.lake.write("trial_returns", strategy, merged.returns, made_from)
    return merged.trials


def evaluated_grid(pipeline: PipelineContext, strategy: str) -> str:
    """Which grid was evaluated last, with all its inputs; empty when none was."""
    return str(
        (pipeline.lake.manifest("trials", strategy) or {}).get("made_from", {}).get("grid", "")
    )
