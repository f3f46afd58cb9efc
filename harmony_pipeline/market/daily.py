"""One row a symbol and session, made at ingest: scans and studies of the universe then read days, not minutes.

The law: the premarket columns hold what was known at the scan time of that session and nothing later, that is bars of the
part `pre` that had *ended* by then.
"""

from datetime import time

import polars as pl

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.schemas import DAILY_SUMMARY, TIME


def summarise(bars: pl.DataFrame, calendar: Calendar, timeframe: str, scan_time: str) -> pl.DataFrame:
    """`bars` (schemas.BARS) to schemas.DAILY_SUMMARY. `scan_time` is HH:MM on the exchange's clock. Raises ConfigError when it is not."""
    if not bars.height:
        return DAILY_SUMMARY.empty()
    rows = calendar.with_session(bars.select("symbol", "timestamp", "open", "high", "low", "close", "volume", "adjustment_factor"), timeframe)
    rows = rows.sort("symbol", "timestamp", maintain_order=True).with_columns(scan_time=_instant("session_date", _clock(scan_time), calendar.zone))
    regular, post = pl.col("session") == "regular", pl.col("session") == "post"
    known = (pl.col("session") == "pre") & (pl.col("bar_end") <= pl.col("scan_time"))
    days = rows.group_by("symbol", date="session_date", maintain_order=True).agg(
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
    return DAILY_SUMMARY.conform(days.join(calendar.expected_bars(timeframe), on="date", how="left", maintain_order="left"))


def _clock(text: str) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"scanner.as_of is '{text}', expected a time of day on the exchange's clock such as 09:25") from None


def _instant(date: str, clock: time, zone: str) -> pl.Expr:
    wall = pl.col(date).dt.combine(pl.lit(clock), time_unit="us")
    return wall.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC").cast(TIME)
