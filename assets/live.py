"""Live stage: the paper session of a day, its reconciliation, its divergence from the backtest, its report."""

from typing import Any

import dagster as dg

from assets.partitions import Partitions, trading_days
from assets.show import materialized
from harmony_pipeline.stages import live
from harmony_pipeline.stages.workspace import Workspace


class SessionConfig(dg.Config):
    """How the paper session is run; the defaults are those of the sensor's run."""

    require_promoted: bool = True
    own_process: bool = True


def live_assets(partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The live group, cut by trading day."""
    by_day: dict[str, Any] = {"group_name": "live", "partitions_def": partitions.days, "backfill_policy": dg.BackfillPolicy.single_run()}

    @dg.multi_asset(
        name="run_paper_session",  # the job of DESIGN is called like the asset, and Dagster wants op and job names apart
        specs=[
            dg.AssetSpec(
                "paper_session",
                deps=["scan_selections", "promoted_model"],
                description="The session of the day, in its own supervised process, with the promoted model.",
                group_name=by_day["group_name"],
            )
        ],
        partitions_def=partitions.days,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def paper_session(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace], config: SessionConfig) -> dg.MaterializeResult[Any]:
        return materialized(
            context, work, live.paper_session(work, trading_days(context), require_promoted=config.require_promoted, own_process=config.own_process)
        )

    @dg.asset(**by_day, deps=["paper_session"])
    def reconciliation(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """Ledger against broker: orders, positions, cash."""
        return materialized(context, work, live.reconciliation(work, trading_days(context)))

    @dg.asset(**by_day, deps=["paper_session", dg.AssetDep("bars", partition_mapping=dg.AllPartitionMapping())])
    def divergence(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """Live session against the backtest of the same day, order by order, to the cent."""
        return materialized(context, work, live.divergence(work, trading_days(context)))

    @dg.asset(**by_day, deps=["paper_session", "reconciliation", "divergence"])
    def daily_report(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """What the day did, as a page."""
        return materialized(context, work, live.daily_report(work, trading_days(context)))

    return [paper_session, reconciliation, divergence, daily_report]
