"""Market stage: raw bars as received, corporate actions, validated bars and quarantine, the daily summary."""

from typing import Any

import dagster as dg

from assets.partitions import Partitions, trading_periods
from assets.show import each_materialized, materialized
from harmony_pipeline.stages import gaps as absent
from harmony_pipeline.stages import ingest, market
from harmony_pipeline.stages import instruments as terms
from harmony_pipeline.stages.workspace import Workspace

GROUP = "market"


class IngestConfig(dg.Config):
    """How raw bars are fetched."""

    again: bool = False


def market_assets(partitions: Partitions) -> list[dg.AssetsDefinition]:
    """The market group, cut by trading period."""
    by_period: dict[str, Any] = {"group_name": GROUP, "partitions_def": partitions.trading, "backfill_policy": dg.BackfillPolicy.single_run()}

    @dg.asset(**by_period, kinds={"parquet"})
    def raw_bars(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace], config: IngestConfig) -> dg.MaterializeResult[Any]:
        """Bars as received, every version of a row, with source and fetch time."""
        return materialized(context, work, ingest.raw_bars(work, trading_periods(context, work), again=config.again))

    @dg.asset(group_name=GROUP, kinds={"parquet"})
    def corporate_actions(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """Splits and cash dividends by ex-date."""
        return materialized(context, work, market.corporate_actions(work))

    @dg.asset(group_name=GROUP, kinds={"parquet"})
    def universe(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """Who was listed when, with float and sector, as known then."""
        return materialized(context, work, market.universe(work))

    @dg.asset(group_name=GROUP, deps=["universe"], kinds={"parquet"})
    def listings(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """Which security traded under which symbol, from when to when, and what became of it."""
        return materialized(context, work, market.listings(work))

    @dg.multi_asset(
        name="bars",
        specs=[
            dg.AssetSpec(
                "bars", deps=["raw_bars", "corporate_actions"], description="Validated, de-duplicated, session-aware bars.", group_name=GROUP, kinds={"parquet"}
            ),
            dg.AssetSpec(
                "quarantine", deps=["raw_bars"], description="Every raw row that is not in bars, with rule and reason.", group_name=GROUP, kinds={"parquet"}
            ),
            dg.AssetSpec("quality_warnings", deps=["raw_bars"], description="Bars that a rule found odd and let pass.", group_name=GROUP, kinds={"parquet"}),
        ],
        partitions_def=partitions.trading,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def bars(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> Any:
        result = market.bars(work, trading_periods(context, work))
        yield from each_materialized(context, work, result, "bars", "quarantine", "quality_warnings")

    @dg.asset(**by_period, deps=["bars"], kinds={"parquet"})
    def daily_summary(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """One row a symbol and day: what makes scans and universe studies instant."""
        return materialized(context, work, market.daily_summary(work, trading_periods(context, work)))

    @dg.asset(**by_period, deps=["bars", "quarantine", "daily_summary", "listings"], kinds={"parquet"})
    def gaps(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """Regular bars that the calendar expects and the lake lacks, with what they probably are."""
        return materialized(context, work, absent.gaps(work, trading_periods(context, work)))

    @dg.asset(group_name=GROUP, deps=["bars", "daily_summary"], kinds={"parquet"})
    def instruments(context: dg.AssetExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[Any]:
        """Tick, lot, multiplier and the other terms that each symbol is traded by, from when on, and where they come from."""
        return materialized(context, work, terms.instruments(work))

    return [raw_bars, corporate_actions, universe, listings, bars, daily_summary, instruments, gaps]
