"""What is unchanged is left alone; what its inputs, settings or code say otherwise is made
again.
"""

import polars as pl
import pytest

from assets.chain import run_stages
from assets.groups import RETRAIN
from harmony_pipeline.market.settings import InstrumentSettings, InstrumentTerms
from harmony_pipeline.stages import (
    backtests,
    instruments,
    models,
    promotion,
    research,
    robustness,
    scanner,
    sensitivity,
)
from harmony_pipeline.stages.code_identity import source_of
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.market import sessions_with_bars
from harmony_pipeline.stages.session_plans import replay_account
from harmony_pipeline.testing.tiny import tiny_market

STRATEGY = "rsi_momentum"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> PipelineContext:
    pipeline = tiny_market(tmp_path_factory.mktemp("market"))
    run_stages(pipeline, RETRAIN)
    results(pipeline)
    return pipeline


def results(pipeline: PipelineContext) -> dict:
    """Each stage once more, by name."""
    periods, retraining, days = (
        pipeline.trading_periods(),
        pipeline.retraining_periods(),
        sessions_with_bars(pipeline)[-2:],
    )
    return {
        "features": research.features(pipeline, periods),
        "regimes": research.regimes(pipeline, periods),
        "signals": research.signals(pipeline, periods),
        "labels": research.labels(pipeline, periods),
        "model": models.model(pipeline, retraining),
        "predictions": models.predictions(pipeline, retraining),
        "backtest": backtests.backtest(pipeline, [STRATEGY, pipeline.settings.session.strategy]),
        "sensitivity": sensitivity.parameter_sensitivity(pipeline, [STRATEGY]),
        "monte_carlo": robustness.monte_carlo(
            pipeline, [STRATEGY, pipeline.settings.session.strategy]
        ),
        "overfitting": robustness.overfitting(
            pipeline, [STRATEGY, pipeline.settings.session.strategy]
        ),
        "regime_stability": robustness.regime_stability(pipeline, [STRATEGY]),
        "promotion": promotion.promoted_model(pipeline),
        "scan": scanner.scan(pipeline, days),
    }


def changed(pipeline: PipelineContext) -> set[str]:
    """Names of the stages that made something."""
    return {name for name, result in results(pipeline).items() if result.unchanged_since is None}


def with_settings(pipeline: PipelineContext, **sections) -> PipelineContext:
    return PipelineContext(pipeline.settings.model_copy(update=sections))


def test_a_second_run_leaves_every_stage_as_it_is_and_says_so(finished):
    trials, decisions = finished.lake.read("trials"), finished.lake.read("promotions")
    found = results(finished)
    assert [name for name, result in found.items() if result.unchanged_since is None] == []
    assert all("unchanged since" in result.sentence() for result in found.values())
    assert finished.lake.read("trials").equals(trials)
    assert finished.lake.read("promotions").equals(decisions)


def test_again_makes_everything_again_and_counts_no_trial_twice(finished):
    trials = finished.lake.read("trials")
    again = PipelineContext(finished.settings, again=True)
    assert changed(again) == set(results(finished))
    assert finished.lake.read("trials").drop("evaluated_at").equals(trials.drop("evaluated_at"))


@pytest.mark.parametrize(
    ("section", "values", "expected"),
    [
        ("scanner", {"maximum_selections": 3}, {"scan"}),
        ("monte_carlo", {"seed": 99}, {"monte_carlo", "promotion"}),
        ("overfitting", {"seed": 99}, {"overfitting", "promotion"}),
        ("gate", {"minimum_trades": 7}, {"promotion"}),
    ],
)
def test_a_setting_remakes_what_it_shapes_and_nothing_else(finished, section, values, expected):
    settings = getattr(finished.settings, section).model_copy(update=values)
    assert changed(with_settings(finished, **{section: settings})) == expected
    changed(finished)  # back to what the other tests expect


def test_a_corrected_bar_remakes_all_that_stands_on_it_and_nothing_before(finished):
    last = finished.trading_periods()[-1].key
    bars = finished.lake.read("bars", [last])
    moved = bars.with_columns(
        close=pl.when(pl.int_range(pl.len()) == pl.len() - 3)
        .then(pl.col("low"))
        .otherwise(pl.col("close"))
    )
    finished.lake.write("bars", last, moved)
    try:
        for stage in (research.features, research.signals, research.labels):
            again = stage(finished, finished.trading_periods())
            assert [key for key, part in again.parts.items() if part.unchanged_since is None][
                -1
            ] == last
            assert again.parts[finished.trading_periods()[0].key].unchanged_since
        assert backtests.backtest(finished, [STRATEGY]).unchanged_since is None
    finally:
        finished.lake.write("bars", last, bars)
        results(finished)


def test_terms_of_every_symbol_remake_what_is_rounded_by_them(finished):
    terms = InstrumentSettings(defaults=InstrumentTerms(tick_size=0.25))
    changed_market = finished.settings.market.model_copy(update={"instruments": terms})
    pipeline = with_settings(finished, market=changed_market)
    labels = finished.lake.read("labels")
    try:
        instruments.instruments(pipeline)
        assert {"labels", "model", "predictions", "backtest", "sensitivity"} <= changed(pipeline)
        after = pipeline.lake.read("labels")
        assert not after.equals(labels)
        assert (after["upper_barrier"].drop_nulls() % 0.25).max() == 0.0
    finally:
        instruments.instruments(finished)
        changed(finished)


def test_the_end_of_a_listing_is_another_replay(finished):
    before, known = replay_account(finished), finished.lake.read("listings")
    symbol = finished.lake.read("bars")["symbol"][0]
    day = finished.lake.read("daily_summary")["date"].max()
    row = {
        "security_id": "1",
        "symbol": symbol,
        "valid_to": day,
        "reason": "delisting",
        "source": "test",
        "known": day,
    }
    table = finished.lake.tables["listings"]
    finished.lake.write(
        "listings", "all", table.conform(pl.DataFrame([{**dict.fromkeys(table.columns), **row}]))
    )
    try:
        assert replay_account(finished) != before
    finally:
        finished.lake.write("listings", "all", known)
    assert replay_account(finished) == before


def test_a_lost_model_file_is_trained_again(finished):
    import shutil

    model_id = finished.lake.read("models")["model_id"][-1]
    shutil.rmtree(finished.registry.path(model_id))
    assert models.model(finished, finished.retraining_periods()).unchanged_since is None
    assert finished.registry.has(model_id)


def test_the_source_of_a_users_module_and_of_its_neighbours_counts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_rules_here.py").write_text("import my_numbers_here\nclass Rule: pass\n")
    (tmp_path / "my_numbers_here.py").write_text("LENGTH = 3\n")
    before = source_of("my_rules_here:Rule")
    assert before
    (tmp_path / "my_numbers_here.py").write_text("LENGTH = 4\n")
    assert source_of("my_rules_here:Rule") != before
    assert source_of("harmony_pipeline.strategies.rsi:RsiMomentum") == ""
    assert source_of("simulated", None) == ""
