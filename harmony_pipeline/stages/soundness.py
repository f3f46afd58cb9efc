"""What bars must be: the check that the graph makes of them, and that a verdict makes again when
the rows have changed.
"""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from harmony_pipeline.frames import format_columns
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.market.validation.catalog import NOT_A_FAULT
from harmony_pipeline.schemas import BARS
from harmony_pipeline.table_checks import broken_rows


def unsound_bars(lake: Lake, keys: Sequence[str], max_fraction: float) -> pl.DataFrame:
    """Partition, symbol, timestamp and finding of what does not hold; `max_fraction` of the raw
    rows may be in quarantine.
    """
    findings = []
    for key in keys:
        bars = lake.read("bars", [key])
        quarantine = lake.read("quarantine", [key]).filter(_is_fault(bars))
        findings.append(_broken_rows(bars, key))
        total = bars.height + quarantine.height
        share = quarantine.height / total if total else 0.0
        if share > max_fraction:
            common = quarantine.group_by("rule").len().sort("len", descending=True)
            found = (
                f"{share:.1%} of {total} raw rows are in quarantine, most by {common['rule'][0]};"
                f" market.quality.max_quarantined_fraction allows {max_fraction:.1%}; e.g."
                f" {quarantine['reason'][0]}"
            )
            findings.append(_finding(key, None, None, found))
    return pl.concat(findings)


def _is_fault(bars: pl.DataFrame) -> pl.Expr:
    """Whether a row in quarantine counts as a fault: not where it was refused by choice or mended,
    nor as a filler. Of a symbol whose bars have no volume nothing tells fillers from quotes of
    another clock, so that these count.
    """
    traded = bars.filter(pl.col("volume") > 0)["symbol"].unique()
    filler = (pl.col("rule") == "closed_market_filler") & ~pl.col("symbol").is_in(traded.implode())
    return ~pl.col("rule").is_in(NOT_A_FAULT) | filler


def _broken_rows(bars: pl.DataFrame, key: str) -> pl.DataFrame:
    """What the declaration of the table does not allow, with the bar in which it stands."""
    places = bars.select("symbol", "timestamp", row=pl.int_range(pl.len(), dtype=pl.Int64))
    found = broken_rows(BARS, bars).join(places, on="row", how="left", maintain_order="left")
    text = format_columns("{} {}: expected {}", pl.col("column").fill_null("row"), "found", "check")
    return found.select(
        pl.lit(key).alias("partition"), "symbol", "timestamp", text.alias("finding")
    )


def _finding(key: str, symbol: str | None, timestamp: datetime | None, text: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"partition": [key], "symbol": [symbol], "timestamp": [timestamp], "finding": [text]},
        schema={
            "partition": pl.String,
            "symbol": pl.String,
            "timestamp": pl.Datetime("us", "UTC"),
            "finding": pl.String,
        },
    )
