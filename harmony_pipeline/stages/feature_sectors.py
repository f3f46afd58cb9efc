"""The sectors that features compare within, where they are those of the universe."""

import polars as pl

from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.comparisons import SECTOR_RELATIVE, is_of_a_sector
from harmony_pipeline.features.incremental import PeriodSectors
from harmony_pipeline.market.sectors import Sectors
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES
from harmony_pipeline.schemas import TIME
from harmony_pipeline.stages.context import PipelineContext


def feature_sectors(
    pipeline: PipelineContext, feature_set: FeatureSet | None = None
) -> Sectors | None:
    """The sectors as known on each day; None where no feature reads them. Raises NotReady before
    the universe is in the lake, ConfigError where it states no sector.
    """
    chosen = pipeline.feature_set if feature_set is None else feature_set
    if not chosen.reads_sectors:
        return None
    return pipeline.while_unchanged(
        "feature sectors",
        ["universe"],
        lambda: _sectors_of(pipeline.lake.read("universe"), pipeline, chosen),
    )


def period_sectors(pipeline: PipelineContext) -> PeriodSectors | None:
    """The same with the ends of the trading periods, for features period by period."""
    known = feature_sectors(pipeline)
    if known is None:
        return None
    return PeriodSectors(known, {one.key: one.end_date for one in pipeline.trading_periods()})


def sectors_known_late(pipeline: PipelineContext, known: PeriodSectors | None) -> list[str]:
    """A sentence where the market begins before the universe states any sector: a supplier of
    today's universe has none of the past.
    """
    if known is None:
        return []
    first, start = (
        min(since for _, since, sector in known.sectors.rows if sector),
        pipeline.settings.market.start,
    )
    if first <= start:
        return []
    said = f"the universe states no sector before {first}: {SECTOR_RELATIVE} columns have no value"
    return [f"{said} from {start} until then"]


def dated_sectors(pipeline: PipelineContext) -> pl.DataFrame:
    """The universe's rows with what tells the sector and the security, and `known_at`: the
    beginning of the first session that each counts in. Rows after the calendar's end have none.
    """
    rows = pipeline.lake.read("universe").select(
        "symbol", "date", "sector", "security_id", "listed", "delisted"
    )
    if pipeline.timeframe in LONG_TIMEFRAMES:
        return rows.with_columns(known_at=pl.col("date").cast(TIME))
    sessions = pipeline.calendar.table.select("date", known_at="pre_open")
    return rows.sort("date", maintain_order=True).join_asof(
        sessions, on="date", strategy="forward", coalesce=True
    )


def _sectors_of(universe: pl.DataFrame, pipeline: PipelineContext, chosen: FeatureSet) -> Sectors:
    found = Sectors.of_table(universe)
    if any(sector for *_, sector in found.rows):
        return found
    computed = (column.name for column in chosen.computed)
    name = next(filter(is_of_a_sector, computed))
    if universe.is_empty() and not pipeline.lake.partitions("universe"):
        raise NotReady(
            f"feature '{name}' takes sectors from the universe, which is not in the lake yet; read"
            " it with: harmony backfill universe"
        )
    raise ConfigError(
        f"feature '{name}': features.sectors names no sector and the universe of"
        f" {pipeline.settings.market.source} states none: name them, as"
        ' { AAPL = "technology" }, or give a universe with the column sector (docs/universe.md)'
    )
