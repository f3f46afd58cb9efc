"""Every check, split and window works for any number of bars, 1 included, and says what there is
too little of.
"""

from datetime import date

import polars as pl
import pytest
from stages.short_markets import daily_rows, hourly_rows, short_market
from typer.testing import CliRunner

from assets.chain import run_stages
from harmony_pipeline.cli import app
from harmony_pipeline.cli.run_report import print_summary
from harmony_pipeline.stages import (
    backtest_readiness,
    backtests,
    data_checks,
    ingest,
    live,
    look_ahead_checks,
    market,
    models,
    research,
)
from harmony_pipeline.stages.reasons import TOO_FEW_BARS

CHECKS = (
    data_checks.bars_are_sound,
    data_checks.features_fold,
    look_ahead_checks.features_know_no_future,
    look_ahead_checks.labels_know_no_future,
    look_ahead_checks.models_know_no_future,
    look_ahead_checks.predictions_know_no_future,
)


def ingested(pipeline):
    periods = pipeline.trading_periods()
    market.corporate_actions(pipeline)
    ingest.raw_bars(pipeline, periods)
    market.bars(pipeline, periods)
    market.daily_summary(pipeline, periods)
    return periods


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (daily_rows(1), {}),
        (daily_rows(2), {"symbol": "BRK.B"}),
        (daily_rows(45), {"trading": "month", "retraining": "quarter"}),
        (
            hourly_rows(3),
            {
                "calendar": "24/7",
                "timeframe": "1Hour",
                "symbol": "SHIBUSD",
                "end": date(2024, 2, 1),
            },
        ),
        (
            hourly_rows(80),
            {"calendar": "24/7", "timeframe": "1Hour", "trading": "week", "end": date(2024, 1, 20)},
        ),
    ],
    ids=["one day", "two days", "45 days", "three hours", "80 hours by week"],
)
def test_the_whole_chain_runs_on_a_few_bars_and_nothing_objects(tmp_path, rows, options):
    pipeline = short_market(tmp_path, rows, more="[session]\nreplay_days = 1\n", **options)
    run_stages(pipeline)
    periods = pipeline.trading_periods()
    assert pipeline.lake.read("bars").height == len(rows) == pipeline.lake.read("features").height
    assert all(check(pipeline, periods).is_empty() for check in CHECKS)
    assert models.why_no_model(pipeline).startswith(
        "too little history (needs 500 settled labels, has "
    )
    assert backtest_readiness.nothing_to_trade(pipeline, "meta_labelled")
    assert pipeline.lake.read("backtests").filter(pl.col("start").dt.year() < 2000).is_empty()
    days = market.sessions_with_bars(pipeline)[-1:]
    assert (
        "no model of retraining period"
        in live.paper_session(pipeline, days, require_promoted=False, own_process=False).nothing
    )


@pytest.mark.parametrize("count", [1, 2, 5])
def test_too_few_bars_for_any_feature_are_told_once_and_no_command_is_advised(
    tmp_path, count, capsys
):
    pipeline = short_market(tmp_path, daily_rows(count))
    periods = ingested(pipeline)
    research.features(pipeline, periods)
    results = {"signals": research.signals(pipeline, periods)}
    research.labels(pipeline, periods)
    results["backtest"] = backtests.backtest(pipeline, list(pipeline.settings.active_strategies))
    results["strategy_comparison"] = backtests.strategy_comparison(pipeline)
    assert results["backtest"].nothing == results["strategy_comparison"].nothing == TOO_FEW_BARS
    print_summary(pipeline, "harmony", results)
    shown = capsys.readouterr().out
    assert f"nothing made: backtest, strategy_comparison: {TOO_FEW_BARS}" in shown
    assert "backfill research" not in shown
    assert " report" not in shown


def test_a_strategy_added_later_is_told_to_be_made(tmp_path):
    pipeline = short_market(tmp_path, daily_rows(80))
    periods = ingested(pipeline)
    research.features(pipeline, periods)
    pipeline.lake.write("signals", periods[0].key, pipeline.lake.tables["signals"].empty(), {})
    assert backtest_readiness.nothing_to_trade(pipeline, "rsi_momentum").endswith(
        "it was added since; make them with: harmony backfill research"
    )


