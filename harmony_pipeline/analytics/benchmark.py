"""A strategy beside a benchmark, both as daily returns on the same sessions.

Beta is that of the regression of the strategy's returns on the benchmark's (Jensen 1968); alpha is
its intercept, compounded over a year. No interest is taken off either. Rolling figures look back
over a window of sessions and are null before it is full.
"""

import math

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.schemas import REAL, TIME

FIGURES = (
    "benchmark_return", "benchmark_sharpe", "beta", "alpha", "correlation", "tracking_error",
    "information_ratio",
)  # fmt: skip


def buy_and_hold(bars: pl.DataFrame, calendar: Calendar, timeframe: str) -> pl.DataFrame:
    """Daily returns of equal money in every symbol, rebalanced at each session's close, without
    costs: timestamp (midnight UTC of the session date), return.

    bars: schemas.BARS, of which regular ones count. A symbol takes part from its second session on;
    its return goes from adjusted close to adjusted close, over absent sessions too.
    """
    regular = bars.filter(pl.col("session") == "regular").select(
        "symbol", "timestamp", price=pl.col("close") * pl.col("adjustment_factor")
    )
    dated = calendar.with_session(regular.sort("symbol", "timestamp"), timeframe)
    closes = dated.group_by("symbol", "session_date", maintain_order=True).agg(
        pl.col("price").last()
    )
    moved = closes.with_columns(move=pl.col("price") / pl.col("price").shift().over("symbol") - 1.0)
    return (
        moved.sort("session_date", "symbol")
        .group_by("session_date", maintain_order=True)
        .agg(pl.col("move").mean().fill_null(0.0).alias("return"))
        .select(
            pl.col("session_date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(TIME)
            .alias("timestamp"),
            "return",
        )
    )  # fmt: skip


def aligned(daily: pl.DataFrame, benchmark: pl.DataFrame) -> pl.DataFrame:
    """Columns timestamp, return, benchmark on the sessions that both have."""
    return (
        daily.select("timestamp", "return")
        .join(benchmark.select("timestamp", benchmark="return"), on="timestamp", how="inner")
        .drop_nulls()
        .sort("timestamp")
    )


def benchmark_figures(
    daily: pl.DataFrame, benchmark: pl.DataFrame, sessions_per_year: int
) -> dict[str, float | None]:
    """The names of FIGURES; None below two common sessions or without variance."""
    both = aligned(daily, benchmark)
    mine, other = both["return"].to_numpy(), both["benchmark"].to_numpy()
    found: dict[str, float | None] = dict.fromkeys(FIGURES)
    if len(mine) < 2:
        return found
    year, root = sessions_per_year, math.sqrt(sessions_per_year)
    found["benchmark_return"] = float(np.prod(1.0 + other)) - 1.0
    active = mine - other
    if float(np.ptp(active)) > 0.0:
        spread = float(np.std(active, ddof=1))
        found["tracking_error"] = spread * root
        found["information_ratio"] = float(np.mean(active)) / spread * root
    if not float(np.ptp(other)) > 0.0:
        return found
    found["benchmark_sharpe"] = float(np.mean(other)) / float(np.std(other, ddof=1)) * root
    beta = float(np.cov(mine, other, ddof=1)[0, 1]) / float(np.var(other, ddof=1))
    found["beta"] = beta
    found["alpha"] = (1.0 + float(np.mean(mine - beta * other))) ** year - 1.0
    if float(np.ptp(mine)) > 0.0:
        found["correlation"] = float(np.corrcoef(mine, other)[0, 1])
    return found


def rolling_figures(
    daily: pl.DataFrame,
    window: int,
    sessions_per_year: int,
    benchmark: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Columns timestamp, sharpe and volatility (annualised, ddof 1) and beta over the last `window`
    sessions; null before the window is full, without variance, and beta without a benchmark.
    """
    ordered = daily.sort("timestamp").select("timestamp", "return")
    root = math.sqrt(sessions_per_year)
    mine = _windows(ordered["return"].to_numpy(), window)
    deviation = _where_it_varies(mine, np.std(mine, axis=1, ddof=1))
    columns = {"sharpe": mine.mean(axis=1) / deviation * root, "volatility": deviation * root}
    columns["beta"] = np.full(len(mine), np.nan)
    if benchmark is not None:
        joined = ordered.join(
            benchmark.select("timestamp", benchmark="return"),
            on="timestamp", how="left", maintain_order="left",
        )  # fmt: skip
        other = _windows(joined["benchmark"].cast(REAL).fill_null(np.nan).to_numpy(), window)
        centred = other - other.mean(axis=1, keepdims=True)
        together = ((mine - mine.mean(axis=1, keepdims=True)) * centred).sum(axis=1)
        columns["beta"] = together / _where_it_varies(other, (centred**2).sum(axis=1))
    blank = np.full(ordered.height - len(mine), np.nan)
    return ordered.select("timestamp").with_columns(
        pl.Series(name, np.concatenate([blank, values]), dtype=REAL).fill_nan(None)
        for name, values in columns.items()
    )


def _windows(values: FloatArray, window: int) -> FloatArray:
    """One row a full window, without a copy."""
    if len(values) < window:
        return np.empty((0, window))
    return np.lib.stride_tricks.sliding_window_view(values, window)


def _where_it_varies(windows: FloatArray, values: FloatArray) -> FloatArray:
    """`values`, NaN where a window holds one value only: rounding leaves a deviation there."""
    if not len(windows):
        return values
    return np.where(windows.max(axis=1) > windows.min(axis=1), values, np.nan)
