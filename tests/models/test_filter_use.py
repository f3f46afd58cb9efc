"""Forecasts filter trades only after they were useful, by what was known then."""

from datetime import UTC, datetime

import polars as pl
import pytest

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import period_from_key
from harmony_pipeline.models.filter_use import forecast_pvalue, inside, useful_periods
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.models.walk_forward import predict_period, train_period
from harmony_pipeline.schemas import LABELS
from harmony_pipeline.testing.forecaster_contract import planted_samples

MONTHS = ("2023-02", "2023-03", "2023-04")


def walked(strength, seed=3):
    """(predictions, labels, folds) of three months of synthetic events."""
    samples = planted_samples(6_000, strength, seed=seed, per_day=13)
    settings = ModelSettings(
        forecaster="harmony_pipeline.models.logistic:Logistic", minimum_train_rows=500
    )
    predictions, folds = [], []
    for key in MONTHS:
        period = period_from_key(key, "month", "UTC")
        fold = train_period(samples, period, 8, Calendar.of("24/7"), "15Min", settings, "f")
        predictions.append(predict_period(fold, samples, period))
        folds.append(fold.fold_row)
    labels = LABELS.conform(samples.frame.with_columns(horizon=pl.lit(8)))
    return pl.concat(predictions), labels, pl.concat(folds)


@pytest.fixture(scope="module")
def planted():
    return walked(2.0)


def test_the_first_period_is_never_filtered_and_a_good_forecast_filters_from_the_second(planted):
    predictions, labels, folds = planted
    found = useful_periods(predictions, labels, folds, "UTC", 0.05)
    starts = [period_from_key(key, "month", "UTC").start for key in MONTHS]
    assert [start for start, _ in found] == starts[1:]


def test_forecasts_of_nothing_are_never_asked():
    predictions, labels, folds = walked(
        0.0, seed=6
    )  # at 0.05 one seed in twenty is useful by chance
    assert useful_periods(predictions, labels, folds, "UTC", 0.05) == []


def test_an_outcome_that_was_not_known_by_then_counts_for_nothing(planted):
    predictions, labels, _folds = planted
    moment = period_from_key("2023-03", "month", "UTC").start
    before = forecast_pvalue(predictions, labels, "UTC", moment)
    late = labels.with_columns(
        label=pl.when(pl.col("end_timestamp") > moment)
        .then((1 - pl.col("label")).cast(pl.Int8))
        .otherwise("label")
    )
    assert forecast_pvalue(predictions, late, "UTC", moment) == before
    assert before < 0.05
    twisted = labels.with_columns(label=(1 - pl.col("label")).cast(pl.Int8))
    assert forecast_pvalue(predictions, twisted, "UTC", moment) > 0.5


def test_a_period_has_its_start_and_not_its_end():
    def at(day):
        return datetime(2024, 1, day, tzinfo=UTC)

    rows = pl.DataFrame({"timestamp": [at(1), at(2), at(3), at(4)]})
    assert rows.filter(inside([(at(2), at(4))]))["timestamp"].to_list() == [at(2), at(3)]
    assert rows.filter(inside([])).is_empty()
