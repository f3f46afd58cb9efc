"""Scanner stage: which symbols a session watches, and why every other one is not."""

from typing import Any

import dagster as dg

from assets.partitions import Partitions, trading_days
from assets.show import each_materialized
from harmony_pipeline.stages import scanner
from harmony_pipeline.stages.workspace import Workspace

ALL = dg.AllPartitionMapping()


def scanner_assets(partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The scanner group, cut by trading day."""

    @dg.multi_asset(
        name="scan",
        specs=[
            dg.AssetSpec(
                "scan_candidates",
                deps=[dg.AssetDep("daily_summary", partition_mapping=ALL), "universe", "corporate_actions"],
                description="Every symbol, every measure, every reason for rejection.",
                group_name="scanner",
            ),
            dg.AssetSpec("scan_selections", deps=["scan_candidates"], description="The symbols the session watches.", group_name="scanner"),
        ],
        partitions_def=partitions.days,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def scan(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> Any:
        result = scanner.scan(work, trading_days(context))
        yield from each_materialized(context, work, result, "scan_candidates", "scan_selections")

    return [scan]
