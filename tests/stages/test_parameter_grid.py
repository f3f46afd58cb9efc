"""A grid evaluated at once gives the returns of one backtest after the other, to the bit."""

import json

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.stages import (
    backtest_runs,
    backtests,
    ingest,
    market,
    research,
    robustness,
    sensitivity,
    session_plans,
)
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.trials import daily_returns_of_equity
from harmony_pipeline.strategies.breakout import OpeningRangeBreakout
from harmony_pipeline.strategies.events import Fill, Leave
from harmony_pipeline.strategies.settings import StrategySettings
from harmony_pipeline.testing.tiny import tiny_settings


class HearingBreakout:
    """The breakout, which leaves what it has bought or sold at the second bar after its fill."""

    def __init__(self, range_bars: int = 2) -> None:
        self.rule = OpeningRangeBreakout(range_bars=range_bars)
        self.held: dict[str, int] = {}
        self.fills: list[Fill] = []

    def required_features(self) -> tuple[str, ...]:
        return ()

    def on_bar(self, bar):
        bars = self.held.get(bar.symbol)
        if bars is not None:
            self.held[bar.symbol] = bars + 1
            if bars == 1:
                del self.held[bar.symbol]
                return (*self.rule.on_bar(bar), Leave(bar.symbol))
        return self.rule.on_bar(bar)

    def on_fill(self, fill):
        self.held[fill.symbol] = 0
        return ()


class RememberingBreakout(HearingBreakout):
    """One that must know every day before."""

    memory = "market"


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
    "hearing": StrategySettings(
        use=f"{__name__}:HearingBreakout",
        exits="signal",
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
        alone = backtest_runs.simulated(pipeline, name, changed)
        assert alone.trades.height
        kept = returns.filter(pl.col("trial_id") == row["trial_id"]).drop("trial_id")
        expected = daily_returns_of_equity(pipeline, alone.equity).drop_nulls()
        assert_frame_equal(kept.select(expected.columns), expected, check_exact=True)


def test_a_machine_that_hears_fills_acts_on_them_in_its_backtest(pipeline):
    """Its trades are shorter than those of its signals, which know no fill."""
    heard = backtest_runs.simulated(pipeline, "hearing")
    deaf = backtest_runs.simulated(pipeline, "machine", {"range_bars": 2})
    assert heard.trades.height
    (fill,) = heard.fills.sort("timestamp").head(1).rows(named=True)
    trade = heard.trades.filter(symbol=fill["symbol"]).sort("entry_timestamp").row(0, named=True)
    bars = pipeline.lake.read("bars").filter(symbol=fill["symbol"], session="regular")
    between = bars.filter(
        pl.col("timestamp").is_between(
            trade["entry_timestamp"], trade["exit_timestamp"], closed="left"
        )
    )
    assert between.height <= 2, "the fill's bar and the one after, then the exit"
    assert not heard.equity.equals(deaf.equity)


def test_what_knows_signals_alone_says_that_it_cannot_judge_such_a_machine(pipeline, tmp_path):
    backtests.backtest(pipeline, ["hearing"])
    found = robustness.execution_stress(pipeline, ["hearing"])
    assert found.rows == {"execution_stress": 0}
    settings = pipeline.settings
    session = settings.session.model_copy(update={"strategy": "remembering"})
    remembers = settings.strategies["hearing"].model_copy(
        update={"use": f"{__name__}:RememberingBreakout"}
    )
    known = {**settings.strategies, "remembering": remembers}
    trades = PipelineContext(settings.model_copy(update={"session": session, "strategies": known}))
    day = trades.sessions()[5]
    with pytest.raises(ConfigError, match=r"'remembering'.*remembers the market and has on_fill"):
        session_plans.plan_of(trades, Ledger(tmp_path / "ledger.db"), day, "paper")
    strategy = settings.strategies["hearing"].model_copy(update={"uses_model": True})
    models = settings.model_copy(
        update={"strategies": {**settings.strategies, "hearing": strategy}}
    )
    with pytest.raises(ConfigError, match=r"has on_fill, and a model judges signals"):
        backtest_runs.hears_fills(PipelineContext(models), "hearing")
