"""The event-driven backtest gives the tables of the column backtest where the rule is the same,
gives a machine its fills when they happen and never before, and stops at a machine's first mistake.
"""

from datetime import timedelta
from functools import cache

import numpy as np
import polars as pl
from backtest.random_markets import (
    CALENDAR,
    TIMEFRAME,
    random_market,
    rules,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.backtest.event_driver import run_machine_backtest
from harmony_pipeline.backtest.simulator import run_backtest
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.strategies.base import signals_of
from harmony_pipeline.strategies.bollinger import BollingerReversion
from harmony_pipeline.strategies.crossover import MovingAverageCrossover
from harmony_pipeline.strategies.events import Enter, Leave, SetTimer
from harmony_pipeline.strategies.indicators import Mean, PerSymbol, ZScore

TABLES = ("orders", "fills", "trades", "equity", "position_actions", "row")


# --- machines ------------------------------------------------------------------------------------


class Crossover:
    """MovingAverageCrossover with averages of its own."""

    def __init__(self, fast=3, slow=7):
        self.fast, self.slow = PerSymbol(lambda: Mean(fast)), PerSymbol(lambda: Mean(slow))

    def required_features(self):
        return ()

    def on_bar(self, bar):
        price = bar.close * bar.adjustment_factor
        fast, slow = self.fast[bar.symbol].update(price), self.slow[bar.symbol].update(price)
        ratio = fast / slow - 1.0
        if ratio > 0.0:
            return (Enter(bar.symbol, 1),)
        return (Enter(bar.symbol, -1),) if ratio < 0.0 else (Leave(bar.symbol),)


class Reversion:
    """BollingerReversion with a z-score of its own."""

    def __init__(self):
        self.z = PerSymbol(lambda: ZScore(6))

    def required_features(self):
        return ()

    def on_bar(self, bar):
        z = self.z[bar.symbol].update(bar.close * bar.adjustment_factor)
        if abs(z) > 1.2:
            return [Enter(bar.symbol, -1 if z > 0.0 else 1)]
        return [Leave(bar.symbol)]


class Fickle:
    """Enters, leaves and turns by the cents of the close; exits by a timer, too."""

    def required_features(self):
        return ("sma_ratio_3_7",)

    def on_bar(self, bar):
        cents = round(bar.close * 100)
        if cents % 5 == 0:
            return (Enter(bar.symbol, 1 if cents % 2 else -1, 0.2 + (cents % 9) / 11),)
        if cents % 5 == 1:
            return (Leave(bar.symbol), SetTimer(bar.timestamp + timedelta(minutes=90), bar.symbol))
        return ()

    def on_timer(self, timer):
        return (Enter(timer.name, 1, 0.5),)


def deaf(kind):
    """The machine with an `on_fill` that uses nothing of what it hears."""

    class Deaf(kind):
        heard = 0

        def on_fill(self, fill):
            self.heard += 1
            return ()

    return Deaf


# --- markets -------------------------------------------------------------------------------------


def features_of(bars, *names):
    chosen = FeatureSet.of(tuple(dict.fromkeys(("volatility_20", "sma_ratio_3_7", *names))))
    return compute_features(bars, chosen, None, CALENDAR, TIMEFRAME).table


@cache
def market_of(seed, days=7):
    """A random market, and a volatility of every bar that is sometimes nonsense."""
    market = random_market(seed, days=days)
    own = np.random.default_rng([seed, 5])
    scale = own.choice([0.02, 0.005, 0.0, np.nan], market.bars.height, p=[0.7, 0.2, 0.05, 0.05])
    return market, market.bars.select("symbol", "timestamp").with_columns(volatility=scale)


def told(market, scale, machine, chosen, features=None, **more):
    """The event driver over the market; the name of the backtest is that of `run`."""
    known = scale if features is None else scale.join(features, on=["symbol", "timestamp"])
    return run_machine_backtest(
        machine, market.bars, known, market.actions, chosen, CALENDAR, TIMEFRAME,
        backtest_id="b", strategy="s", lives=market.lives, **more,
    )  # fmt: skip


def by_columns(market, scale, strategy, chosen, features=None):
    """The same by signals made first, and the column driver."""
    keys = ["symbol", "timestamp"]
    known = market.bars.select(keys) if features is None else features
    primary = signals_of(strategy, known, lambda: market.bars)
    signals = primary.join(scale, on=keys, how="inner", maintain_order="left").with_columns(
        probability=pl.lit(None, pl.Float64), model_id=pl.lit(None, pl.String)
    )
    return run_backtest(
        market.bars, signals, market.actions, chosen, CALENDAR, TIMEFRAME,
        backtest_id="b", strategy="s", lives=market.lives,
    )  # fmt: skip


def assert_same(one, other):
    for name in TABLES:
        assert getattr(one, name).equals(getattr(other, name), null_equal=True), name
    assert one.state.to_dict() == other.state.to_dict()


def random_rules(seed):
    own = np.random.default_rng([seed, 9])
    risk = {
        "max_drawdown": float(own.choice([0.02, 0.25])),
        "max_daily_loss": float(own.choice([0.005, 0.5])),
        "max_position": float(own.choice([0.1, 0.5])),
        "drawdown_cooldown_sessions": int(own.choice([0, 1])),
        "sizing": str(own.choice(["volatility_target", "fixed_fraction"])),
    }
    luck = {
        "reject_probability": float(own.choice([0.0, 0.1])),
        "partial_fill_probability": float(own.choice([0.0, 0.2])),
        "latency_bars": int(own.choice([0, 0, 1])),
    }
    costs = {"max_participation": float(own.choice([0.05, 1.0]))}
    exits = str(own.choice(["signal", "barriers"]))
    return rules(risk, costs, luck, exits=exits, horizon=int(own.choice([1, 4])))


# --- the two drivers agree -----------------------------------------------------------------------

PAIRS = {
    "crossover": (Crossover, lambda: MovingAverageCrossover(fast=3, slow=7)),
    "z-score": (Reversion, lambda: BollingerReversion(window=6, entry_z=1.2)),
}


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(sorted(PAIRS)))
def test_a_rule_as_columns_and_as_a_machine_gives_the_same_tables(seed, name):
    market, scale = market_of(seed)
    machine, columns = PAIRS[name]
    chosen, strategy = random_rules(seed), columns()
    features = features_of(market.bars, *strategy.required_features())
    whole = by_columns(market, scale, strategy, chosen, features)
    needed = strategy.required_features()
    # a column strategy has no row where it is not warm, a machine says that it holds nothing
    warm = features.filter(pl.all_horizontal(pl.col(needed).is_finite()))
    stepped = deaf(machine)()
    assert_same(told(market, scale, machine(), chosen), whole)
    assert_same(told(market, scale, stepped, chosen), whole)
    assert stepped.heard == whole.fills.height
    assert warm.height > 0
