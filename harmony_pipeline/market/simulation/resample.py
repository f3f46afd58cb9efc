"""Coarser bars out of finer ones, as on an exchange's tape: `market/resampling.py` with mixed
session parts.

Intraday bars lie on the grid that starts at midnight on the exchange's clock. A daily bar holds
regular trading only and is stamped midnight UTC of its session date.
"""

import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.resampling import resample


def resample_session_bars(
    bars: pl.DataFrame, calendar: Calendar, timeframe: str, target: str
) -> pl.DataFrame:
    """`bars` of size `timeframe`, sorted by symbol and timestamp, as bars of size `target`; same
    columns and order.
    """
    marked = bars.with_columns(
        calendar.with_session(bars.select("timestamp"), timeframe)["session"]
    )
    return (
        resample(marked.lazy(), target, calendar, mix_parts=True)
        .collect(engine="in-memory")
        .select(bars.columns)
    )
