"""Ticks and lots of any instrument, judged in exact arithmetic: ticks 1e-8 to 100, lots 1e-8 to
1000, prices 1e-7 to 1e6.
"""

import math
from dataclasses import replace
from datetime import date
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harmony_pipeline.market.instruments import Instrument, Instruments
from harmony_pipeline.market.price_grid import (
    floor_to_lot,
    least_price,
    lots_to_quantity,
    one_tick_above,
    one_tick_below,
    round_to_tick,
    snap_to_lot,
    tick_down,
    tick_up,
)
from harmony_pipeline.market.steps import decimals_of, tick_fraction
from harmony_pipeline.portfolio.exit_rules import barrier_levels

PLAIN = Instrument("X", small_tick_size=None, small_tick_below=None)
STEPS = [
    *(float(f"{factor}e{power}") for power in range(-8, 3) for factor in (1, 2, 5) if factor * 10.0**power <= 100),
    0.25, 0.025, 2.5, 0.125, 1 / 32, 1 / 64, 1 / 128, 1 / 256, 0.015,
]  # fmt: skip
TICKS = st.sampled_from(STEPS)
PRICES = st.floats(math.log(1e-7), math.log(1e6)).map(math.exp)


def grid(tick, small=None, below=None):
    terms = replace(PLAIN, tick_size=tick, small_tick_size=small, small_tick_below=below)
    return Instruments((terms,)).grids(["X"], date.max)[0]


def is_on(price, tick):
    """Whether `price` is the double nearest to a whole number of ticks."""
    exact = tick_fraction(tick)
    return price == float(round(Fraction(price) / exact) * exact)


@pytest.mark.parametrize("lot", [1e-8, 0.001, 1.0, 100.0])
@pytest.mark.parametrize("lots", [3.0, 9e15, 9.3e18, 1.5e19, 1e22, 1e30])
def test_more_lots_than_integers_hold_are_still_a_quantity(lot, lots):
    assert floor_to_lot(lots * lot, lot) == pytest.approx(lots * lot, rel=1e-15)
    assert snap_to_lot(floor_to_lot(lots * lot, lot), lot) == pytest.approx(lots * lot, rel=1e-15)


@settings(max_examples=200, deadline=None)
@given(tick=TICKS, price=PRICES)
def test_a_rounded_price_is_the_double_nearest_to_whole_ticks(tick, price):
    rules, exact = grid(tick), tick_fraction(tick)
    nearest, up, down = (kernel(rules, price) for kernel in (round_to_tick, tick_up, tick_down))
    assert all(is_on(found, tick) for found in (nearest, up, down))
    ticks = Fraction(price) / exact
    doubt = max(Fraction(1, 10**6), ticks * Fraction(8, 10**16))  # of a tick
    assert abs(Fraction(nearest) / exact - ticks) <= Fraction(1, 2) + doubt
    assert -doubt <= Fraction(up) / exact - ticks < 1 + doubt
    assert -doubt <= ticks - Fraction(down) / exact < 1 + doubt
    for found in (nearest, up, down):  # what is on the tick stays there
        assert (
            round_to_tick(rules, found) == tick_up(rules, found) == tick_down(rules, found) == found
        )


@settings(max_examples=200, deadline=None)
@given(tick=TICKS, price=PRICES)
def test_the_prices_a_tick_away_are_that_far_and_no_further_than_needed(tick, price):
    rules, exact = grid(tick), tick_fraction(tick)
    ticks = Fraction(price) / exact
    doubt = 2 * max(Fraction(1, 10**6), ticks * Fraction(8, 10**16))
    above, below = (
        Fraction(one_tick_above(rules, price)) / exact,
        Fraction(one_tick_below(rules, price)) / exact,
    )
    assert 1 - doubt <= above - ticks < 2 + doubt
    assert 1 - doubt <= ticks - below < 2 + doubt


