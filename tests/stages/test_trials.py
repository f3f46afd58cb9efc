"""Trying again costs: whatever was changed, the attempt is counted; an unchanged run is none."""

import linecache
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

from assets.chain import run_stages
from assets.groups import RETRAIN
from harmony_pipeline import schemas
from harmony_pipeline.config import Settings
from harmony_pipeline.robustness.sensitivity import Trial
from harmony_pipeline.stages import backtest_inputs, backtests, robustness, sensitivity
from harmony_pipeline.stages.code_identity import source_of
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.trials import configuration, configured_trials, keep_trials
from harmony_pipeline.testing.tiny import tiny_settings

STRATEGY = "meta_labelled"
DAY = datetime(2024, 1, 2, tzinfo=UTC)


def changed(settings: Settings, part: str, **values: object) -> PipelineContext:
    """The same lake under another setting."""
    own = getattr(settings, part).model_copy(update=values)
    return PipelineContext(settings.model_copy(update={part: own}))


def trial(seed: int, days: int = 120, parameters: dict[str, object] | None = None) -> Trial:
    returns = pl.DataFrame(
        {
            "timestamp": [DAY + timedelta(days=i) for i in range(days)],
            "return": np.random.default_rng(seed).normal(0.0, 0.01, days),
        },
        schema_overrides={"timestamp": schemas.TIME},
    )
    return Trial(STRATEGY, parameters or {"fast": 5}, returns, DAY)


def counted(pipeline: PipelineContext) -> int:
    return pipeline.lake.read("trials").height


def attempts(settings: Settings) -> list[PipelineContext]:
    """95 other settings: seeds, feature sets, labels, thresholds, costs, risk, training, dates."""
    features = settings.features.names
    market = settings.market
    return [
        *(changed(settings, "model", seed=100 + seed) for seed in range(20)),
        *(changed(settings, "model", threshold=0.4 + step / 100) for step in range(15)),
        *(changed(settings, "model", minimum_train_rows=100 + step) for step in range(5)),
        changed(settings, "model", forecaster="harmony_pipeline.models.logistic:Logistic"),
        *(changed(settings, "model", parameters={"rounds": 20 + step}) for step in range(4)),
        *(changed(settings, "features", names=features[:-step]) for step in range(1, 9)),
        *(changed(settings, "features", cusum_threshold=1.0 + step / 10) for step in range(4)),
        *(changed(settings, "labels", profit_take=1.0 + step / 10) for step in range(8)),
        *(changed(settings, "labels", horizons_bars=(4, 12 + step)) for step in range(1, 5)),
        *(changed(settings, "costs", half_spread_bps=3.5 + step) for step in range(5)),
        *(changed(settings, "risk", max_position=0.16 + step / 100) for step in range(5)),
        *(
            changed(settings, "market", start=market.start + timedelta(days=step))
            for step in range(1, 9)
        ),
        *(
            changed(settings, "market", end=market.end - timedelta(days=step))
            for step in range(1, 9)
        ),
    ]


def test_ninety_five_other_settings_are_ninety_five_trials(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path)
    first = PipelineContext(settings)
    keep_trials(first, STRATEGY, [trial(0)])
    others = attempts(settings)
    assert len(others) == 95
    assert len({configuration(one, STRATEGY) for one in (first, *others)}) == 96
    for seed, one in enumerate(others[:3], start=1):
        keep_trials(one, STRATEGY, [trial(seed)])
        assert counted(first) == 1 + seed
    # the same attempts once more are none
    for seed, one in enumerate(others[:3], start=1):
        keep_trials(one, STRATEGY, [trial(seed)])
    assert counted(first) == 4


def test_what_cannot_reach_the_returns_is_no_attempt(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path)
    own = configuration(PipelineContext(settings), STRATEGY)
    chosen = settings.strategies[STRATEGY]
    wider = chosen.model_copy(update={"grid": {"threshold": (0.1, 0.2)}})
    for same in (
        changed(settings, "monte_carlo", seed=1),
        changed(settings, "overfitting", splits=8),
        changed(settings, "gate", minimum_days=10),
        PipelineContext(
            settings.model_copy(update={"strategies": {**settings.strategies, STRATEGY: wider}})
        ),
    ):
        assert configuration(same, STRATEGY) == own
    # a strategy without a model does not follow the model
    plain = configuration(PipelineContext(settings), "rsi_momentum")
    assert configuration(changed(settings, "model", seed=99), "rsi_momentum") == plain
    assert configuration(changed(settings, "costs", half_spread_bps=9.0), "rsi_momentum") != plain


