"""Combinatorial purged cross-validation against a plain implementation, event by event."""

from datetime import UTC, datetime, timedelta
from itertools import combinations
from math import comb

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.models.cross_validation import (
    cross_validate,
    path_count,
    path_scores,
)
from harmony_pipeline.models.embargo import embargo_end, embargo_start
from harmony_pipeline.models.purged_folds import folds, group_numbers
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.scores import brier_score
from harmony_pipeline.models.settings import CrossValidationSettings, GateSettings, ModelSettings
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.cross_validation import cross_validation
from harmony_pipeline.stages.stability import make_current, stability_of
from harmony_pipeline.testing.forecaster_contract import planted_samples
from harmony_pipeline.testing.tiny import tiny_market

CLOCK, NYSE = Calendar.of("24/7"), Calendar.of("XNYS")
TIME = pl.Datetime("us", "UTC")
START = datetime(2023, 1, 2, tzinfo=UTC)
SMALL = ModelSettings(
    forecaster="harmony_pipeline.models.logistic:Logistic", minimum_train_rows=50, embargo_bars=4
)
SIX = CrossValidationSettings()


def events(lives: list[int | None], symbols: int = 1) -> Samples:
    """An event every hour in each symbol, living so many quarters of an hour; None: unsettled."""
    stamps = [START + timedelta(hours=number) for number in range(len(lives))]
    ends = [
        None if life is None else stamp + timedelta(minutes=15 * (life + 1))
        for stamp, life in zip(stamps, lives, strict=True)
    ]
    one = pl.DataFrame(
        {
            "timestamp": stamps, "side": 1, "end_timestamp": ends, "return": 0.01,
            "label": [None if end is None else number % 2 for number, end in enumerate(ends)],
            "weight": 1.0,
        },
        schema_overrides={"timestamp": TIME, "end_timestamp": TIME, "side": pl.Int8, "label": pl.Int8},
    )  # fmt: skip
    frame = pl.concat(
        one.with_columns(symbol=pl.lit(f"S{number}")) for number in range(symbols)
    ).sort("timestamp", "symbol")
    X = np.random.default_rng(0).normal(size=(frame.height, 2))
    return Samples(frame, X, ("a", "b"))


def plain_folds(samples: Samples, group: list[int], chosen, calendar, embargo: int):
    """Event by event: which may train, which are purged, where `chosen` groups are the test."""
    rows = list(samples.frame.select("timestamp", "end_timestamp").iter_rows())
    train, purged = [], []
    barred = {}
    for number in chosen:
        own = [rows[i] for i in range(len(rows)) if group[i] == number]
        barred[number] = (
            embargo_start(calendar, "15Min", min(one[0] for one in own), embargo),
            embargo_end(calendar, "15Min", max(one[1] for one in own), embargo),
        )
    for place, (begin, end) in enumerate(rows):
        if group[place] < 0 or group[place] in chosen:
            continue
        meets = False
        for first, last in barred.values():
            meets |= end > first and begin < last
        (purged if meets else train).append(place)
    return train, purged


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.integers(0, 80)), min_size=24, max_size=70),
    st.integers(3, 4), st.integers(1, 2), st.integers(0, 30), st.integers(1, 2),
)  # fmt: skip
def test_every_fold_is_that_of_the_plain_definition(lives, groups, test_groups, embargo, symbols):
    samples = events(lives, symbols)
    chosen = CrossValidationSettings(groups=groups, test_groups=min(test_groups, groups - 1))
    if sum(life is not None for life in lives) < groups:
        with pytest.raises(DataError, match="cannot make"):
            group_numbers(samples, groups)
        return
    group = group_numbers(samples, groups).tolist()
    found = folds(samples, CLOCK, "15Min", embargo, chosen)
    expected = list(combinations(range(groups), chosen.test_groups))
    assert [fold.test_groups for fold in found] == expected
    for fold in found:
        train, purged = plain_folds(samples, group, fold.test_groups, CLOCK, embargo)
        assert np.flatnonzero(fold.train).tolist() == train
        assert np.flatnonzero(fold.purged).tolist() == purged
        test = [place for place, number in enumerate(group) if number in fold.test_groups]
        assert np.flatnonzero(fold.test).tolist() == test


