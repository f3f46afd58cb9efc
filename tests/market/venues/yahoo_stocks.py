"""Stocks for the local Yahoo, as they traded: prices in cents, splits that cut them, gaps, a row
without numbers.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from harmony_pipeline.testing.servers.yahoo import Stock

ZONE = ZoneInfo("America/New_York")


def cents(values):
    return np.round(values, 2)


def weekdays(first, last):
    return [
        day
        for day in (first + timedelta(days=at) for at in range((last - first).days))
        if day.weekday() < 5
    ]


def bars_at(stamps, ratios, seed, start_price=400.0):
    """Bars with prices in cents; each stamp's price is cut by its ratio, the new shares for one old
    one so far.
    """
    rng = np.random.default_rng(seed)
    count = len(stamps)
    level = start_price * np.exp(np.cumsum(rng.normal(0, 0.01, count))) / ratios
    opens, closes = cents(level), cents(level * np.exp(rng.normal(0, 0.004, count)))
    highs = cents(np.maximum(opens, closes) * (1 + rng.uniform(0, 0.003, count)))
    lows = cents(np.minimum(opens, closes) * (1 - rng.uniform(0, 0.003, count)))
    volumes = rng.integers(1_000, 5_000_000, count).astype(float)
    frame = pl.DataFrame(
        {"open": opens, "high": highs, "low": lows, "close": closes, "volume": volumes}
    )
    return frame.with_columns(pl.Series("timestamp", stamps, dtype=pl.Datetime("us", "UTC")))


def ratios_so_far(days, splits):
    found, dates = np.ones(len(days)), np.array(days, dtype="datetime64[D]")
    for when, top, bottom in splits:
        found[dates >= np.datetime64(when)] *= top / bottom
    return found


def daily(symbol, first, last, splits=(), dividends=(), seed=1, **other):
    days = weekdays(first, last)
    stamps = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days]
    return Stock(
        symbol,
        {"1d": bars_at(stamps, ratios_so_far(days, splits), seed)},
        splits,
        dividends,
        **other,
    )


def intraday(symbol, interval, minutes, first, last, splits=(), seed=1, **other):
    """Bars of the regular session, and of every day, so that splits are found by day too."""
    days = weekdays(first, last)
    opens = [datetime.combine(day, time(9, 30), ZONE).astimezone(UTC) for day in days]
    stamps = [begin + timedelta(minutes=at) for begin in opens for at in range(0, 390, minutes)]
    by_bar = [day for day in days for _ in range(0, 390, minutes)]
    bars = {
        interval: bars_at(stamps, ratios_so_far(by_bar, splits), seed),
        "1d": daily(symbol, first, last, splits, seed=seed).bars["1d"],
    }
    return Stock(symbol, bars, splits, **other)


APPLE_LIKE = [(date(2005, 2, 28), 2, 1), (date(2014, 6, 9), 7, 1), (date(2020, 8, 31), 4, 1)]
INSURER_LIKE = [(date(2000, 7, 31), 3, 2), (date(2009, 7, 1), 1, 20)]
