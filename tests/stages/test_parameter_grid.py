"""A grid evaluated at once gives the returns of one backtest after the other, to the bit."""

import json

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from harmony_pipeline.stages import backtests, ingest, market, research, sensitivity
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.trials import daily_returns_of_equity
from harmony_pipeline.strategies.settings import StrategySettings
from harmony_pipeline.testing.tiny import tiny_settings

GRIDS = {
    "barriers": StrategySettings(
        use="harmony_pipeline.strategies.crossover:MovingAverageCrossover",
        exits="barriers",
        grid={"fast": (5, 8), "slow": (20, 30)},
    ),
    "signal": StrategySettings(
        use="harmony_pipeline.strategies.crossover:MovingAverageCrossover",
        exits="signal",
        grid={"fast": (5, 8), "slow": (20, 30)},
    ),
    "machine": StrategySettings(
        use="harmony_pipeline.strategies.breakout:OpeningRangeBreakout",
        grid={"range_bars": (1, 2)},
    ),
}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    settings = tiny_settings(tmp_path_factory.mktemp("grids"))
    session = settings.session.model_copy(update={"strategy": "signal"})
    made = PipelineContext(settings.model_copy(update={"strategies": GRIDS, "session": session}))
    periods = made.trading_periods()
    market.corporate_actions(made)
    ingest.raw_bars(made, periods)
    market.bars(made, periods)
    research.features(made, periods)
    research.signals(made, periods)
    return made


@pytest.mark.parametrize("name", list(GRIDS))
def test_a_grid_gives_the_returns_of_single_backtests(pipeline, name):
    found = sensitivity.parameter_sensitivity(pipeline, [name])
    trials = pipeline.lake.read("trials", [name])
    assert found.rows["trials"] == trials.height >= 2
    returns = pipeline.lake.read("trial_returns", [name])
    own = pipeline.settings.strategies[name].parameters
    for row in trials.iter_rows(named=True):
        parameters = json.loads(row["parameters"])
        changed = {key: value for key, value in parameters.items() if own.get(key) != value}
        alone = backtests.simulated(pipeline, name, changed)
        assert alone.trades.height
        kept = returns.filter(pl.col("trial_id") == row["trial_id"]).drop("trial_id")
        expected = daily_returns_of_equity(pipeline, alone.equity).drop_nulls()
        assert_frame_equal(kept.select(expected.columns), expected, check_exact=True)
