"""What the validator found in the rows of an ingest, in words: a line a rule with its count, an
example, and how to look.
"""

from collections.abc import Sequence

import polars as pl
from rich.console import Console

from harmony_pipeline.cli.invocation import command_line
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.market_warnings import SERIOUS
from harmony_pipeline.text import printable

_RULES_SHOWN = 12
_TABLES = {"quarantine": "in quarantine", "quality_warnings": "warnings"}


def print_findings(pipeline: PipelineContext, partitions: Sequence[str]) -> None:
    """Quarantined rows and warnings of these partitions by rule, but for those that
    `print_market_warnings` tells of whole series.
    """
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for table, words in _TABLES.items():
        rules = by_rule(pipeline, table, partitions)
        if table == "quality_warnings":
            rules = rules.filter(~pl.col("rule").is_in(list(SERIOUS)))
        for rule, rows, symbols, reason in rules.head(_RULES_SHOWN).iter_rows():
            console.print(
                f"{words}: {rule}, {_counted(rows, 'row')} of {_counted(symbols, 'symbol')}, first:"
                f" {printable(reason, 300)}"
            )
        if rules.height > _RULES_SHOWN:
            console.print(f"{words}: {rules.height - _RULES_SHOWN} more rules")
        if rules.height:
            console.print(
                f'look: {command_line("sql")} "select * from {table} where rule ='
                f" '{rules['rule'][0]}' limit 20\""
            )


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def by_rule(pipeline: PipelineContext, table: str, partitions: Sequence[str]) -> pl.DataFrame:
    """rule, rows, symbols, reason of the first row in time; the most frequent rule first."""
    found = pipeline.lake.scan(table, partitions).select("rule", "symbol", "timestamp", "reason")
    grouped = (
        found.sort("timestamp", "symbol", maintain_order=True)
        .group_by("rule", maintain_order=True)
        .agg(
            pl.len().alias("rows"),
            pl.col("symbol").n_unique().alias("symbols"),
            pl.col("reason").first(),
        )
    )
    return grouped.collect(engine="in-memory").sort(["rows", "rule"], descending=[True, False])
