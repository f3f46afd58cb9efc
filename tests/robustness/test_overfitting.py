"""Overfitting statistics against independent formulas (scipy, a slow CSCV) and against simulated
truths.
"""

from datetime import UTC, datetime, timedelta
from itertools import combinations as choose

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harmony_pipeline import schemas
from harmony_pipeline.errors import DataError
from harmony_pipeline.robustness.overfitting import (
    backtest_overfitting,
    deflated_sharpe,
    expected_maximum_sharpe,
    long_run_deviations,
    minimum_track_record,
    moments,
    overfitting_row,
    probabilistic_sharpe,
    returns_matrix,
    superior_ability,
)
from harmony_pipeline.robustness.sensitivity import Trial, trial_rows
from harmony_pipeline.robustness.settings import OverfittingSettings

DAY = datetime(2023, 1, 2, tzinfo=UTC)
SETTINGS = OverfittingSettings(splits=8, bootstrap_reps=100)


def noise(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.01, (rows, columns))


def daily(values) -> pl.DataFrame:
    return pl.DataFrame(
        {"timestamp": [DAY + timedelta(days=i) for i in range(len(values))], "return": values},
        schema_overrides={"timestamp": schemas.TIME},
    )


def rows_of(matrix: np.ndarray, strategy: str = "s"):
    return trial_rows(
        [Trial(strategy, {"k": i}, daily(matrix[:, i]), DAY) for i in range(matrix.shape[1])],
        "data",
        252,
    )


