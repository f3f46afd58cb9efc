"""Research stage: features with saved kernel state, regimes, primary signals, triple-barrier labels."""

from typing import Any

import dagster as dg

from assets.partitions import Partitions, trading_periods
from assets.show import materialized
from harmony_pipeline.stages import research
from harmony_pipeline.stages.workspace import Workspace


def research_assets(partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The research group, cut by trading period."""
    common: dict[str, Any] = {
        "group_name": "research",
        "partitions_def": partitions.trading,
        "backfill_policy": dg.BackfillPolicy.single_run(),
        "kinds": {"parquet"},
    }

    @dg.asset(**common, deps=["bars"])
    def features(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """One column a feature, folded over time; the kernel state after the period is saved beside it."""
        return materialized(context, work, research.features(work, trading_periods(context, work)))

    @dg.asset(**common, deps=["daily_summary"])
    def regimes(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """Trend and volatility regime of every session, known at its close."""
        return materialized(context, work, research.regimes(work, trading_periods(context, work)))

    @dg.asset(**common, deps=["features"])
    def signals(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """Side and strength of every primary strategy."""
        return materialized(context, work, research.signals(work, trading_periods(context, work)))

    @dg.asset(**common, deps=["bars", "signals", "instruments", "listings"])
    def labels(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """Triple-barrier outcome of every event, each known at its own `end_timestamp`."""
        return materialized(context, work, research.labels(work, trading_periods(context, work)))

    return [features, regimes, signals, labels]
