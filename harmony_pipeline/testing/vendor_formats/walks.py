"""Invented bars for vendors' files: the same few symbols' random walks at every call."""

from datetime import date

import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.testing.vendor_files import Market, Walk, bar_starts, simulate_walk

_SEED = 4_711
_SHARES = (
    Walk("AAPL", 187.3, 0.01, 0.0008, 0.004, 40_000.0),
    Walk("MSFT", 402.1, 0.01, 0.0007, 0.004, 25_000.0),
)
_PAIRS = (Walk("EURUSD", 1.0853, 1e-5, 0.0006, 0.0004, 2_400.0),)
_COINS = (Walk("BTCUSDT", 93_500.0, 0.01, 0.0006, 0.0, 12.0, 1e-5),)
_FUTURE = (Walk("ES", 5_010.0, 0.25, 0.0006, 0.001, 9_000.0),)


def walks(
    calendar: str, minutes: int, first: date, end: date, whose: tuple[Walk, ...]
) -> pl.DataFrame:
    """symbol, timestamp, open, high, low, close, volume of every walk, sorted by both."""
    market = Market(calendar, minutes, first, end, whose, str, lambda bars, _: bars)
    starts = bar_starts(market, first, end)
    frames = [
        simulate_walk(walk, starts, _SEED + at).select(pl.lit(walk.name).alias("symbol"), pl.all())
        for at, walk in enumerate(whose)
    ]
    return pl.concat(frames).sort("symbol", "timestamp")


def daily(calendar: str, first: date, end: date, whose: tuple[Walk, ...]) -> pl.DataFrame:
    """As `walks`, one bar a session, stamped at midnight UTC of its date."""
    bars = walks(calendar, 60, first, end, whose)
    dates = Calendar.of(calendar).session_dates(bars["timestamp"])
    day = pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("timestamp")
    return (
        bars.with_columns(dates.alias("date"))
        .group_by("symbol", "date", maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
        )
        .select("symbol", day, "open", "high", "low", "close", "volume")
    )


_CHANGE, _AFTER = date(2024, 3, 7), date(2024, 3, 16)  # New York's clocks change on March 10


def us_minutes() -> pl.DataFrame:
    """Two shares by the minute, over a change of New York's clocks."""
    return walks("XNYS", 1, _CHANGE, _AFTER, _SHARES)


def us_fives() -> pl.DataFrame:
    """Two shares in bars of five minutes."""
    return walks("XNYS", 5, date(2024, 3, 7), date(2024, 4, 3), _SHARES)


def us_hours() -> pl.DataFrame:
    """Bars on the clock's grid, as Lean and Stooq cut them: the first is 09:00 to 10:00."""
    fives = walks("XNYS", 5, date(2024, 3, 1), date(2024, 4, 12), _SHARES)
    return (
        fives.group_by("symbol", pl.col("timestamp").dt.truncate("1h"), maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
        )
        .sort("symbol", "timestamp")
    )


def us_days() -> pl.DataFrame:
    """Two shares by the day, seven months."""
    return daily("XNYS", date(2023, 9, 1), date(2024, 4, 1), _SHARES)


def us_forty_days() -> pl.DataFrame:
    """Two shares by the day, two months."""
    return daily("XNYS", date(2024, 1, 29), date(2024, 3, 26), _SHARES)


def fx_hours() -> pl.DataFrame:
    """Over both changes of clocks, so that they tell New York's from Europe's."""
    return walks("FX", 60, date(2024, 2, 26), date(2024, 4, 13), _PAIRS)


def fx_days() -> pl.DataFrame:
    """A pair of currencies by the day."""
    return daily("FX", date(2024, 1, 2), date(2024, 4, 13), _PAIRS)


def new_year() -> pl.DataFrame:
    """A coin by the minute, over the change of a year."""
    return walks("24/7", 1, date(2024, 12, 31), date(2025, 1, 2), _COINS)


def future_minutes() -> pl.DataFrame:
    """A future by the minute."""
    return walks("CMES", 1, date(2024, 3, 8), date(2024, 3, 13), _FUTURE).with_columns(
        symbol=pl.lit("ESM24")
    )
