"""Bad input through the column backtest: each is refused with a reason, and the run stops where
nothing sound can be made of it, or goes on without it.

What a strategy may return is refused in the strategy's name (tests/strategies/test_refusals.py has
every form of it); what the command line and the settings file may hold: tests/cli/bad_inputs.toml.
"""

import math
from dataclasses import dataclass
from datetime import timedelta

import polars as pl
import pytest
from backtest.test_simulator_examples import FLAT, FREE, WIDE, day, market, rules
from pydantic import ValidationError

from harmony_pipeline.backtest.simulator import run_backtest
from harmony_pipeline.errors import DataError
from harmony_pipeline.execution.settings import CostSettings
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.lives import LIFE_EVENTS
from harmony_pipeline.portfolio.settings import BacktestSettings
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.strategies.base import Stepwise, signals_of
from harmony_pipeline.strategies.events import Enter

CALENDAR = Calendar.of("XNYS")
DAYS = 8
AT = day(2)  # the second of the days before is asked; what is bad is said on the third


def backtest(strategy, *, bars=None, risk=None, costs=None, state=None, lives=None, **values):
    """The run of a strategy over quiet daily bars. values: a column of its signals on the bad day."""
    known = market([FLAT] * DAYS, {}).bars if bars is None else bars
    features = known.select("symbol", "timestamp")
    said = signals_of(strategy, features, lambda: known, "mine").with_columns(
        volatility=pl.lit(0.01),
        probability=pl.lit(None, pl.Float64),
        model_id=pl.lit(None, pl.String),
    )
    for name, value in values.items():
        bad = pl.when(pl.col("timestamp") == AT).then(pl.lit(value, said.schema[name]))
        said = said.with_columns(bad.otherwise(name).alias(name))
    chosen = rules({**WIDE, **(risk or {})}, {**FREE, **(costs or {})}, exits="signal")
    actions = market([FLAT], {}).actions
    return run_backtest(known, said, actions, chosen, CALENDAR, "1Day", state, lives=lives)


@dataclass
class Says:
    """Side 1 every day, but something else on the bad day."""

    side: object = 1
    strength: object = 1.0
    symbol: str | None = None

    def required_features(self):
        return ()

    def signals(self, features):
        bad = pl.col("timestamp") == AT
        return features.with_columns(
            symbol=pl.when(bad)
            .then(pl.coalesce(pl.lit(self.symbol), "symbol"))
            .otherwise("symbol"),
            side=pl.when(bad).then(pl.lit(self.side, pl.Float64)).otherwise(1.0),
            strength=pl.when(bad).then(pl.lit(self.strength, pl.Float64)).otherwise(1.0),
        )


class Raises:
    """A state machine that falls over its third bar."""

    def __init__(self):
        self.bars = 0

    def required_features(self):
        return ()

    def on_bar(self, bar):
        self.bars += 1
        return (Enter(bar.symbol, 1),) if self.bars != 3 else (1 / 0,)


STOPS = [
    ("a side of NaN", Says(side=math.nan), "side nan: a side is -1, 0 or 1"),
    ("a side of 2", Says(side=2), "side 2.0: a side is -1, 0 or 1"),
    ("a strength of NaN", Says(strength=math.nan), "strength nan: a strength lies between 0 and 1"),
    ("an unknown symbol", Says(symbol="ZZ"), "ZZ at 2024-03-05.*it was given no bars of this"),
    ("a strategy that raises in the middle", Stepwise(Raises), "ZeroDivisionError"),
]


@pytest.mark.parametrize(("name", "strategy", "words"), STOPS, ids=[row[0] for row in STOPS])
def test_what_is_no_signal_stops_the_run_with_strategy_symbol_and_time(name, strategy, words):
    with pytest.raises(DataError, match=r"strategy mine.* at 2024-03-05") as caught:
        backtest(strategy)
    assert caught.match(words)


class FromThirdDay(Says):
    """The same from the bad day on, so that nothing is held before it."""

    def signals(self, features):
        return super().signals(features).filter(pl.col("timestamp") >= AT)


