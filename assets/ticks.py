"""Quotes and trades, cut by trading day: far more rows than bars, and asked for a few days at a time."""

from typing import Any

import dagster as dg

from assets.market import GROUP
from assets.partitions import Partitions, trading_days
from assets.show import materialized
from harmony_pipeline.stages import ticks
from harmony_pipeline.stages.workspace import Workspace


def tick_assets(partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The tick tables of the market group."""
    by_day: dict[str, Any] = {"group_name": GROUP, "partitions_def": partitions.days, "backfill_policy": dg.BackfillPolicy.single_run(), "kinds": {"parquet"}}

    @dg.asset(**by_day)
    def quote_ticks(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """Changes of the best bid and offer, validated; what was refused is in quarantine, every row received in tick_counts."""
        return materialized(context, work, ticks.quote_ticks(work, trading_days(context)))

    @dg.asset(**by_day)
    def trade_ticks(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """Every trade, validated; what was refused is in quarantine, every row received in tick_counts."""
        return materialized(context, work, ticks.trade_ticks(work, trading_days(context)))

    return [quote_ticks, trade_ticks]
