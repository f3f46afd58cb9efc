"""A small picture of a table for stages that bring none: rows by partition, or by year."""

import polars as pl

from harmony_pipeline.reports import sketches
from harmony_pipeline.stages.context import PipelineContext

_BY_SYMBOL = ("instruments",)
_DATED = {"corporate_actions": "date", "universe": "listed", "listings": "valid_from"}


def rows_of(pipeline: PipelineContext, table: str) -> dict[str, float]:
    """Rows by partition of `table`; empty for what is no table of the lake."""
    if table not in pipeline.lake.tables:
        return {}
    return {
        key: float((pipeline.lake.manifest(table, key) or {}).get("rows", 0))
        for key in pipeline.lake.partitions(table)
    }


def rows_by_partition(rows: dict[str, float], table: str, key: str) -> dict[str, bytes]:
    """`rows` side by side, those of `key` marked; no picture where there are none."""
    if not rows:
        return {}
    place = list(rows).index(key) if key in rows else None
    return {f"rows of {table} by partition": sketches.bars(list(rows.values()), marked=place)}


def rows_by_group(pipeline: PipelineContext, table: str) -> dict[str, bytes]:
    """How many rows of a table without partitions begin in each year, or belong to each symbol;
    nothing for other tables.
    """
    if table in _BY_SYMBOL:
        counted = (
            pipeline.lake.scan(table)
            .group_by("symbol")
            .len()
            .sort("symbol")
            .collect(engine="in-memory")
        )
        return (
            {f"rows of {table} by symbol": sketches.bars(counted["len"].to_list())}
            if counted.height
            else {}
        )
    if table not in _DATED:
        return {}
    years = (
        pipeline.lake.scan(table)
        .select(pl.col(_DATED[table]).dt.year().alias("year"))
        .drop_nulls()
        .collect(engine="in-memory")
    )
    if years.is_empty():
        return {}
    counts = dict(years.group_by("year").len().iter_rows())
    span = range(min(counts), max(counts) + 1)
    return {
        f"rows of {table} by year": sketches.bars([float(counts.get(year, 0)) for year in span])
    }
