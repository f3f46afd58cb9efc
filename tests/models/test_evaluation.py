"""Out-of-sample scores against a base rate that never looks ahead, and a test by day that noise
does not pass.
"""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import periods_between
from harmony_pipeline.models.evaluation import evaluate, t_statistic
from harmony_pipeline.models.gate import Candidate, Evidence, decide
from harmony_pipeline.models.settings import GateSettings, ModelSettings
from harmony_pipeline.models.walk_forward import predict_period, train_period
from harmony_pipeline.schemas import LABELS, PREDICTIONS
from harmony_pipeline.testing.forecaster_contract import planted_samples

CLOCK = Calendar.of("24/7")


def labels_of(samples, horizon=8):
    return LABELS.conform(samples.frame.with_columns(horizon=pl.lit(horizon)))


@cache  # of frames, which nobody can change
def walk_forward(strength, seed, rows=12_000, **changes):
    """Monthly walk-forward over about half a year of synthetic events; (predictions, labels)."""
    samples = planted_samples(rows, strength, seed=seed, per_day=16)
    settings = ModelSettings(minimum_train_rows=500, **changes)
    found = [
        predict_period(
            train_period(samples, period, 8, CLOCK, "15Min", settings, "f"), samples, period
        )
        for period in periods_between(
            date(2023, 1, 1), date(2023, 8, 1), "month", "America/New_York"
        )
    ]
    return pl.concat(found), labels_of(samples)


def test_a_case_done_by_hand():
    """Two periods of two days; before the first, 3 of 4 known outcomes were 1; before the second, 4
    of 6.
    """
    day = [datetime(2024, 1, number, 15, tzinfo=UTC) for number in range(1, 9)]
    labels = LABELS.conform(
        pl.DataFrame(
            {
                "symbol": "A", "horizon": 8, "side": 1, "timestamp": day,
                "end_timestamp": [stamp + timedelta(hours=1) for stamp in day],
                "label": [1, 1, 1, 0, 1, 0, 0, 1], "weight": 1.0, "return": 0.0,
            },
            schema_overrides={"side": pl.Int8, "label": pl.Int8},
        )
    )  # fmt: skip
    predictions = PREDICTIONS.conform(
        pl.DataFrame(
            {
                "model_id": ["a", "a", "b", "b"], "period": ["p", "p", "q", "q"], "horizon": 8,
                "symbol": "A", "timestamp": day[4:],
                "probability": [0.8, 0.6, 0.3, 0.9],
            }
        )
    )  # fmt: skip
    found = evaluate(predictions, labels)
    brier = (0.2**2 + 0.6**2 + 0.3**2 + 0.1**2) / 4
    base = (0.25**2 + 0.75**2 + (4 / 6) ** 2 + (1 - 4 / 6) ** 2) / 4
    assert found["brier"] == pytest.approx(brier)
    assert found["base_brier"] == pytest.approx(base)
    assert found["brier_ratio"] == pytest.approx(brier / base)
    assert found["auc"] == 1.0
    assert (found["rows"], found["resolved_rows"], found["periods"], found["days"]) == (4, 4, 2, 4)
    assert [(one["period"], one["base_rate"]) for one in found["by_period"]] == [
        ("p", 0.75),
        ("q", pytest.approx(4 / 6)),
    ]
    assert found["p_value"] is None  # four days prove nothing


def test_outcomes_settled_later_do_not_change_the_rival():
    predictions, labels = walk_forward(0.6, 1, rows=6000)
    first = predictions["timestamp"].min()
    flipped = labels.with_columns(
        label=pl.when(pl.col("end_timestamp") > first)
        .then(pl.lit(1, dtype=pl.Int8))
        .otherwise(pl.col("label"))
    )
    changed, honest = (
        evaluate(predictions, flipped)["by_period"],
        evaluate(predictions, labels)["by_period"],
    )
    assert changed[0]["base_rate"] == honest[0]["base_rate"]
    assert changed[-1]["base_rate"] > honest[-1]["base_rate"]  # by then they are known


