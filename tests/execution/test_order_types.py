"""Every way in which an order can be wrong has a reason and a sentence; every right one passes."""

from dataclasses import replace
from datetime import timedelta
from itertools import product

import msgspec
import pytest
from execution.engine_cases import OPEN, rules, ticket
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.execution.order_types import (
    CRYPTO,
    KINDS,
    TIMES_IN_FORCE,
    US_EQUITIES,
    bracket,
    check_groups,
    check_order,
    one_cancels_other,
    one_triggers_other,
)

AAPL = rules()[0]
LIMIT = {"kind": "limit", "limit_price": 100.0}
NAN, INF = float("nan"), float("inf")


def reason(**fields):
    refusal = check_order(ticket("a", **fields), AAPL, US_EQUITIES)
    return None if refusal is None else refusal.reason


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"side": 2}, "side"),
        ({"side": 0}, "side"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": -5}, "quantity"),
        ({"quantity": NAN}, "quantity"),
        ({"quantity": INF}, "quantity"),
        ({"quantity": 1.5}, "lot_size"),
        ({"volatility": NAN}, "volatility"),
        ({"kind": "iceberg"}, "kind"),
        ({"force": "gtd"}, "time_in_force"),
        ({"kind": "limit"}, "limit_price"),
        ({"kind": "limit", "limit_price": 0.0}, "limit_price"),
        ({"kind": "limit", "limit_price": -1.0}, "limit_price"),
        ({"kind": "limit", "limit_price": NAN}, "limit_price"),
        ({"kind": "limit", "limit_price": 100.005}, "tick_size"),
        ({"kind": "limit", "limit_price": 0.12345}, "tick_size"),
        ({"kind": "market", "limit_price": 100.0}, "limit_price"),
        ({"kind": "stop"}, "stop_price"),
        ({"kind": "stop", "stop_price": 100.0, "limit_price": 99.0}, "limit_price"),
        ({"kind": "stop_limit", "stop_price": 100.0}, "limit_price"),
        ({"kind": "trailing_stop"}, "trail"),
        ({"kind": "trailing_stop", "trail_amount": 1.0, "trail_percent": 1.0}, "trail"),
        ({"kind": "trailing_stop", "trail_percent": 100.0}, "trail"),
        ({"kind": "trailing_stop", "trail_amount": NAN}, "trail"),
        ({"kind": "limit", "limit_price": 100.0, "trail_amount": 1.0}, "trail"),
        ({"kind": "stop", "stop_price": 100.0, "force": "ioc"}, "time_in_force"),
        ({"force": "fok", "parent_id": "p"}, "time_in_force"),
        ({"after_parent": "never"}, "parent"),
        ({"extended_hours": True}, "extended_hours"),
        ({**LIMIT, "extended_hours": True, "force": "ioc"}, "extended_hours"),
        ({**LIMIT, "extended_hours": True, "oco_id": "x"}, "extended_hours"),
        ({"post_only": True}, "post_only"),
        ({**LIMIT, "post_only": True, "force": "ioc"}, "post_only"),
        ({**LIMIT, "post_only": True}, None),
        ({**LIMIT, "extended_hours": True}, None),
        ({**LIMIT, "extended_hours": True, "force": "gtc"}, None),
        ({"kind": "limit", "limit_price": 0.1234}, None),
        ({"kind": "stop_limit", "stop_price": 10.07, "limit_price": 10.11}, None),
        ({"kind": "trailing_stop", "trail_percent": 0.5}, None),
    ],
)
def test_an_order_is_refused_with_its_reason(fields, expected):
    assert reason(**fields) == expected


def test_an_unknown_symbol_is_refused_by_name():
    refusal = check_order(ticket("a"), None, US_EQUITIES)
    assert (refusal.reason, "'AAA'" in refusal.message) == ("unknown_symbol", True)


