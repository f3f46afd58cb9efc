"""Strategies that remember the market: the same signals however the periods are made, and positions
that outlive a period.
"""

import polars as pl
import pytest

from harmony_pipeline.config import Settings
from harmony_pipeline.errors import DataError, NotReady
from harmony_pipeline.stages import backtests, ingest, market, research
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.session_plans import day_start, open_ledger, plan_of
from harmony_pipeline.stages.strategy_signals import SignalInputs
from harmony_pipeline.strategies.settings import StrategySettings
from harmony_pipeline.testing.tiny import tiny_settings

REMEMBERING = {
    "z_score_momentum": StrategySettings(
        use="harmony_pipeline.strategies.z_score_momentum:ZScoreMomentum",
        parameters={"window": 20, "volatility_window": 20, "entry_z": 0.8},
    ),
    "pairs": StrategySettings(
        use="harmony_pipeline.strategies.pairs:PairsTrading",
        parameters={"formation_days": 20, "refit": "month", "level": 0.1, "entry_z": 1.5},
    ),
    "rsi_momentum": StrategySettings(use="harmony_pipeline.strategies.rsi:RsiMomentum"),
}


class Breaks:
    """Raises in the middle of a day."""

    def required_features(self):
        return ()

    def on_bar(self, bar):
        if bar.timestamp.hour == 17:
            raise ZeroDivisionError("float division by zero")
        return ()


def context(settings, strategies):
    values = settings.model_dump() | {
        "strategies": {name: one.model_dump() for name, one in strategies.items()},
        "session": settings.session.model_dump()
        | {"strategy": next(iter(strategies)), "watch": "universe"},
        "file": settings.file,
    }
    return PipelineContext(Settings.model_validate(values))


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    settings = tiny_settings(tmp_path_factory.mktemp("remembering"))
    pipeline = context(settings, REMEMBERING)
    periods = pipeline.trading_periods()
    market.corporate_actions(pipeline)
    ingest.raw_bars(pipeline, periods)
    market.bars(pipeline, periods)
    market.daily_summary(pipeline, periods)
    research.features(pipeline, periods)
    return pipeline


def test_periods_one_by_one_are_the_periods_at_once(ingested):
    periods = ingested.trading_periods()
    research.signals(ingested, periods)
    whole = ingested.lake.read("signals").sort("strategy", "symbol", "timestamp")
    for period in periods:
        again = PipelineContext(ingested.settings, again=True)
        research.signals(again, [period])
        alone = again.lake.read("signals", [period.key])
        assert alone["timestamp"].min() >= period.start
        assert alone["timestamp"].max() < period.end
    assert ingested.lake.read("signals").sort("strategy", "symbol", "timestamp").equals(whole)
    taken = whole.filter(pl.col("side") != 0)
    assert set(taken["strategy"]) >= {"z_score_momentum", "rsi_momentum", "pairs"}


def test_a_position_outlives_its_month(ingested):
    research.signals(ingested, ingested.trading_periods())
    held = (
        ingested.lake.read("signals")
        .filter(pl.col("strategy") == "z_score_momentum")
        .sort("symbol", "timestamp")
        .with_columns(
            before=pl.col("side").shift().over("symbol"),
            month=pl.col("timestamp").dt.month(),
            month_before=pl.col("timestamp").dt.month().shift().over("symbol"),
        )
        .filter(pl.col("month") != pl.col("month_before"), pl.col("side") != 0)
    )
    assert (held["side"] == held["before"]).any()


def test_each_is_backtested_and_a_grid_point_has_the_same_signals(ingested):
    research.signals(ingested, ingested.trading_periods())
    for name in ("z_score_momentum", "pairs"):
        kept = SignalInputs(ingested, name).signals()
        parameters = ingested.settings.strategies[name].parameters
        changed = {"entry_z": parameters["entry_z"]}
        made = SignalInputs(ingested, name, (changed,)).signals(changed)
        assert made.select(kept.columns).equals(kept)
        found = backtests.backtest(ingested, [name])
        assert found.rows["orders"] > 0


def test_a_machine_that_raises_in_the_middle_of_a_day_writes_nothing(ingested):
    broken = StrategySettings(use=f"{__name__}:Breaks")
    pipeline = context(ingested.settings, {"broken": broken})
    before = ingested.lake.read("signals")
    words = r"strategy Breaks, \w+ at 2024-01-02 17:00.*it raised ZeroDivisionError: float"
    with pytest.raises(DataError, match=words):
        research.signals(pipeline, pipeline.trading_periods())
    assert pipeline.lake.read("signals").equals(before)


def test_a_session_is_given_every_bar_before_its_day(ingested):
    day = ingested.sessions()[-5]
    begin = day_start(ingested, day)
    with open_ledger(ingested) as ledger:
        plan, _bars = plan_of(ingested, ledger, day, "paper")
    assert (
        plan.history.height == ingested.lake.read("bars").filter(pl.col("timestamp") < begin).height
    )
    research.signals(ingested, ingested.trading_periods())
    kept = ingested.lake.read("signals").filter(
        (pl.col("strategy") == "z_score_momentum") & (pl.col("timestamp") < begin)
    )
    made = plan.strategy.signals(plan.history)
    assert made.equals(kept.select(made.columns).sort("symbol", "timestamp"))


def test_a_session_without_the_features_before_it_is_not_ready(ingested, tmp_path):
    last = ingested.trading_periods()[-1]
    known = ingested.lake.read("features", [last.key])
    manifest = ingested.lake.manifest("features", last.key)["made_from"]
    ingested.lake.write("features", last.key, known.head(5), manifest)
    with (
        open_ledger(ingested) as ledger,
        pytest.raises(
            NotReady, match=r"remembers the whole market, and of .* harmony backfill feat"
        ),
    ):
        plan_of(ingested, ledger, ingested.sessions()[-1], "paper")
    ingested.lake.write("features", last.key, known, manifest)