def slow_pbo(matrix: np.ndarray, splits: int) -> float:
    length = len(matrix) // splits
    blocks = np.split(matrix[len(matrix) - length * splits :], splits)
    below = []
    for inside in choose(range(splits), splits // 2):
        sample = np.concatenate([blocks[i] for i in inside])
        test = np.concatenate([blocks[i] for i in range(splits) if i not in inside])
        best = np.argmax(sample.mean(axis=0) / sample.std(axis=0, ddof=1))
        rank = stats.rankdata(test.mean(axis=0) / test.std(axis=0, ddof=1))[best]
        relative = rank / (matrix.shape[1] + 1)
        below.append(1.0 if relative < 0.5 else 0.5 if relative == 0.5 else 0.0)
    return float(np.mean(below))


def test_moments_are_those_of_scipy_with_pearsons_kurtosis():
    values = np.random.default_rng(3).standard_t(5, 400) * 0.01 + 0.001
    found = moments(values)
    assert found.sharpe == pytest.approx(values.mean() / values.std(ddof=1), rel=1e-12)
    assert found.skew == pytest.approx(stats.skew(values), rel=1e-10)
    assert found.kurtosis == pytest.approx(stats.kurtosis(values, fisher=False), rel=1e-10)
    assert moments(np.random.default_rng(0).normal(size=200_000)).kurtosis == pytest.approx(
        3.0, abs=0.05
    )


@pytest.mark.parametrize(
    "values", [[], [0.01], [0.01, 0.02], [0.01] * 50, [0.0] * 50, [0.1 + 0.2] * 9], ids=str
)
def test_a_series_that_is_short_or_does_not_move_has_no_sharpe(values):
    assert moments(np.array(values)) is None


def test_psr_is_the_published_formula():
    values = np.random.default_rng(4).normal(0.0008, 0.01, 500)
    sample = moments(values)
    sharpe, skew, kurtosis = (
        values.mean() / values.std(ddof=1),
        stats.skew(values),
        stats.kurtosis(values, fisher=False),
    )
    z = (sharpe - 0.01) * np.sqrt(499) / np.sqrt(1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2)
    assert probabilistic_sharpe(sample, 0.01) == pytest.approx(stats.norm.cdf(z), rel=1e-12)
    assert probabilistic_sharpe(sample, sample.sharpe) == pytest.approx(0.5, abs=1e-12)


def test_psr_matches_the_worked_example_of_the_paper():
    # Bailey & Lopez de Prado 2014, section "a numerical example": annual Sharpe 2.5, 5 years of 250
    # days, 100 trials, V = 1/2 (annual), skew -3, kurtosis 10
    from harmony_pipeline.robustness.overfitting import Moments

    sample = Moments(sharpe=2.5 / np.sqrt(250), observations=1250, skew=-3.0, kurtosis=10.0)
    ceiling = expected_maximum_sharpe(0.5 / 250, 100)
    assert ceiling == pytest.approx(0.1132, abs=1e-4)
    assert probabilistic_sharpe(sample, ceiling) == pytest.approx(0.9004, abs=1e-4)


def test_on_noise_psr_is_uniform():
    found = [probabilistic_sharpe(moments(column)) for column in noise(250, 600, seed=5).T]
    assert stats.kstest(found, "uniform").pvalue > 0.01


@pytest.mark.parametrize("trials", [2, 10, 100, 1000])
def test_the_expected_maximum_is_that_of_simulated_worthless_trials(trials):
    simulated = np.random.default_rng(6).normal(0.0, 0.05, (4_000, trials)).max(axis=1).mean()
    tolerance = 0.14 if trials == 2 else 0.06  # the theorem is asymptotic in the number of trials
    assert expected_maximum_sharpe(0.05**2, trials) == pytest.approx(simulated, rel=tolerance)


def test_the_best_of_many_worthless_trials_rarely_survives_deflation_but_often_fools_psr():
    fooled = survived = 0
    for seed in range(200):
        sharpes = [moments(column) for column in noise(250, 40, seed).T]
        best = max(sharpes, key=lambda one: one.sharpe)
        fooled += probabilistic_sharpe(best) > 0.95
        survived += deflated_sharpe(best, np.array([one.sharpe for one in sharpes])) > 0.95
    assert fooled > 150
    assert survived < 20


def test_a_real_edge_survives_deflation():
    matrix = noise(1_000, 20, seed=7)
    matrix[:, 3] += 0.002
    sharpes = np.array([moments(column).sharpe for column in matrix.T])
    assert deflated_sharpe(moments(matrix[:, 3]), sharpes) > 0.95


def test_the_minimum_track_record_is_where_psr_reaches_the_confidence():
    sample = moments(np.random.default_rng(8).normal(0.001, 0.01, 600))
    needed = minimum_track_record(sample, 0.0, 0.95)
    longer = type(sample)(sample.sharpe, 0, sample.skew, sample.kurtosis)
    error = np.sqrt(
        (1 - longer.skew * longer.sharpe + (longer.kurtosis - 1) / 4 * longer.sharpe**2)
        / (needed - 1)
    )
    assert stats.norm.cdf(sample.sharpe / error) == pytest.approx(0.95, rel=1e-9)
    assert minimum_track_record(moments(-np.abs(noise(50, 1)[:, 0]))) is None


@settings(max_examples=12, deadline=None)
@given(st.integers(2, 7), st.sampled_from([2, 4, 6]), st.integers(0, 40), st.integers(0, 10_000))
def test_cscv_is_the_slow_definition(trials, splits, extra, seed):
    matrix = noise(splits * 6 + extra, trials, seed)
    assert backtest_overfitting(matrix, splits).pbo == pytest.approx(
        slow_pbo(matrix, splits), abs=1e-12
    )


@pytest.mark.parametrize("trials", [3, 10, 25])
def test_on_noise_the_winner_is_as_often_below_the_median_as_above(trials):
    found = [backtest_overfitting(noise(240, trials, seed), 8).pbo for seed in range(150)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.07)


def test_a_planted_winner_is_found_again_out_of_sample():
    matrix = noise(600, 20, seed=11)
    matrix[:, 7] += 0.003
    assert backtest_overfitting(matrix, 10).pbo < 0.01


def test_a_configuration_fitted_to_half_of_the_time_is_seen_as_overfit():
    # each trial shines in its own quarter of the sample and pays for it in the others
    matrix = noise(400, 4, seed=12) * 0.3
    for i in range(4):
        matrix[:, i] -= 0.002
        matrix[i * 100 : (i + 1) * 100, i] += 0.008
    assert backtest_overfitting(matrix, 4).pbo > 0.9


def test_cscv_looks_at_its_input_before_it_answers():
    with pytest.raises(DataError, match="transpose"):
        backtest_overfitting(noise(40, 300), 8)
    with pytest.raises(DataError, match="even"):
        backtest_overfitting(noise(100, 3), 5)
    with pytest.raises(DataError, match="finite"):
        backtest_overfitting(np.full((100, 3), np.nan), 4)
    assert backtest_overfitting(noise(100, 1), 4) is None
    assert backtest_overfitting(noise(7, 3), 4) is None


def test_twenty_splits_fit_in_memory():
    assert backtest_overfitting(noise(400, 4, seed=2), 16).logits.size == 12_870


def test_spa_finds_an_edge_and_does_not_find_what_is_not_there():
    assert superior_ability(noise(300, 10, seed=13) - 0.001, 200, 5) > 0.3
    planted = noise(300, 10, seed=14)
    planted[:, 2] += 0.003
    assert superior_ability(planted, 200, 5) < 0.02
    assert superior_ability(planted, 200, 5) == superior_ability(planted, 200, 5)
    assert superior_ability(np.zeros((300, 2)), 200, 5) is None
    assert superior_ability(np.empty((0, 0)), 200, 5) is None


def test_a_row_has_everything_that_can_be_measured():
    matrix = noise(300, 6, seed=15)
    matrix[:, 2] += 0.002
    trials = rows_of(matrix)
    row = overfitting_row("s", daily(matrix[:, 2]), trials.trials, trials.returns, SETTINGS)
    assert row.schema == pl.Schema(schemas.OVERFITTING.dtypes)
    found = row.row(0, named=True)
    assert found["n_trials"] == 6
    assert found["splits"] == 8
    assert found["psr"] > found["dsr"] > 0.5
    assert found["pbo"] == pytest.approx(backtest_overfitting(matrix, 8).pbo)
    assert 0.0 <= found["spa_pvalue"] <= 0.05
    assert 2.0 < found["min_track_record"] < 300.0


def test_trials_of_other_strategies_and_repeats_are_not_counted():
    mine, theirs = rows_of(noise(200, 4, seed=16)), rows_of(noise(200, 9, seed=17), "other")
    trials = pl.concat([mine.trials, mine.trials, theirs.trials])
    row = overfitting_row(
        "s", daily(noise(200, 1)[:, 0]), trials, pl.concat([mine.returns, theirs.returns]), SETTINGS
    )
    alone = overfitting_row("s", daily(noise(200, 1)[:, 0]), mine.trials, mine.returns, SETTINGS)
    assert row["n_trials"].item() == 4
    assert row.equals(alone)


def test_a_configuration_tried_again_on_more_days_is_one_trial_with_its_latest_returns():
    matrix = noise(200, 4, seed=19)
    before = rows_of(matrix[:150])
    later = trial_rows(
        [Trial("s", {"k": i}, daily(matrix[:, i]), DAY + timedelta(days=300)) for i in range(4)],
        "more data",
        252,
    )
    chosen = daily(matrix[:, 0])
    both = overfitting_row(
        "s",
        chosen,
        pl.concat([before.trials, later.trials]),
        pl.concat([before.returns, later.returns]),
        SETTINGS,
    )
    assert both["n_trials"].item() == 4
    assert both.equals(overfitting_row("s", chosen, later.trials, later.returns, SETTINGS))


@pytest.mark.parametrize(
    ("matrix", "chosen"),
    [
        (noise(200, 1), noise(200, 1)[:, 0]),
        (np.zeros((200, 3)), np.zeros(200)),
        (noise(6, 3), noise(6, 1)[:, 0]),
        (np.empty((0, 2)), np.empty(0)),
    ],
    ids=["one trial", "nothing moves", "a week", "no days"],
)
def test_what_cannot_be_measured_is_null(matrix, chosen):
    trials = rows_of(matrix)
    row = overfitting_row("s", daily(chosen), trials.trials, trials.returns, SETTINGS).row(
        0, named=True
    )
    assert row["pbo"] is None or matrix[:, 0].size >= 100
    if matrix.shape[1] == 1:
        assert row["dsr"] is None
        assert row["pbo"] is None
        assert row["psr"] is not None
    if not np.any(matrix):
        assert row["psr"] is None
        assert row["dsr"] is None
        assert row["spa_pvalue"] is None
        assert row["min_track_record"] is None


def test_no_trials_at_all_still_gives_a_row():
    row = overfitting_row(
        "s", daily([]), schemas.TRIALS.empty(), schemas.TRIAL_RETURNS.empty(), SETTINGS
    ).row(0, named=True)
    assert row == {
        "strategy": "s",
        "n_trials": 0,
        "psr": None,
        "dsr": None,
        "pbo": None,
        "splits": 8,
        "spa_pvalue": None,
        "min_track_record": None,
    }


def test_the_matrix_holds_the_days_that_all_trials_share():
    trials = rows_of(noise(30, 3, seed=18))
    first = trials.trials["trial_id"][0]
    holes = trials.returns.filter(
        ~((pl.col("trial_id") == first) & (pl.col("timestamp") < DAY + timedelta(days=5)))
    )
    matrix = returns_matrix(trials.trials["trial_id"].to_list(), holes)
    assert matrix.shape == (25, 3)
    expected = holes.filter(pl.col("trial_id") == first).sort("timestamp")["return"].to_numpy()
    np.testing.assert_array_equal(matrix[:, 0], expected)


def test_the_most_volatile_trial_does_not_hide_an_edge():
    """arch ignores `studentize`: undivided, one trial with t = 4.74 beside 20 of 20 times its
    volatility gave p = 1.
    """
    generator = np.random.default_rng(21)
    days = 500
    edge = generator.normal(0.0, 0.001, days)
    edge += 4.74 / np.sqrt(days) * edge.std(ddof=1) - edge.mean()  # t = 4.74 exactly
    loud = generator.normal(0.0, 0.02, (days, 20))
    assert moments(edge).sharpe * np.sqrt(days) == pytest.approx(4.74)
    assert superior_ability(np.column_stack([edge, loud]), 500, 5) < 0.01
    quiet = generator.normal(0.0, 0.001, days)
    assert (
        superior_ability(np.column_stack([quiet - quiet.mean(), loud - loud.mean(axis=0)]), 500, 5)
        > 0.5
    )


def test_the_p_value_does_not_depend_on_the_unit_of_a_trial():
    matrix = noise(300, 6, seed=22)
    matrix[:, 1] += 0.0015
    scaled = matrix * np.array([1.0, 0.01, 100.0, 3.0, 0.5, 20.0])
    assert superior_ability(matrix, 300, 5) == pytest.approx(
        superior_ability(scaled, 300, 5), abs=0.01
    )


def test_the_p_value_is_that_of_a_bootstrap_written_out():
    """Hansen's consistent SPA by plain loops: studentized, recentred where a trial is not
    hopeless.
    """
    rows, block, reps = 240, 15, 800
    matrix = noise(rows, 5, seed=23) * np.array([1.0, 8.0, 2.0, 0.5, 30.0])
    matrix[:, 0] += 0.0011
    matrix[:, 3] -= 0.004
    means, deviations = matrix.mean(axis=0), long_run_deviations(matrix, block)
    statistic = max(0.0, float(np.max(means / deviations)))
    hopeless = means / deviations < -np.sqrt(2.0 * np.log(np.log(rows)) / rows)
    centre = np.where(hopeless, 0.0, means)
    generator = np.random.default_rng(9)
    above = 0
    for _ in range(reps):
        chosen = [int(generator.integers(rows))]
        while len(chosen) < rows:
            fresh = generator.random() < 1.0 / block
            chosen.append(int(generator.integers(rows)) if fresh else (chosen[-1] + 1) % rows)
        above += float(np.max((matrix[chosen].mean(axis=0) - centre) / deviations)) > statistic
    assert superior_ability(matrix, reps, 5) == pytest.approx(above / reps, abs=0.05)
    assert 0.02 < above / reps < 0.9


def test_the_long_run_deviation_is_that_of_its_definition_and_of_the_bootstrap():
    generator = np.random.default_rng(24)
    shocks = generator.normal(size=(400, 2))
    matrix = shocks.copy()
    for i in range(1, 400):
        matrix[i, 1] += 0.5 * matrix[i - 1, 1]  # what came before counts on
    rows, p = 400, 1.0 / 20
    centred = matrix - matrix.mean(axis=0)
    variances = (centred**2).sum(axis=0) / rows
    for lag in range(1, rows):
        weight = (1 - lag / rows) * (1 - p) ** lag + lag / rows * (1 - p) ** (rows - lag)
        variances += 2.0 * weight * (centred[:-lag] * centred[lag:]).sum(axis=0) / rows
    found = long_run_deviations(matrix, 20)
    assert found == pytest.approx(np.sqrt(variances), rel=1e-9)
    assert found[0] == pytest.approx(1.0, rel=0.3)
    assert found[1] == pytest.approx(2.0, rel=0.3)  # 1 / (1 - 0.5)


def test_a_trial_whose_dependence_cancels_its_variance_keeps_its_plain_deviation():
    matrix = np.column_stack(
        [np.where(np.arange(100) % 2, 0.01, -0.01), noise(100, 1, seed=25)[:, 0]]
    )
    assert np.isfinite(long_run_deviations(matrix, 10)).all()
    assert (long_run_deviations(matrix, 10) > 0.0).all()
    assert 0.0 <= superior_ability(matrix, 100, 5) <= 1.0


def test_the_deflated_ratio_uses_trials_by_day_whatever_unit_the_table_holds():
    matrix = noise(300, 6, seed=26)
    matrix[:, 2] += 0.002
    rows = rows_of(matrix)
    chosen = daily(matrix[:, 2])
    found = overfitting_row("s", chosen, rows.trials, rows.returns, SETTINGS)
    sharpes = np.array([moments(matrix[:, i]).sharpe for i in range(6)])
    assert found["dsr"].item() == pytest.approx(deflated_sharpe(moments(matrix[:, 2]), sharpes, 6))
    other = rows.trials.with_columns(pl.col("sharpe") / 16.0)
    assert overfitting_row("s", chosen, other, rows.returns, SETTINGS).equals(found)


def test_configurations_that_never_traded_count():
    matrix = np.column_stack([noise(300, 5, seed=27), np.zeros(300)])
    rows = rows_of(matrix)
    found = overfitting_row("s", daily(matrix[:, 0]), rows.trials, rows.returns, SETTINGS).row(
        0, named=True
    )
    assert rows.trials["sharpe"].null_count() == 1
    assert found["n_trials"] == 6
    without = overfitting_row(
        "s", daily(matrix[:, 0]), rows_of(matrix[:, :5]).trials, rows.returns, SETTINGS
    )
    assert found["dsr"] < without["dsr"].item()
