"""Monte Carlo, overfitting statistics and regime stability of backtests."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from harmony_pipeline.reports import sketches
from harmony_pipeline.reports.figures import monte_carlo_fan, regime_bars
from harmony_pipeline.robustness.monte_carlo import simulate
from harmony_pipeline.robustness.overfitting import overfitting_row
from harmony_pipeline.robustness.regimes import regime_stability as stability
from harmony_pipeline.stages.backtests import (
    daily_returns_of,
    found_backtest,
    no_backtest,
    nothing_to_trade,
)
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.unchanged import unchanged_since

Made = tuple[pl.DataFrame, StageResult]


def monte_carlo(pipeline: PipelineContext, strategies: Sequence[str]) -> StageResult:
    """Resampled and stressed paths of each strategy's closed trades."""

    def inputs(name: str) -> dict[str, str]:
        return pipeline.made_from(
            {"trades": [name], "backtests": [name]}, pipeline.settings.monte_carlo
        )

    def make(name: str, run: dict[str, Any]) -> Made:
        trades = pipeline.lake.read("trades", [name])
        if not trades["exit_timestamp"].drop_nulls().len():
            empty = pipeline.lake.tables["monte_carlo"].empty()
            return empty, StageResult(
                rows={"monte_carlo": 0},
                nothing=f"{name} closed no trade, so there is nothing to shake",
            )
        result = simulate(
            trades, run["initial_cash"], pipeline.settings.monte_carlo, run["backtest_id"]
        )
        pictures = {
            "final equity, worst path first": sketches.bars(
                result.table["final_equity"].sort().to_list()
            ),
            "Monte Carlo": monte_carlo_fan(result.fan, f"{name}: stressed paths"),
        }
        preview = result.quantiles.with_columns(strategy=pl.lit(name))
        return result.table, StageResult(
            rows={"monte_carlo": result.table.height}, preview=preview, pictures=pictures
        )

    return _each(pipeline, strategies, "monte_carlo", inputs, make)


def overfitting(pipeline: PipelineContext, strategies: Sequence[str]) -> StageResult:
    """How likely luck and search made the result: PSR, DSR, PBO, SPA and the minimum track record,
    over every configuration ever tried.
    """

    def inputs(name: str) -> dict[str, str]:
        tables = {"trials": [name], "trial_returns": [name], "equity": [name], "backtests": [name]}
        return pipeline.made_from(tables, pipeline.settings.overfitting)

    def make(name: str, _run: dict[str, Any]) -> Made:
        trials, returns = (
            pipeline.lake.read("trials", [name]),
            pipeline.lake.read("trial_returns", [name]),
        )
        row = overfitting_row(
            name, daily_returns_of(pipeline, name), trials, returns, pipeline.settings.overfitting
        )
        pictures = {
            "Sharpe ratio by trial": sketches.bars(trials["sharpe"].drop_nulls().sort().to_list())
        }
        return row, StageResult(rows={"overfitting": row.height}, preview=row, pictures=pictures)

    return _each(pipeline, strategies, "overfitting", inputs, make)


def regime_stability(pipeline: PipelineContext, strategies: Sequence[str]) -> StageResult:
    """How each strategy did in each regime, as known before each day."""

    def inputs(name: str) -> dict[str, str]:
        return pipeline.made_from(
            {"equity": [name], "backtests": [name], "regimes": pipeline.lake.partitions("regimes")}
        )

    def make(name: str, _run: dict[str, Any]) -> Made:
        table = stability(daily_returns_of(pipeline, name), pipeline.lake.read("regimes"), name)
        pictures = {
            "days by regime": sketches.bars(table["days"].to_list()),
            "regimes": regime_bars(table),
        }
        return table, StageResult(
            rows={"regime_stability": table.height}, preview=table, pictures=pictures
        )

    return _each(pipeline, strategies, "regime_stability", inputs, make)


def _each(
    pipeline: PipelineContext,
    strategies: Sequence[str],
    table: str,
    inputs: Callable[[str], dict[str, str]],
    make: Callable[[str, dict[str, Any]], Made],
) -> StageResult:
    """One partition a strategy: left when unchanged, empty without a backtest, else made and
    written.
    """
    parts: dict[str, StageResult] = {}
    for number, name in enumerate(strategies, start=1):
        made_from = inputs(name)
        since, run = (
            unchanged_since(pipeline, (table,), name, made_from),
            found_backtest(pipeline, name),
        )
        if since is not None and run is not None:
            parts[name] = _made_before(pipeline, table, name, since)
        elif run is None:
            parts[name] = StageResult(
                rows={table: 0},
                nothing=nothing_to_trade(pipeline, name) or no_backtest(pipeline, name),
            )
            if pipeline.lake.has(table, name):  # no result of another backtest stays behind
                pipeline.lake.write(table, name, pipeline.lake.tables[table].empty(), made_from)
        else:
            rows, parts[name] = make(name, run)
            pipeline.lake.write(table, name, rows, made_from)
        pipeline.progress(table.replace("_", " "), number, len(strategies))
    previews = [part.preview for part in parts.values() if part.preview is not None]
    return StageResult.of(parts, preview=pl.concat(previews) if previews else None)


def _made_before(
    pipeline: PipelineContext, table: str, strategy: str, since: datetime
) -> StageResult:
    rows = int((pipeline.lake.manifest(table, strategy) or {})["rows"])
    return StageResult(rows={table: rows}, unchanged_since=since)
