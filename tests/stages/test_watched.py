"""A strategy that watches the scanner takes sides only in what was selected that day, once it was
selected.
"""

import polars as pl
import pytest

from harmony_pipeline.config import Settings
from harmony_pipeline.stages import backtests, ingest, market, research, scanner
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.strategy_signals import SignalInputs
from harmony_pipeline.strategies.settings import StrategySettings
from harmony_pipeline.testing.tiny import tiny_settings

GAP = StrategySettings(
    use="harmony_pipeline.strategies.gap_momentum:GapMomentum", parameters={"minimum_gap": 0.001}
)
STRATEGIES = {
    "everywhere": GAP,
    "picks": GAP.model_copy(update={"watch": "scanner"}),
    "session": StrategySettings(use="harmony_pipeline.strategies.rsi:RsiMomentum", watch="scanner"),
}


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    settings = tiny_settings(tmp_path_factory.mktemp("watched"))
    values = settings.model_dump() | {
        "strategies": {name: one.model_dump() for name, one in STRATEGIES.items()},
        "session": settings.session.model_dump() | {"strategy": "picks"},
        "scanner": settings.scanner.model_dump() | {"maximum_selections": 2, "rank_by": "gap"},
        "file": settings.file,
    }
    pipeline = PipelineContext(Settings.model_validate(values))
    periods = pipeline.trading_periods()
    market.corporate_actions(pipeline)
    ingest.raw_bars(pipeline, periods)
    for stage in (market.bars, market.daily_summary, research.features, research.signals):
        stage(pipeline, periods)
    scanner.scan(pipeline, pipeline.sessions()[-30:])
    return pipeline


def test_sides_are_taken_only_in_picks_of_the_day(scanned):
    picks = scanned.lake.read("scan_selections")
    chosen = set(picks.select("date", "symbol").iter_rows())
    for watching, free in (("picks", "everywhere"), ("session", None)):
        signals = SignalInputs(scanned, watching).signals()
        dated = scanned.calendar.with_session(signals, scanned.timeframe)
        taken = dated.filter(pl.col("side") != 0)
        assert taken.height > 0
        assert set(taken.select("session_date", "symbol").iter_rows()) <= chosen
        if free is not None:
            whole = SignalInputs(scanned, free).signals()
            assert whole.height == signals.height
            assert whole.filter(pl.col("side") != 0).height > taken.height
            inside = scanned.calendar.with_session(whole, scanned.timeframe).filter(
                pl.col("side") != 0
            )
            kept = [row in chosen for row in inside.select("session_date", "symbol").iter_rows()]
            assert inside.filter(pl.Series(kept)).height == taken.height


def test_a_bar_that_ended_before_the_scan_has_no_side(scanned):
    at = scanned.lake.read("scan_selections").select("date", "symbol", "as_of")
    signals = SignalInputs(scanned, "session").signals()
    early = (
        scanned.calendar.with_session(signals, scanned.timeframe)
        .join(at, left_on=["session_date", "symbol"], right_on=["date", "symbol"])
        .filter(pl.col("bar_end") < pl.col("as_of"))
    )
    assert early.height > 10
    assert (early["side"] == 0).all()


def test_it_is_backtested_on_the_picks_and_made_again_after_another_scan(scanned):
    first = backtests.backtest(scanned, ["picks"])
    assert first.rows["orders"] > 0
    assert backtests.backtest(scanned, ["picks"]).unchanged_since is not None
    scanner.scan(scanned, scanned.sessions()[-35:])
    assert backtests.backtest(scanned, ["picks"]).unchanged_since is None
    assert backtests.backtest(scanned, ["everywhere"]).rows["orders"] > first.rows["orders"]
