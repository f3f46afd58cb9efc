"""Bars of a single symbol that are passed in one go leave behind what the loop would have left, bit
for bit.

A run that also knows a symbol without any bar takes every bar through the loop.
"""

import numpy as np
import polars as pl
import pytest
from backtest.random_markets import CALENDAR, TIMEFRAME, random_market, rules, run
from backtest.test_simulator_twin import RULES
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.backtest.runs import Market
from harmony_pipeline.backtest.simulator import SessionReturns
from harmony_pipeline.portfolio.state import TradingState

TABLES = ("orders", "fills", "trades", "equity", "row", "position_actions")


def thinned(seed: int, kept: float, scale: float):
    """A market of one symbol in which most bars bear no signal, and its rules' cash."""
    market = random_market(seed, days=12, symbols=("AAA",), scale=scale)
    own = np.random.default_rng(seed)
    signals = market.signals.filter(pl.Series(own.random(market.signals.height) < kept))
    return type(market)(market.bars, signals, market.actions)


def bar_by_bar(market, chosen):
    """The run with a second symbol, which has no bar."""
    return run(market, chosen, TradingState.opening(("AAA", "ZZZ"), chosen.initial_cash))


@given(
    st.integers(0, 2**31), RULES, st.sampled_from([0.1, 0.4, 1.0]), st.sampled_from([0.002, 0.02])
)
def test_one_go_equals_bar_by_bar(seed, chosen, kept, scale):
    market = thinned(seed, kept, scale)
    passed, looked_at = run(market, chosen), bar_by_bar(market, chosen)
    for name in TABLES:
        assert getattr(passed, name).equals(getattr(looked_at, name)), name
    assert passed.state.portfolio.account.tobytes() == looked_at.state.portfolio.account.tobytes()
    assert positions(passed) == positions(looked_at)


def positions(result):
    """The record of each symbol that has bars."""
    state = result.state
    records = zip(state.symbols, state.portfolio.positions, strict=True)
    return {symbol: record.tobytes() for symbol, record in records if symbol != "ZZZ"}


@pytest.mark.parametrize("exits", ["barriers", "signal"])
def test_without_a_curve_the_returns_are_the_same(exits):
    chosen = rules(exits=exits, horizon=9, labels={"profit_take": 2.0, "stop_loss": 1.0})
    market = thinned(5, 0.2, 0.004)
    ready = Market.of(market.bars, market.actions, CALENDAR, TIMEFRAME)
    found = SessionReturns(ready, chosen).of(market.signals)
    equity = bar_by_bar(market, chosen).equity
    last = equity.group_by(pl.col("timestamp").dt.date(), maintain_order=True).last()["equity"]
    before = last.shift(fill_value=chosen.initial_cash)
    assert found["return"].to_list() == (last / before - 1.0).to_list()
    assert found["return"].abs().max() > 0.0
