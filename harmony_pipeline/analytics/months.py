"""Returns by calendar month of the session date, compounded from daily returns."""

from typing import Any

import numpy as np
import polars as pl

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def monthly_returns(daily: pl.DataFrame) -> pl.DataFrame:
    """Columns year, month (1 to 12), return: one row a month that has a session, in order."""
    stamp = pl.col("timestamp")
    return (
        daily.sort("timestamp")
        .group_by(
            year=stamp.dt.year().cast(pl.Int64),
            month=stamp.dt.month().cast(pl.Int64),
            maintain_order=True,
        )
        .agg(((1.0 + pl.col("return")).product() - 1.0).alias("return"))
    )


def monthly_table(daily: pl.DataFrame) -> pl.DataFrame:
    """One row a year: year, Jan to Dec (null where there is no session), total."""
    months = monthly_returns(daily)
    years = months.group_by("year", maintain_order=True).agg(
        total=(1.0 + pl.col("return")).product() - 1.0
    )
    by_month = [
        pl.col("return").filter(pl.col("month") == number).first().alias(name)
        for number, name in enumerate(MONTHS, start=1)
    ]
    wide = months.group_by("year", maintain_order=True).agg(by_month)
    return wide.join(years, on="year", maintain_order="left")


def month_figures(daily: pl.DataFrame) -> dict[str, float | None]:
    """positive_months, best_month and worst_month. Months that the run only touches count too."""
    values: Any = monthly_returns(daily)["return"].to_numpy()
    if not len(values):
        return dict.fromkeys(("positive_months", "best_month", "worst_month"))
    return {
        "positive_months": float(np.mean(values > 0.0)),
        "best_month": float(values.max()),
        "worst_month": float(values.min()),
    }
