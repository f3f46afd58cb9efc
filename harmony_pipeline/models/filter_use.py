"""When forecasts may filter trades: only after they have beaten the base rate out of sample.

A filter that knows nothing declines good trades as often as bad ones. With `model_filter =
"when_useful"` the forecasts of a retraining period filter its candidates only if those of the
periods before it, whose outcomes were known by its start, passed the day-block test of
`evaluation.py`. Else every candidate is taken. So a forecast is never a veto over a rule that earns
by itself.
"""

from datetime import datetime

import polars as pl

from harmony_pipeline.models.evaluation import evaluate


def useful_periods(
    predictions: pl.DataFrame,
    labels: pl.DataFrame,
    folds: pl.DataFrame,
    zone: str,
    maximum_pvalue: float,
) -> list[tuple[datetime, datetime]]:
    """(start, end) of the periods of `folds` in which forecasts filter, in order.

    predictions, labels and folds are rows of the lake's tables, of one horizon.
    """
    found = []
    for start, end in folds.sort("test_start").select("test_start", "test_end").iter_rows():
        pvalue = forecast_pvalue(predictions, labels, zone, start)
        if pvalue is not None and pvalue <= maximum_pvalue:
            found.append((start, end))
    return found


def forecast_pvalue(
    predictions: pl.DataFrame, labels: pl.DataFrame, zone: str, known_by: datetime
) -> float | None:
    """The p-value of "these forecasts do not beat the base rate", of all whose outcome was known by
    then; None where it cannot be measured.
    """
    earlier = predictions.filter(pl.col("timestamp") < known_by)
    settled = labels.filter(pl.col("end_timestamp") <= known_by)
    pvalue = evaluate(earlier, settled, zone, periods_too=False).get("p_value")
    return None if pvalue is None else float(pvalue)


def inside(periods: list[tuple[datetime, datetime]]) -> pl.Expr:
    """Whether a row's `timestamp` lies in one of the periods."""
    return pl.any_horizontal(
        pl.lit(value=False),
        *((pl.col("timestamp") >= start) & (pl.col("timestamp") < end) for start, end in periods),
    )
