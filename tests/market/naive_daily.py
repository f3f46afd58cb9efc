"""The daily summary in plain words: group by symbol and session, then one expression a column. What
the compiled pass must agree with.
"""

from datetime import time

import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.schemas import DAILY_SUMMARY, TIME


def naive_summary(
    bars: pl.DataFrame, calendar: Calendar, timeframe: str, scan_time: str
) -> pl.DataFrame:
    rows = calendar.with_session(
        bars.drop("session").sort("symbol", "timestamp", maintain_order=True), timeframe
    ).drop_nulls("session_date")
    wall = pl.col("session_date").dt.combine(pl.lit(time.fromisoformat(scan_time)), time_unit="us")
    at = (
        wall.dt.replace_time_zone(calendar.zone, ambiguous="earliest", non_existent="null")
        .dt.convert_time_zone("UTC")
        .cast(TIME)
    )
    regular, post = pl.col("session") == "regular", pl.col("session") == "post"
    known = (pl.col("session") == "pre") & (pl.col("bar_end") <= pl.col("scan_time"))
    days = (
        rows.with_columns(scan_time=at)
        .group_by("symbol", date="session_date", maintain_order=True)
        .agg(
            pl.col("open").filter(regular).first(),
            pl.col("high").filter(regular).max(),
            pl.col("low").filter(regular).min(),
            pl.col("close").filter(regular).last(),
            pl.col("volume").filter(regular).sum(),
            pl.len().alias("bars"),
            regular.sum().alias("regular_bars"),
            pl.col("timestamp").last().alias("last_timestamp"),
            pl.col("adjustment_factor").last(),
            pl.col("volume").filter(known).sum().alias("premarket_volume"),
            pl.col("high").filter(known).max().alias("premarket_high"),
            pl.col("low").filter(known).min().alias("premarket_low"),
            pl.col("close").filter(known).last().alias("premarket_last"),
            known.sum().alias("premarket_bars"),
            pl.col("scan_time").first(),
            pl.col("volume").filter(post).sum().alias("postmarket_volume"),
        )
    )
    return DAILY_SUMMARY.conform(
        days.join(calendar.expected_bars(timeframe), on="date", how="left", maintain_order="left")
    )
