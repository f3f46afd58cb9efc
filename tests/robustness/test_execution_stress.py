"""Worse luck at the exchange: the draws, what they change, and the backtests they lead to."""

import numpy as np
import polars as pl
import pytest
from backtest.random_markets import SYMBOLS, random_market, rules, run

from assets.chain import run_stages
from assets.groups import RESEARCH
from harmony_pipeline.execution.dropped_bars import without_dropped_bars
from harmony_pipeline.execution.random_draws import symbol_key, uniform
from harmony_pipeline.robustness.execution_stress import (
    ExecutionDraw,
    execution_draws,
    stress_verdict,
)
from harmony_pipeline.robustness.settings import ExecutionStressSettings
from harmony_pipeline.stages import backtests, robustness
from harmony_pipeline.testing.tiny import tiny_market

NOTHING = ExecutionDraw(0, 101, 0, 0.0, 0.0, 0.0, 1.0)
MARKET = random_market(3)


def test_more_draws_are_the_same_ones_and_some_more():
    few, many = (list(execution_draws(ExecutionStressSettings(draws=n))) for n in (5, 50))
    assert many[:5] == few
    assert len({draw.noise_seed for draw in many}) == 50
    assert list(execution_draws(ExecutionStressSettings(draws=5, seed=8))) != few


def test_circumstances_stay_within_what_the_settings_allow():
    draws = list(execution_draws(ExecutionStressSettings(draws=400)))
    found = {name: [vars(draw)[name] for draw in draws] for name in vars(NOTHING)}
    assert set(found["latency_bars"]) == {0, 1, 2}
    assert 0.0 <= min(found["reject_probability"]) < max(found["reject_probability"]) <= 0.05
    assert 0.0 <= min(found["late_bar_probability"]) < max(found["late_bar_probability"]) <= 0.05
    assert max(found["dropped_bar_probability"]) <= 0.02
    assert 1.0 <= min(found["cost_multiple"]) < max(found["cost_multiple"]) <= 3.0
    assert np.mean(found["cost_multiple"]) == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("exits", ["barriers", "signal"])
def test_circumstances_that_are_none_leave_the_backtest_as_it_is(exits):
    chosen = rules(exits=exits)
    plain, drawn = run(MARKET, chosen), run(MARKET, NOTHING.rules(chosen))
    assert NOTHING.signals(MARKET.signals) is MARKET.signals
    for name in ("orders", "fills", "trades", "equity"):
        assert vars(plain)[name].equals(vars(drawn)[name]), name


def test_costs_grow_by_the_multiple_and_a_rebate_shrinks():
    chosen = rules(
        costs={
            "half_spread_bps": 2.0, "fee_bps": 1.0, "maker_fee_bps": -3.0, "fee_per_share": 0.01,
            "symbols": {"AAA": {"half_spread_bps": 5.0}, "BBB": {"borrow_rate": 0.1}},
        }
    )  # fmt: skip
    costs = ExecutionDraw(0, 1, 0, 0.0, 0.0, 0.0, 2.0).rules(chosen).costs
    assert (costs.half_spread_bps, costs.fee_bps, costs.maker_fee_bps) == (4.0, 2.0, -1.5)
    assert (costs.fee_per_share, costs.sell_fee_bps, costs.spread_pips) == (0.02, 0.556, None)
    assert costs.symbols["AAA"].half_spread_bps == 10.0
    assert costs.symbols["BBB"].half_spread_bps is None


def test_luck_that_is_bad_already_gets_no_better():
    chosen = rules(luck={"latency_bars": 1, "reject_probability": 0.5})
    luck = ExecutionDraw(0, 77, 2, 0.1, 0.2, 0.0, 1.0).rules(chosen).luck
    assert (luck.seed, luck.latency_bars, luck.reject_probability) == (77, 3, 0.5)
    assert luck.late_bar_probability == 0.2


def test_each_circumstance_reaches_the_simulator():
    chosen = rules(exits="signal")
    plain = run(MARKET, chosen)
    rejected = run(MARKET, ExecutionDraw(0, 1, 0, 1.0, 0.0, 0.0, 1.0).rules(chosen))
    assert rejected.fills.is_empty()
    assert set(rejected.orders["status"].unique()) <= {"rejected", "refused"}
    later = run(MARKET, ExecutionDraw(0, 1, 3, 0.0, 0.0, 0.0, 1.0).rules(chosen))
    assert later.fills["timestamp"].min() > plain.fills["timestamp"].min()
    dearer = run(MARKET, ExecutionDraw(0, 1, 0, 0.0, 0.0, 0.0, 3.0).rules(chosen))
    first = pl.col("timestamp") == plain.fills["timestamp"].min()
    assert (
        dearer.fills.filter(first)["slippage"].sum() > plain.fills.filter(first)["slippage"].sum()
    )


def test_a_bar_is_dropped_by_symbol_and_time_whatever_else_is_there():
    kept = without_dropped_bars(MARKET.signals, 9, 0.3)
    share = kept.height / MARKET.signals.height
    assert 0.5 < share < 0.85
    expected = [
        uniform(np.uint64(9), symbol_key(row["symbol"]), round(row["timestamp"].timestamp() * 1e6), 0, 4) >= 0.3
        for row in MARKET.signals.iter_rows(named=True)
    ]  # fmt: skip
    assert kept.equals(MARKET.signals.filter(pl.Series(expected)))
    alone = MARKET.signals.filter(pl.col("symbol") == SYMBOLS[1])
    assert without_dropped_bars(alone, 9, 0.3).equals(kept.filter(pl.col("symbol") == SYMBOLS[1]))
    shuffled = MARKET.signals.sample(fraction=1.0, shuffle=True, seed=1)
    again = without_dropped_bars(shuffled, 9, 0.3).sort("symbol", "timestamp")
    assert again.equals(kept.sort("symbol", "timestamp"))
    assert without_dropped_bars(MARKET.signals, 9, 1.0).is_empty()


def test_the_verdict_counts_the_draws():
    assert stress_verdict([-0.1, 0.02, 0.04], 0.05) == (
        "planned +5.0%; of 3 draws the middle one made +2.0%, the worst -10.0%, and 33% lost"
    )
    assert "nothing is known" in stress_verdict([], 0.1)


def test_the_asset_has_a_row_a_draw_and_the_same_rows_again(tmp_path):
    pipeline = tiny_market(tmp_path)
    run_stages(pipeline, RESEARCH)
    backtests.backtest(pipeline, ["rsi_momentum"])
    chosen = pipeline.settings.execution_stress.model_copy(update={"draws": 4})
    pipeline = type(pipeline)(pipeline.settings.model_copy(update={"execution_stress": chosen}))
    result = robustness.execution_stress(pipeline, ["rsi_momentum"])
    assert result.rows == {"execution_stress": 4}
    table = pipeline.lake.read("execution_stress")
    assert table["draw"].to_list() == [0, 1, 2, 3]
    assert (table["max_drawdown"] <= 0.0).all()
    draws = list(execution_draws(chosen))
    assert table["noise_seed"].to_list() == [draw.noise_seed for draw in draws]
    simulated = robustness.tradable(pipeline, "rsi_momentum").run(draws[2])
    assert table["final_equity"][2] == simulated.equity["equity"][-1]
    planned = robustness.tradable(pipeline, "rsi_momentum").run(NOTHING)
    known = pipeline.lake.read("equity", ["rsi_momentum"])["equity"][-1]
    assert planned.equity["equity"][-1] == known
    assert robustness.execution_stress(pipeline, ["rsi_momentum"]).unchanged_since is not None
