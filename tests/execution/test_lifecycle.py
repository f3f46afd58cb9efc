"""The order lifecycle: its whole table, and the laws that hold over any sequence of events."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.errors import BrokerContradiction
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.lifecycle import (
    FACTS,
    FINAL,
    ORDER_OPEN,
    TABLE,
    Order,
    Status,
    apply,
    diagram,
    start,
)

T = datetime(2024, 3, 5, 15, 0, tzinfo=UTC)
TERMS = ev.OrderTerms(
    client_order_id="s-1",
    order_id="X-1-entry",
    symbol="X",
    role="entry",
    side="buy",
    quantity=10.0,
    decided_at=T,
)
HEAD = {"happened_at": T, "known_at": T, "client_order_id": "s-1", "symbol": "X"}


def execution(
    name: str,
    quantity: float,
    total: float,
    kind: type[ev.OrderPartiallyFilled] = ev.OrderPartiallyFilled,
    price: float = 5.0,
) -> ev.OrderPartiallyFilled:
    return kind(
        **HEAD,
        execution_id=name,
        side="buy",
        quantity=quantity,
        price=price,
        cumulative_quantity=total,
    )  # type: ignore[arg-type]


MAKE: dict[type, Callable[[], ev.AnyOrderFact]] = {
    ev.OrderIntended: lambda: ev.OrderIntended(**HEAD, order=TERMS),
    ev.OrderRefused: lambda: ev.OrderRefused(**HEAD, order=TERMS, reason="max_position"),
    ev.OrderOutcomeUnknown: lambda: ev.OrderOutcomeUnknown(**HEAD, reason="timeout"),
    ev.OrderPartiallyFilled: lambda: execution("p", 2.0, 4.0),
    ev.OrderFilled: lambda: execution("f", 8.0, 10.0, ev.OrderFilled),
    ev.OrderRejected: lambda: ev.OrderRejected(**HEAD, reason="no"),
    ev.OrderAdjusted: lambda: ev.OrderAdjusted(**HEAD, quantity=10.0),
    ev.OrderReplaced: lambda: ev.OrderReplaced(**HEAD, replaced_by="s-2"),
}


def fact(kind: type) -> ev.AnyOrderFact:
    return MAKE[kind]() if kind in MAKE else kind(**HEAD)


def order_in(status: Status) -> Order:
    """An order in `status` that has seen one execution of 2 where that is possible."""
    fills = {
        Status.FILLED: 10.0,
        Status.PARTIALLY_FILLED: 2.0,
        Status.CANCELED: 2.0,
        Status.EXPIRED: 2.0,
        Status.REPLACED: 2.0,
    }.get(status, 0.0)
    return Order(
        TERMS, status, fills, ("seen",) if fills else (), min(fills, 2.0), 5.0 if fills else None
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    list(product(Status, FACTS)),
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_every_pair_is_either_in_the_table_or_a_contradiction_that_changes_nothing(
    status: Status, kind: type
) -> None:
    order = order_in(status)
    expected = TABLE.get((status, kind))
    if expected is None:
        with pytest.raises(BrokerContradiction, match=r"reconcile"):
            apply(order, fact(kind))
        assert order == order_in(status)
        return
    after = apply(order, fact(kind))
    assert after.status == expected or (
        expected is Status.ACCEPTED and after.status is Status.PARTIALLY_FILLED
    )
    assert order == order_in(status)


def test_the_table_never_reopens_a_final_status() -> None:
    assert not [
        (before, kind)
        for (before, kind), after in TABLE.items()
        if before in FINAL and after in ORDER_OPEN
    ]


def test_only_a_fill_may_change_one_final_status_into_another() -> None:
    changed = {
        (before, kind.__name__, after)
        for (before, kind), after in TABLE.items()
        if before in FINAL and after is not before
    }
    assert changed == {
        (Status.CANCELED, "OrderFilled", Status.FILLED),
        (Status.EXPIRED, "OrderFilled", Status.FILLED),
    }


def test_the_diagram_shows_every_row_that_changes_the_status() -> None:
    lines = diagram().splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert len(lines) - 1 == sum(before is not after for (before, _), after in TABLE.items())
    assert "    canceled --> filled: filled" in lines


def test_refused_orders_never_hear_from_a_broker() -> None:
    assert {kind for (before, kind) in TABLE if before is Status.REFUSED} == {ev.OrderRefused}


# The ugly real cases, told as stories: the events in the order in which they arrive, and where the
# order must end.
STORIES: dict[str, tuple[list[ev.AnyOrderFact], Status, float]] = {
    "usual": (
        [fact(ev.OrderSubmitted), fact(ev.OrderAccepted), execution("a", 10, 10, ev.OrderFilled)],
        Status.FILLED,
        10,
    ),
    "the stream overtakes the answer": (
        [fact(ev.OrderAccepted), execution("a", 10, 10, ev.OrderFilled), fact(ev.OrderSubmitted)],
        Status.FILLED,
        10,
    ),
    "new after fill": (
        [fact(ev.OrderSubmitted), execution("a", 10, 10, ev.OrderFilled), fact(ev.OrderAccepted)],
        Status.FILLED,
        10,
    ),
    "fill after a cancel request": (
        [
            fact(ev.OrderAccepted),
            fact(ev.OrderCancelRequested),
            execution("a", 10, 10, ev.OrderFilled),
            fact(ev.OrderCancelRejected),
        ],
        Status.FILLED,
        10,
    ),
    "pending cancel fills in part, then cancels": (
        [
            fact(ev.OrderAccepted),
            fact(ev.OrderCancelRequested),
            execution("a", 4, 4),
            fact(ev.OrderCanceled),
        ],
        Status.CANCELED,
        4,
    ),
    "executed before the cancel, delivered after it": (
        [fact(ev.OrderAccepted), fact(ev.OrderCanceled), execution("a", 4, 4)],
        Status.CANCELED,
        4,
    ),
    "cancel turned down with fills": (
        [execution("a", 4, 4), fact(ev.OrderCancelRequested), fact(ev.OrderCancelRejected)],
        Status.PARTIALLY_FILLED,
        4,
    ),
    "the same execution twice": (
        [
            execution("a", 4, 4),
            execution("a", 4, 4),
            execution("b", 6, 10, ev.OrderFilled),
            execution("b", 6, 10, ev.OrderFilled),
        ],
        Status.FILLED,
        10,
    ),
    "executions out of order": (
        [execution("b", 6, 10, ev.OrderFilled), execution("a", 4, 4)],
        Status.FILLED,
        10,
    ),
    "a lost execution": ([execution("b", 6, 10, ev.OrderFilled)], Status.FILLED, 10),
    "held leg that is filled at once": (
        [fact(ev.OrderHeld), execution("a", 10, 10, ev.OrderFilled)],
        Status.FILLED,
        10,
    ),
    "held leg whose sibling was filled": (
        [fact(ev.OrderHeld), fact(ev.OrderCanceled)],
        Status.CANCELED,
        0,
    ),
    "outcome unknown, then found": (
        [
            fact(ev.OrderOutcomeUnknown),
            fact(ev.OrderAccepted),
            execution("a", 10, 10, ev.OrderFilled),
        ],
        Status.FILLED,
        10,
    ),
    "outcome unknown, sent again under the same id": (
        [fact(ev.OrderOutcomeUnknown), fact(ev.OrderSubmitted), fact(ev.OrderAccepted)],
        Status.ACCEPTED,
        0,
    ),
    "rejected long after it was accepted": (
        [fact(ev.OrderSubmitted), fact(ev.OrderAccepted), fact(ev.OrderRejected)],
        Status.REJECTED,
        0,
    ),
    "replaced after a partial fill": (
        [execution("a", 4, 4), fact(ev.OrderReplaceRequested), fact(ev.OrderReplaced)],
        Status.REPLACED,
        4,
    ),
    "the replacement lost to a fill": (
        [
            fact(ev.OrderReplaceRequested),
            execution("a", 10, 10, ev.OrderFilled),
            fact(ev.OrderReplaceRejected),
        ],
        Status.FILLED,
        10,
    ),
    "expired while a cancel was pending": (
        [fact(ev.OrderAccepted), fact(ev.OrderCancelRequested), fact(ev.OrderExpired)],
        Status.EXPIRED,
        0,
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_real_stories_end_where_they_must(name: str) -> None:
    facts, status, filled = STORIES[name]
    order = start(ev.OrderIntended(**HEAD, order=TERMS))  # type: ignore[arg-type]
    for event in facts:
        order = apply(order, event)
    assert (order.status, order.filled_quantity) == (status, filled)


def test_an_overfill_is_a_contradiction() -> None:
    order = apply(order_in(Status.ACCEPTED), execution("a", 8.0, 8.0))
    with pytest.raises(BrokerContradiction, match="ordered were 10"):
        apply(order, execution("b", 8.0, 16.0))
    with pytest.raises(BrokerContradiction):
        # the broker's total says that this execution cannot be new
        apply(order, execution("b", 8.0, 8.0))


def test_filled_with_less_than_ordered_is_a_contradiction() -> None:
    with pytest.raises(BrokerContradiction, match="look it up"):
        apply(order_in(Status.ACCEPTED), execution("a", 4.0, 4.0, ev.OrderFilled))


def test_after_a_split_the_new_quantity_counts() -> None:
    order = apply(order_in(Status.ACCEPTED), ev.OrderAdjusted(**HEAD, quantity=20.0))  # type: ignore[arg-type]
    assert apply(order, execution("a", 20.0, 20.0, ev.OrderFilled)).status is Status.FILLED
    assert order.terms.quantity == 10.0  # what was decided stays on record


def test_a_new_total_that_is_told_again_changes_nothing_whatever_came_of_the_order_since() -> None:
    told = ev.OrderAdjusted(**HEAD, quantity=20.0)  # type: ignore[arg-type]
    order = apply(order_in(Status.ACCEPTED), told)
    assert apply(order, told) is order
    done = apply(order, execution("f", 20.0, 20.0, ev.OrderFilled))
    assert done.status is Status.FILLED
    assert apply(done, told) is done
    with pytest.raises(BrokerContradiction):
        apply(done, ev.OrderAdjusted(**HEAD, quantity=21.0))  # type: ignore[arg-type]


def test_an_event_of_another_order_is_refused() -> None:
    with pytest.raises(BrokerContradiction, match="s-9"):
        apply(
            order_in(Status.ACCEPTED),
            ev.OrderCanceled(happened_at=T, known_at=T, client_order_id="s-9", symbol="X"),
        )


def test_the_average_price_is_weighted_by_shares() -> None:
    order = apply(order_in(Status.ACCEPTED), execution("a", 4.0, 4.0, price=5.0))
    order = apply(order, execution("b", 6.0, 10.0, ev.OrderFilled, price=6.0))
    assert order.average_price == pytest.approx((4 * 5 + 6 * 6) / 10)


facts_drawn = st.one_of(
    st.sampled_from(
        [kind for kind in FACTS if kind not in (ev.OrderPartiallyFilled, ev.OrderFilled)]
    ).map(fact),
    st.builds(
        execution,
        st.sampled_from("abcdefgh"),
        st.floats(0.5, 12.0),
        st.floats(0.5, 12.0),
        st.sampled_from([ev.OrderPartiallyFilled, ev.OrderFilled]),
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(facts_drawn, max_size=25))
def test_whatever_arrives_no_order_is_overfilled_and_final_stays_final(
    events: list[ev.AnyOrderFact],
) -> None:
    order = Order(TERMS)
    for event in events:
        before = order
        try:
            order = apply(order, event)
        except BrokerContradiction:
            assert order is before
            continue
        assert 0.0 <= before.filled_quantity <= order.filled_quantity <= TERMS.quantity + 1e-9
        assert order.seen_quantity <= order.filled_quantity + 1e-9
        assert len(set(order.executions)) == len(order.executions)
        assert not (before.status in FINAL and order.is_open)
        if before.status in (Status.FILLED, Status.REJECTED, Status.REFUSED, Status.REPLACED):
            assert order.status is before.status
