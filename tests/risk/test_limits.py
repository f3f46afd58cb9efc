"""The gate: what each limit refuses, by its own name, and that nothing gets past it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.portfolio.kernel_types import (
    ACCOUNT,
    APPROVE,
    BAR,
    HALT,
    MONEY,
    POSITION,
    QUEUE,
    REASON_NAMES,
    REFUSE,
    RESIZE,
    RULES,
    VERDICT_NAMES,
)
from harmony_pipeline.risk.limits import judge_entry

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
NOW, MINUTE = 1_720_000_000_000_000, 60_000_000
# wants 10 000, 200 shares
ENTRY = {"side": 1, "price": 50.0, "strength": 1.0, "volatility": 0.01, "probability": math.nan}


def gate(rules=None, account=None, own=(0.0, 0.0, 0.0, 0), position=None, **entry):
    """(shares, reason where there are none) of an entry into symbol 0, the only one."""
    verdict = verdict_of(rules, account, own, position, **entry)
    return verdict.quantity, REASON_NAMES[verdict.reason] if verdict.quantity == 0.0 else ""


def verdict_of(rules=None, account=None, own=(0.0, 0.0, 0.0, 0), position=None, others=(), **entry):
    """The verdict; `others` are dicts of the other symbols' POSITION and RULES fields."""
    positions, state = np.zeros(1 + len(others), POSITION), np.zeros(1, ACCOUNT)
    rule = np.zeros(1 + len(others), RULES)
    for name, value in {**GENEROUS, **(rules or {})}.items():
        rule[name] = value
    for name, value in {**CALM, **(account or {})}.items():
        state[name] = round(value * MONEY) if name in CURRENCY else value
    positions[0]["gross"], positions[0]["lowest"], positions[0]["highest"] = (
        round(value * MONEY) for value in own[:3]
    )
    positions[0]["counted"] = own[3]
    for name, value in (position or {}).items():
        positions[0][name] = value
    for row, other in enumerate(others, start=1):
        for name, value in other.items():
            if name in RULES.names:
                rule[row][name] = value
            else:
                positions[row][name] = round(value * MONEY)
    asked, bar = {**ENTRY, **entry}, np.zeros(1, BAR)
    asked["signal"], asked["close"] = asked.pop("side"), asked.pop("price")
    now = asked.pop("now", NOW)
    for name, value in asked.items():
        bar[name] = value
    return judge_entry(positions, state[0], rule, bar[0], now)


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


@settings(max_examples=150)
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


# --- verdicts and the limits that are off by default ------------------------------------------------

BOUGHT, SHORTED = {"highest": 60_000.0, "gross": 60_000.0}, {"lowest": -30_000.0, "gross": 30_000.0}


def answer(*others, **given):
    verdict = verdict_of(others=others, **given)
    return VERDICT_NAMES[verdict.answer], verdict.quantity, REASON_NAMES[verdict.reason]


def test_every_answer_is_a_value_with_its_reason():
    assert answer() == ("approve", 200.0, "")
    assert answer(rules={"max_position": 0.05}) == ("resize", 100.0, "max_position")
    assert answer(rules={"max_position": 0.05, "refuse_over_limit": 1}) == (
        "refuse",
        0.0,
        "max_position",
    )
    assert answer(account={"halted": 1}) == ("halt", 0.0, "max_drawdown")
    assert answer(strength=math.nan) == ("refuse", 0.0, "bad_input")
    full = {"rate_last": NOW, "rate_from": NOW, "rate_count": 1}
    rate = {"max_orders_per_minute": 1, "longest_queue": 5 * MINUTE}
    assert answer(rules={**rate, "queue_orders": 1}, account=full) == ("queue", 200.0, "")
    assert verdict_of({**rate, "queue_orders": 1}, full).release_at == NOW + MINUTE
    assert answer(rules=rate, account=full) == ("refuse", 0.0, "order_rate")
    assert {APPROVE, RESIZE, QUEUE, REFUSE, HALT} == set(range(1, 6))


