"""A strategy under a new name earned what it earned: looks at the old name are looks at it."""

from pathlib import Path

import polars as pl
import pytest

from assets.chain import run_stages
from assets.groups import RETRAIN
from harmony_pipeline.models.gate import LOOK, look_threshold
from harmony_pipeline.stages import backtests, promotion, robustness
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.testing.tiny import tiny_settings

MINIMUM_DAYS = 20
RULE = "probabilistic_sharpe"


def decided(pipeline: PipelineContext) -> pl.DataFrame:
    """The newest decision, after everything that it rests on."""
    strategy = [pipeline.settings.session.strategy]
    run_stages(pipeline, RETRAIN)
    backtests.backtest(pipeline, strategy)
    robustness.monte_carlo(pipeline, strategy)
    robustness.overfitting(pipeline, strategy)
    promotion.promoted_model(pipeline)
    rules = pipeline.lake.read("promotions")
    return rules.filter(pl.col("decided_at") == pl.col("decided_at").max())


def value(rules: pl.DataFrame, rule: str, column: str) -> float:
    return rules.filter(pl.col("rule") == rule)[column].item()


@pytest.mark.parametrize("copies", [True, False])
def test_a_new_name_begins_no_new_series_of_looks(tmp_path: Path, copies: bool) -> None:
    settings = tiny_settings(tmp_path)
    gate = settings.gate.model_copy(update={"minimum_days": MINIMUM_DAYS})
    settings = settings.model_copy(update={"gate": gate})
    first = PipelineContext(settings)
    rules = decided(first)
    days = int(value(rules, LOOK, "measure"))
    trial = rules["trial_id"].unique().item()
    assert trial in first.lake.read("trials")["trial_id"]
    assert days - 10 >= MINIMUM_DAYS

    # as if it had been ten days earlier
    earlier = pl.when(pl.col("rule") == LOOK).then(days - 10.0).otherwise("measure")
    first.lake.write("promotions", "all", rules.with_columns(measure=earlier))
    own = settings.strategies["meta_labelled"]
    other = own if copies else settings.strategies["rsi_momentum"]
    renamed = settings.model_copy(
        update={
            "strategies": {**settings.strategies, "another_name": other},
            "session": settings.session.model_copy(update={"strategy": "another_name"}),
        }
    )
    again = decided(PipelineContext(renamed))
    assert again["strategy"].unique().to_list() == ["another_name"]
    assert (again["trial_id"] != trial).all()
    found = int(value(again, LOOK, "measure"))
    looks = [days - 10] if copies else []
    minimum = gate.minimum_probabilistic_sharpe
    expected = look_threshold(minimum, found, looks, gate.spending_half_days)
    assert value(again, RULE, "threshold") == expected
    assert expected != look_threshold(minimum, found, [] if copies else [days - 10], 252)
