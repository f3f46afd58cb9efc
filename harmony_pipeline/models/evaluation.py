"""Evaluation of the predictions, out of sample.

The benchmark is the base rate: for each period, the frequency of label 1 among all outcomes that
were resolved when the period's predictions began. It expands with time as the models' own history
does and never looks ahead. A forecast that does not beat it has no information.

The difference is tested by day, since events of one day share their market. The day's sum of (base
rate's squared error - forecast's squared error) is one observation. Its mean is tested against
zero, one-sided, with Student's t on a Newey-West deviation. (Diebold & Mariano 1995, "Comparing
predictive accuracy", J. Business & Econ. Statistics 13; Newey & West 1987 with the bandwidth of
1994, Bartlett weights.) The bandwidth covers at least the days that a label lives, because outcomes
that overlap are dependent. For a model that nests its benchmark the test is conservative (Clark &
West 2007).
"""

from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.models.scores import finite_or_none, reliability, scores

FEWEST_DAYS = 10


def evaluate(
    predictions: pl.DataFrame, labels: pl.DataFrame, zone: str = "UTC", *, periods_too: bool = True
) -> dict[str, Any]:
    """Scores of the resolved predictions of one horizon, as a dict for JSON; None for what cannot
    be measured.

    rows, resolved_rows, days, periods; brier, base_brier, brier_ratio (under 1: better than the
    base rate), log_loss, auc, calibration_error (10 bins), base_rate (mean of the benchmark's
    forecasts), frequency; p_value, t_statistic, lag_days; reliability (one dict a bin); by_period
    (the same scores, one dict a period; with `periods_too`). Days are the dates of `zone`. Raises
    DataError for more than one horizon.
    """
    horizons = predictions["horizon"].unique().to_list()
    if len(horizons) > 1:
        raise DataError(
            f"predictions of the horizons {sorted(horizons)} cannot be evaluated together;"
            " filter one"
        )
    settled = labels.filter(
        pl.col("horizon").is_in(horizons)
        & pl.col("label").is_not_null()
        & pl.col("end_timestamp").is_not_null()
    )
    outcomes = settled.select(
        "symbol", "timestamp", "end_timestamp", pl.col("label").cast(pl.Float64)
    )
    # the others are not traded either
    answered = predictions.filter(pl.col("probability").is_not_null())
    rows = answered.join(outcomes, on=["symbol", "timestamp"], how="inner").sort(
        "timestamp", "symbol"
    )
    rates = _base_rates(predictions, outcomes)
    rows = rows.with_columns(
        base=(
            pl.col("period").replace_strict(rates, return_dtype=pl.Float64)
            if rates
            else pl.lit(None, dtype=pl.Float64)
        )
    )
    return {
        "rows": predictions.height,
        "resolved_rows": rows.height,
        "periods": predictions["period"].n_unique(),
        **_scores(rows),
        **_day_test(rows, zone),
        "reliability": reliability(_column(rows, "probability"), _column(rows, "label")).to_dicts(),
    } | (
        {
            "by_period": [
                {"period": key, "rows": part.height, **_scores(part)}
                for key, part in _by_period(rows)
            ]
        }
        if periods_too
        else {}
    )


def _by_period(rows: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    return [
        (str(part["period"][0]), part)
        for part in rows.sort("period", "timestamp", "symbol").partition_by(
            "period", maintain_order=True
        )
    ]


def _base_rates(predictions: pl.DataFrame, outcomes: pl.DataFrame) -> dict[str, float]:
    """Period -> frequency of label 1 among the outcomes known at its first prediction; 0.5 without
    any.
    """
    ordered = outcomes.sort("end_timestamp", "timestamp", "symbol")
    ends, wins = (
        ordered["end_timestamp"].to_physical().to_numpy(),
        np.concatenate(([0.0], np.cumsum(ordered["label"].to_numpy()))),
    )
    starts = predictions.group_by("period").agg(pl.col("timestamp").min()).sort("period")
    known = np.searchsorted(ends, starts["timestamp"].to_physical().to_numpy(), side="right")
    return {
        key: float(wins[count] / count) if count else 0.5
        for key, count in zip(starts["period"].to_list(), known.tolist(), strict=True)
    }


def _column(rows: pl.DataFrame, name: str) -> FloatArray:
    return rows[name].cast(pl.Float64).to_numpy()


def _scores(rows: pl.DataFrame) -> dict[str, float | None]:
    probability, outcome, base = (
        _column(rows, "probability"),
        _column(rows, "label"),
        _column(rows, "base"),
    )
    found = scores(probability, outcome)
    rival = scores(base, outcome)["brier"]
    ratio = found["brier"] / rival if found["brier"] is not None and rival else None
    mean_base, frequency = (
        finite_or_none(float(values.mean())) if values.size else None for values in (base, outcome)
    )
    return {
        **found,
        "base_brier": rival,
        "brier_ratio": ratio,
        "base_rate": mean_base,
        "frequency": frequency,
    }


def _day_test(rows: pl.DataFrame, zone: str) -> dict[str, Any]:
    """Diebold-Mariano on day sums: days, p_value, t_statistic, lag_days."""
    gain = (_column(rows, "base") - _column(rows, "label")) ** 2 - (
        _column(rows, "probability") - _column(rows, "label")
    ) ** 2
    local = rows.select(
        day=pl.col("timestamp").dt.convert_time_zone(zone).dt.date(),
        end_day=pl.col("end_timestamp").dt.convert_time_zone(zone).dt.date(),
        gain=pl.Series(gain),
    )
    # in any order the sums differ in the last bit between runs
    by_day = local.group_by("day", maintain_order=True).agg(pl.col("gain").sum()).sort("day")
    days = by_day.height
    if days < FEWEST_DAYS:
        return {"days": days, "p_value": None, "t_statistic": None, "lag_days": None}
    position = by_day["day"].to_physical().to_numpy()
    lived = np.searchsorted(position, local["end_day"].to_physical().to_numpy(), side="right") - 1
    lived = lived - np.searchsorted(position, local["day"].to_physical().to_numpy())
    bandwidth = max(
        int(4.0 * (days / 100.0) ** (2.0 / 9.0)), int(np.quantile(lived, 0.95, method="higher"))
    )
    lag = min(bandwidth, days // 4)
    statistic = t_statistic(by_day["gain"].to_numpy(), lag)
    return {
        "days": days,
        "p_value": None if statistic is None else _upper_tail(statistic, days - 1),
        "t_statistic": statistic,
        "lag_days": lag,
    }


def t_statistic(x: FloatArray, lag: int) -> float | None:
    """Mean of `x` over its Newey-West standard error with Bartlett weights up to `lag`; None when
    `x` does not vary.
    """
    centred = x - x.mean()
    variance = float((centred**2).mean())
    for step in range(1, lag + 1):
        variance += (
            2.0
            * (1.0 - step / (lag + 1.0))
            * float((centred[step:] * centred[:-step]).sum())
            / x.size
        )
    if variance <= 1e-18 * float((x**2).mean()) or variance == 0.0:
        return None
    return float(x.mean() / np.sqrt(variance / x.size))


def _upper_tail(statistic: float, freedom: int) -> float:
    from scipy.special import stdtr

    return float(stdtr(freedom, -statistic))
