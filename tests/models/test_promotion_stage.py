"""A decision is written once, and before the pointer moves."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from harmony_pipeline.errors import NotReady
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import period_from_key
from harmony_pipeline.models.sequential import look_level
from harmony_pipeline.models.settings import GateSettings, ModelSettings
from harmony_pipeline.models.walk_forward import Fold, predict_period, train_period
from harmony_pipeline.schemas import (
    BACKTESTS,
    DRIFT,
    LABELS,
    METRICS,
    MONTE_CARLO,
    OVERFITTING,
    TRADES,
    TRIALS,
)
from harmony_pipeline.stages import promotion, robustness
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.manual_promotion import promote_by_hand
from harmony_pipeline.stages.stability import Stability, stability_of
from harmony_pipeline.testing.forecaster_contract import planted_samples
from harmony_pipeline.testing.tiny import tiny_settings

CLOCK = Calendar.of("24/7")

LOGISTIC = "harmony_pipeline.models.logistic:Logistic"
HORIZON = 4
SAMPLES = planted_samples(4500, 1.5, per_day=13, horizon=HORIZON)
LENIENT = GateSettings(
    minimum_trades=1, minimum_periods=1, minimum_days=1, minimum_deflated_sharpe=0.0,
    minimum_probabilistic_sharpe=0.0, maximum_chance_sharpe=9.0, maximum_pbo=1.0, maximum_brier_ratio=10.0,
    maximum_forecast_pvalue=1.0, maximum_calibration_error=1.0, minimum_monte_carlo_return=-1.0,
    maximum_drawdown_p95=1.0,
)  # fmt: skip


def fold(period: str, seed: int = 1, recipe: str | None = "recipe") -> Fold:
    settings = ModelSettings(forecaster=LOGISTIC, minimum_train_rows=100, seed=seed)
    return train_period(
        SAMPLES,
        period_from_key(period, "month", "UTC"),
        HORIZON,
        CLOCK,
        "15Min",
        settings,
        "features",
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
        recipe=recipe,
    )


def keep(pipeline: PipelineContext, made: Fold, period: str) -> str:
    """The model and its predictions, as the stages before leave them."""
    assert made.model is not None
    pipeline.registry.save(made.model)
    pipeline.lake.write("models", period, made.model_row)
    pipeline.lake.write(
        "predictions",
        period,
        predict_period(made, SAMPLES, period_from_key(period, "month", "UTC")),
    )
    return made.model.model_id


@pytest.fixture
def pipeline(tmp_path: Path) -> PipelineContext:
    """Everything that the gate reads about one strategy."""
    settings = tiny_settings(tmp_path)
    pipeline = PipelineContext(settings.model_copy(update={"gate": LENIENT}))
    assert settings.trade_horizon == HORIZON
    strategy = settings.session.strategy
    row = dict.fromkeys(METRICS) | {
        "backtest_id": "b", "strategy": strategy, "parameters": "{}",
        "start": datetime(2023, 2, 1, tzinfo=UTC), "end": datetime(2023, 3, 1, tzinfo=UTC),
        "initial_cash": 100.0, "participation": 0.1,
    }  # fmt: skip
    pipeline.lake.write("backtests", strategy, pl.DataFrame([row], schema=BACKTESTS.dtypes))
    odds = {
        "strategy": strategy,
        "n_trials": 6,
        "effective_trials": 4.0,
        "observations": 300,
        "psr": 0.9,
        "dsr": 0.8,
        "pbo": 0.2,
        "splits": 10,
        "spa_pvalue": 0.1,
        "min_track_record": 50.0,
        "worst_loss": 0.01,
    }
    pipeline.lake.write("overfitting", strategy, pl.DataFrame([odds], schema=OVERFITTING.dtypes))
    path = {
        "backtest_id": "b", "scenario": "stressed", "method": "x", "path": 0, "final_equity": 110.0,
        "max_drawdown": -0.1, "miss_probability": 0.1,
        "slippage_bps": 2.0, "anomaly_probability": 0.0, "block": 10,
    }  # fmt: skip
    pipeline.lake.write("monte_carlo", strategy, pl.DataFrame([path], schema=MONTE_CARLO.dtypes))
    at = datetime(2023, 2, 1, 15, tzinfo=UTC)
    trade = {
        "backtest_id": "b", "trade_id": "t", "symbol": "S00", "side": "long", "quantity": 1.0,
        "entry_timestamp": at, "entry_price": 1.0, "exit_timestamp": at,
        "exit_price": 1.1, "exit_reason": "take", "fees": 0.0, "slippage": 0.0, "pnl": 0.1,
        "return": 0.1, "model_id": None,
    }  # fmt: skip
    pipeline.lake.write("trades", strategy, pl.DataFrame([trade], schema=TRADES.dtypes))
    labels = SAMPLES.frame.with_columns(
        horizon=pl.lit(HORIZON), entry_timestamp=pl.col("timestamp") + timedelta(minutes=15)
    )
    pipeline.lake.write("labels", "2023-02", LABELS.conform(labels))
    keep(pipeline, fold("2023-02"), "2023-02")
    return pipeline


def decisions(pipeline: PipelineContext) -> list[tuple[str, bool, str | None]]:
    rows = pipeline.lake.read("promotions").sort("decided_at")
    return (
        rows.select("decided_at", "model_id", "promoted", "previous_model_id")
        .unique(maintain_order=True)
        .drop("decided_at")
        .rows()
    )


def test_deciding_again_on_the_same_evidence_writes_nothing(pipeline: PipelineContext) -> None:
    first = promotion.promoted_model(pipeline)
    model = pipeline.registry.promoted()
    assert decisions(pipeline) == [(model, True, None)]
    before = pipeline.lake.read("promotions")
    for _again in range(3):
        again = promotion.promoted_model(pipeline)
    assert pipeline.lake.read("promotions").equals(before)
    assert again.unchanged_since is not None
    assert (again.facts["model"], again.facts["promoted"]) == (
        first.facts["model"],
        first.facts["promoted"],
    )
    # measured again, and the same
    pipeline.lake.write("promotions", "all", before, {"made": "by other code"})
    assert "the same decision as on" in promotion.promoted_model(pipeline).notes[0]
    assert pipeline.lake.read("promotions").equals(before)
    assert len(pipeline.registry.history()) == 1


def test_another_measure_threshold_model_or_champion_is_another_decision(
    pipeline: PipelineContext,
) -> None:
    promotion.promoted_model(pipeline)
    first = pipeline.registry.promoted()
    strategy = pipeline.settings.session.strategy
    odds = pipeline.lake.read("overfitting", [strategy])
    pipeline.lake.write("overfitting", strategy, odds.with_columns(dsr=pl.lit(0.81)))
    promotion.promoted_model(pipeline)
    assert len(decisions(pipeline)) == 2
    strict = PipelineContext(
        pipeline.settings.model_copy(
            update={"gate": LENIENT.model_copy(update={"minimum_deflated_sharpe": 0.99})}
        )
    )
    promotion.promoted_model(strict)
    promotion.promoted_model(strict)
    assert decisions(pipeline)[2:] == [(first, False, None)]
    second = keep(pipeline, fold("2023-03"), "2023-03")
    promotion.promoted_model(strict)
    promotion.promoted_model(strict)
    assert decisions(pipeline)[3:] == [(second, False, None)]
    promotion.promoted_model(pipeline)
    assert decisions(pipeline)[4:] == [(second, True, None)]
    promotion.promoted_model(pipeline)
    assert len(decisions(pipeline)) == 5
    assert [one.model_id for one in pipeline.registry.history()] == [first, "", second]


def test_a_process_that_dies_before_the_pointer_moves_leaves_what_the_next_one_completes(
    pipeline: PipelineContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(type(pipeline.registry), "promote", killed)
        promotion.promoted_model(pipeline)
    assert pipeline.registry.promoted() is None
    written = decisions(pipeline)
    assert [promoted for _model, promoted, _previous in written] == [True]
    promotion.promoted_model(pipeline)
    assert pipeline.registry.promoted() == written[0][0]
    assert decisions(pipeline) == written
    assert (
        pipeline.registry.history()[0].decided_at
        == pipeline.lake.read("promotions")["decided_at"][0]
    )


def test_the_gate_leaves_what_a_person_decided_until_its_evidence_is_new(
    pipeline: PipelineContext,
) -> None:
    gate = LENIENT.model_copy(update={"minimum_trades": 50})
    strict = PipelineContext(pipeline.settings.model_copy(update={"gate": gate}))
    promotion.promoted_model(strict)
    assert strict.registry.promoted() is None
    model = str(promotion.newest_model(strict))
    promote_by_hand(strict, model, "fifty trades are asked, and one is there")
    assert promotion.promoted_model(strict).unchanged_since is not None
    assert strict.registry.promoted() == model
    stricter = gate.model_copy(update={"minimum_trades": 60})
    anew = PipelineContext(pipeline.settings.model_copy(update={"gate": stricter}))
    promotion.promoted_model(anew)
    assert anew.registry.promoted() is None


def test_a_process_that_dies_before_the_table_is_written_leaves_the_old_champion(
    pipeline: PipelineContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(type(pipeline.lake), "write", killed)
        promotion.promoted_model(pipeline)
    assert pipeline.registry.promoted() is None
    promotion.promoted_model(pipeline)
    assert len(decisions(pipeline)) == 1


def test_stability_that_is_asked_and_cannot_be_measured_refuses_with_a_reason(
    pipeline: PipelineContext,
) -> None:
    assert promotion.promoted_model(pipeline).facts["promoted"]
    assert not pipeline.lake.partitions("cross_validation")
    gate = LENIENT.model_copy(
        update={"minimum_cross_validation_sharpe": -9.0, "maximum_input_drift": 9.0}
    )
    asking = PipelineContext(pipeline.settings.model_copy(update={"gate": gate}))
    decided = promotion.promoted_model(asking)
    assert not decided.facts["promoted"]
    told = "could not be measured; it must be at"
    assert [note for note in decided.notes if told in note] == [
        f"cross_validation_sharpe {told} least -9",
        f"input_drift {told} most 9",
    ]
    assert "cross_validation: no path could be predicted" in decided.notes
    assert measured(asking, "input_drift") == [None]
    assert promotion.promoted_model(asking).unchanged_since is not None


def test_drift_is_that_of_models_of_the_candidates_recipe(pipeline: PipelineContext) -> None:
    gate = LENIENT.model_copy(update={"maximum_input_drift": 0.5, "maximum_calibration_drift": 3.0})
    asking = PipelineContext(pipeline.settings.model_copy(update={"gate": gate}))
    model = promotion.newest_model(asking)
    row = {
        "period": "2023-02", "horizon": HORIZON, "model_id": model, "measure": "a", "rows": 150,
        "value": 0.4, "threshold": 0.2, "drifted": True,
    }  # fmt: skip
    rows = [
        row,
        row | {"measure": "calibration", "value": -2.0},
        row | {"model_id": "another recipe's", "period": "2023-03", "value": 3.0},
    ]
    asking.lake.write("drift", "all", pl.DataFrame(rows, schema=DRIFT.dtypes))
    found = stability_of(asking, "recipe")
    assert (found.input_drift, found.calibration_drift) == (0.4, -2.0)
    assert stability_of(asking, "another") == Stability()
    assert stability_of(asking, None) == stability_of(pipeline, "recipe") == Stability()


def strict(pipeline: PipelineContext) -> PipelineContext:
    gate = LENIENT.model_copy(update={"minimum_deflated_sharpe": 0.99})
    return PipelineContext(pipeline.settings.model_copy(update={"gate": gate}))


def measured(pipeline: PipelineContext, rule: str) -> list[float | None]:
    """The measure of a rule in every decision, oldest first."""
    rows = pipeline.lake.read("promotions").filter(pl.col("rule") == rule)
    return rows.sort("decided_at")["measure"].to_list()


def change(pipeline: PipelineContext, **values: float) -> None:
    strategy = pipeline.settings.session.strategy
    odds = pipeline.lake.read("overfitting", [strategy])
    pipeline.lake.write(
        "overfitting",
        strategy,
        odds.with_columns(pl.lit(value).alias(name) for name, value in values.items()),
    )


def test_after_a_refusal_the_champion_no_longer_trades(pipeline: PipelineContext) -> None:
    promotion.promoted_model(pipeline)
    champion = pipeline.registry.promoted()
    second = keep(pipeline, fold("2023-03"), "2023-03")
    promotion.promoted_model(strict(pipeline))
    assert decisions(pipeline)[1:] == [(second, False, champion)]
    assert pipeline.registry.promoted() is None
    with pytest.raises(NotReady, match=f"{champion} was demoted"):
        pipeline.registry.load_promoted()
    # it does not come back by looking again at the same evidence
    assert promotion.promoted_model(strict(pipeline)).unchanged_since is not None
    pipeline.lake.write("promotions", "all", pipeline.lake.read("promotions"), {"by": "other code"})
    assert "the same decision as on" in promotion.promoted_model(strict(pipeline)).notes[0]
    assert len(decisions(pipeline)) == 2
    assert len(pipeline.registry.history()) == 2


def test_a_process_that_dies_after_a_refusal_was_written_leaves_what_stops_the_champion(
    pipeline: PipelineContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    promotion.promoted_model(pipeline)
    champion = pipeline.registry.promoted()

    def killed(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(type(pipeline.registry), "demote", killed)
        promotion.promoted_model(strict(pipeline))
    assert pipeline.registry.promoted() == champion
    written = decisions(pipeline)
    promotion.promoted_model(strict(pipeline))
    assert pipeline.registry.promoted() is None
    assert decisions(pipeline) == written


@pytest.mark.parametrize("other", ["another recipe", None])
def test_a_model_of_another_recipe_is_not_promoted_on_the_evidence_of_its_predecessors(
    pipeline: PipelineContext, other: str | None
) -> None:
    """One stump with another seed was promoted, and no prediction of the evidence was its own."""
    assert promotion.promoted_model(pipeline).facts["promoted"]
    changed = fold("2023-03", seed=2, recipe=other)
    assert changed.model is not None
    pipeline.registry.save(changed.model)
    pipeline.lake.write("models", "2023-03", changed.model_row)
    decided = promotion.promoted_model(pipeline)
    assert decided.facts["model"] == changed.model.model_id
    assert not decided.facts["promoted"]
    assert any(note.startswith("own_predictions") for note in decided.notes)
    assert measured(pipeline, "own_predictions") == [1.0, None if other is None else 0.0]
    assert measured(pipeline, "periods") == [1.0, 0.0]
    # its own predictions, beside those of the recipe before, are not enough either
    keep(pipeline, changed, "2023-03")
    decided = promotion.promoted_model(pipeline)
    assert not decided.facts["promoted"]
    if other is not None:
        assert 0.0 < measured(pipeline, "own_predictions")[-1] < 1.0  # type: ignore[operator]
        # once every period was predicted by the new recipe, it stands on its own
        keep(pipeline, fold("2023-02", seed=2, recipe=other), "2023-02")
        assert promotion.promoted_model(pipeline).facts["promoted"]


def test_every_look_at_the_same_record_spends_of_the_error(pipeline: PipelineContext) -> None:
    gate = LENIENT.model_copy(update={"minimum_deflated_sharpe": 0.95})
    tested = PipelineContext(pipeline.settings.model_copy(update={"gate": gate}))
    for number, days in enumerate((252, 300, 350)):
        change(tested, observations=days, dsr=0.9 + number / 1000)
        promotion.promoted_model(tested)
    rows = tested.lake.read("promotions").filter(pl.col("rule") == "deflated_sharpe")
    thresholds = rows.sort("decided_at")["threshold"].to_list()
    looks = [252, 300, 350]
    expected = [1.0 - look_level(looks[: n + 1], 0.05, 252) for n in range(3)]
    assert thresholds == pytest.approx(expected, abs=1e-12)
    assert thresholds[2] > thresholds[1] > thresholds[0] == 0.975
    # the same days again are no further look, and another recipe begins anew
    change(tested, dsr=0.95)
    promotion.promoted_model(tested)
    keep(tested, fold("2023-02", seed=3, recipe="another recipe"), "2023-02")
    promotion.promoted_model(tested)
    rows = tested.lake.read("promotions").filter(pl.col("rule") == "deflated_sharpe")
    assert rows.sort("decided_at")["threshold"].to_list()[3:] == pytest.approx(
        [thresholds[2], 1.0 - look_level([350], 0.05, 252)], abs=1e-12
    )


def test_trials_that_were_added_since_are_counted_before_a_decision(
    pipeline: PipelineContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = []
    monkeypatch.setattr(robustness, "overfitting", lambda _pipeline, names: again.append(names))
    promotion.promoted_model(pipeline)
    assert again == []
    trial = {
        "trial_id": "t", "strategy": "another", "parameters": "{}", "sharpe": None,
        "evaluated_at": datetime(2024, 1, 1, tzinfo=UTC), "observations": 0, "skew": None,
        "kurtosis": None, "configuration": "c",
    }  # fmt: skip
    trials = pl.concat(
        pl.DataFrame(
            [trial | {"trial_id": f"t{n}", "configuration": f"c{n}"}], schema=TRIALS.dtypes
        )
        for n in range(7)
    )
    pipeline.lake.write("trials", "another", trials)
    promotion.promoted_model(pipeline)
    assert again == [[pipeline.settings.session.strategy]]


def test_forecasts_of_a_strategy_without_a_model_are_not_evaluated(
    pipeline: PipelineContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No rule asks for them, no picture shows them, and other forecasts are no other evidence."""
    assert "reliability" in promotion.promoted_model(pipeline).pictures
    settings, name = pipeline.settings, pipeline.settings.session.strategy
    plain = settings.strategies[name].model_copy(update={"uses_model": False})
    alone = PipelineContext(
        settings.model_copy(update={"strategies": settings.strategies | {name: plain}})
    )
    monkeypatch.setattr(promotion, "evaluate", lambda *_, **__: pytest.fail("evaluated"))
    decided = promotion.promoted_model(alone)
    assert list(decided.pictures) == ["rules passed"]
    assert decided.facts["promoted"]
    assert decided.preview is not None
    assert set(decided.preview["rule"]).isdisjoint({"brier_ratio", "periods", "own_predictions"})
    predictions = alone.lake.read("predictions", ["2023-02"])
    alone.lake.write("predictions", "2023-02", predictions.with_columns(probability=pl.lit(0.5)))
    assert promotion.promoted_model(alone).unchanged_since is not None
