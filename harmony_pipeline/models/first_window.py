"""The first training window of a walk-forward plan, whose bins all its models may share (bins.py).

It is that of the first retraining period whose events can make a model: enough were settled before
it, with both outcomes. That depends on nothing later than the period's begin, so every later period
finds the same window, alone or in a backfill.
"""

from collections.abc import Sequence

import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import Period
from harmony_pipeline.models.base import build_forecaster
from harmony_pipeline.models.bins import BinWindow, uses_bins
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.models.time_decay import remembered
from harmony_pipeline.models.walk_forward import missing_history, split


def first_window(
    samples: Samples,
    periods: Sequence[Period],
    calendar: Calendar,
    timeframe: str,
    settings: ModelSettings,
) -> BinWindow | None:
    """The events that the model of the first possible of `periods` is fitted to; None where none
    has a model, and where the settings or the forecaster ask for no such bins.

    periods: retraining periods of the plan from its begin on, in order.
    """
    forecaster = build_forecaster(settings.forecaster, settings.parameters, settings.seed)
    if settings.bins == "each_window" or not uses_bins(forecaster):
        return None
    settled = samples.frame.filter(pl.col("label").is_not_null())["end_timestamp"].drop_nulls()
    if len(settled) < settings.minimum_train_rows:
        return None
    enough = settled.sort()[settings.minimum_train_rows - 1]
    for period in periods:
        if period.start < enough:
            continue
        parts = split(samples, period, calendar, timeframe, settings)
        if missing_history(samples, parts, settings) is None:
            fitted = remembered(samples.where(parts.fit), settings.oldest_weight)
            stamps = fitted.frame["timestamp"]
            return BinWindow(
                period.key, stamps[0], stamps[-1], parts.train_end, fitted.X, fitted.names
            )
    return None