@pytest.mark.parametrize("symbols", [1, 3])
def test_groups_are_in_order_of_time_about_equal_and_keep_equal_times_together(symbols):
    samples = events([3] * 100, symbols)
    group = group_numbers(samples, 7)
    assert (np.diff(group) >= 0).all()
    sizes = np.bincount(group)
    assert sizes.max() - sizes.min() <= 2 * symbols
    by_time = pl.DataFrame({"at": samples.frame["timestamp"], "group": group})
    assert by_time.group_by("at").agg(pl.col("group").n_unique())["group"].to_list() == [1] * 100


def test_bars_of_the_market_lie_between_training_and_test():
    friday = datetime(2023, 1, 13, 21, 0, tzinfo=UTC)  # Monday is a holiday
    assert embargo_end(NYSE, "15Min", friday, 8) == datetime(2023, 1, 17, 16, 30, tzinfo=UTC)
    assert embargo_end(NYSE, "15Min", friday, 0) == friday
    assert embargo_end(NYSE, "1Day", friday, 2) == datetime(2023, 1, 19, tzinfo=UTC)
    assert embargo_end(CLOCK, "15Min", friday, 8) == friday + timedelta(hours=2)


@pytest.mark.parametrize(("groups", "test_groups"), [(6, 2), (5, 1), (4, 3)])
def test_every_path_holds_every_event_once_and_no_model_has_seen_it(groups, test_groups):
    samples = planted_samples(600, 1.0, per_day=13)
    chosen = CrossValidationSettings(groups=groups, test_groups=test_groups)
    paths = cross_validate(samples, CLOCK, "15Min", SMALL, chosen)
    assert paths.reasons == []
    assert path_count(chosen) == comb(groups, test_groups) * test_groups // groups
    settled = samples.frame.filter(pl.col("label").is_not_null()).select("symbol", "timestamp")
    for path in range(path_count(chosen)):
        own = paths.predictions.filter(pl.col("path") == path).select("symbol", "timestamp")
        assert own.sort("timestamp", "symbol").equals(settled.sort("timestamp", "symbol"))
    assert paths.predictions["path"].n_unique() == path_count(chosen)


def test_a_path_takes_the_models_in_order():
    """Of three groups, one left out: one path, of the three models that left its group out."""
    samples = planted_samples(900, 1.0, per_day=13)
    chosen = CrossValidationSettings(groups=3, test_groups=1)
    predictions = cross_validate(samples, CLOCK, "15Min", SMALL, chosen).predictions
    group = group_numbers(samples, 3)
    for fold in folds(samples, CLOCK, "15Min", SMALL.embargo_bars, chosen):
        labels = samples.labels()[fold.train]
        weights = samples.weights()[fold.train]
        rate = float((labels * weights).sum() / weights.sum())
        stamps = samples.frame.filter(pl.Series(group == fold.test_groups[0]))["timestamp"]
        own = predictions.filter(pl.col("timestamp").is_in(stamps.unique().to_list()))
        assert own["base"].unique().to_list() == pytest.approx([rate])


def test_what_is_learned_is_known_on_every_path_and_noise_on_none():
    edge, noise = (
        path_scores(
            cross_validate(planted_samples(2000, size, per_day=13), CLOCK, "15Min", SMALL, SIX)
            .predictions,
            0.5, 252, "UTC",
        )
        for size in (1.5, 0.0)
    )  # fmt: skip
    assert edge.height == noise.height == 5
    assert edge["brier_ratio"].max() < 0.95
    assert edge["auc"].min() > 0.65
    assert noise["brier_ratio"].min() > 0.99
    assert noise["auc"].is_between(0.44, 0.56).all()