def test_what_the_rule_of_size_wanted_is_told_whatever_became_of_it():
    assert verdict_of().wanted == 200.0
    assert verdict_of({"max_position": 0.05}).wanted == 200.0
    assert verdict_of({"max_position": 0.05, "refuse_over_limit": 1}).wanted == 200.0
    assert verdict_of({"minimum_order_value": 1e9}).wanted == 200.0
    assert verdict_of({"lot_size": 1e9}).wanted == 0.0
    assert verdict_of(account={"halted": 1}).wanted == 0.0


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"account": {"week_stopped": 1}}, ("halt", 0.0, "max_weekly_loss")),
        ({"rules": {"trading_state": 1}}, ("halt", 0.0, "kill_switch")),
        ({"rules": {"trading_state": 2}}, ("halt", 0.0, "kill_switch")),
        ({"account": {"data_state": 1}}, ("halt", 0.0, "stale_data")),
        ({"position": {"paused_until": NOW + 1}}, ("refuse", 0.0, "symbol_cooldown")),
        ({"position": {"paused_until": NOW}}, ("approve", 200.0, "")),
        (
            {"position": {"intent_until": NOW + 1, "intent_side": 1}},
            ("refuse", 0.0, "duplicate_intent"),
        ),
        ({"position": {"intent_until": NOW + 1, "intent_side": -1}}, ("approve", 200.0, "")),
        (
            {"rules": {"price_collar": 0.01}, "position": {"prior_price": 49.0}},
            ("refuse", 0.0, "price_collar"),
        ),
        ({"rules": {"price_collar": 0.03}, "position": {"prior_price": 49.0}}, ("approve", 200.0, "")),
        ({"rules": {"price_collar": 0.01}, "open": 49.0}, ("refuse", 0.0, "price_collar")),
        ({"rules": {"price_collar": 0.01}, "open": math.nan}, ("refuse", 0.0, "price_collar")),
    ],
)  # fmt: skip
def test_what_stops_or_pauses_an_entry(given, expected):
    assert answer(**given) == expected


def test_losses_in_a_row_pause_entries_until_the_pause_is_over():
    rules = {"max_consecutive_losses": 3, "loss_pause": 10 * MINUTE}
    lost = {"losses": 3, "lost_at": NOW - 10 * MINUTE + 1}
    assert answer(rules=rules, account=lost) == ("refuse", 0.0, "consecutive_losses")
    assert answer(rules=rules, account={**lost, "losses": 2})[0] == "approve"
    assert answer(rules=rules, account={**lost, "lost_at": NOW - 10 * MINUTE})[0] == "approve"


def test_purchases_leave_the_buffer_in_cash_and_short_proceeds_buy_nothing():
    rules = {"usable_cash": 0.65}  # of 100 000, with 60 000 bought: 5 000 are left
    assert answer(BOUGHT, rules=rules) == ("resize", 100.0, "cash_buffer")
    assert answer(BOUGHT, SHORTED, rules=rules) == ("resize", 100.0, "cash_buffer")
    assert answer(BOUGHT, rules=rules, side=-1) == ("approve", 200.0, "")
    assert answer(BOUGHT, rules={"usable_cash": 0.6}) == ("refuse", 0.0, "cash_buffer")
    # a reversal out of a long position: its own money comes back
    assert answer(rules=rules, own=(60_000.0, 0.0, 60_000.0, 1)) == ("approve", 200.0, "")


def test_a_sector_counts_what_is_in_it_alone():
    rules = {"max_sector_exposure": 0.65, "sector": 2}
    assert answer({**BOUGHT, "sector": 2}, rules=rules) == ("resize", 100.0, "max_sector_exposure")
    assert answer({**BOUGHT, "sector": 1}, rules=rules) == ("approve", 200.0, "")
    both = ({**BOUGHT, "sector": 2}, {**SHORTED, "sector": 2})
    assert answer(*both, rules=rules) == ("refuse", 0.0, "max_sector_exposure")
    unknown = {"max_sector_exposure": 0.65, "sector": 0}  # symbols of no known sector are one
    assert answer(BOUGHT, rules=unknown) == ("resize", 100.0, "max_sector_exposure")