def test_a_lot_and_a_least_quantity_are_the_instrument_s():
    terms = rules(lot_size=0.001)[0].copy()
    terms["minimum_quantity"] = 0.01
    assert check_order(ticket("a", quantity=0.123), terms, US_EQUITIES) is None
    assert check_order(ticket("a", quantity=0.1234), terms, US_EQUITIES).reason == "lot_size"
    found = check_order(ticket("a", quantity=0.002), terms, US_EQUITIES)
    assert found.reason == "minimum_quantity"


def test_a_venue_takes_its_own_kinds_and_times():
    taken = {
        (kind, force)
        for kind, force in product(KINDS, TIMES_IN_FORCE)
        if check_order(ticket("a", kind=kind, force=force, **PRICES[kind]), AAPL, CRYPTO) is None
    }
    assert taken == {
        ("market", "gtc"), ("market", "ioc"), ("limit", "gtc"), ("limit", "ioc"),
        ("stop_limit", "gtc"),
    }  # fmt: skip
    extended = ticket("a", extended_hours=True, **LIMIT)
    assert check_order(extended, AAPL, replace(US_EQUITIES, extended_hours=False)) is not None


PRICES = {
    "market": {},
    "limit": {"limit_price": 100.0},
    "stop": {"stop_price": 100.0},
    "stop_limit": {"stop_price": 100.0, "limit_price": 99.0},
    "trailing_stop": {"trail_amount": 1.0},
}


@given(
    side=st.one_of(st.integers(-3, 3), st.floats()),
    quantity=st.one_of(st.floats(), st.integers(-5, 500), st.none(), st.text(max_size=2)),
    kind=st.sampled_from([*KINDS, "", "x"]),
    force=st.sampled_from([*TIMES_IN_FORCE, "x"]),
    limit_price=st.one_of(st.none(), st.floats(), st.just(100.0)),
    stop_price=st.one_of(st.none(), st.floats(), st.just(99.0)),
    trail=st.one_of(st.none(), st.floats()),
)
def test_whatever_a_strategy_sends_is_answered_and_nothing_raises(
    side, quantity, kind, force, limit_price, stop_price, trail
):
    one = msgspec.structs.replace(
        ticket("a"), side=side, quantity=quantity, kind=kind, time_in_force=force,
        limit_price=limit_price, stop_price=stop_price, trail_amount=trail,
    )  # fmt: skip
    refusal = check_order(one, AAPL, US_EQUITIES)
    if refusal is None:
        assert side in (-1, 1)
        assert quantity >= 1
        assert kind in KINDS
        assert force in TIMES_IN_FORCE
    else:
        assert refusal.reason
        assert refusal.message


def test_a_bracket_is_an_entry_and_two_orders_of_which_one_cancels_the_other():
    entry, take, stop = bracket(ticket("e", quantity=7), 104.0, 98.0, stop_limit=97.5)
    assert (take.kind, take.side, take.limit_price, take.quantity) == ("limit", -1, 104.0, 7.0)
    assert (stop.kind, stop.stop_price, stop.limit_price) == ("stop_limit", 98.0, 97.5)
    assert {take.parent_id, stop.parent_id} == {entry.order_id}
    assert take.oco_id == stop.oco_id
    assert take.reduce_only
    assert check_groups([entry, take, stop]) == {}


def test_a_group_that_is_none_is_refused():
    one, two = ticket("a", quantity=5), ticket("b", quantity=6)
    assert reasons([one, one]) == {"a": "duplicate_order"}
    assert reasons(one_cancels_other("x", one, two)) == {"a": "oco", "b": "oco"}
    assert reasons([*one_cancels_other("x", one), two]) == {"a": "oco"}
    many = [ticket(f"a{number}") for number in range(9)]
    assert set(reasons(one_cancels_other("x", *many)).values()) == {"oco"}
    other = msgspec.structs.replace(two, symbol="BBB")
    assert reasons(one_triggers_other(one, other)) == {"b": "parent"}
    later = msgspec.structs.replace(one, order_id="c", submitted_at=OPEN + timedelta(hours=1))
    assert reasons(one_cancels_other("x", one, later)) == {}


def reasons(tickets):
    return {name: refusal.reason for name, refusal in check_groups(tickets).items()}