def test_the_scores_of_a_path_by_hand():
    at = [START + timedelta(days=day) for day in (0, 0, 1, 2, 3)]
    paths = pl.DataFrame(
        {
            "path": [0] * 5, "symbol": ["A", "B", "A", "A", "A"], "timestamp": at,
            "end_timestamp": at, "label": [1, 0, 1, 0, 1], "return": [0.02, -0.01, 0.03, -0.02, 0.1],
            "probability": [0.9, 0.6, 0.8, 0.2, None], "base": [0.5] * 5,
        },
        schema_overrides={"timestamp": TIME, "end_timestamp": TIME},
    )  # fmt: skip
    row = path_scores(paths, 0.55, 252, "UTC").row(0, named=True)
    outcome = np.array([1.0, 0.0, 1.0, 0.0])
    brier = brier_score(np.array([0.9, 0.6, 0.8, 0.2]), outcome)
    assert (row["rows"], row["taken"]) == (4, 3)
    assert row["brier_ratio"] == pytest.approx(brier / 0.25)
    assert row["mean_return"] == pytest.approx(0.04 / 3)
    days = np.array([0.01, 0.03, 0.0])
    assert row["sharpe"] == pytest.approx(days.mean() / days.std(ddof=1) * np.sqrt(252))


def test_too_little_history_is_a_sentence_for_each_fold():
    samples = planted_samples(300, 1.0, per_day=13)
    chosen = SMALL.model_copy(update={"minimum_train_rows": 290})
    paths = cross_validate(samples, CLOCK, "15Min", chosen, SIX)
    assert paths.predictions.is_empty()
    assert len(paths.reasons) == 15
    assert paths.reasons[0].startswith("without the groups 1, 2 there is no model")
    assert path_scores(paths.predictions, 0.5, 252, "UTC").is_empty()


def test_more_test_groups_than_can_be_left_out_are_refused(tmp_path):
    from harmony_pipeline.config import load_settings

    file = tmp_path / "harmony.toml"
    file.write_text("[cross_validation]\ngroups = 4\ntest_groups = 4\n")
    with pytest.raises(ConfigError, match="leave nothing to train on"):
        load_settings(file, environment={})


@pytest.mark.slow
def test_the_asset_has_a_row_a_path_and_is_left_alone_when_nothing_changed(tmp_path):
    from assets.chain import run_stages
    from assets.groups import RESEARCH

    pipeline = tiny_market(tmp_path, extended_hours=False)
    run_stages(pipeline, RESEARCH)
    made = cross_validation(pipeline)
    table = pipeline.lake.read("cross_validation")
    assert table.height == 10  # two horizons, five paths
    assert table.group_by("horizon").agg(pl.col("recipe").n_unique())["recipe"].to_list() == [1, 1]
    assert any("of 5 paths" in note for note in made.notes)
    assert cross_validation(pipeline).unchanged_since is not None
    gate = GateSettings(minimum_cross_validation_sharpe=0.0, cross_validation_quantile=0.25)
    judged = PipelineContext(pipeline.settings.model_copy(update={"gate": gate}))
    own = table.filter(pl.col("horizon") == judged.settings.trade_horizon)
    found = stability_of(judged, own["recipe"][0]).cross_validation_sharpe
    assert found == pytest.approx(np.quantile(own["sharpe"].to_numpy(), 0.25), abs=1e-12)
    assert stability_of(judged, "another recipe").cross_validation_sharpe is None
    assert stability_of(pipeline, own["recipe"][0]).cross_validation_sharpe is None  # not asked
    # the gate asks for the figures of today: a table of other inputs is made again
    pipeline.lake.write("cross_validation", "all", table.head(3), {"made": "of older bars"})
    assert make_current(pipeline) == []
    assert pipeline.lake.read("cross_validation").height == 3
    assert make_current(judged) == []
    assert pipeline.lake.read("cross_validation").equals(table)
