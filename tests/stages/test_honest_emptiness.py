"""Nothing to make is a value with a reason and the command that helps; no zero is shown as a
result.
"""

from datetime import date

import polars as pl
import pytest
from stages.short_markets import daily_rows, short_market

from harmony_pipeline.cli import doctor
from harmony_pipeline.cli.model_report import print_models
from harmony_pipeline.cli.run_report import print_summary
from harmony_pipeline.stages import (
    backtests,
    ingest,
    market,
    models,
    research,
    robustness,
    scanner,
    sensitivity,
)
from harmony_pipeline.stages.market_warnings import market_warnings
from harmony_pipeline.stages.result import StageResult


def bars_of(pipeline):
    periods = pipeline.trading_periods()
    market.corporate_actions(pipeline)
    ingest.raw_bars(pipeline, periods)
    market.bars(pipeline, periods)
    market.daily_summary(pipeline, periods)
    return periods


def test_an_empty_lake_has_no_results_and_says_what_to_type(tmp_path, capsys):
    pipeline = short_market(tmp_path, [])
    names = list(pipeline.settings.active_strategies)
    found = {
        "features": research.features(pipeline, pipeline.trading_periods()),
        "backtest": backtests.backtest(pipeline, names),
        "parameter_sensitivity": sensitivity.parameter_sensitivity(pipeline, names),
        "monte_carlo": robustness.monte_carlo(pipeline, names),
        "overfitting": robustness.overfitting(pipeline, names),
        "regime_stability": robustness.regime_stability(pipeline, names),
        "strategy_comparison": backtests.strategy_comparison(pipeline),
        "model": models.model(pipeline, pipeline.retraining_periods()),
        "scan": scanner.scan(pipeline, market.sessions_with_bars(pipeline)),
    }
    assert {name for name, result in found.items() if "harmony ingest" in result.nothing} == set(
        found
    ) - {"model"}
    assert "harmony backfill research" in found["model"].nothing
    for table in (
        "backtests",
        "orders",
        "fills",
        "trades",
        "equity",
        "monte_carlo",
        "overfitting",
        "trials",
    ):
        assert pipeline.lake.read(table).is_empty(), table
    assert any(finding.what == "bars" and finding.cure for finding in doctor._lake(pipeline))
    print_summary(pipeline, "harmony", found)
    shown = capsys.readouterr().out
    assert "total return" not in shown
    assert "none: the source has no row in market.start to market.end" in shown


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [("rsi_momentum", "backfill research"), ("meta_labelled", "backfill research")],
)
def test_a_backtest_before_signals_names_the_command_that_makes_them(tmp_path, strategy, reason):
    pipeline = short_market(tmp_path, daily_rows(60))
    bars_of(pipeline)
    result = backtests.backtest(pipeline, [strategy])
    assert reason in result.nothing
    assert pipeline.lake.read("backtests").is_empty()


def test_a_result_of_other_inputs_does_not_stay_behind(tmp_path):
    pipeline = short_market(tmp_path, daily_rows(120))
    periods = bars_of(pipeline)
    for stage in (research.features, research.regimes, research.signals):
        stage(pipeline, periods)
    backtests.backtest(pipeline, ["rsi_momentum"])
    assert pipeline.lake.read("backtests", ["rsi_momentum"]).height == 1
    for period in periods:
        pipeline.lake.write("signals", period.key, pipeline.lake.tables["signals"].empty())
    assert "no signals of rsi_momentum" in backtests.backtest(pipeline, ["rsi_momentum"]).nothing
    assert pipeline.lake.read("backtests", ["rsi_momentum"]).is_empty()
    assert (
        "no signals of rsi_momentum" in robustness.monte_carlo(pipeline, ["rsi_momentum"]).nothing
    )


def test_no_model_says_how_many_labels_are_missing_and_from_when_on_there_would_be_one(
    tmp_path, capsys
):
    pipeline = short_market(
        tmp_path,
        daily_rows(120),
        trading="month",
        retraining="month",
        more="[model]\nminimum_train_rows = 70\n",
    )
    periods = bars_of(pipeline)
    for stage in (research.features, research.regimes, research.signals, research.labels):
        stage(pipeline, periods)
    result = models.model(pipeline, pipeline.retraining_periods())
    settled = (
        pipeline.lake.read("labels")
        .filter(
            (pl.col("horizon") == pipeline.settings.trade_horizon) & pl.col("label").is_not_null()
        )
        .height
    )
    assert f"needs 70 settled labels, has {settled}" in result.nothing
    assert "the first model would be possible from about 20" in result.nothing
    assert "more symbols, older bars or a lower model.minimum_train_rows" in result.nothing
    print_models(pipeline)
    assert "no model: too little history (needs 70" in " ".join(capsys.readouterr().out.split())


def test_the_first_possible_date_is_that_of_the_first_period_with_enough_labels(tmp_path):
    more = "[model]\nminimum_train_rows = 20\n"
    pipeline = short_market(
        tmp_path,
        daily_rows(240),
        trading="month",
        retraining="month",
        end=date(2025, 1, 1),
        more=more,
    )
    periods = bars_of(pipeline)
    for stage in (research.features, research.regimes, research.signals, research.labels):
        stage(pipeline, periods)
    settled = pipeline.lake.read("labels").filter(
        (pl.col("horizon") == pipeline.settings.trade_horizon) & pl.col("label").is_not_null()
    )
    told = models._first_possible(pipeline, settled["end_timestamp"].sort(), 20)
    folds = models.model(pipeline, pipeline.retraining_periods())
    enough = [key for key, part in folds.parts.items() if part.facts["labels to train on"] >= 20]
    assert f"possible from {enough[0]}-01 on, when a month begins" in told


def test_serious_warnings_are_told_in_words_with_the_cure(tmp_path):
    rows = [_halved(row) if place >= 40 else row for place, row in enumerate(daily_rows(80))]
    pipeline = short_market(tmp_path, rows, symbol="AAPL")
    bars_of(pipeline)
    found = {warning.rule: warning.sentence() for warning in market_warnings(pipeline)}
    assert "AAPL (1, first 2024-02-29)" in found["split_like_jump"]
    assert "corporate_actions" in found["split_like_jump"]
    sound = short_market(tmp_path / "sound", daily_rows(80))
    bars_of(sound)
    assert market_warnings(sound) == []


def _halved(row: str) -> str:
    stamp, *prices, volume = row.split(",")
    return ",".join([stamp, *(f"{float(price) / 2:.3f}" for price in prices), volume])


def test_parts_add_up_and_share_their_reason():
    parts = {
        "a": StageResult(rows={"x": 2}, facts={"n": 1, "text": "t"}),
        "b": StageResult(rows={"x": 3}, facts={"n": 4}, nothing="no bars"),
    }
    whole = StageResult.of(parts)
    assert (whole.rows, whole.facts, whole.nothing) == ({"x": 5}, {"n": 5}, "")
    assert StageResult.of({"b": parts["b"]}).sentence() == "nothing: no bars"
    assert whole.part("a").sentence() == "2 x"
