"""The event-driven backtest gives the tables of the column backtest where the rule is the same,
gives a machine its fills when they happen and never before, and stops at a machine's first mistake.
"""

from dataclasses import replace
from datetime import timedelta
from functools import cache
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from backtest.random_markets import CALENDAR, TIMEFRAME, random_market, rules, run, with_lives
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.backtest.event_driver import run_machine_backtest
from harmony_pipeline.backtest.simulator import run_backtest
from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.strategies import event_columns
from harmony_pipeline.strategies.base import Stepwise, signals_of
from harmony_pipeline.strategies.bollinger import BollingerReversion
from harmony_pipeline.strategies.breakout import OpeningRangeBreakout
from harmony_pipeline.strategies.crossover import MovingAverageCrossover
from harmony_pipeline.strategies.events import Bar, Enter, Fill, Leave, Post, SetTimer
from harmony_pipeline.strategies.gap_momentum import GapMomentum
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


class Deaf:
    """A machine with an `on_fill` that uses nothing of what it hears."""

    def __init__(self, machine):
        self.heard = []
        # attributes of its own: from Python 3.12 on a protocol does not ask __getattr__
        for name in ("on_bar", "on_timer", "on_quote", "required_features"):
            if hasattr(machine, name):
                setattr(self, name, getattr(machine, name))

    def on_fill(self, fill):
        self.heard.append(fill)
        return ()


class Recorder:
    """A machine that writes down what it hears, and what it holds of a symbol after its bar."""

    def __init__(self, machine):
        self.machine, self.holding, self.heard, self.said = machine, {}, [], []

    def required_features(self):
        return ()

    def on_bar(self, bar):
        intents = self.keep(bar, self.machine.on_bar(bar))
        self.said.append((bar.symbol, bar.timestamp, *self.holding.get(bar.symbol, (0, 0.0))))
        return intents

    def on_fill(self, fill):
        return self.keep(fill, self.machine.on_fill(fill))

    def on_timer(self, timer):
        return self.keep(timer, self.machine.on_timer(timer))

    def keep(self, event, intents):
        self.heard.append(event)
        for intent in intents:
            if isinstance(intent, Enter):
                self.holding[intent.symbol] = (intent.side, intent.strength)
            elif isinstance(intent, Leave):
                self.holding[intent.symbol] = (0, 0.0)
        return intents


class Nervous:
    """Acts on its fills: turns, leaves or sets a timer by the cents of the price that it got."""

    def on_bar(self, bar):
        cents = round(bar.close * 100)
        return (Enter(bar.symbol, 1 if cents % 2 else -1, 0.7),) if cents % 4 == 0 else ()

    def on_fill(self, fill):
        cents = round(fill.price * 100)
        if cents % 3 == 0:
            return (Leave(fill.symbol),)
        if cents % 3 == 1:
            return (Enter(fill.symbol, -fill.side, 0.4),)
        return (SetTimer(fill.timestamp + timedelta(hours=2), fill.symbol),)

    def on_timer(self, timer):
        return (Leave(timer.name),)


# --- markets -------------------------------------------------------------------------------------


def features_of(bars, *names):
    chosen = FeatureSet.of(tuple(dict.fromkeys(("volatility_20", "sma_ratio_3_7", *names))))
    return compute_features(bars, chosen, None, CALENDAR, TIMEFRAME).table


@cache
def market_of(seed, *, dies=False):
    """A random market, and a volatility of every bar that is sometimes nonsense."""
    market = random_market(seed)
    market = with_lives(market, seed) if dies else market
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
    horizon, labels = int(own.choice([1, 4])), {"entry": str(own.choice(["open", "close"]))}
    return rules(risk, costs, luck, labels, exits=exits, horizon=horizon)


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
    stepped = Deaf(machine())
    assert_same(told(market, scale, machine(), chosen), whole)
    assert_same(told(market, scale, stepped, chosen), whole)
    assert len(stepped.heard) == whole.fills.height


SHIPPED = {
    "fickle": Fickle,
    "breakout": lambda: OpeningRangeBreakout(range_bars=1),
    "gap": lambda: GapMomentum(minimum_gap=0.002, full_gap=0.02),
}


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(sorted(SHIPPED)), st.booleans())
def test_a_machine_gives_the_tables_of_its_signals_whether_or_not_it_has_on_fill(seed, name, dies):
    market, scale = market_of(seed, dies=dies)
    make, chosen = SHIPPED[name], random_rules(seed)
    features = features_of(market.bars)
    whole = by_columns(market, scale, Stepwise(make), chosen, features)
    known = features if name == "fickle" else None
    assert_same(told(market, scale, make(), chosen, known), whole)
    stepped = Deaf(make())
    assert_same(told(market, scale, stepped, chosen, known), whole)
    assert len(stepped.heard) == whole.fills.height


# --- fills ---------------------------------------------------------------------------------------


