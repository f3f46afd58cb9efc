"""What a trade costs, from the formulas by hand."""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.execution.costs import fee, notional, taker_price
from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.price_grid import (
    floor_to_lot,
    round_to_tick,
    snap_to_lot,
    tick_down,
    tick_up,
)
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.settings import BacktestSettings
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.strategies.settings import StrategySettings

PRICES = st.floats(0.001, 5_000.0)


def record(**costs):
    strategy = StrategySettings(use="tests:none")
    return TradingRules.of(
        RiskSettings(),
        CostSettings(**costs),
        ExecutionNoiseSettings(),
        LabelSettings(),
        strategy,
        BacktestSettings(),
    ).records(["AAA"])[0]


US = record()


def test_the_price_is_the_reference_moved_by_half_the_spread_and_the_square_root_of_participation():
    # 1 bps and 0.5 * 0.01 * sqrt(400 / 10000) = 10 bps: 100 * 1.0011 = 100.11
    rules = record(half_spread_bps=1.0, impact_coefficient=0.5)
    assert taker_price(rules, 1, 100.0, 0.01, 400.0, 10_000.0) == 100.11
    assert taker_price(rules, -1, 100.0, 0.01, 400.0, 10_000.0) == 99.89


def test_prices_are_rounded_to_the_tick_against_us():
    rules = record(half_spread_bps=1.0, impact_coefficient=0.0)
    assert taker_price(rules, 1, 20.0, 0.01, 1.0, 100.0) == 20.01  # 20.002
    assert taker_price(rules, -1, 20.0, 0.01, 1.0, 100.0) == 19.99  # 19.998
    assert taker_price(rules, 1, 0.5, 0.01, 1.0, 100.0) == 0.5001
    assert taker_price(rules, -1, 0.5, 0.01, 1.0, 100.0) == 0.4999


def test_nothing_is_sold_for_nothing_however_great_the_impact():
    assert taker_price(record(impact_coefficient=9.0), -1, 3.0, 2.0, 50.0, 100.0) == 0.0001


@given(price=PRICES)
def test_ticks_are_the_nearest_ones_around_a_price(price):
    step = Decimal("0.01") if price >= 1 else Decimal("0.0001")
    exact = Decimal(price)
    for found, rounding in (
        (tick_up(US, price), ROUND_CEILING),
        (tick_down(US, price), ROUND_FLOOR),
    ):
        expected = (exact / step).to_integral_value(rounding) * step
        assert found == pytest.approx(float(expected), abs=1e-12) or abs(
            found - price
        ) < 1e-6 * float(step)
    assert tick_down(US, price) <= price + 1e-8
    assert tick_up(US, price) >= price - 1e-8


@given(cents=st.integers(100, 10**7))
def test_a_price_on_the_tick_stays_there(cents):
    price = cents / 100
    assert tick_up(US, price) == tick_down(US, price) == round_to_tick(US, price) == price


@given(price=PRICES, quantity=st.integers(0, 10**6))
def test_notional_is_exact_to_the_ten_thousandth(price, quantity):
    assert notional(price, float(quantity)) == int(
        Decimal(price * quantity * 10_000.0).to_integral_value(ROUND_HALF_EVEN)
    )
    assert notional(price, -float(quantity)) == -notional(price, float(quantity))


def test_notional_rounds_half_to_even():
    assert [notional(0.00005, quantity) for quantity in (1.0, 3.0, 5.0)] == [0, 2, 2]


def test_fees_by_value_by_share_and_on_sales_are_rounded_half_up_to_the_cent():
    rules = record(fee_bps=1.0, fee_per_share=0.005, sell_fee_bps=0.278)
    assert fee(rules, 1, 50.0, 100.0) == 10_000  # 0.50 + 0.50 = 1.00
    assert fee(rules, -1, 50.0, 100.0) == 11_400  # + 5000 * 0.278 bps = 0.139: 1.139
    assert fee(record(fee_per_share=0.005), 1, 50.0, 1.0) == 100  # half a cent becomes a cent
    assert fee(record(fee_per_share=0.004), 1, 50.0, 1.0) == 0


@given(price=st.integers(1, 10**6), quantity=st.integers(1, 10**5), bps=st.integers(0, 50))
def test_fees_are_what_decimal_arithmetic_says(price, quantity, bps):
    value = Decimal(price) / 100 * quantity
    exact = value * bps / 10_000
    if abs(exact * 100 % 1 - Decimal("0.5")) < Decimal("1e-6"):
        return  # a tie that binary floats may see on either side
    assert fee(
        record(fee_bps=float(bps), sell_fee_bps=0.0), 1, price / 100, float(quantity)
    ) == int(exact.quantize(Decimal("0.01"), ROUND_HALF_UP) * 10_000)


@given(
    lots=st.integers(0, 10**7),
    size=st.sampled_from([1.0, 0.1, 0.001, 1e-6, 100.0]),
    part=st.floats(0.0, 0.999),
)
def test_lots_survive_float_error(lots, size, part):
    exact = float(Decimal(str(size)) * lots)
    assert floor_to_lot(exact, size) == exact
    assert floor_to_lot(exact * (1 + 1e-16), size) == exact
    assert floor_to_lot((lots + part) * size, size) == pytest.approx(exact, rel=1e-12)
    assert snap_to_lot(exact + size * 1e-7, size) == exact


def test_python_and_compiled_prices_are_the_same():
    rules = record()
    for reference in (0.37, 1.0, 10.07, 431.19):
        compiled = taker_price(rules, 1, reference, 0.013, 321.0, 9_876.0)
        assert compiled == taker_price.py_func(rules, 1, reference, 0.013, 321.0, 9_876.0)
        assert math.isfinite(compiled)
