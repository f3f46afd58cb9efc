"""The scalar rules that labels, backtest and session share."""

import math
from datetime import date
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.market.instruments import Instrument, Instruments
from harmony_pipeline.market.price_grid import round_to_tick
from harmony_pipeline.portfolio.exit_rules import (
    NOTHING,
    STOP,
    TAKE,
    barrier_levels,
    barrier_levels_of_many,
    exit_at_bar,
    exit_by_choice,
    level_now,
    trade_return,
)

US = Instruments().grids(["AAA"], date.max)[0]


def grid(tick):
    terms = Instrument("X", tick_size=tick, small_tick_size=None, small_tick_below=None)
    return Instruments((terms,)).grids(["X"], date.max)[0]


PRICES = st.floats(0.01, 5000.0)


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        (10.005, 10.01),
        (10.004, 10.0),
        (1.0, 1.0),
        (0.99994, 0.9999),
        (0.12345, 0.1235),
        (250.125, 250.13),
    ],
)
def test_prices_round_to_the_tick_halves_up(price, expected):
    assert round_to_tick(US, price) == expected


@settings(max_examples=100, deadline=None)
@given(price=PRICES)
def test_rounding_is_idempotent_and_near(price):
    rounded = round_to_tick(US, price)
    assert round_to_tick(US, rounded) == rounded
    assert abs(rounded - price) <= (0.005 if price >= 1 else 0.00005) * (1 + 1e-9)


@settings(max_examples=50, deadline=None)
@given(
    side=st.sampled_from([-1, 1]),
    price=PRICES,
    volatility=st.floats(0, 0.2),
    horizon=st.integers(1, 500),
)
def test_a_short_s_barriers_are_a_long_s_with_the_multiples_swapped(
    side, price, volatility, horizon
):
    assert barrier_levels(US, side, price, volatility, horizon, 2.0, 1.0, 15.0) == barrier_levels(
        US, -side, price, volatility, horizon, 1.0, 2.0, 15.0
    )


@settings(max_examples=150, deadline=None)
@given(
    trades=st.lists(
        st.tuples(st.sampled_from([-1, 1]), PRICES | st.just(math.nan), st.floats(0, 0.2)),
        min_size=1,
        max_size=20,
    ),
    tick=st.sampled_from([None, 0.05, 2.5, 1e-6]),
    horizon=st.integers(1, 500),
    multiples=st.tuples(st.floats(0, 30.0), st.floats(0, 30.0), st.floats(0.0, 200.0)),
)
def test_the_barriers_of_many_trades_are_those_of_each_to_the_last_bit(
    trades, tick, horizon, multiples
):
    rules = US if tick is None else grid(tick)
    sides, prices, volatilities = (np.array(each) for each in zip(*trades, strict=True))
    upper, lower = np.empty(len(trades)), np.empty(len(trades))
    barrier_levels_of_many(
        rules, sides.astype(np.int8), prices, volatilities, horizon, *multiples, upper, lower
    )
    for place, (side, price, volatility) in enumerate(trades):
        expected = (math.nan, math.nan)
        if not math.isnan(price):
            expected = barrier_levels(rules, side, price, volatility, horizon, *multiples)
        assert np.array_equal((upper[place], lower[place]), expected, equal_nan=True)


@pytest.mark.parametrize(
    ("side", "bar", "entry_bar", "expected"),
    [  # stop 98, take 104 for the long; stop 104, take 98 for the short
        (1, (100, 101, 99), False, (NOTHING, 0.0)),
        (1, (98, 105, 97), False, (STOP, 98.0)),
        (1, (97, 105, 96), False, (STOP, 97.0)),
        (1, (104, 105, 97), False, (TAKE, 104.0)),
        (1, (110, 111, 97), False, (TAKE, 110.0)),
        (1, (100, 104, 98), False, (STOP, 98.0)),
        (1, (100, 104, 99), False, (TAKE, 104.0)),
        (1, (104, 104, 103), True, (TAKE, 104.0)),
        (1, (110, 111, 97), True, (STOP, 98.0)),
        (1, (97.5, 105, 97), True, (STOP, 97.5)),
        (1, (104.5, 105, 104), True, (TAKE, 104.5)),
        (-1, (104, 105, 97), False, (STOP, 104.0)),
        (-1, (106, 107, 97), False, (STOP, 106.0)),
        (-1, (97, 105, 96), False, (TAKE, 97.0)),
        (-1, (100, 104, 98), False, (STOP, 104.0)),
        (-1, (100, 103, 98), False, (TAKE, 98.0)),
        (-1, (97, 105, 96), True, (STOP, 104.0)),
        (-1, (104.5, 105, 104), True, (STOP, 104.5)),
        (-1, (97.5, 98, 97), True, (TAKE, 97.5)),
    ],
)
def test_what_one_bar_does_to_a_position(side, bar, entry_bar, expected):
    stop, take = (98.0, 104.0) if side == 1 else (104.0, 98.0)
    opened, high, low = map(float, bar)
    assert exit_at_bar(side, opened, high, low, stop, take, entry_bar) == expected
    assert exit_at_bar.py_func(side, opened, high, low, stop, take, entry_bar) == expected


@settings(max_examples=100, deadline=None)
@given(level=PRICES, factor=st.floats(1e-3, 1e3))
def test_a_level_between_equal_factors_is_itself_to_the_last_bit(level, factor):
    assert level_now(level, factor, factor) == level


def test_a_return_counts_splits_and_dividends_and_the_side():
    assert trade_return(1, 100.0, 1.0, 26.0, 4.0) == pytest.approx(0.04)
    assert trade_return(-1, 100.0, 1.0, 26.0, 4.0) == pytest.approx(-0.04)


@settings(max_examples=50, deadline=None)
@given(price=PRICES, volatility=st.floats(0, 0.2), horizon=st.integers(1, 500))
def test_compiled_and_plain_python_agree_to_the_last_bit(price, volatility, horizon):
    compiled = barrier_levels(US, 1, price, volatility, horizon, 2.0, 1.0, 15.0)
    assert compiled == barrier_levels.py_func(US, 1, price, volatility, horizon, 2.0, 1.0, 15.0)
    assert all(math.isfinite(level) for level in compiled)
    assert np.isfinite(trade_return(1, price, 1.0, compiled[0], 1.0))


@pytest.mark.parametrize("exit_of", [exit_by_choice, exit_by_choice.py_func])
def test_an_exit_by_choice_is_the_exit_at_the_bar(exit_of):
    levels = (1.0, 2.0, 3.0, 4.0)
    for side, entry_bar in product((-1, 1), (False, True)):
        for bar in product(levels, repeat=5):  # open, high, low, stop, take, in any order
            assert exit_of(side, *bar, entry_bar) == exit_at_bar(side, *bar, entry_bar), bar
