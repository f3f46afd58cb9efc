"""Performance of a strategy in each market regime.

A day belongs to the regime that was known before it began. A regime is made from its own session's
close, so the day's own regime would sort returns by their own outcome. Daily returns are stamped
midnight UTC of their session, and every exchange closes a session after that instant and no later
than the next midnight UTC. So "known at or before the stamp" is the regime of the session before,
on any calendar (also on 24/7 markets, where yesterday's close and today's stamp are the same
moment).
"""

import math

import polars as pl

from harmony_pipeline import schemas

UNKNOWN = "unknown"  # before the first regime, or while its averages are still filling


def known_regimes(daily: pl.DataFrame, regimes: pl.DataFrame) -> pl.DataFrame:
    """`daily` (frame[timestamp, ...]) with the trend and volatility known before each day, else
    UNKNOWN.
    """
    before = regimes.select("known_at", "trend", "volatility").sort("known_at", maintain_order=True)
    joined = daily.sort("timestamp").join_asof(
        before,
        left_on="timestamp",
        right_on="known_at",
        strategy="backward",
        check_sortedness=False,
    )
    return joined.with_columns(pl.col("trend", "volatility").fill_null(UNKNOWN)).drop(
        "known_at", strict=False
    )


def regime_stability(
    daily_returns: pl.DataFrame, regimes: pl.DataFrame, strategy: str, sessions_per_year: int = 252
) -> pl.DataFrame:
    """schemas.REGIME_STABILITY: days, compounded return and annualised Sharpe ratio (ddof 1) by
    regime.

    daily_returns: frame[timestamp (midnight UTC of the session), return]. A regime without days has
    no row. Sharpe is null below two days or without variance.
    """
    days = known_regimes(daily_returns.drop_nulls("return"), regimes)
    value = pl.col("return")
    moves = (value.len() > 1) & (value.max() > value.min())
    table = (
        days.group_by("trend", "volatility", maintain_order=True)
        .agg(
            days=pl.len().cast(pl.Int64),
            total_return=(1.0 + value).product() - 1.0,
            sharpe=pl.when(moves).then(value.mean() / value.std() * math.sqrt(sessions_per_year)),
        )
        .with_columns(strategy=pl.lit(strategy))
    )
    return schemas.REGIME_STABILITY.conform(table)
