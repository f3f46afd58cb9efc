"""A decision is written once, and before the pointer moves."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from harmony_pipeline.market.periods import period_from_key
from harmony_pipeline.models.settings import GateSettings, ModelSettings
from harmony_pipeline.models.walk_forward import Fold, predict_period, train_period
from harmony_pipeline.schemas import BACKTESTS, LABELS, METRICS, MONTE_CARLO, OVERFITTING, TRADES
from harmony_pipeline.stages import promotion
from harmony_pipeline.stages.workspace import Workspace
from harmony_pipeline.testing.forecaster_contract import planted_samples
from harmony_pipeline.testing.tiny import tiny_settings

LOGISTIC = "harmony_pipeline.models.logistic:Logistic"
HORIZON = 4
SAMPLES = planted_samples(3000, 1.5, per_day=13, horizon=HORIZON)
LENIENT = GateSettings(
    minimum_trades=1, minimum_periods=1, minimum_deflated_sharpe=0.0, minimum_probabilistic_sharpe=0.0, maximum_pbo=1.0, maximum_brier_ratio=10.0,
    maximum_forecast_pvalue=1.0, maximum_calibration_error=1.0, minimum_monte_carlo_p05_return=-1.0, maximum_drawdown_p95=1.0,
)  # fmt: skip


def fold(period: str, seed: int = 1) -> Fold:
    settings = ModelSettings(forecaster=LOGISTIC, minimum_train_rows=100, seed=seed)
    return train_period(SAMPLES, period_from_key(period, "month", "UTC"), HORIZON, "15Min", settings, "features", created_at=datetime(2024, 1, 1, tzinfo=UTC))


def keep(work: Workspace, made: Fold, period: str) -> str:
    """The model and its predictions, as the stages before leave them."""
    assert made.model is not None
    work.registry.save(made.model)
    work.lake.write("models", period, made.model_row)
    work.lake.write("predictions", period, predict_period(made, SAMPLES, period_from_key(period, "month", "UTC")))
    return made.model.model_id


@pytest.fixture
def work(tmp_path: Path) -> Workspace:
    """Everything that the gate reads about one strategy."""
    settings = tiny_settings(tmp_path)
    work = Workspace(settings.model_copy(update={"gate": LENIENT}))
    assert settings.trade_horizon == HORIZON
    strategy = settings.session.strategy
    row = dict.fromkeys(METRICS) | {
        "backtest_id": "b", "strategy": strategy, "parameters": "{}", "start": datetime(2023, 2, 1, tzinfo=UTC), "end": datetime(2023, 3, 1, tzinfo=UTC),
        "initial_cash": 100.0, "participation": 0.1,
    }  # fmt: skip
    work.lake.write("backtests", strategy, pl.DataFrame([row], schema=BACKTESTS.dtypes))
    odds = {"strategy": strategy, "n_trials": 6, "psr": 0.9, "dsr": 0.8, "pbo": 0.2, "splits": 10, "spa_pvalue": 0.1, "min_track_record": 50.0}
    work.lake.write("overfitting", strategy, pl.DataFrame([odds], schema=OVERFITTING.dtypes))
    path = {
        "backtest_id": "b", "scenario": "stressed", "method": "x", "path": 0, "final_equity": 110.0, "max_drawdown": -0.1, "miss_probability": 0.1,
        "slippage_bps": 2.0, "anomaly_probability": 0.0, "block": 10,
    }  # fmt: skip
    work.lake.write("monte_carlo", strategy, pl.DataFrame([path], schema=MONTE_CARLO.dtypes))
    at = datetime(2023, 2, 1, 15, tzinfo=UTC)
    trade = {
        "backtest_id": "b", "trade_id": "t", "symbol": "S00", "side": "long", "quantity": 1.0, "entry_timestamp": at, "entry_price": 1.0, "exit_timestamp": at,
        "exit_price": 1.1, "exit_reason": "take", "fees": 0.0, "slippage": 0.0, "pnl": 0.1, "return": 0.1, "model_id": None,
    }  # fmt: skip
    work.lake.write("trades", strategy, pl.DataFrame([trade], schema=TRADES.dtypes))
    labels = SAMPLES.frame.with_columns(horizon=pl.lit(HORIZON), entry_timestamp=pl.col("timestamp") + timedelta(minutes=15))
    work.lake.write("labels", "2023-02", LABELS.conform(labels))
    keep(work, fold("2023-02"), "2023-02")
    return work


def decisions(work: Workspace) -> list[tuple[str, bool, str | None]]:
    rows = work.lake.read("promotions").sort("decided_at")
    return rows.select("decided_at", "model_id", "promoted", "previous_model_id").unique(maintain_order=True).drop("decided_at").rows()


def test_deciding_again_on_the_same_evidence_writes_nothing(work: Workspace) -> None:
    first = promotion.promoted_model(work)
    model = work.registry.promoted()
    assert decisions(work) == [(model, True, None)]
    before = work.lake.read("promotions")
    for _again in range(3):
        again = promotion.promoted_model(work)
    assert work.lake.read("promotions").equals(before)
    assert again.unchanged_since is not None
    assert (again.facts["model"], again.facts["promoted"]) == (first.facts["model"], first.facts["promoted"])
    work.lake.write("promotions", "all", before, {"made": "by other code"})  # measured again, and the same
    assert "the same decision as on" in promotion.promoted_model(work).notes[0]
    assert work.lake.read("promotions").equals(before)
    assert len(work.registry.history()) == 1


def test_another_measure_threshold_model_or_champion_is_another_decision(work: Workspace) -> None:
    promotion.promoted_model(work)
    first = work.registry.promoted()
    strategy = work.settings.session.strategy
    odds = work.lake.read("overfitting", [strategy])
    work.lake.write("overfitting", strategy, odds.with_columns(dsr=pl.lit(0.81)))
    promotion.promoted_model(work)
    assert len(decisions(work)) == 2
    strict = Workspace(work.settings.model_copy(update={"gate": LENIENT.model_copy(update={"minimum_deflated_sharpe": 0.99})}))
    promotion.promoted_model(strict)
    promotion.promoted_model(strict)
    assert decisions(work)[2:] == [(first, False, None)]
    second = keep(work, fold("2023-03"), "2023-03")
    promotion.promoted_model(strict)
    promotion.promoted_model(strict)
    assert decisions(work)[3:] == [(second, False, first)]
    promotion.promoted_model(work)
    assert decisions(work)[4:] == [(second, True, first)]
    promotion.promoted_model(work)
    assert len(decisions(work)) == 5
    assert [one.model_id for one in work.registry.history()] == [first, second]


def test_a_process_that_dies_before_the_pointer_moves_leaves_what_the_next_one_completes(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(type(work.registry), "promote", killed)
        promotion.promoted_model(work)
    assert work.registry.promoted() is None
    written = decisions(work)
    assert [promoted for _model, promoted, _previous in written] == [True]
    promotion.promoted_model(work)
    assert work.registry.promoted() == written[0][0]
    assert decisions(work) == written
    assert work.registry.history()[0].decided_at == work.lake.read("promotions")["decided_at"][0]


def test_a_process_that_dies_before_the_table_is_written_leaves_the_old_champion(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(type(work.lake), "write", killed)
        promotion.promoted_model(work)
    assert work.registry.promoted() is None
    promotion.promoted_model(work)
    assert len(decisions(work)) == 1
