"""A strategy of each kind that looks ahead is caught in the lake; the shipped ones are clean."""

import importlib
import sys
from datetime import date
from pathlib import Path

import pytest

from harmony_pipeline.config import Settings
from harmony_pipeline.errors import NotReady
from harmony_pipeline.stages import backtests, research, verdicts
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.signal_checks import signals_know_no_future, signals_rest_on_their_rows
from harmony_pipeline.strategies.registry import build_anew
from harmony_pipeline.strategies.settings import StrategySettings
from tests.stages.leaking_strategies import KeptInTheModule

LEAKS = (
    "NextReturn",
    "WholeScale",
    "LastRow",
    "KeptInTheClass",
    "KeptInTheModule",
    "Clock",
)
SHIPPED_THAT_REMEMBER = {
    "z_score_momentum": StrategySettings(
        use="harmony_pipeline.strategies.z_score_momentum:ZScoreMomentum",
        parameters={"window": 20, "volatility_window": 20, "entry_z": 0.8},
    ),
    "pairs": StrategySettings(
        use="harmony_pipeline.strategies.pairs:PairsTrading",
        parameters={"formation_days": 20, "refit": "month", "level": 0.1, "entry_z": 1.5},
    ),
    "breakout": StrategySettings(use="harmony_pipeline.strategies.breakout:OpeningRangeBreakout"),
}


def with_strategies(pipeline, strategies):
    """The same market with these beside its own, and their signals made."""
    values = pipeline.settings.model_dump()
    values["strategies"] |= {name: one.model_dump() for name, one in strategies.items()}
    wider = PipelineContext(
        Settings.model_validate(values | {"file": pipeline.settings.file}), again=True
    )
    for stage in (research.features, research.signals):
        stage(wider, wider.trading_periods())
    return wider


def own(name):
    return StrategySettings(use=f"tests.stages.leaking_strategies:{name}")


@pytest.mark.parametrize("leak", LEAKS)
def test_a_strategy_that_knows_the_future_is_found_in_every_period(copied, leak):
    pipeline = with_strategies(copied, {"mine": own(leak)})
    for period in pipeline.trading_periods()[1:]:
        found = signals_know_no_future(pipeline, [period])
        assert found.height
        assert found["finding"].str.contains("of strategy mine is another when nothing").all()
        assert set(found["partition"]) == {period.key}


def test_a_strategy_that_looks_the_outcome_up_in_a_file_is_told(copied, tmp_path):
    copied.lake.read("bars").write_parquet(tmp_path / "bars.parquet")
    strategies = importlib.import_module("tests.stages.leaking_strategies")
    source = (
        Path(strategies.__file__)
        .read_text()
        .replace('file = ""', f"file = {str(tmp_path / 'bars.parquet')!r}")
    )
    (tmp_path / "reading_strategies.py").write_text(source)
    sys.path.insert(0, str(tmp_path))
    try:
        reads = StrategySettings(use="reading_strategies:ReadsTheFile")
        pipeline = with_strategies(copied, {"mine": reads})
        for period in pipeline.trading_periods()[1:]:
            found = signals_rest_on_their_rows(pipeline, [period])
            assert found["finding"].str.contains("of strategy mine is another when the same").all()
            assert found.height
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("reading_strategies", None)


def test_a_list_of_dates_is_told_and_a_calendar_is_not(copied):
    pipeline = with_strategies(copied, {"mine": own("KnowsTheDay")})
    february = [one for one in pipeline.trading_periods() if one.key == "2024-02"]
    found = signals_rest_on_their_rows(pipeline, february)
    assert set(found["timestamp"].dt.date()) == {date(2024, 2, 7)}
    clean = with_strategies(copied, {"mine": own("Weekday")})
    assert signals_rest_on_their_rows(clean, february).is_empty()
    assert signals_know_no_future(clean, february).is_empty()


def test_clean_strategies_are_not_whatever_they_remember(copied):
    pipeline = with_strategies(copied, {"mine": own("LastReturn"), **SHIPPED_THAT_REMEMBER})
    periods = pipeline.trading_periods()
    for chosen in (periods, *([period] for period in periods)):
        assert signals_know_no_future(pipeline, chosen).is_empty()
        assert signals_rest_on_their_rows(pipeline, chosen).is_empty()


def test_a_strategy_that_cannot_bear_to_be_cut_is_told_with_its_error(copied, monkeypatch):
    pipeline = with_strategies(copied, {"mine": own("LastReturn")})
    module = importlib.import_module("tests.stages.leaking_strategies")
    monkeypatch.setattr(module, "__spec__", None)  # as typed at a prompt: it is taken as it is
    monkeypatch.setattr(module.LastReturn, "value", lambda _self, _known: 1 / 0)
    found = signals_know_no_future(pipeline, pipeline.trading_periods())
    assert "strategy mine gives no signals when nothing after" in found["finding"][0]
    assert "ZeroDivisionError" in found["finding"][0]


def test_a_module_is_executed_anew_and_put_back():
    settings = own("KeptInTheModule")
    kept = importlib.import_module("tests.stages.leaking_strategies")
    fresh = build_anew(settings)
    assert type(fresh) is not KeptInTheModule
    assert fresh.seen() is not kept._SEEN
    assert importlib.import_module("tests.stages.leaking_strategies") is kept
    shipped = StrategySettings(use="harmony_pipeline.strategies.rsi:RsiMomentum")
    assert type(build_anew(shipped)) is type(build_anew(shipped))


def test_nobody_goes_on_with_signals_that_failed(copied):
    pipeline = with_strategies(copied, {"mine": own("NextReturn")})
    periods = pipeline.trading_periods()
    keys = [period.key for period in periods]
    found = signals_know_no_future(pipeline, periods)
    verdicts.record(pipeline, "signals", "signals_know_no_future", keys, found)
    with pytest.raises(NotReady, match="strategy mine is another when nothing after"):
        backtests.backtest(pipeline, ["mine"])
    with pytest.raises(NotReady, match="signals_know_no_future"):
        research.labels(pipeline, periods)
    mended = with_strategies(copied, {"mine": own("LastReturn")})  # signals can be made again
    found = signals_know_no_future(mended, periods)
    assert found.is_empty()
    verdicts.record(mended, "signals", "signals_know_no_future", keys, found)
    backtests.backtest(mended, ["mine"])
    assert mended.lake.read("trades", ["mine"]).height
