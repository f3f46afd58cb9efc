"""`harmony models show, diff, promote, rollback` on a lake with two models, and what stays of it."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from harmony_pipeline.cli import app
from harmony_pipeline.cli import models as command
from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import period_from_key
from harmony_pipeline.models.demotion import demotion
from harmony_pipeline.models.gate import BY_HAND
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.models.walk_forward import train_period
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.market import ALL
from harmony_pipeline.testing.forecaster_contract import planted_samples
from harmony_pipeline.testing.tiny import tiny_settings

WHY = "the gate's evidence misses last week's repair of the data"
SAMPLES = planted_samples(4_500, 1.0, per_day=13, horizon=4)


@pytest.fixture
def lake(tmp_path: Path) -> tuple[PipelineContext, str, str]:
    """A pipeline with two models, of two seeds."""
    pipeline = PipelineContext(tiny_settings(tmp_path))
    found = []
    for key, seed in (("2023-02", 1), ("2023-03", 2)):
        settings = ModelSettings(
            forecaster="harmony_pipeline.models.logistic:Logistic",
            minimum_train_rows=100,
            seed=seed,
        )
        period = period_from_key(key, "month", "UTC")
        fold = train_period(SAMPLES, period, 4, Calendar.of("24/7"), "15Min", settings, "features")
        assert fold.model is not None
        pipeline.registry.save(fold.model)
        pipeline.lake.write("models", key, fold.model_row)
        found.append(fold.model.model_id)
    return pipeline, found[0], found[1]


def test_a_model_is_shown_with_its_card_its_measures_and_its_decisions(
    lake: tuple[PipelineContext, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline, first, _second = lake
    command.promote(pipeline, first, WHY)
    command.show(pipeline, first)
    shown = capsys.readouterr().out
    for text in (first, "data_hash", "train_rows", "artifact hash", "promoted", "last week's"):
        assert text in shown


def test_two_models_differ_in_what_is_told(
    lake: tuple[PipelineContext, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline, first, second = lake
    command.diff(pipeline, first, second)
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert {"period", "seed", "data_hash", "train_rows"} <= set(names)
    assert "forecaster" not in names
    command.diff(pipeline, first, first)
    assert "are the same" in capsys.readouterr().out


def test_an_unknown_model_is_told_which_there_are(lake: tuple[PipelineContext, str, str]) -> None:
    pipeline, first, _second = lake
    with pytest.raises(NotReady, match=f"no model nobody; known are .*{first}"):
        command.show(pipeline, "nobody")


def test_models_that_cannot_come_out_the_same_end_the_command_with_1(
    lake: tuple[PipelineContext, str, str], tmp_path: Path
) -> None:
    pipeline, first, second = lake
    file = str(pipeline.settings.file)
    asked = CliRunner().invoke(app, ["--config", file, "models", "verify", first])
    assert asked.exit_code == 1
    # the file's own settings know other horizons than the models were made for
    assert f"{first} differs: labels.horizons_bars no longer holds its horizon 4" in asked.output
    every = CliRunner().invoke(app, ["--config", file, "models", "verify"])
    assert every.exit_code == 1
    assert second in every.output
    assert not command.verify(pipeline, first)  # no label in this lake


def test_without_models_there_is_nothing_to_verify(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="there are no models yet"):
        command.verify(PipelineContext(tiny_settings(tmp_path)), None)


def test_a_person_promotes_and_goes_back_and_both_are_kept_with_their_reasons(
    lake: tuple[PipelineContext, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline, first, second = lake
    command.promote(pipeline, first, WHY)
    command.promote(pipeline, second, WHY)
    assert pipeline.registry.promoted() == second
    command.rollback(pipeline, "the newer one trades twice as often as it should")
    assert pipeline.registry.promoted() == first
    command.promote(pipeline, first, WHY)
    assert "trades already" in capsys.readouterr().out
    rows = pipeline.lake.read("promotions").sort("decided_at")
    assert rows.select("model_id", "previous_model_id").rows() == [
        (first, None), (second, first), (first, second),
    ]  # fmt: skip
    assert set(rows["rule"]) == {BY_HAND}
    assert rows["reason"].to_list()[:2] == [WHY, WHY]


@pytest.mark.parametrize("reason", ["", "because", "   yes    "])
def test_a_reason_that_says_nothing_moves_nothing(
    lake: tuple[PipelineContext, str, str], reason: str
) -> None:
    pipeline, first, _second = lake
    with pytest.raises(ConfigError, match="says too little"):
        command.promote(pipeline, first, reason)
    assert pipeline.registry.promoted() is None
    assert pipeline.lake.read("promotions").is_empty()


def test_without_another_model_there_is_no_way_back(
    lake: tuple[PipelineContext, str, str],
) -> None:
    pipeline, first, _second = lake
    with pytest.raises(NotReady, match="no other model was promoted before"):
        command.rollback(pipeline, WHY)
    command.promote(pipeline, first, WHY)
    with pytest.raises(NotReady, match="no other model was promoted before"):
        command.rollback(pipeline, WHY)


def test_a_model_that_left_its_backtests_does_not_come_back_by_hand(
    lake: tuple[PipelineContext, str, str],
) -> None:
    pipeline, first, second = lake
    command.promote(pipeline, first, WHY)
    command.promote(pipeline, second, WHY)
    gone = demotion(first, [0.5, 0.5], 2, 0.1, datetime.now(UTC), None)
    pipeline.lake.update("promotions", ALL, lambda kept: pl.concat([kept, gone]))
    with pytest.raises(NotReady, match="was demoted"):
        command.promote(pipeline, first, WHY)
    with pytest.raises(NotReady, match="no other model"):
        command.rollback(pipeline, WHY)
    assert pipeline.registry.promoted() == second


def test_of_many_models_the_nearest_and_the_latest_are_named() -> None:
    known = [f"2023-{month:02d}-h4-Logistic-{month:08x}" for month in range(1, 13)]
    said = command._unknown("2023-11-h4-Logistic-0000000", known)
    assert said == (
        f"there is no model 2023-11-h4-Logistic-0000000; did you mean {known[10]}? known are"
        f" {', '.join(known[-3:])} and 9 before them, which harmony models lists"
    )
    assert command._unknown("nope", known[:2]) == (
        f"there is no model nope; known are {known[0]}, {known[1]}"
    )
