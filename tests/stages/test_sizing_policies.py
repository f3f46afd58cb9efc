"""A learned size from a backtest to a replayed session and to the gate, which judges it like any
other recipe.
"""

from datetime import date

import polars as pl
import pytest

from assets.chain import run_stages
from assets.groups import PROMOTE
from harmony_pipeline.config import Settings
from harmony_pipeline.errors import NotReady
from harmony_pipeline.session.day_backtest import backtest_day
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.replay import replay_day
from harmony_pipeline.stages import backtest_runs, backtests
from harmony_pipeline.stages.backtest_runs import simulated
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.promotion import promoted_model
from harmony_pipeline.stages.session_plans import plan_of
from harmony_pipeline.stages.trading_rules import given_rules, trading_rules
from harmony_pipeline.testing.tiny import tiny_settings

CROSSOVER = "moving_average_crossover"
EXACT = ("symbol", "timestamp", "side", "quantity", "price")


def settings_of(folder, sizing="bandit", **market):
    base = tiny_settings(folder, **market)
    risk = base.risk.model_dump() | {
        "sizing": sizing, "bandit_minimum_trades": 20, "max_daily_loss": 1.0, "max_drawdown": 0.9,
    }  # fmt: skip
    values = base.model_dump() | {
        "risk": risk,
        "session": base.session.model_dump() | {"watch": "universe"},
        "file": base.file,
    }
    return Settings.model_validate(values)


@pytest.fixture(scope="module")
def sized(tmp_path_factory):
    """A market without an edge, up to the gate."""
    base = tiny_settings(tmp_path_factory.mktemp("base"))
    simulated_market = base.market.simulated.model_dump() | {"edge": "none"}
    pipeline = PipelineContext(
        settings_of(tmp_path_factory.mktemp("sized"), simulated=simulated_market)
    )
    run_stages(pipeline, PROMOTE)
    return pipeline


def other_sizing(pipeline, sizing):
    """The same lake under another rule of size."""
    risk = pipeline.settings.risk.model_copy(update={"sizing": sizing})
    return PipelineContext(pipeline.settings.model_copy(update={"risk": risk}))


def test_each_period_has_a_policy_of_what_was_settled_before_it(sized):
    table = sized.lake.read("sizing_policies", [CROSSOVER])
    periods = sized.retraining_periods()
    assert table["period"].unique().sort().to_list() == [period.key for period in periods]
    assert set(table["multiplier"]) == {0.25, 0.5, 1.0}
    assert table.filter(period=periods[0].key)["constant"].null_count() == 3
    assert table.filter(period=periods[-1].key)["constant"].null_count() == 0
    whole = simulated(other_sizing(sized, "volatility_target"), CROSSOVER)
    for period in periods:
        settled = whole.trades.filter(pl.col("exit_timestamp") < period.start).height
        assert abs(table.filter(period=period.key)["trades"][0] - settled) <= 1


def test_the_policy_makes_trades_smaller_and_never_bigger(sized):
    learned = simulated(sized, CROSSOVER)
    whole = simulated(other_sizing(sized, "volatility_target"), CROSSOVER)
    first = sized.retraining_periods()[1].start
    keys = ["symbol", "timestamp"]
    entered = pl.col("parent_id").is_null() & pl.col("wanted_quantity").is_not_null()
    both = learned.orders.filter(entered).join(
        whole.orders.filter(entered).select(*keys, "wanted_quantity"), on=keys, suffix="_whole"
    )
    before, after = (
        both.filter(pl.col("timestamp") < first),
        both.filter(pl.col("timestamp") >= first),
    )
    assert before.height > 10
    assert before["wanted_quantity"].equals(before["wanted_quantity_whole"], check_names=False)
    ratio = (after["wanted_quantity"] / after["wanted_quantity_whole"]).to_numpy()
    assert (ratio < 0.9).any()
    assert (ratio < 1.2).all(), "equity and lots differ a little, no trade is bigger by the policy"


