"""Coarser bars out of finer ones, as an exchange's tape would give them.

Intraday bars lie on the grid that starts at midnight on the exchange's clock; a daily bar holds regular trading only and is
stamped midnight UTC of its session date.
"""

import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import TIMEFRAME_MINUTES


def coarser(bars: pl.DataFrame, calendar: Calendar, timeframe: str, target: str) -> pl.DataFrame:
    """`bars` of size `timeframe`, sorted by symbol and timestamp, as bars of size `target`; same columns and order."""
    marked = calendar.with_session(bars, timeframe)
    if target == "1Day":
        marked = marked.filter(pl.col("session") == "regular")
        stamp = pl.col("session_date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    else:
        local = pl.col("timestamp").dt.convert_time_zone(calendar.zone)
        stamp = local.dt.truncate(f"{TIMEFRAME_MINUTES[target]}m").dt.convert_time_zone("UTC")
    volume = pl.col("volume")
    merged = (
        marked.with_columns(stamp.alias("timestamp"))
        .group_by("symbol", "timestamp", maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            vwap=((pl.col("vwap") * volume).sum() / volume.sum()).clip(pl.col("low").min(), pl.col("high").max()),
            volume=volume.sum(),
            trade_count=pl.col("trade_count").sum(),
            source=pl.col("source").first(),
            origin=pl.col("origin").first(),
            row=pl.col("row").first(),
            defect=pl.col("defect").first(),
            timeframe=pl.lit(target),
        )
    )
    return merged.select(bars.columns)
