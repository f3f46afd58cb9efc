"""A failed blocking check refuses its partition until it passes or is waived by name."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from harmony_pipeline.cli.boundary import run_command
from harmony_pipeline.config import load_settings
from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.lake import sql
from harmony_pipeline.schemas import BARS, DAILY_SUMMARY
from harmony_pipeline.stages import data_checks, research, scanner, session_plans, verdicts
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.testing.tiny import tiny_market

CHECK = verdicts.BARS_CHECK
KEY, OTHER = "2024-02", "2024-01"


def bars(pipeline: PipelineContext, key: str, close: float = 10.0) -> pl.DataFrame:
    """Four half hours of one symbol; a close above the high breaks the declaration."""
    period = pipeline.trading_period(key)
    day = pipeline.calendar.sessions(period.first_date, period.end_date)[2]
    start = pipeline.calendar.session_open(day)
    rows = [
        {
            "symbol": "AAA", "timeframe": pipeline.timeframe,
            "timestamp": start + number * pipeline.bar, "session": "regular", "open": 10.0,
            "high": 11.0, "low": 9.0,
            "close": close, "volume": 100.0, "adjustment_factor": 1.0,
        }
        for number in range(4)
    ]  # fmt: skip
    return BARS.conform(pl.DataFrame(rows, schema_overrides=BARS.dtypes))


@pytest.fixture
def pipeline(tmp_path: Path) -> PipelineContext:
    """Two months of bars, one of them broken."""
    pipeline = tiny_market(tmp_path)
    for key in (OTHER, KEY):
        pipeline.lake.write("bars", key, bars(pipeline, key, 12.0 if key == KEY else 10.0))
        pipeline.lake.write("daily_summary", key, DAILY_SUMMARY.empty())
    return pipeline


def judge(pipeline: PipelineContext, *keys: str) -> pl.DataFrame:
    """As the graph does after `bars`."""
    offending = data_checks.bars_are_sound(pipeline, [pipeline.trading_period(key) for key in keys])
    verdicts.record(pipeline, "bars", CHECK, keys, offending)
    return offending


def test_a_refused_partition_stays_refused_for_everyone_who_makes_something_of_it(
    pipeline: PipelineContext,
) -> None:
    assert judge(pipeline, OTHER, KEY).height == 4
    again = PipelineContext(pipeline.settings)  # another process, another run
    message = (
        rf"bars {KEY} failed the check {CHECK} on .*AAA .*expected high >= open.*harmony doctor"
        rf" --waive {CHECK} --partition {KEY}"
    )
    with pytest.raises(NotReady, match=message):
        research.features(again, [again.trading_period(KEY)])
    for table in ("bars", "features", "labels", "daily_summary", "signals"):
        with pytest.raises(NotReady, match=CHECK):
            again.made_from({table: [OTHER, KEY]})
        again.made_from({table: [OTHER]})
    day = again.calendar.sessions(
        again.trading_period(KEY).first_date, again.trading_period(KEY).end_date
    )[2]
    with pytest.raises(NotReady, match=CHECK):
        scanner.scan(again, [day])
    with session_plans.open_ledger(again) as ledger, pytest.raises(NotReady, match=CHECK):
        session_plans.plan_of(again, ledger, day, "replay-x")
    shown = sql.query(again.lake, "select asset, period, offending_rows from verdicts")
    assert shown.rows() == [("bars", KEY, 4)]
    # SQL still sees everything
    assert sql.query(again.lake, "select count(*) from bars").item() == 8


def test_a_verdict_ends_when_the_check_passes(pipeline: PipelineContext) -> None:
    judge(pipeline, OTHER, KEY)
    pipeline.lake.write("bars", KEY, bars(pipeline, KEY))
    assert judge(pipeline, KEY).is_empty()
    assert pipeline.lake.read("verdicts").is_empty()
    pipeline.made_from({"bars": [KEY]})


def test_a_repaired_partition_is_judged_again_by_its_reader(pipeline: PipelineContext) -> None:
    judge(pipeline, KEY)
    pipeline.lake.write("bars", KEY, bars(pipeline, KEY, 13.0))  # other rows, no better
    with pytest.raises(NotReady, match=CHECK):
        pipeline.made_from({"bars": [KEY]})
    pipeline.lake.write("bars", KEY, bars(pipeline, KEY))
    pipeline.made_from({"bars": [KEY]})
    assert pipeline.lake.read("verdicts").is_empty()


def test_passing_on_one_partition_says_nothing_of_another(pipeline: PipelineContext) -> None:
    judge(pipeline, KEY)
    judge(pipeline, OTHER)
    assert pipeline.lake.read("verdicts")["period"].to_list() == [KEY]


def test_a_waiver_names_the_check_the_partition_and_the_reason_and_is_kept(
    pipeline: PipelineContext,
) -> None:
    judge(pipeline, KEY)
    for check, period, why, words in (
        ("other", KEY, "x", f"standing: {CHECK} of {KEY}"),
        (CHECK, OTHER, "x", "no verdict"),
        (CHECK, KEY, " ", "needs a reason"),
    ):
        with pytest.raises(ConfigError, match=words):
            verdicts.waive(pipeline, check, period, why)
    verdicts.waive(pipeline, CHECK, KEY, "the vendor's own print, seen on 2024-02-03")
    pipeline.made_from({"bars": [KEY]})
    judge(pipeline, KEY)  # the same rows fail again: still waived
    pipeline.made_from({"bars": [KEY]})
    row = pipeline.lake.read("verdicts").row(0, named=True)
    assert (row["waived_why"], row["waived_at"] <= datetime.now(UTC)) == (
        "the vendor's own print, seen on 2024-02-03",
        True,
    )
    pipeline.lake.write("bars", KEY, bars(pipeline, KEY, 13.0))
    judge(pipeline, KEY)  # other rows were never waived
    with pytest.raises(NotReady, match=CHECK):
        pipeline.made_from({"bars": [KEY]})


@pytest.mark.parametrize("name", [CHECK, f"{CHECK}:{KEY}"])
def test_the_settings_can_waive_and_that_is_recorded_too(
    pipeline: PipelineContext, name: str
) -> None:
    judge(pipeline, KEY)
    market = pipeline.settings.market
    chosen = market.model_copy(
        update={"quality": market.quality.model_copy(update={"waive": (name,)})}
    )
    lenient = PipelineContext(pipeline.settings.model_copy(update={"market": chosen}))
    lenient.made_from({"bars": [KEY]})
    assert lenient.lake.read("verdicts")["waived_why"].to_list() == [
        f"market.quality.waive names {name}"
    ]


def test_a_check_over_everything_refuses_the_periods_of_its_rows_or_all(
    pipeline: PipelineContext,
) -> None:
    rows = bars(pipeline, KEY).select("symbol", "timestamp").head(1)
    verdicts.record(pipeline, "bars", "bars_are_unique", [verdicts.ALL], rows)
    assert pipeline.lake.read("verdicts")["period"].to_list() == [KEY]
    pipeline.made_from({"bars": [OTHER]})
    verdicts.record(
        pipeline,
        "predictions",
        "predictions_are_out_of_sample",
        [verdicts.ALL],
        pl.DataFrame({"model_id": ["m"]}),
    )
    with pytest.raises(
        NotReady, match=r"predictions failed the check predictions_are_out_of_sample.*model_id m"
    ):
        pipeline.made_from({"predictions": ["2024-03"]})
    verdicts.record(pipeline, "bars", "bars_are_unique", [verdicts.ALL], rows.clear())
    pipeline.made_from({"bars": [KEY]})


def test_doctor_lists_what_stands_and_waives_it_by_name(
    pipeline: PipelineContext, capsys: pytest.CaptureFixture[str]
) -> None:
    judge(pipeline, KEY)
    command = ["--config", str(pipeline.settings.file), "doctor"]
    settings = PipelineContext(load_settings(pipeline.settings.file, environment={}))
    assert settings.lake.read("verdicts").height == 1
    assert run_command([*command, "--waive", CHECK]) == 2
    assert "needs --partition and --why" in capsys.readouterr().err
    assert (
        run_command([*command, "--waive", CHECK, "--partition", KEY, "--why", "seen by hand"]) == 0
    )
    assert pipeline.lake.read("verdicts")["waived_why"].to_list() == ["seen by hand"]


def test_a_feature_that_looks_ahead_stops_what_is_made_of_features_and_not_of_bars(
    pipeline: PipelineContext,
) -> None:
    moved = pl.DataFrame({"partition": [KEY], "finding": ["log_return depends on later rows"]})
    verdicts.record(pipeline, "features", "features_know_no_future", [OTHER, KEY], moved)
    for table in ("features", "signals", "labels"):
        with pytest.raises(NotReady, match="failed the check features_know_no_future"):
            verdicts.require_sound(pipeline, {table: [KEY]})
        verdicts.require_sound(pipeline, {table: [OTHER]})
    verdicts.require_sound(pipeline, {"bars": [KEY], "predictions": [KEY]})
    verdicts.record(pipeline, "features", "features_know_no_future", [KEY], moved.clear())
    verdicts.require_sound(pipeline, {"features": [KEY]})


def test_a_model_that_looks_ahead_stops_its_predictions(pipeline: PipelineContext) -> None:
    other = pl.DataFrame({"partition": [KEY], "finding": ["the model is another"]})
    verdicts.record(pipeline, "model", "models_know_no_future", [KEY], other)
    with pytest.raises(NotReady, match="model 2024-02 failed the check models_know_no_future"):
        verdicts.require_sound(pipeline, {"models": [KEY]})
    verdicts.require_sound(pipeline, {"features": [KEY]})