def test_a_market_that_ended_earlier_had_the_same_policies(sized, tmp_path):
    """What came later cannot have been learned from."""
    market = sized.settings.market.model_copy(update={"end": date(2024, 3, 1)})
    values = sized.settings.model_copy(update={"market": market})
    earlier = PipelineContext(values)
    cut = sized.retraining_periods()[2].start
    rows = backtest_runs.regular_bars(sized).filter(pl.col("timestamp") < cut)
    rules = given_rules(earlier, CROSSOVER)
    signals = backtest_runs.strategy_signals(sized, CROSSOVER).filter(pl.col("timestamp") < cut)

    def run(chosen):
        return backtest_runs.run_backtest(
            rows, signals, sized.lake.read("corporate_actions"), chosen, sized.calendar,
            sized.timeframe, backtest_id=f"{CROSSOVER}-cut", strategy=CROSSOVER, parameters={},
        )  # fmt: skip

    from harmony_pipeline.stages.sizing_policies import learned_table

    made = learned_table(earlier, rules, signals, run)
    kept = sized.lake.read("sizing_policies", [CROSSOVER])
    keys = [period.key for period in sized.retraining_periods()[:2]]
    known = pl.col("period").is_in(keys)
    assert made.filter(known).equals(kept.filter(known))


def test_a_learned_size_is_a_trial_of_its_own(sized):
    before = sized.lake.read("trials", [CROSSOVER])
    other = other_sizing(sized, "volatility_target")
    backtests.count_trial(other, CROSSOVER, simulated(other, CROSSOVER))
    after = sized.lake.read("trials", [CROSSOVER])
    assert after["configuration"].n_unique() == before["configuration"].n_unique() + 1
    assert after["trial_id"].n_unique() == after.height == before.height + 1


def test_it_does_not_promote_itself(sized):
    """Where nothing can be predicted the gate refuses it, and nothing else moves the pointer."""
    assert sized.registry.promoted() is None
    decided = sized.lake.read("promotions")
    assert decided.height
    assert not decided["promoted"].any()
    simulated(sized, CROSSOVER)
    assert sized.registry.promoted() is None
    assert sized.lake.read("promotions").equals(decided)
    promoted_model(sized)
    assert sized.registry.promoted() is None


def test_a_replayed_session_has_the_size_of_its_backtest(sized, tmp_path):
    session = sized.settings.session.model_copy(update={"strategy": CROSSOVER})
    pipeline = PipelineContext(sized.settings.model_copy(update={"session": session}))
    day = sized.sessions()[-2]
    ledger = Ledger(tmp_path / "ledger.sqlite")
    plan, bars = plan_of(pipeline, ledger, day, "replay")
    assert plan.rules.policies
    assert plan.rules.records(plan.symbols, day)["policy_arms"].tolist() == [3] * len(plan.symbols)
    twin, result = backtest_day(plan, bars), replay_day(plan, bars, ledger)
    assert twin.fills.height
    assert result.fills.select(EXACT).equals(twin.fills.select(EXACT))
    whole = plan_of(other_sizing(pipeline, "volatility_target"), ledger, day, "replay")[0]
    assert whole.hash != plan.hash


def test_a_session_before_anything_was_learned_is_refused_with_the_command(tmp_path):
    with pytest.raises(NotReady, match=f"harmony backtest {CROSSOVER}"):
        trading_rules(PipelineContext(settings_of(tmp_path)), CROSSOVER)


def test_strategies_that_share_an_account_cannot_learn_a_size(tmp_path):
    values = settings_of(tmp_path).model_dump()
    values["portfolios"] = {"both": {"strategies": (CROSSOVER, "rsi_momentum")}}
    with pytest.raises(ValueError, match=r"risk\.sizing: bandit.*portfolio both"):
        Settings.model_validate(values)


def test_the_lakes_policies_hold_for_other_parameters(sized):
    kept = sized.lake.manifest("sizing_policies", CROSSOVER)
    simulated(sized, CROSSOVER, {"fast": 5})
    assert sized.lake.manifest("sizing_policies", CROSSOVER) == kept
