"""Parameter sensitivity: a strategy over all combinations of its grid."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

import polars as pl

from harmony_pipeline.backtest.simulator import SessionReturns
from harmony_pipeline.lake.lake import code_version
from harmony_pipeline.reports import sketches
from harmony_pipeline.reports.drawings import Drawing
from harmony_pipeline.reports.figures import sensitivity_heatmap
from harmony_pipeline.robustness.sensitivity import (
    Trial,
    combinations,
    distinct_parameters,
    stability,
)
from harmony_pipeline.stages.backtest_inputs import backtest_inputs
from harmony_pipeline.stages.backtest_readiness import nothing_to_trade
from harmony_pipeline.stages.backtest_runs import (
    hears_fills,
    regular_bars,
    simulated,
    traded_market,
)
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.strategy_signals import SignalInputs
from harmony_pipeline.stages.trading_rules import trading_rules
from harmony_pipeline.stages.trials import (
    configured_trials,
    daily_returns_of_equity,
    evaluated_grid,
    keep_trials,
)

_THREADS = min(4, os.cpu_count() or 1)  # kernels and Polars release the GIL


def parameter_sensitivity(pipeline: PipelineContext, strategies: Sequence[str]) -> StageResult:
    """Each strategy's grid, every combination a counted trial."""
    parts: dict[str, StageResult] = {}
    bars = cache(partial(regular_bars, pipeline))  # read where a grid is tried
    for number, name in enumerate(strategies, start=1):
        grid = pipeline.fingerprint(backtest_inputs(pipeline, name), code_version())
        why = nothing_to_trade(pipeline, name)
        if why:
            parts[name] = StageResult(rows={"trials": 0}, nothing=why)
        elif grid == evaluated_grid(pipeline, name) and not pipeline.again:
            parts[name] = _grid_made_before(pipeline, name)
        else:
            parts[name] = _grid_evaluated(pipeline, name, bars, grid)
        pipeline.progress("parameter sensitivity", number, len(strategies))
    previews = [part.preview for part in parts.values() if part.preview is not None]
    return StageResult.of(parts, preview=pl.concat(previews) if previews else None)


def _grid_made_before(pipeline: PipelineContext, strategy: str) -> StageResult:
    manifest = pipeline.lake.manifest("trials", strategy) or {}
    since = datetime.fromisoformat(manifest["written_at"])
    return StageResult(
        rows={"trials": int(manifest["rows"])},
        preview=pipeline.lake.read("trials", [strategy]),
        unchanged_since=since,
    )


def _grid_evaluated(
    pipeline: PipelineContext, strategy: str, bars: Callable[[], pl.DataFrame], grid: str
) -> StageResult:
    chosen = pipeline.settings.strategies.get(strategy)
    values = chosen.grid if chosen is not None else {}  # a portfolio has no grid of its own
    tried = _tried(pipeline, strategy, bars()) if values else []
    trials = keep_trials(pipeline, strategy, tried, grid)
    found = stability(configured_trials(pipeline, strategy))
    return StageResult(
        rows={"trials": trials.height},
        preview=trials,
        pictures={
            "Sharpe ratio by trial": sketches.bars(trials["sharpe"].drop_nulls().sort().to_list()),
            "sensitivity": Drawing.of(
                sensitivity_heatmap,
                found.table,
                f"{strategy}: annualised Sharpe ratio by parameters",
            ),
        },
        notes=[
            (
                f"{len(combinations(values)) if values else 0} combinations,"
                f" {trials.height} trials ever; {found.summary()}"
            )
        ],
    )


def _tried(pipeline: PipelineContext, strategy: str, bars: pl.DataFrame) -> list[Trial]:
    """A trial for each combination of the grid: bars are prepared once, combinations run side by
    side, and only the returns of sessions are kept.
    """
    chosen = pipeline.strategy_settings(strategy)
    tried = distinct_parameters(strategy, chosen.parameters, chosen.grid)
    changes = [
        {name: value for name, value in each.items() if chosen.parameters.get(name) != value}
        for each in tried
    ]
    if hears_fills(pipeline, strategy):
        return [
            Trial(strategy, parameters, _returns(pipeline, strategy, changed), datetime.now(UTC))
            for parameters, changed in zip(tried, changes, strict=True)
        ]
    inputs = SignalInputs(pipeline, strategy, changes)
    market = traded_market(pipeline, strategy, bars)
    runs, now = SessionReturns(market, trading_rules(pipeline, strategy)), datetime.now(UTC)
    with ThreadPoolExecutor(_THREADS) as pool:
        found = runs.each(pool.map(inputs.signals, changes))
    return [
        Trial(strategy, parameters, daily, now)
        for parameters, daily in zip(tried, found, strict=True)
    ]


def _returns(pipeline: PipelineContext, strategy: str, changed: Mapping[str, Any]) -> pl.DataFrame:
    """Timestamp and return of each session of a machine that hears its fills."""
    return daily_returns_of_equity(pipeline, simulated(pipeline, strategy, changed).equity)
