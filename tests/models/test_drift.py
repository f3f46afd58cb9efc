"""Drift is found where it was planted, and chance is not taken for it."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from assets.chain import run_stages
from assets.groups import RETRAIN
from harmony_pipeline.models.drift import (
    calibration_statistic,
    chance_threshold,
    newest_drift,
    stability_index,
)
from harmony_pipeline.stages.drift import drift
from harmony_pipeline.testing.tiny import tiny_market


def normal(rows: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, rows)


def plain_index(training: list[float], later: list[float]) -> float:
    """The definition with plain loops: ten bins by the training's deciles, one for what is
    missing.
    """
    known = sorted(value for value in training if not math.isnan(value))
    edges = sorted({float(np.quantile(known, step / 10)) for step in range(1, 10)} - {known[-1]})
    counts = {}
    for name, values in (("training", training), ("later", later)):
        bins = [0.5] * (len(edges) + 2)
        for value in values:
            place = len(edges) + 1 if math.isnan(value) else sum(edge < value for edge in edges)
            bins[place] += 1
        counts[name] = [count / sum(bins) for count in bins]
    return sum(
        (now - then) * np.log(now / then)
        for then, now in zip(counts["training"], counts["later"], strict=True)
    )


values = st.lists(st.one_of(st.integers(-3, 3).map(float), st.just(float("nan"))), min_size=1)


@settings(max_examples=60, deadline=None)
@given(values.filter(lambda one: not all(map(math.isnan, one))), values)
def test_the_index_is_its_definition_and_never_negative(training, later):
    found = stability_index(np.array(training), np.array(later))
    assert found == pytest.approx(plain_index(training, later), abs=1e-12)
    assert found >= 0.0
    assert stability_index(np.array(training), np.array(training)) == pytest.approx(0.0, abs=1e-12)


def test_the_index_does_not_depend_on_the_scale_of_an_input():
    training, later = normal(500, 1), normal(300, 2, 0.5)
    expected = stability_index(training, later)
    assert stability_index(np.exp(training), np.exp(later)) == pytest.approx(expected, abs=1e-12)
    assert stability_index(1e-9 * training, 1e-9 * later) == pytest.approx(expected, abs=1e-12)


def test_chance_exceeds_its_threshold_once_in_a_hundred():
    for rows, later in ((2_000, 400), (300, 80)):
        beyond = 0
        for seed in range(600):
            one, other = normal(rows, 2 * seed), normal(later, 2 * seed + 1)
            beyond += stability_index(one, other) > chance_threshold(one, other, 0.01)
        assert beyond / 600 < 0.025
    # a shift of a deviation is seen even in few rows, and values that went missing are
    one = normal(300, 1)
    assert stability_index(one, normal(80, 2, 1.0)) > chance_threshold(one, one[:80], 0.01)
    gone = np.where(np.arange(80) % 2, np.nan, normal(80, 3))
    assert stability_index(one, gone) > chance_threshold(one, gone, 0.01)


@pytest.mark.parametrize("level", [0.001, 0.01, 0.2])
def test_the_threshold_is_the_quantile_of_chi_square_that_scipy_tells(level):
    one, later = normal(500, 1), normal(80, 2)
    rows = 1.0 / 500 + 1.0 / 80
    assert chance_threshold(one, later, level) == chi2.isf(level, 9) * rows  # ten bins
    later[3] = np.nan
    assert chance_threshold(one, later, level) == chi2.isf(level, 10) * rows


def test_what_is_empty_or_constant_has_no_drift():
    one = np.full(50, 3.0)
    assert stability_index(one, one) == 0.0
    assert chance_threshold(one, one, 0.01) == 0.0
    assert stability_index(one, np.full(50, 4.0)) == 0.0  # of one bin nothing can be told
    assert stability_index(np.empty(0), one) is None
    assert chance_threshold(one, np.empty(0), 0.01) is None


def test_calibrated_probabilities_give_a_standard_normal_and_others_do_not():
    generator = np.random.default_rng(4)
    found, sure = [], []
    for _ in range(800):
        probability = generator.uniform(0.3, 0.7, 300)
        days = np.arange(300)
        outcome = (generator.random(300) < probability).astype(float)
        found.append(calibration_statistic(probability, outcome, days))
        bold = np.clip(0.5 + 2.0 * (probability - 0.5), 0.01, 0.99)
        sure.append(calibration_statistic(bold, outcome, days))
    assert abs(np.mean(found)) < 0.12
    assert np.std(found) == pytest.approx(1.0, abs=0.08)
    assert np.mean(sure) > 1.0  # outcomes are less extreme than those probabilities


def test_events_of_one_day_are_not_counted_as_independent():
    generator = np.random.default_rng(5)
    wild = {"by day": 0, "apart": 0}
    for _ in range(400):
        days = np.repeat(np.arange(40), 20)
        up = generator.random(40)[days] < 0.6  # one outcome for the whole day
        probability = np.full(800, 0.6)
        outcome = up.astype(float)
        wild["by day"] += abs(calibration_statistic(probability, outcome, days)) > 2.576
        wild["apart"] += abs(calibration_statistic(probability, outcome, np.arange(800))) > 2.576
    assert wild["apart"] / 400 > 0.4
    assert wild["by day"] / 400 < 0.03


def test_without_events_or_opinions_there_is_no_statistic():
    nothing = np.empty(0)
    assert calibration_statistic(nothing, nothing, nothing) is None
    half = np.full(10, 0.5)
    assert calibration_statistic(half, np.ones(10), np.arange(10)) is None


def drift_rows(period: str, rows: int, **values: tuple[float | None, float]) -> pl.DataFrame:
    """Rows of table drift: by measure its value and its threshold."""
    return pl.DataFrame(
        [
            {"period": period, "rows": rows, "measure": name, "value": value, "threshold": chance}
            for name, (value, chance) in values.items()
        ],
        schema_overrides={"value": pl.Float64},
    )


def test_the_newest_period_with_enough_events_is_judged():
    old = drift_rows("2023", 400, a=(0.9, 0.1), calibration=(4.0, 2.6))
    new = drift_rows(
        "2024", 300, a=(0.3, 0.1), b=(0.2, 0.1), probability=(5.0, 0.1), calibration=(-1.5, 2.6),
        regime_volatility_ratio=(3.9, 0.2),
    )  # fmt: skip
    begun = drift_rows("2025", 20, a=(2.0, 1.5), calibration=(0.2, 2.6))
    every = pl.concat([new, begun, old])
    assert newest_drift(every, 100) == (0.3, -1.5)
    assert newest_drift(every, 20) == (2.0, 0.2)
    assert newest_drift(every, 350) == (0.9, 4.0)
    assert newest_drift(every, 500) == (None, None)
    assert newest_drift(every.clear(), 1) == (None, None)


def test_an_index_that_chance_reaches_is_no_drift_and_what_is_unknown_is_not_judged():
    chance = drift_rows("2024", 120, a=(0.3, 0.31), b=(0.1, 0.2), calibration=(None, 2.6))
    assert newest_drift(chance, 100) == (0.0, None)
    assert newest_drift(drift_rows("2024", 120, a=(None, 0.2)), 100) == (None, None)


@pytest.mark.slow
def test_the_asset_has_a_row_an_input_and_period(tmp_path):
    pipeline = tiny_market(tmp_path, extended_hours=False)
    assert drift(pipeline).nothing
    run_stages(pipeline, RETRAIN)
    drift(pipeline)
    table = pipeline.lake.read("drift")
    folds = pipeline.lake.read("folds")
    horizon = pipeline.settings.trade_horizon
    made = folds.filter((folds["horizon"] == horizon) & folds["model_id"].is_not_null())
    assert table["period"].unique().sort().to_list() == made["period"].sort().to_list()
    model = pipeline.registry.load(made["model_id"][0])
    for _period, rows in table.group_by("period"):
        assert set(rows["measure"]) == {*model.card.names, "probability", "calibration"}
    assert table["value"].drop_nulls().is_finite().all()
    assert drift(pipeline).unchanged_since is not None