def replayed(market, scale, machine, chosen):
    """What a Recorder held after each bar, as signals of the column driver."""
    schema = {
        "symbol": pl.String,
        "timestamp": market.bars.schema["timestamp"],
        "side": pl.Int8,
        "strength": pl.Float64,
    }
    said = pl.DataFrame(machine.said, schema=schema, orient="row")
    signals = said.join(scale, on=["symbol", "timestamp"], how="left").with_columns(
        probability=pl.lit(None, pl.Float64), model_id=pl.lit(None, pl.String)
    )
    return run(replace(market, signals=signals.sort("symbol", "timestamp")), chosen)


def fill_rows(events):
    return [
        (one.symbol, one.timestamp, one.side, one.quantity, one.price, one.fee)
        for one in events
        if isinstance(one, Fill)
    ]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_signals_that_depend_on_fills_give_the_same_tables_when_they_are_told_again(seed, dies):
    market, scale = market_of(seed, dies=dies)
    chosen, machine = random_rules(seed), Recorder(Nervous())
    result = told(market, scale, machine, chosen)
    assert_same(result, replayed(market, scale, machine, chosen))
    fills = result.fills.with_columns(side=pl.when(pl.col("side") == "buy").then(1).otherwise(-1))
    columns = ("symbol", "timestamp", "side", "quantity", "price", "fee")
    assert sorted(fill_rows(machine.heard)) == sorted(fills.select(columns).rows())


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_a_fill_is_heard_after_all_earlier_bars_and_before_the_bars_of_its_moment(seed):
    market, scale = market_of(seed)
    machine = Recorder(Nervous())
    told(market, scale, machine, random_rules(seed))
    moments = [(one.timestamp, isinstance(one, Bar)) for one in machine.heard]
    assert moments == sorted(moments, key=lambda one: one[0])
    for (at, bar), (following, is_bar) in pairwise(moments):
        assert at < following or is_bar or not bar, "a fill or a timer after a bar of its moment"


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_the_future_moves_nothing_that_a_machine_has_heard_or_said(seed, hours):
    market, scale = market_of(seed)
    moment = market.bars["timestamp"].unique().sort()[hours]
    chosen, whole, cut = random_rules(seed), Recorder(Nervous()), Recorder(Nervous())
    told(market, scale, whole, chosen)
    told(market.before(moment), scale, cut, chosen)
    assert cut.heard == whole.heard[: len(cut.heard)]
    events = [one for one in whole.heard if isinstance(one, (Bar, Fill))]
    before = [one for one in events if one.timestamp < moment]
    assert [one for one in cut.heard if isinstance(one, (Bar, Fill))] == before
    assert cut.said == whole.said[: len(cut.said)]


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30))
def test_the_tables_do_not_depend_on_how_the_bars_are_cut(seed, size):
    market, scale = market_of(seed)
    chosen = random_rules(seed)
    whole = told(market, scale, Recorder(Nervous()), chosen)
    pieces = [market.bars.slice(k, size) for k in range(0, market.bars.height, size)]
    chunked = replace(market, bars=pl.concat(pieces, rechunk=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_columns, "BATCH", size)
        assert_same(told(chunked, scale, Recorder(Nervous()), chosen), whole)
        assert_same(
            told(chunked, scale, Crossover(), chosen), told(market, scale, Crossover(), chosen)
        )


def test_a_run_may_start_from_a_state_with_a_position_and_its_machine_hears_the_exit():
    market, scale = market_of(11)
    moment = market.bars["timestamp"].unique().sort()[20]
    chosen = rules(exits="barriers", horizon=3)
    first = told(market.before(moment), scale, Crossover(), chosen)
    assert first.trades["exit_timestamp"].null_count() > 0
    rest = market.only(moment, moment + timedelta(days=90))

    class Silent:
        def __init__(self):
            self.fills = []

        def required_features(self):
            return ()

        def on_bar(self, bar):
            return ()

        def on_fill(self, fill):
            self.fills.append(fill)
            return ()

    silent = Silent()
    result = told(rest, scale, silent, chosen, state=first.state)
    assert len(silent.fills) == result.fills.height > 0
    assert result.trades["exit_timestamp"].null_count() == 0


def test_only_selected_bars_are_acted_on_and_every_bar_is_heard():
    market, scale = market_of(3)
    chosen, machine = rules(exits="barriers"), Recorder(Nervous())
    picked = scale.with_columns(selected=pl.col("symbol") == "BBB")
    result = told(market, picked, machine, chosen)
    assert result.orders["symbol"].unique().to_list() == ["BBB"]
    assert sum(isinstance(one, Bar) for one in machine.heard) == market.bars.height
    quiet = told(market, picked, Crossover(), chosen)
    assert quiet.orders["symbol"].unique().to_list() == ["BBB"]


# --- bad input -----------------------------------------------------------------------------------


class Says:
    """Returns `answer` on the bar number `when`, nothing before; hears its fills."""

    def __init__(self, answer, when=9):
        self.answer, self.when, self.count = answer, when, 0

    def required_features(self):
        return ()

    def on_bar(self, bar):
        self.count += 1
        if self.count == 1:
            return (Enter(bar.symbol, 1),)
        if self.count < self.when:
            return ()
        return self.answer(bar) if callable(self.answer) else self.answer

    def on_fill(self, fill):
        return ()


def raises(bar):
    raise ZeroDivisionError("no range yet")


BAD = {
    "raises": (raises, "it raised ZeroDivisionError: no range yet"),
    "strength of NaN": ((Enter("AAA", 1, float("nan")),), "strength nan of Enter"),
    "strength of zero": ((Enter("AAA", 1, 0.0),), r"strength 0\.0 of Enter"),
    "side of 2": ((Enter("AAA", 2),), "side 2 of Enter: it is -1 or 1"),
    "unknown symbol": ((Enter("QQQ", 1),), "Enter of 'QQQ': it was given no data"),
    "limit order": ((Post("AAA", 1, 10.0, 1.0),), "Post needs quotes: run it over ticks"),
    "limit of zero": ((Post("AAA", 1, 0.0, 1.0),), r"price 0\.0 and quantity 1\.0 of Post"),
    "no sequence": (None, "it returned NoneType: return a tuple or list"),
    "no intent": ((1,), "it returned 1, which is no intent"),
    "an array": (np.ones(2), "it returned ndarray: return a tuple or list"),
    "timer in the past": (
        lambda bar: (SetTimer(bar.timestamp, "now"),),
        "it lies after the event that sets it",
    ),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("hears_fills", [True, False])
def test_a_machine_that_errs_in_the_middle_of_a_day_ends_the_run_with_its_symbol_and_time(
    name, hears_fills
):
    answer, message = BAD[name]
    market, scale = market_of(1)
    machine = Says(answer)
    bar = market.bars.sort("timestamp", "symbol").row(8, named=True)
    if not hears_fills:
        machine = SimpleNamespace(on_bar=machine.on_bar, required_features=tuple)
    where = rf"strategy s, {bar['symbol']} at {bar['timestamp']}: "
    with pytest.raises(DataError, match=where.replace("+", r"\+") + ".*" + message):
        told(market, scale, machine, rules(exits="signal"))


def test_a_machine_that_errs_on_a_fill_ends_the_run_too():
    market, scale = market_of(1)
    machine = Recorder(Nervous())
    machine.on_fill = lambda fill: (Post(fill.symbol, 1, 5.0, 1.0),)
    with pytest.raises(DataError, match=r"strategy s, \w+ at 2024.*Post needs quotes"):
        told(market, scale, machine, rules(exits="signal"))


def test_an_order_of_a_symbol_without_bars_waits_and_its_fill_is_heard_at_the_next_bar():
    """AAA does not trade from the second hour on; a halted symbol has no bars."""
    market, scale = market_of(2)
    stamps = market.bars["timestamp"].unique().sort()
    halted = (pl.col("symbol") == "AAA") & pl.col("timestamp").is_between(stamps[1], stamps[4])
    kept = replace(market, bars=market.bars.filter(~halted))
    machine = Recorder(Says((), when=10**9))
    machine.on_timer = None
    result = told(kept, scale, machine, rules(exits="signal"))
    fills = [one for one in machine.heard if isinstance(one, Fill) and one.symbol == "AAA"]
    assert result.orders["symbol"].to_list()[0] == "AAA"
    assert all(one.timestamp > stamps[4] for one in fills)


def test_a_run_without_cash_is_refused_and_purchases_end_with_the_cash():
    market, scale = market_of(1)
    poor = replace(rules(), initial_cash=-5.0)
    with pytest.raises(ConfigError, match=r"backtest.initial_cash = -5.0: it is above 0"):
        told(market, scale, Crossover(), poor)
    greedy = rules({"max_position": 5.0, "max_gross_exposure": 5.0, "max_net_exposure": 5.0,
                    "cash_buffer": 0.0, "allow_short": False, "sizing": "fixed_fraction",
                    "size_fraction": 3.0}, exits="signal")  # fmt: skip
    result = told(market, scale, Deaf(Crossover()), greedy)
    assert result.fills.height > 0
    assert result.equity["cash"].min() >= 0.0


def test_features_that_lack_something_and_bars_that_come_twice_are_refused():
    market, scale = market_of(1)
    with pytest.raises(DataError, match="features lack volatility"):
        told(market, scale.drop("volatility"), Crossover(), rules())
    with pytest.raises(DataError, match="features lack sma_ratio_3_7"):
        told(market, scale, Fickle(), rules())
    twice = pl.concat([scale, scale.tail(1)])
    with pytest.raises(DataError, match=r"twice: each bar may come once"):
        told(market, twice, Crossover(), rules())


def test_a_market_without_bars_gives_empty_tables():
    market, scale = market_of(1)
    nothing = replace(market, bars=market.bars.clear())
    for machine in (Crossover(), Deaf(Crossover())):
        result = told(nothing, scale.clear(), machine, rules())
        assert result.equity.is_empty() and result.orders.is_empty()
