"""Upkeep of the lake itself, over all its tables."""

from typing import Any

import dagster as dg

from assets.show import materialized
from harmony_pipeline.stages import upkeep
from harmony_pipeline.stages.workspace import Workspace


def upkeep_assets() -> list[dg.AssetsDefinition]:
    """One asset, after the market's tables."""

    @dg.asset(group_name="market", deps=["daily_summary"], kinds={"parquet"})
    def lake_upkeep(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """Files of healthy size, no leftovers, history as long as the settings say; lists files, sizes and row groups per table."""
        return materialized(context, work, upkeep.lake_upkeep(work))

    return [lake_upkeep]
