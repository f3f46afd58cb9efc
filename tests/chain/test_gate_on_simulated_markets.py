"""The gate is judged on both markets: where nothing can be predicted it promotes nothing, where an
edge is planted it finds it.
"""

from datetime import date

import pytest

from assets.chain import run_stages
from assets.groups import RETRAIN
from harmony_pipeline.stages import backtests, promotion, robustness, sensitivity
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.testing.tiny import tiny_settings

pytestmark = pytest.mark.slow


def decided(folder, edge: str, seed: int) -> PipelineContext:
    simulated = {
        "seed": seed,
        "symbols": 16,
        "low_float_symbols": 0,
        "edge": edge,
        "edge_strength": 0.3,
    }
    settings = tiny_settings(
        folder,
        timeframe="15Min",
        extended_hours=False,
        start=date(2023, 7, 3),
        end=date(2024, 3, 1),
        simulated=simulated,
    )
    changes = {
        "model": settings.model.model_copy(update={"minimum_train_rows": 500}),
        "labels": settings.labels.model_copy(update={"horizons_bars": (8,)}),
        # the market is short to be cheap: seven months out of sample, not a year
        "gate": settings.gate.model_copy(update={"minimum_days": 126}),
    }
    pipeline = PipelineContext(settings.model_copy(update=changes))
    run_stages(pipeline, RETRAIN)
    strategy = [pipeline.settings.session.strategy]
    backtests.backtest(pipeline, strategy)
    sensitivity.parameter_sensitivity(pipeline, strategy)
    robustness.monte_carlo(pipeline, strategy)
    robustness.overfitting(pipeline, strategy)
    promotion.promoted_model(pipeline)
    return pipeline


@pytest.mark.parametrize("seed", [7, 8])
def test_without_an_edge_nothing_is_promoted(tmp_path, seed):
    pipeline = decided(tmp_path, "none", seed)
    assert pipeline.registry.promoted() is None
    assert not pipeline.lake.read("promotions")["promoted"].any()


def test_a_planted_edge_is_found_and_promoted(tmp_path):
    pipeline = decided(tmp_path, "planted", 7)
    rules = pipeline.lake.read("promotions")
    assert rules["promoted"].all(), rules.filter(~rules["passed"]).to_dicts()
    assert pipeline.registry.promoted() == rules["model_id"][0]
