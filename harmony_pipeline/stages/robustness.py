"""Monte Carlo, overfitting statistics and regime stability of backtests."""

from collections.abc import Sequence

import polars as pl

from harmony_pipeline.reports.figures import monte_carlo_fan, regime_bars
from harmony_pipeline.robustness.monte_carlo import simulate
from harmony_pipeline.robustness.overfitting import overfitting_row
from harmony_pipeline.robustness.regimes import regime_stability as stability
from harmony_pipeline.stages.backtests import daily_returns_of, latest_backtest
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.workspace import Workspace


def monte_carlo(work: Workspace, strategies: Sequence[str]) -> StageResult:
    """Resample and stress each strategy's closed trades."""
    settings = work.settings.monte_carlo
    pictures: dict[str, bytes] = {}
    quantiles, total = [], 0
    for name in strategies:
        run = latest_backtest(work, name)
        trades = work.lake.read("trades", [name])
        result = simulate(trades, run["initial_cash"], settings, run["backtest_id"])
        work.lake.write("monte_carlo", name, result.table, work.made_from({"trades": [name]}, settings))
        pictures[f"{name}: Monte Carlo"] = monte_carlo_fan(result.fan, f"{name}: stressed paths")
        quantiles.append(result.quantiles.with_columns(strategy=pl.lit(name)))
        total += result.table.height
    return StageResult(rows={"monte_carlo": total}, preview=pl.concat(quantiles), pictures=pictures)


def overfitting(work: Workspace, strategies: Sequence[str]) -> StageResult:
    """PSR, DSR, PBO, SPA and the minimum track record, over every configuration that was ever tried."""
    rows = []
    for name in strategies:
        trials, returns = work.lake.read("trials", [name]), work.lake.read("trial_returns", [name])
        row = overfitting_row(name, daily_returns_of(work, name), trials, returns, work.settings.overfitting)
        work.lake.write("overfitting", name, row, work.made_from({"trials": [name], "equity": [name]}, work.settings.overfitting))
        rows.append(row)
    return StageResult(rows={"overfitting": len(rows)}, preview=pl.concat(rows))


def regime_stability(work: Workspace, strategies: Sequence[str]) -> StageResult:
    """How each strategy did in each regime, as known before each day."""
    regimes = work.lake.read("regimes")
    pictures, tables = {}, []
    for name in strategies:
        table = stability(daily_returns_of(work, name), regimes, name)
        work.lake.write("regime_stability", name, table, work.made_from({"equity": [name]}))
        pictures[f"{name}: regimes"] = regime_bars(table)
        tables.append(table)
    every = pl.concat(tables)
    return StageResult(rows={"regime_stability": every.height}, preview=every, pictures=pictures)
