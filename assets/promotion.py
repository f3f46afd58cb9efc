"""Promotion: the written gate between research and paper money."""

from typing import Any

import dagster as dg

from assets.show import materialized
from harmony_pipeline.stages import promotion
from harmony_pipeline.stages.workspace import Workspace

ALL = dg.AllPartitionMapping()


def promotion_assets() -> list[dg.AssetsDefinition]:
    """The promotion group."""

    @dg.asset(group_name="promotion", deps=[dg.AssetDep(name, partition_mapping=ALL) for name in ("predictions", "backtest", "monte_carlo", "overfitting")])
    def promoted_model(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """The decision on the newest model, rule by rule, and the previous champion."""
        return materialized(context, work, promotion.decide(work))

    return [promoted_model]
