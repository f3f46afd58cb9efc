"""Trials are counted once, whoever tries them and whenever."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline import schemas
from harmony_pipeline.robustness.sensitivity import (
    Trial,
    TrialRows,
    combinations,
    distinct_parameters,
    merge_trials,
    stability,
    trial_id,
    trial_rows,
)

DAY = datetime(2023, 1, 2, tzinfo=UTC)
NOW = datetime(2024, 6, 1, tzinfo=UTC)


def series(level: float, seed: int = 0, days: int = 60) -> pl.DataFrame:
    values = np.random.default_rng(seed).normal(level, 0.01, days)
    return pl.DataFrame(
        {"timestamp": [DAY + timedelta(days=i) for i in range(days)], "return": values},
        schema_overrides={"timestamp": schemas.TIME},
    )


def hill(parameters: dict) -> pl.DataFrame:
    return series(
        0.004 - 0.001 * (abs(parameters["fast"] - 10) / 5 + abs(parameters["slow"] - 60) / 20)
    )


GRID = {"fast": (5, 10, 15), "slow": (40, 60, 80)}


def evaluated(strategy, base, grid, evaluate, moment):
    return [
        Trial(strategy, parameters, evaluate(parameters), moment)
        for parameters in distinct_parameters(strategy, base, grid)
    ]


def test_a_grid_is_every_combination_and_an_empty_grid_is_one():
    assert combinations({"a": (1, 2), "b": ("x", "y")}) == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]
    assert combinations({}) == [{}]
    assert combinations({"a": ()}) == []


@settings(max_examples=15, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5),
        st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
        max_size=5,
    )
)
def test_a_trial_id_does_not_depend_on_the_order_of_its_parameters(parameters):
    turned = dict(reversed(parameters.items()))
    assert trial_id("s", parameters, "d") == trial_id("s", turned, "d")
    assert (
        len(
            {
                trial_id("s", parameters, "d"),
                trial_id("t", parameters, "d"),
                trial_id("s", parameters, "e"),
                trial_id("s", {**parameters, "zzzzzz": 1}, "d"),
            }
        )
        == 4
    )


def test_every_configuration_is_tried_once_over_the_base_parameters():
    tried = distinct_parameters("s", {"fast": 10, "exit": "signal"}, {"fast": (5, 10, 5)})
    assert tried == [{"fast": 5, "exit": "signal"}, {"fast": 10, "exit": "signal"}]


def test_rows_are_the_declared_tables_with_the_numbers_of_the_returns():
    found = trial_rows(evaluated("s", {}, GRID, hill, NOW), "data", 252)
    assert found.trials.schema == pl.Schema(schemas.TRIALS.dtypes)
    assert found.returns.schema == pl.Schema(schemas.TRIAL_RETURNS.dtypes)
    assert found.trials.height == 9
    assert found.returns.height == 9 * 60
    row = found.trials.row(
        by_predicate=pl.col("trial_id") == trial_id("s", {"fast": 5, "slow": 80}, "data"),
        named=True,
    )
    values = hill({"fast": 5, "slow": 80})["return"]
    assert row["sharpe"] == pytest.approx(values.mean() / values.std() * np.sqrt(252))
    assert row["observations"] == 60
    assert row["evaluated_at"] == NOW
    assert row["skew"] == pytest.approx(values.skew())
    assert row["kurtosis"] == pytest.approx(values.kurtosis(fisher=False))
    assert json.loads(row["parameters"]) == {"fast": 5, "slow": 80}


def test_trying_again_is_no_new_trial_and_the_first_time_stays_while_nothing_changes():
    first = trial_rows(evaluated("s", {}, GRID, hill, NOW), "data", 252)
    again = trial_rows(
        evaluated("s", {}, {"fast": (10, 20), "slow": (60,)}, hill, NOW + timedelta(days=9)),
        "data",
        252,
    )
    both = merge_trials(first, again, 252)
    assert both.trials.height == 10
    assert both.returns.select("trial_id", "timestamp").is_unique().all()
    assert both.trials.filter(pl.col("trial_id").is_in(first.trials["trial_id"].to_list())).equals(
        first.trials
    )
    assert merge_trials(both, first, 252).trials.equals(both.trials)
    assert merge_trials(both, first, 252).returns.equals(both.returns)


def test_rows_in_another_unit_are_put_right_when_trials_are_merged():
    first = trial_rows(evaluated("s", {}, GRID, hill, NOW), "data", 252)
    by_day = first.trials.with_columns(pl.col("sharpe") / np.sqrt(252))
    merged = merge_trials(TrialRows(by_day, first.returns), first, 252)
    assert merged.trials.equals(first.trials)
    around_the_clock = merge_trials(first, first, 365).trials["sharpe"]
    assert around_the_clock.to_list() == pytest.approx(
        (first.trials["sharpe"] * np.sqrt(365 / 252)).to_list()
    )


def test_a_trial_that_never_traded_has_no_sharpe_but_is_counted():
    flat = series(0.0).with_columns(pl.lit(0.0).alias("return"))
    found = trial_rows(
        [Trial("s", {"a": 1}, flat, NOW), Trial("s", {"a": 2}, flat.clear(), NOW)], "d", 252
    ).trials
    assert found.height == 2
    assert found["sharpe"].to_list() == [None, None]
    assert trial_rows([], "d", 252).trials.equals(schemas.TRIALS.empty())


def test_neighbours_differ_by_one_step_in_one_parameter():
    found = stability(trial_rows(evaluated("s", {"fixed": 1}, GRID, hill, NOW), "data", 252).trials)
    assert found.parameters == ("fast", "slow")
    counts = {
        (row["fast"], row["slow"]): row["neighbours"] for row in found.table.iter_rows(named=True)
    }
    assert counts[(10, 60)] == 4
    assert counts[(5, 60)] == 3
    assert counts[(5, 40)] == 2
    sharpe = {
        (row["fast"], row["slow"]): row["sharpe"] for row in found.table.iter_rows(named=True)
    }
    middle = found.table.row(
        by_predicate=(pl.col("fast") == 10) & (pl.col("slow") == 60), named=True
    )
    mean = np.mean([sharpe[5, 60], sharpe[15, 60], sharpe[10, 40], sharpe[10, 80]])
    assert middle["neighbour_sharpe"] == pytest.approx(mean)
    assert middle["drop"] == pytest.approx(sharpe[10, 60] - mean)
    summary = found.summary()
    assert json.loads(summary["best_parameters"]) == {"fast": 10, "slow": 60}
    assert summary["best_sharpe"] > summary["best_neighbour_sharpe"]
    assert 0.0 < summary["positive_fraction"] <= 1.0


def test_stability_of_one_trial_and_of_none_has_no_neighbours():
    one = stability(trial_rows([Trial("s", {"a": 1}, series(0.01), NOW)], "d", 252).trials)
    assert one.table["neighbours"].to_list() == [0]
    assert one.parameters == ()
    assert one.summary()["best_neighbour_sharpe"] is None
    assert stability(schemas.TRIALS.empty()).summary()["best_sharpe"] is None


def test_a_parameter_that_some_trials_lack_or_that_is_text_is_stepped_along_too():
    trials = [
        Trial("s", parameters, series(0.001, seed), NOW)
        for seed, parameters in enumerate([{"a": 1}, {"a": 1, "m": "x"}, {"a": 2, "m": "y"}])
    ]
    found = stability(trial_rows(trials, "d", 252).trials)
    assert found.parameters == ("a", "m")
    assert found.table.height == 3
