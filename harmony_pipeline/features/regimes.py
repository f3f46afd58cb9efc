"""Market regimes of each session: bull or bear, high or low volatility, calm or turbulent, each
known at the session's close.

A session's regime uses that session and earlier ones only. Trend: the index against its own
trailing mean (Faber, A Quantitative Approach to Tactical Asset Allocation, 2007). Volatility: the
trailing sample deviation of daily returns against its own trailing median, so that "high" means
high for the recent past. Hidden state: the likelier of two that a model fitted to earlier years
sees in the returns so far. All are null until there is enough past.

They are one fold over sessions (`regime_fold.py`), begun at the first one whenever the table is
made: ten years take 35 ms.
"""

import polars as pl

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.features.regime_fold import (
    MEDIAN,
    REALISED,
    TREND_AVERAGE,
    TURBULENT,
    fold_regimes,
    initial_state,
)
from harmony_pipeline.features.settings import RegimeSettings
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.schemas import REGIMES

BULL, BEAR, HIGH, LOW = "bull", "bear", "high", "low"
CALM, TURBULENT_STATE = "calm", "turbulent"


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
    _, values = fold_regimes(
        initial_state(settings),
        level,
        change,
        index["date"].dt.year().to_numpy(),
        settings,
        calendar.sessions_per_year,
    )
    closes = calendar.schedule(index["date"][0], calendar.next_session(index["date"][-1])).select(
        "date", known_at="close"
    )
    numbers = {
        "index_level": level,
        "trend_average": values[TREND_AVERAGE],
        "realised_volatility": values[REALISED],
        "volatility_median": values[MEDIAN],
        "turbulent_probability": values[TURBULENT],
    }
    return REGIMES.conform(
        index.select("date")
        .with_columns(pl.Series(name, values, nan_to_null=True) for name, values in numbers.items())
        .join(closes, on="date", how="inner")
        .with_columns(
            timestamp=pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            trend=_compare("index_level", "trend_average", BULL, BEAR),
            volatility=_compare("realised_volatility", "volatility_median", HIGH, LOW),
            hidden_state=_compare("turbulent_probability", pl.lit(0.5), TURBULENT_STATE, CALM),
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


def _compare(value: str, against: str | pl.Expr, above: str, otherwise: str) -> pl.Expr:
    level = pl.col(against) if isinstance(against, str) else against
    known = pl.col(value).is_not_null() & level.is_not_null()
    return (
        pl.when(known & (pl.col(value) > level))
        .then(pl.lit(above))
        .when(known)
        .then(pl.lit(otherwise))
    )