def test_the_rule_that_switches_the_filter_is_part_of_what_was_tried(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path)
    chosen = settings.strategies[STRATEGY].model_copy(update={"model_filter": "when_useful"})
    useful = settings.model_copy(update={"strategies": {**settings.strategies, STRATEGY: chosen}})
    own = configuration(PipelineContext(useful), STRATEGY)
    assert own != configuration(PipelineContext(settings), STRATEGY)
    lenient = changed(useful, "gate", maximum_forecast_pvalue=0.5)
    assert configuration(lenient, STRATEGY) != own
    assert backtest_inputs.backtest_id(lenient, STRATEGY, {}) != backtest_inputs.backtest_id(
        PipelineContext(useful), STRATEGY, {}
    )
    assert backtest_inputs.backtest_inputs(lenient, STRATEGY) != backtest_inputs.backtest_inputs(
        PipelineContext(useful), STRATEGY
    )
    # where the model always filters, the gate's setting reaches no trade
    always = changed(settings, "gate", maximum_forecast_pvalue=0.5)
    assert configuration(always, STRATEGY) == configuration(PipelineContext(settings), STRATEGY)


def test_a_class_of_a_script_that_was_rewritten_is_another_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A notebook runs its own class again and again; its lines are kept by Python's linecache."""

    def defined(lines: str) -> str:
        file = f"<cell {hash(lines)}>"
        linecache.cache[file] = (len(lines), None, lines.splitlines(keepends=True), file)
        main = ModuleType("__main__")
        exec(compile(lines, file, "exec"), main.__dict__)  # what a notebook does
        main.__file__ = file
        monkeypatch.setitem(sys.modules, "__main__", main)
        return source_of("__main__:Mine")

    first = defined("class Mine:\n    window = 5\n")
    assert first == defined("class Mine:\n    window = 5\n")
    assert first != defined("class Mine:\n    window = 6\n")
    assert source_of("__main__:Missing") == source_of("__main__:Missing")
    assert source_of("harmony_pipeline.strategies.meta:MetaLabelled") == ""


def test_a_configuration_keeps_its_latest_returns(tmp_path: Path) -> None:
    pipeline = PipelineContext(tiny_settings(tmp_path))
    keep_trials(pipeline, STRATEGY, [trial(0, days=60)])
    before = pipeline.lake.content_hashes("trial_returns")
    keep_trials(pipeline, STRATEGY, [trial(0, days=60)])
    assert pipeline.lake.content_hashes("trial_returns") == before
    longer = trial(1, days=90)
    keep_trials(pipeline, STRATEGY, [longer])
    kept = pipeline.lake.read("trial_returns").sort("timestamp")
    assert kept.select("timestamp", "return").equals(longer.returns)
    assert pipeline.lake.read("trials")["observations"].to_list() == [90]


def test_trials_of_an_older_lake_count_and_are_not_shown_as_neighbours(tmp_path: Path) -> None:
    pipeline = PipelineContext(tiny_settings(tmp_path))
    keep_trials(pipeline, STRATEGY, [trial(0), trial(1, parameters={"fast": 8})])
    old = pipeline.lake.read("trials").with_columns(
        configuration=pl.lit(None, pl.String), trial_id=pl.col("trial_id") + "old"
    )
    pipeline.lake.write("trials", STRATEGY, old)
    assert configured_trials(pipeline, STRATEGY).height == 2
    keep_trials(pipeline, STRATEGY, [trial(2)])
    assert counted(pipeline) == 3
    assert configured_trials(pipeline, STRATEGY)["parameters"].to_list() == ['{"fast": 5}']


@pytest.mark.slow
def test_a_second_run_adds_no_trial_and_another_seed_adds_one_of_each_configuration(
    tmp_path: Path,
) -> None:
    tiny = tiny_settings(tmp_path, extended_hours=False, end=date(2024, 3, 8))
    settings = tiny.model_copy(
        update={"labels": tiny.labels.model_copy(update={"horizons_bars": (4,)})}
    )

    def run(pipeline: PipelineContext) -> dict[str, object]:
        run_stages(pipeline, RETRAIN)
        backtests.backtest(pipeline, [STRATEGY, "rsi_momentum"])
        sensitivity.parameter_sensitivity(pipeline, [STRATEGY])
        robustness.overfitting(pipeline, [STRATEGY])
        return pipeline.lake.read("overfitting", [STRATEGY]).row(0, named=True)

    first = run(PipelineContext(settings))
    assert first["n_trials"] == counted(PipelineContext(settings)) > 5
    assert run(PipelineContext(settings)) == first
    own = PipelineContext(settings).lake.read("trials", [STRATEGY]).height
    again = run(changed(settings, "model", seed=settings.model.seed + 1))
    assert again["n_trials"] == first["n_trials"] + own  # type: ignore[operator]
    assert again["effective_trials"] >= first["effective_trials"]  # type: ignore[operator]
    # and back again: nothing is forgotten, nothing is new
    assert run(PipelineContext(settings))["n_trials"] == again["n_trials"]