@settings(max_examples=250, deadline=None)
@given(
    tick=TICKS, price=PRICES, side=st.sampled_from([-1, 1]), volatility=st.floats(0.0, 0.5),
    horizon=st.integers(1, 300),
    multiples=st.tuples(st.floats(0.1, 20.0), st.floats(0.1, 20.0)),
)  # fmt: skip
def test_no_barrier_is_on_the_wrong_side_of_its_entry(
    tick, price, side, volatility, horizon, multiples
):
    rules = grid(tick)
    for entry in (price, max(round_to_tick(rules, price), tick)):
        upper, lower = barrier_levels(rules, side, entry, volatility, horizon, *multiples, 15.0)
        assert lower < entry < upper
        assert is_on(upper, tick)
        assert is_on(lower, tick)
        assert upper - entry >= tick * (1 - 1e-5) - entry * 1e-15
        assert lower >= least_price(rules) or entry < 2 * tick * (1 + 1e-6)
        if lower > 0.0:
            assert entry - lower >= tick * (1 - 1e-5) - entry * 1e-15


@settings(max_examples=150, deadline=None)
@given(price=PRICES, side=st.sampled_from([-1, 1]), volatility=st.floats(0.0, 0.3))
def test_a_smaller_tick_below_a_border_holds_on_its_side_of_it(price, side, volatility):
    rules = grid(0.01, 0.0001, 1.0)
    upper, lower = barrier_levels(rules, side, price, volatility, 4, 2.0, 1.0, 15.0)
    assert lower < price < upper
    for level in (
        upper,
        lower,
        tick_up(rules, price),
        tick_down(rules, price),
        round_to_tick(rules, price),
    ):
        assert is_on(level, 0.01 if level >= 1.0 else 0.0001)


@pytest.mark.parametrize(
    ("tick", "entry", "volatility", "expected"),
    [
        (0.00001, 1.08778, 0.0006, (1.09147, 1.08593)),  # EURUSD
        (0.001, 151.237, 0.0006, (151.750, 150.980)),  # USDJPY: 0.33941 % and 0.16971 %
        (1e-8, 0.00002345, 0.0006, (0.00002353, 0.00002341)),  # a coin of 8 decimals
        (0.25, 4790.0, 0.0006, (4806.25, 4781.75)),  # ES
        (1 / 32, 118.03125, 0.0006, (118.4375, 117.84375)),  # a bond of 32nds
        (
            0.05,
            98.35,
            0.0,
            (98.5, 98.2),
        ),  # NSE at the smallest barrier, 15 basis points: 98.4975 and 98.2025
        (5.0, 100.0, 0.0, (105.0, 95.0)),  # a tick wider than the barrier
    ],
)
def test_barriers_of_known_instruments(tick, entry, volatility, expected):
    assert barrier_levels(grid(tick), 1, entry, volatility, 8, 2.0, 1.0, 15.0) == expected
    assert barrier_levels.py_func(grid(tick), 1, entry, volatility, 8, 2.0, 1.0, 15.0) == expected


def test_below_one_tick_there_is_no_price():
    rules = grid(0.01)
    assert tick_down(rules, 0.009) == 0.0
    assert least_price(rules) == 0.01
    assert barrier_levels(rules, 1, 0.01, 0.1, 4, 2.0, 1.0, 15.0)[1] == 0.0  # nothing reaches it
    # the profit of a short far below zero
    assert barrier_levels(rules, 1, 0.03, 0.9, 4, 2.0, 1.0, 15.0)[1] == 0.01


@settings(max_examples=200, deadline=None)
@given(
    lot=st.sampled_from([step for step in STEPS if step != 0.015] + [1000.0]),
    count=st.integers(0, 10**9),
    part=st.floats(0.0, 0.999),
)
def test_quantities_are_whole_lots(lot, count, part):
    exact = float(tick_fraction(lot) * count)
    assume(exact < 1e12)
    assert lots_to_quantity(float(count), lot) == pytest.approx(exact, rel=1e-15)
    whole = lots_to_quantity(float(count), lot)
    assert floor_to_lot(whole, lot) == snap_to_lot(whole, lot) == whole
    assert floor_to_lot(whole + part * lot, lot) == pytest.approx(whole, rel=1e-12, abs=lot * 1e-6)


def test_a_rest_of_an_older_smaller_lot_is_kept():
    assert snap_to_lot(10.5, 1.0) == 10.5
    assert snap_to_lot(0.30000000000000004, 0.1) == 0.3


def test_decimals_of_a_step():
    assert [decimals_of(step) for step in (0.01, 0.00001, 1e-8, 0.25, 1 / 32, 5.0, 100.0)] == [
        2,
        5,
        8,
        2,
        5,
        0,
        0,
    ]
    with pytest.raises(ValueError, match="no step of prices"):
        tick_fraction(1 / 3)
