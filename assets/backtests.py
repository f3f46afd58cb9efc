"""Backtests and robustness: one strategy a partition; every configuration tried is counted."""

from typing import Any

import dagster as dg

from assets.partitions import Partitions, strategies
from assets.show import materialized
from harmony_pipeline.stages import backtests, robustness
from harmony_pipeline.stages.workspace import Workspace

ALL = dg.AllPartitionMapping()


def backtest_assets(partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The backtests and robustness groups, cut by strategy."""
    by_strategy: dict[str, Any] = {"partitions_def": partitions.strategies, "backfill_policy": dg.BackfillPolicy.single_run(), "kinds": {"parquet"}}
    inputs = [dg.AssetDep(name, partition_mapping=ALL) for name in ("bars", "signals", "predictions")] + [
        dg.AssetDep("corporate_actions"),
        dg.AssetDep("instruments"),
        dg.AssetDep("listings"),
    ]

    @dg.asset(**by_strategy, group_name="backtests", deps=inputs)
    def backtest(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """Orders, fills, trades and equity of the whole portfolio, with costs and limits."""
        return materialized(context, work, backtests.backtest(work, strategies(context)))

    @dg.asset(group_name="backtests", deps=[dg.AssetDep("backtest", partition_mapping=ALL)])
    def strategy_comparison(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """Every strategy beside every other, with the interval of its Sharpe ratio."""
        return materialized(context, work, backtests.strategy_comparison(work))

    @dg.asset(**by_strategy, group_name="backtests", deps=["backtest"])
    def parameter_sensitivity(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """The strategy's grid, every combination a counted trial."""
        return materialized(context, work, backtests.parameter_sensitivity(work, strategies(context)))

    @dg.asset(**by_strategy, group_name="robustness", deps=["backtest"])
    def monte_carlo(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """Resampled and stressed paths of the trade list."""
        return materialized(context, work, robustness.monte_carlo(work, strategies(context)))

    @dg.asset(**by_strategy, group_name="robustness", deps=["backtest", "parameter_sensitivity"])
    def overfitting(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """How likely luck and search made the result: PSR, DSR, PBO, SPA."""
        return materialized(context, work, robustness.overfitting(work, strategies(context)))

    @dg.asset(**by_strategy, group_name="robustness", deps=["backtest", dg.AssetDep("regimes", partition_mapping=ALL)])
    def regime_stability(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """Return and Sharpe ratio in each regime, as known before each day."""
        return materialized(context, work, robustness.regime_stability(work, strategies(context)))

    return [backtest, strategy_comparison, parameter_sensitivity, monte_carlo, overfitting, regime_stability]