def delisting():
    rows = [(AT.date() + timedelta(days=1), "delisting", "AAA", None, None)]
    return pl.DataFrame(rows, schema=LIFE_EVENTS, orient="row")


def without_volume():
    return market([FLAT] * DAYS, {}, volumes=[1e6, 1e6, 1e6, 0.0, *[1e6] * (DAYS - 4)]).bars


# what is wrong, how it comes about, the status and reason of every order that is not filled, fills
GOES_ON = [
    ("a volatility of NaN", {"volatility": math.nan}, [("refused", "bad_input")], 1),
    ("a volatility of zero", {"volatility": 0.0}, [("refused", "bad_input")], 1),
    ("a probability of 2", {"probability": 2.0}, [("refused", "bad_input")], 1),
    ("a probability of NaN, which is none", {"probability": math.nan}, [], 1),
    (
        "negative cash",
        {"state": TradingState.opening(["AAA"], -1_000.0)},
        [("refused", "max_drawdown")] * 6,
        0,
    ),
    ("trading halted by hand", {"risk": {"state": "halted"}}, [("refused", "kill_switch")] * 6, 0),
    (
        "no short sales",
        {"risk": {"allow_short": False}, "side": -1},
        [("refused", "allow_short")],
        1,
    ),
    ("a bar without volume", {"bars": without_volume()}, [("canceled", "no_volume")], 1),
    (
        "a delisted symbol",
        {"lives": delisting()},
        [("canceled", "delisted"), *[("refused", "delisted")] * 5],
        0,
    ),
]


@pytest.mark.parametrize(
    ("name", "given", "unfilled", "fills"), GOES_ON, ids=[row[0] for row in GOES_ON]
)
def test_what_is_no_sound_order_is_refused_by_name_and_the_run_goes_on(
    name, given, unfilled, fills
):
    result = backtest(FromThirdDay(), **given)
    assert result.equity.height == DAYS
    orders = result.orders.filter(pl.col("status") != "filled").sort("timestamp")
    assert orders.select("status", "reason").rows() == unfilled
    assert result.fills.height == fills


def test_an_order_for_a_halted_symbol_waits_for_the_bar_that_ends_the_halt():
    halt = pl.col("timestamp").is_in([day(3), day(4)])
    quiet = market([FLAT] * DAYS, {}).bars
    other = quiet.with_columns(symbol=pl.lit("BBB"))
    result = backtest(FromThirdDay(), bars=pl.concat([quiet.filter(~halt), other]))
    assert result.equity.height == DAYS
    bought = dict(result.fills.select("symbol", "timestamp").rows())
    assert bought == {"AAA": day(5), "BBB": day(3)}


def test_signals_of_a_symbol_without_a_bar_are_told_of_and_order_nothing():
    said = market([FLAT] * DAYS, {1: 1, 2: -1, 3: 0}, symbol="ZZ").signals
    known = market([FLAT] * DAYS, {1: 1})
    result = run_backtest(
        known.bars,
        pl.concat([known.signals, said]),
        known.actions,
        rules(WIDE, FREE, exits="signal"),
        CALENDAR,
        "1Day",
    )
    assert set(result.orders["symbol"]) == {"AAA"}
    assert [note for note in result.notes if note.startswith("ZZ: 2 signals and not one")]


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        (RiskSettings, "max_position", 0.0),
        (RiskSettings, "max_gross_exposure", 0.0),
        (RiskSettings, "max_drawdown", 0.0),
        (RiskSettings, "price_collar", 0.0),
        (RiskSettings, "max_position", math.nan),
        (BacktestSettings, "initial_cash", -1.0),
        (BacktestSettings, "initial_cash", 0.0),
        (CostSettings, "max_participation", 0.0),
        (CostSettings, "fee_bps", -1.0),
    ],
)
def test_a_limit_of_zero_and_negative_cash_are_refused_before_anything_runs(settings, name, value):
    with pytest.raises(ValidationError, match=name):
        settings(**{name: value})
