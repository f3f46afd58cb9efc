"""The gate: what each limit refuses, by its own name, and that nothing gets past it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.portfolio.kernel_types import ACCOUNT, MONEY, REASON_NAMES, RULES
from harmony_pipeline.risk.limits import permitted_entry

GENEROUS = {
    "lot_size": 1.0, "allow_short": 1, "target_trade_volatility": 0.004, "kelly_fraction": 0.25,
    "max_position": 1.0, "max_gross_exposure": 10.0, "max_net_exposure": 10.0,
    "max_open_positions": 20, "minimum_order_value": 200.0, "horizon": 16, "profit_take": 2.0,
    "stop_loss": 1.0,
    "multiplier": 1.0, "shortable": 1, "small_tick_numerator": 1.0,
    "small_tick_denominator": 10_000.0,
}  # fmt: skip
CALM = {"equity": 100_000.0}
CURRENCY = ("equity", "gross", "lowest", "highest")
# wants 10 000, 200 shares
ENTRY = {"side": 1, "price": 50.0, "strength": 1.0, "volatility": 0.01, "probability": math.nan}


def gate(rules=None, account=None, own=(0.0, 0.0, 0.0, 0), **entry):
    rule, state = np.zeros(1, RULES), np.zeros(1, ACCOUNT)
    for name, value in {**GENEROUS, **(rules or {})}.items():
        rule[name] = value
    for name, value in {**CALM, **(account or {})}.items():
        state[name] = round(value * MONEY) if name in CURRENCY else value
    asked = {**ENTRY, **entry}
    quantity, reason = permitted_entry(
        rule[0], state[0], *asked.values(), *(round(value * MONEY) for value in own[:3]), own[3]
    )
    return quantity, REASON_NAMES[reason]


def test_a_sound_entry_passes_at_the_size_it_wants():
    assert gate() == (200.0, "")


@pytest.mark.parametrize(
    ("rules", "account", "entry", "expected"),
    [
        ({}, {"halted": 1}, {}, (0.0, "max_drawdown")),
        ({}, {"entries_stopped": 1}, {}, (0.0, "max_daily_loss")),
        ({"allow_short": 0}, {}, {"side": -1}, (0.0, "allow_short")),
        ({"allow_short": 0}, {}, {}, (200.0, "")),
        ({}, {"counted": 20}, {}, (0.0, "max_open_positions")),
        ({}, {"counted": 19}, {}, (200.0, "")),
        ({}, {}, {"probability": 0.3}, (0.0, "no_edge")),
        ({"max_position": 0.05}, {}, {}, (100.0, "")),
        ({"max_position": 0.001}, {}, {}, (0.0, "max_position")),
        ({"max_gross_exposure": 1.0}, {"gross": 95_000.0}, {}, (100.0, "")),
        ({"max_gross_exposure": 1.0}, {"gross": 99_900.0}, {}, (0.0, "max_gross_exposure")),
        # prices moved; nothing is added
        ({"max_gross_exposure": 1.0}, {"gross": 120_000.0}, {}, (0.0, "max_gross_exposure")),
        ({"max_net_exposure": 0.6}, {"highest": 57_500.0}, {}, (50.0, "")),
        ({"max_net_exposure": 0.6}, {"highest": 60_000.0}, {}, (0.0, "max_net_exposure")),
        # gets nearer to zero
        (
            {"max_net_exposure": 0.6},
            {"highest": 60_000.0, "lowest": 60_000.0},
            {"side": -1},
            (200.0, ""),
        ),
        ({"max_net_exposure": 0.6}, {"lowest": -59_000.0}, {"side": -1}, (20.0, "")),
        ({}, {}, {"price": 20_000.0}, (0.0, "lot_size")),
        ({}, {}, {"strength": 0.01}, (0.0, "minimum_order_value")),
        ({"minimum_order_value": 10_000.0}, {}, {}, (200.0, "")),
        ({"lot_size": 0.001}, {}, {"price": 20_000.0}, (0.5, "")),
        ({"lot_size": 100.0}, {}, {"price": 30.0}, (300.0, "")),
    ],
)
def test_each_limit_refuses_by_its_own_name(rules, account, entry, expected):
    assert gate(rules, account, **entry) == expected


@pytest.mark.parametrize("volatility", [1e-9, 1e-12, 1e-13, 1e-15, 1e-17, 1e-300])
@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(("price", "lot"), [(50.0, 1.0), (1e-6, 1e-8), (1e6, 0.001)])
def test_a_price_that_nearly_stood_still_gets_past_no_limit(volatility, side, price, lot):
    quantity, reason = gate(
        {"lot_size": lot, "max_position": 0.15}, side=side, volatility=volatility, price=price
    )
    assert reason == ""
    assert 0.0 < quantity * price <= 15_000.0 * (1 + 1e-15)
    assert quantity * price > 15_000.0 - 2 * max(lot * price, 1e-4)


@pytest.mark.parametrize("fraction", [1.0, 1e6, 1e12, 1e300])
def test_a_limit_beyond_all_money_binds_no_less_than_the_others(fraction):
    rules = {"max_position": fraction, "max_gross_exposure": 0.5, "max_net_exposure": fraction}
    assert gate(rules, {"gross": 10_000.0}, volatility=1e-15) == (800.0, "")
    assert gate(
        {**rules, "max_gross_exposure": fraction, "max_net_exposure": 0.5},
        {"highest": 10_000.0},
        volatility=1e-15,
    ) == (800.0, "")


@pytest.mark.parametrize("name", ["price", "strength", "volatility"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -1.0])
def test_an_input_that_is_no_sound_number_is_refused(name, value):
    assert gate(**{name: value}) == (0.0, "bad_input")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("probability", -0.1),
        ("probability", 1.1),
        ("probability", math.inf),
        ("strength", 1.5),
        ("side", 0),
        ("side", 2),
    ],
)
def test_an_input_out_of_range_is_refused(name, value):
    assert gate(**{name: value}) == (0.0, "bad_input")


def test_without_equity_nothing_is_allowed():
    assert gate(account={"equity": 0.0}) == (0.0, "bad_input")
    assert gate(account={"equity": -5.0}) == (0.0, "bad_input")


def test_a_reversal_takes_the_place_of_its_own_position():
    full = {"gross": 100_000.0, "lowest": 0.0, "highest": 100_000.0, "counted": 20}
    assert gate({"max_gross_exposure": 1.0, "max_net_exposure": 1.0}, full, side=-1) == (
        0.0,
        "max_open_positions",
    )
    assert gate(
        {"max_gross_exposure": 1.0, "max_net_exposure": 1.0},
        full,
        own=(100_000.0, 0.0, 100_000.0, 1),
        side=-1,
    ) == (200.0, "")


NUMBERS = st.one_of(
    st.floats(-10.0, 1e6), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0])
)


@settings(max_examples=300)
@given(
    rules=st.fixed_dictionaries(
        {
            "lot_size": st.sampled_from([1.0, 0.001, 10.0]),
            "allow_short": st.integers(0, 1),
            "target_trade_volatility": st.floats(1e-4, 0.5),
            "max_position": st.floats(0.001, 3.0),
            "max_gross_exposure": st.floats(0.001, 3.0),
            "max_net_exposure": st.floats(0.001, 3.0),
            "max_open_positions": st.integers(1, 5),
            "minimum_order_value": st.sampled_from([0.0, 200.0, 5_000.0]),
        }
    ),
    equity=st.floats(1.0, 1e7),
    gross=st.floats(0.0, 3e6),
    share=st.floats(-1.0, 1.0),
    counted=st.integers(0, 6),
    entry=st.fixed_dictionaries(
        {
            "side": st.sampled_from([-1, 1]),
            "price": NUMBERS,
            "strength": NUMBERS,
            "volatility": NUMBERS,
            "probability": NUMBERS,
        }
    ),
)
def test_whatever_comes_in_no_limit_is_exceeded(rules, equity, gross, share, counted, entry):
    account = {
        "equity": equity,
        "gross": gross,
        "lowest": min(share, 0.0) * gross,
        "highest": max(share, 0.0) * gross,
        "counted": counted,
    }
    quantity, reason = gate(rules, account, **entry)
    assert (quantity > 0.0) == (reason == "")
    if quantity == 0.0:
        return
    value, cent = quantity * entry["price"], 0.01
    assert math.isfinite(quantity)
    assert value <= rules["max_position"] * equity + cent
    assert gross + value <= rules["max_gross_exposure"] * equity + cent
    assert (
        abs(share) * gross * (share * entry["side"] > 0) + value
        <= rules["max_net_exposure"] * equity + cent
    )
    assert counted < rules["max_open_positions"]
    assert value >= rules["minimum_order_value"]
    assert entry["side"] > 0 or rules["allow_short"]
    assert quantity / rules["lot_size"] == pytest.approx(
        round(quantity / rules["lot_size"]), abs=1e-6
    )
