"""Market regimes of each session: bull or bear, high or low volatility, each known at the session's
close.

A session's regime uses that session and earlier ones only. Trend: the index against its own
trailing mean (Faber, A Quantitative Approach to Tactical Asset Allocation, 2007). Volatility: the
trailing sample deviation of daily returns against its own trailing median, so that "high" means
high for the recent past. Both are null until there is enough past.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.features.settings import RegimeSettings
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.schemas import REGIMES

BULL, BEAR, HIGH, LOW = "bull", "bear", "high", "low"


def compute_regimes(
    daily_summary: pl.DataFrame,
    calendar: Calendar,
    settings: RegimeSettings,
    benchmark: str | None = None,
) -> pl.DataFrame:
    """One row a session with closes, as the REGIMES table.

    `daily_summary` holds the sessions from the start of the market on. The index is the benchmark's
    adjusted regular close, 1.0 at its first. Without a benchmark it is the compounded, equally
    weighted mean of all symbols' simple returns from the session before. Raises ConfigError when
    the benchmark has no closes.
    """
    index = _market_index(_daily_returns(daily_summary, benchmark), benchmark is None)
    if index.is_empty():
        if benchmark is not None and daily_summary.height:
            raise ConfigError(
                f"market.benchmark is '{benchmark}', of which there are no daily closes: name a"
                " symbol of the universe, or none"
            )
        return REGIMES.empty()
    level, change = index["level"].to_numpy(), index["change"].to_numpy()
    trend_average = _rolling_statistic(level, settings.trend_days, settings.trend_days, np.mean)
    realised = _rolling_statistic(
        change, settings.volatility_days, settings.volatility_days, _sample_deviation
    ) * np.sqrt(calendar.sessions_per_year)
    median = _rolling_statistic(
        realised,
        settings.volatility_history_days,
        min(settings.volatility_minimum_days, settings.volatility_history_days),
        np.median,
    )
    closes = calendar.schedule(index["date"][0], calendar.next_session(index["date"][-1])).select(
        "date", known_at="close"
    )
    numbers = {
        "index_level": level,
        "trend_average": trend_average,
        "realised_volatility": realised,
        "volatility_median": median,
    }
    return REGIMES.conform(
        index.select("date")
        .with_columns(pl.Series(name, values, nan_to_null=True) for name, values in numbers.items())
        .join(closes, on="date", how="inner")
        .with_columns(
            timestamp=pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            trend=_compare("index_level", "trend_average", BULL, BEAR),
            volatility=_compare("realised_volatility", "volatility_median", HIGH, LOW),
        )
    )


def _daily_returns(summary: pl.DataFrame, benchmark: str | None) -> pl.DataFrame:
    """symbol, date, close (adjusted), change: simple return from the session before, null where the
    symbol has none there.
    """
    chosen = summary if benchmark is None else summary.filter(pl.col("symbol") == benchmark)
    sessions = summary.select(pl.col("date").unique().sort()).with_row_index("number")
    return (
        chosen.filter(pl.col("close").is_not_null())
        .join(sessions, on="date", how="left")
        .sort("symbol", "date")
        .select(
            "symbol",
            "date",
            pl.col("number").cast(pl.Int64),
            close=pl.col("close") * pl.col("adjustment_factor"),
        )
        .with_columns(
            adjacent=pl.col("number").diff().over("symbol") == 1,
            ratio=pl.col("close") / pl.col("close").shift().over("symbol"),
        )
        .select("symbol", "date", "close", change=pl.when("adjacent").then(pl.col("ratio") - 1.0))
    )


def _market_index(returns: pl.DataFrame, equal_weighted: bool) -> pl.DataFrame:
    """date, level (1.0 on the first), change (null on the first), sorted by date."""
    if not equal_weighted:
        level = returns.sort("date").select("date", level=pl.col("close") / pl.col("close").first())
        return level.with_columns(change=pl.col("level") / pl.col("level").shift() - 1.0)
    mean = (
        returns.sort("date", "symbol")
        .group_by("date", maintain_order=True)
        .agg(pl.col("change").mean())
    )
    return mean.with_columns(level=(1.0 + pl.col("change").fill_null(0.0)).cum_prod()).select(
        "date", "level", "change"
    )


def _rolling_statistic(
    values: FloatArray, length: int, minimum: int, statistic: Callable[..., Any]
) -> FloatArray:
    """`statistic` of the last `length` known values, from `minimum` on.

    Each window is computed alone, so that no rounding is carried along.
    """
    found = np.full(values.size, np.nan)
    warm = np.flatnonzero(~np.isnan(values))
    for count, at in enumerate(warm, start=1):
        if count >= minimum:
            found[at] = statistic(values[warm[max(0, count - length) : count]])
    return found


def _sample_deviation(values: FloatArray) -> float:
    return float(np.std(values, ddof=1))


def _compare(value: str, against: str, above: str, otherwise: str) -> pl.Expr:
    known = pl.col(value).is_not_null() & pl.col(against).is_not_null()
    return (
        pl.when(known & (pl.col(value) > pl.col(against)))
        .then(pl.lit(above))
        .when(known)
        .then(pl.lit(otherwise))
    )
