"""A market whose features compare symbols, traded by a session that watches the scanner's picks."""

import polars as pl
import pytest

from harmony_pipeline.config import Settings
from harmony_pipeline.session.day_backtest import backtest_day
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.replay import replay_day
from harmony_pipeline.stages import (
    data_checks,
    ingest,
    look_ahead_checks,
    market,
    research,
    scanner,
)
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.session_plans import plan_of
from harmony_pipeline.strategies.settings import StrategySettings
from harmony_pipeline.testing.tiny import tiny_settings

NAMES = ("cross_z_momentum_5", "residual_return_20")


class Laggards:
    """Against the distance from the others."""

    def required_features(self) -> tuple[str, ...]:
        return NAMES

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        known = features.filter(pl.all_horizontal(pl.col(NAMES).is_not_null()))
        side = -pl.col("cross_z_momentum_5").sign()
        return known.select("symbol", "timestamp", side=side.cast(pl.Int8), strength=0.5).sort(
            "symbol", "timestamp"
        )


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    settings = tiny_settings(tmp_path_factory.mktemp("compared"))
    laggards = StrategySettings(use=f"{__name__}:Laggards", exits="signal")
    values = settings.model_dump() | {
        "strategies": {"laggards": laggards.model_dump()},
        "session": settings.session.model_dump() | {"strategy": "laggards", "watch": "scanner"},
        "scanner": settings.scanner.model_dump() | {"maximum_selections": 1, "rank_by": "gap"},
        "file": settings.file,
    }
    pipeline = PipelineContext(Settings.model_validate(values))
    periods = pipeline.trading_periods()
    market.corporate_actions(pipeline)
    ingest.raw_bars(pipeline, periods)
    for stage in (market.bars, market.daily_summary, research.features, research.regimes):
        stage(pipeline, periods)
    scanner.scan(pipeline, pipeline.sessions()[-3:])
    return pipeline


def test_the_checks_of_features_pass(compared):
    periods = compared.trading_periods()
    assert data_checks.features_fold(compared, periods).is_empty()
    assert look_ahead_checks.features_know_no_future(compared, periods).is_empty()


def test_the_session_hears_the_market_and_enters_its_picks_with_the_features_of_research(
    compared, tmp_path
):
    picked = compared.lake.read("scan_selections").sort("date")
    day, symbol = picked.row(-1, named=True)["date"], picked["symbol"][-1]
    ledger = Ledger(tmp_path / "ledger.sqlite")
    plan, bars = plan_of(compared, ledger, day, "paper")
    assert plan.selected == (symbol,)
    assert set(bars["symbol"]) <= set(plan.symbols)
    assert len(plan.symbols) == compared.lake.read("bars")["symbol"].n_unique()
    twin, result = backtest_day(plan, bars), replay_day(plan, bars, ledger)
    assert set(twin.fills["symbol"]) == {symbol}
    columns = ["timestamp", "side", "quantity", "price"]
    assert result.fills.select(columns).equals(twin.fills.select(columns))
