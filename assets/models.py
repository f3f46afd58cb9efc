"""Models stage: one retraining period a partition; backfilling them all is the walk-forward test."""

from typing import Any

import dagster as dg

from assets.partitions import Partitions, retraining_periods
from assets.show import materialized
from harmony_pipeline.stages import models
from harmony_pipeline.stages.workspace import Workspace

ALL = dg.AllPartitionMapping()


def model_assets(partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The models group, cut by retraining period."""
    common: dict[str, Any] = {"group_name": "models", "partitions_def": partitions.retraining, "backfill_policy": dg.BackfillPolicy.single_run()}

    @dg.asset(**common, deps=[dg.AssetDep(name, partition_mapping=ALL) for name in ("features", "regimes", "labels")], kinds={"lightgbm"})
    def model(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """Trained on outcomes known before the period began, purged and embargoed."""
        return materialized(context, work, models.train(work, retraining_periods(context, work)))

    @dg.asset(**common, deps=["model", *(dg.AssetDep(name, partition_mapping=ALL) for name in ("features", "regimes", "signals"))], kinds={"parquet"})
    def predictions(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """Out-of-sample probabilities, inside the period only."""
        return materialized(context, work, models.predict(work, retraining_periods(context, work)))

    return [model, predictions]