def test_unresolved_predictions_are_counted_but_not_scored():
    predictions, labels = walk_forward(0.6, 1, rows=6000)
    cut = labels["timestamp"].sort()[-100]
    hidden = labels.with_columns(
        pl.when(pl.col("timestamp") >= cut).then(None).otherwise(pl.col(name)).alias(name)
        for name in ("label", "end_timestamp")
    )
    found = evaluate(predictions, hidden)
    assert found["rows"] == predictions.height
    assert (
        found["resolved_rows"]
        == predictions.filter(pl.col("timestamp") < cut).height
        < predictions.height
    )


def test_everything_can_be_written_as_json():
    predictions, labels = walk_forward(0.6, 1, rows=6000)
    for part in (predictions, predictions.head(1), predictions.clear()):
        json.dumps(evaluate(part, labels), allow_nan=False)
    json.dumps(evaluate(predictions, labels.clear()), allow_nan=False)


def test_two_horizons_at_once_are_refused():
    predictions, labels = walk_forward(0.6, 1, rows=6000)
    with pytest.raises(DataError, match=r"\[8, 32\]"):
        evaluate(
            pl.concat([predictions, predictions.with_columns(horizon=pl.lit(32, dtype=pl.Int64))]),
            labels,
        )


def test_newey_west_agrees_with_the_textbook_sum():
    x = np.random.default_rng(2).normal(0.1, 1.0, 50)
    d = x - x.mean()
    covariance = [sum(d[i] * d[i - step] for i in range(step, 50)) / 50 for step in range(4)]
    variance = covariance[0] + 2 * sum((1 - step / 4) * covariance[step] for step in (1, 2, 3))
    assert t_statistic(x, 3) == pytest.approx(x.mean() / np.sqrt(variance / 50))
    assert t_statistic(x, 0) == pytest.approx(x.mean() / (x.std() / np.sqrt(50)))
    assert t_statistic(np.ones(20), 2) is None


def test_days_of_dependent_gains_are_not_mistaken_for_many():
    rng = np.random.default_rng(7)
    rejected = {0: 0, 8: 0}
    for _ in range(400):
        noise = rng.normal(size=260)
        # overlapping outcomes: five days share each shock
        x = np.convolve(noise, np.ones(5) / 5, mode="valid")[:250]
        for lag in rejected:
            rejected[lag] += t_statistic(x, lag) > 1.651
    assert rejected[0] > 60  # a plain t-test cries wolf
    assert rejected[8] < 40


UNASKED = (None, None, None)
GOOD = Evidence(
    400, 5, 400, 1.0, 0.98, 0.99, 0.8, 200.0, 0.1, None, None, None, *UNASKED, 0.03, 0.12
)


def forecast_rules_broken(found):
    evidence = replace(
        GOOD,
        periods=found["periods"],
        brier_ratio=found["brier_ratio"],
        forecast_pvalue=found["p_value"],
        calibration_error=found["calibration_error"],
    )
    decision = decide(evidence, GateSettings(), Candidate("m"), datetime(2024, 1, 1, tzinfo=UTC))
    return decision.rules.filter(~pl.col("passed"))["rule"].to_list()


@pytest.mark.parametrize("forecaster", ["gradient_boosting:GradientBoosting", "logistic:Logistic"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_market_without_an_edge_does_not_pass_the_forecast_rules(forecaster, seed):
    found = evaluate(
        *walk_forward(0.0, seed, rows=8000, forecaster=f"harmony_pipeline.models.{forecaster}")
    )
    assert "forecast_pvalue" in forecast_rules_broken(found)


@pytest.mark.parametrize("forecaster", ["gradient_boosting:GradientBoosting", "logistic:Logistic"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_planted_edge_passes_every_rule(forecaster, seed):
    found = evaluate(*walk_forward(0.35, seed, forecaster=f"harmony_pipeline.models.{forecaster}"))
    assert forecast_rules_broken(found) == []
    assert found["brier_ratio"] < 0.99
    assert found["p_value"] < 0.001
    assert found["auc"] > 0.55
