"""One small market from bars to a backtest, and copies of it to change."""

import shutil

import pytest

from harmony_pipeline.stages import backtests, ingest, market, models, research
from harmony_pipeline.testing.tiny import tiny_market


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A market from bars to backtests. No test writes to it."""
    pipeline = tiny_market(tmp_path_factory.mktemp("made"))
    periods = pipeline.trading_periods()
    market.corporate_actions(pipeline)
    market.universe(pipeline)
    ingest.raw_bars(pipeline, periods)
    market.bars(pipeline, periods)
    market.daily_summary(pipeline, periods)
    for stage in (research.features, research.regimes, research.signals, research.labels):
        stage(pipeline, periods)
    models.model(pipeline, pipeline.retraining_periods())
    models.predictions(pipeline, pipeline.retraining_periods())
    backtests.backtest(pipeline, list(pipeline.settings.active_strategies)[:1])
    return pipeline


@pytest.fixture
def copied(made, tmp_path):
    """The same market, to be changed."""
    shutil.copytree(made.settings.folder, tmp_path / "copy")
    return tiny_market(tmp_path / "copy")