@pytest.mark.parametrize("vertical", ["bars", "sessions"])
def test_the_summary_says_what_the_horizons_of_labels_count(tmp_path, capsys, vertical):
    more = f'[labels]\nvertical = "{vertical}"\n'
    pipeline = short_market(tmp_path, daily_rows(80), more=more)
    periods = ingested(pipeline)
    research.features(pipeline, periods)
    research.signals(pipeline, periods)
    research.labels(pipeline, periods)
    assert pipeline.lake.read("labels").height > 0
    print_summary(pipeline, "harmony")
    assert f" at 8 {vertical} (" in capsys.readouterr().out


def test_the_report_names_a_strategy_that_has_a_backtest(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HARMONY_CONFIG", "")  # what the command sets is undone
    pipeline = short_market(tmp_path, daily_rows(80))
    periods = ingested(pipeline)
    research.features(pipeline, periods)
    research.signals(pipeline, periods)
    backtests.backtest(pipeline, list(pipeline.settings.active_strategies))
    other = backtests.backtested(pipeline)
    assert other is not None
    assert other != pipeline.settings.session.strategy
    print_summary(pipeline, "harmony")
    assert f"harmony report {other}\n" in capsys.readouterr().out
    refused = CliRunner().invoke(app, ["--config", str(tmp_path / "harmony.toml"), "report"])
    assert str(refused.exception).endswith(f"another strategy has one: harmony report {other}")


@pytest.mark.parametrize("last", [1, 2, 3, 4, 19, 20, 21, 77])
def test_the_fold_check_cuts_in_order_however_short_the_last_period_is(tmp_path, last):
    rows = daily_rows(250, first=date(2023, 1, 3))[-30:] + daily_rows(last)
    pipeline = short_market(tmp_path, rows, start=date(2023, 1, 2))
    periods = ingested(pipeline)
    research.features(pipeline, periods[-1:])
    research.signals(pipeline, periods)
    for chosen in (periods, periods[-1:]):
        assert all(check(pipeline, chosen).is_empty() for check in CHECKS)
    assert pipeline.lake.read("features").height == 30 + last


@pytest.mark.parametrize("count", range(1, 81))
def test_pieces_hold_every_bar_once_and_end_in_single_stamps(count):
    stamps = pl.datetime_range(
        pl.datetime(2024, 1, 1),
        pl.datetime(2024, 1, 1) + pl.duration(hours=count - 1),
        "1h",
        time_zone="UTC",
        eager=True,
    )
    bars = (
        pl.DataFrame({"timestamp": stamps})
        .sample(fraction=1.0, shuffle=True, seed=count)
        .sort("timestamp")
    )
    pieces = data_checks._pieces(bars)
    assert pl.concat(pieces).equals(bars)
    assert all(piece.height for piece in pieces)
    assert all(piece.height == 1 for piece in pieces[1:][-20:])
    assert len(pieces) >= min(count, 21)


def test_features_of_a_late_period_bring_the_earlier_ones_that_the_fold_passes_over(tmp_path):
    pipeline = short_market(tmp_path, daily_rows(100), trading="month")
    periods = ingested(pipeline)
    result = research.features(pipeline, periods[3:4])
    assert list(result.parts) == [period.key for period in periods[:4]]
    again = research.features(pipeline, periods[3:4])
    assert list(again.parts) == [periods[3].key]
    assert again.unchanged_since is not None


def test_the_features_check_still_fails_when_a_kernel_forgets_its_state(tmp_path, monkeypatch):
    pipeline = short_market(tmp_path, daily_rows(40))
    periods = ingested(pipeline)
    right = data_checks._features
    monkeypatch.setattr(
        data_checks, "_features", lambda pipeline, bars, _states=None: right(pipeline, bars)
    )
    assert data_checks.features_fold(pipeline, periods).height
