"""The life of one order as one table: (status, event) -> status.

A pair that is not in the table is a contradiction between broker and ledger; it raises
`BrokerContradiction` and changes nothing. A status that is final never becomes open again, and no
order is ever filled beyond its quantity. Events may come late, twice, or in another order than they
happened, because brokers deliver them so (Alpaca's documentation and recorded streams); every such
row says which case it is.

Quantities come from the broker's own running total, never from adding executions up: a lost
execution must not make us think that an order is open.
"""

import typing
from enum import StrEnum
from itertools import chain

import msgspec

from harmony_pipeline.errors import BrokerContradiction
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.events import AnyOrderFact, OrderTerms


class Status(StrEnum):
    """Where an order stands. `REFUSED` is our own no, `REJECTED` the broker's."""

    INTENDED = "intended"
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    HELD = "held"
    PARTIALLY_FILLED = "partially_filled"
    CANCEL_REQUESTED = "cancel_requested"
    REPLACE_REQUESTED = "replace_requested"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    REFUSED = "refused"
    REPLACED = "replaced"


S = Status
FINAL = frozenset({S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED, S.REFUSED, S.REPLACED})
ORDER_OPEN = frozenset(S) - FINAL
QUANTITY_TOLERANCE = 1e-9  # shares; totals travel as decimal text and come back as floats

FACTS: tuple[type[AnyOrderFact], ...] = typing.get_args(AnyOrderFact)
Row = dict[Status, Status]


def _stay(*statuses: Status) -> Row:
    return {status: status for status in statuses}


def _to(after: Status, *before: Status) -> Row:
    return dict.fromkeys(before, after)


# the broker may know it; we have no word from the exchange yet
_SENT = (S.INTENDED, S.SUBMITTED, S.UNKNOWN)
_WORKING = (*_SENT, S.ACCEPTED, S.HELD, S.PARTIALLY_FILLED, S.CANCEL_REQUESTED, S.REPLACE_REQUESTED)

# One block per fact; the first row is the usual one.
TRANSITIONS: dict[type[AnyOrderFact], Row] = {
    # written again after a crash between the ledger and the broker
    ev.OrderIntended: _stay(S.INTENDED),
    # the second is a restart that decides the same again
    ev.OrderRefused: _to(S.REFUSED, S.INTENDED) | _stay(S.REFUSED),
    ev.OrderSubmitted: (
        _to(S.SUBMITTED, S.INTENDED, S.UNKNOWN, S.SUBMITTED)
        # The stream often overtakes the answer to the request that caused it, up to the fill or the
        # rejection.
        | _stay(
            S.ACCEPTED,
            S.HELD,
            S.PARTIALLY_FILLED,
            S.CANCEL_REQUESTED,
            S.REPLACE_REQUESTED,
            *FINAL - {S.REFUSED},
        )
    ),
    ev.OrderOutcomeUnknown: (
        _to(S.UNKNOWN, S.INTENDED, S.UNKNOWN, S.SUBMITTED)
        # The request timed out here, but the stream has already told how it ended there.
        | _stay(
            S.ACCEPTED,
            S.HELD,
            S.PARTIALLY_FILLED,
            S.CANCEL_REQUESTED,
            S.REPLACE_REQUESTED,
            *FINAL - {S.REFUSED},
        )
    ),
    # from HELD: the sibling was filled or canceled, the leg is live now
    ev.OrderAccepted: (
        _to(S.ACCEPTED, *_SENT, S.ACCEPTED, S.HELD)
        | _stay(S.PARTIALLY_FILLED)  # `new` after the first partial fill
        | _stay(S.FILLED)  # `new` after `fill`: a marketable order and two queues
        # we asked before `new` came; the request still stands
        | _stay(S.CANCEL_REQUESTED, S.REPLACE_REQUESTED)
        | _stay(S.CANCELED, S.EXPIRED, S.REPLACED, S.REJECTED)
    ),  # `new` delivered last
    # the stop of a bracket: no event of its own, seen when orders are listed
    ev.OrderHeld: (
        _to(S.HELD, *_SENT, S.HELD)
        # a listing that is older than the stream
        | _stay(S.ACCEPTED, S.PARTIALLY_FILLED, S.CANCEL_REQUESTED, *FINAL - {S.REFUSED})
    ),
    ev.OrderPartiallyFilled: (
        _to(S.PARTIALLY_FILLED, *_SENT, S.ACCEPTED, S.HELD, S.PARTIALLY_FILLED)
        # the request is still on its way; it now concerns the remainder
        | _stay(S.CANCEL_REQUESTED, S.REPLACE_REQUESTED)
        | _stay(S.FILLED)  # an earlier execution delivered after the last one
        # executed before the end, delivered after it: the shares are ours
        | _stay(S.CANCELED, S.EXPIRED, S.REPLACED)
    ),
    # from CANCEL_REQUESTED and REPLACE_REQUESTED: the fill won the race
    ev.OrderFilled: (
        _to(S.FILLED, *_WORKING, S.FILLED)
        # 204 for the cancel, then `fill`: believed, since shares do not lie
        | _to(S.FILLED, S.CANCELED, S.EXPIRED)
    ),
    # `pending_cancel` delivered after the end
    ev.OrderCancelRequested: _to(S.CANCEL_REQUESTED, *_WORKING) | _stay(*FINAL - {S.REFUSED}),
    # still working (with a fill: see `apply`)
    ev.OrderCancelRejected: (
        _to(S.ACCEPTED, S.CANCEL_REQUESTED)
        | _stay(S.SUBMITTED, S.UNKNOWN, S.ACCEPTED, S.HELD, S.PARTIALLY_FILLED, S.REPLACE_REQUESTED)
        # 422 'order is already in "filled" state': a success
        | _stay(S.FILLED, S.CANCELED, S.EXPIRED, S.REPLACED, S.REJECTED)
    ),
    # unasked too: someone at the dashboard, the sibling of a bracket, an ioc remainder
    ev.OrderCanceled: _to(S.CANCELED, *_WORKING, S.CANCELED),
    # also while a cancel was pending: the close came first
    ev.OrderExpired: _to(S.EXPIRED, *_WORKING, S.EXPIRED),
    ev.OrderRejected: (
        _to(S.REJECTED, *_SENT, S.REJECTED)
        # 200 on the request is not "working": the exchange may still say no
        | _to(S.REJECTED, S.ACCEPTED, S.HELD)
        # rejected while we were changing our mind
        | _to(S.REJECTED, S.CANCEL_REQUESTED, S.REPLACE_REQUESTED)
    ),
    ev.OrderReplaceRequested: (
        _to(S.REPLACE_REQUESTED, *set(_WORKING) - {S.CANCEL_REQUESTED})
        # a cancel outranks a replacement; after the end it is late news
        | _stay(S.CANCEL_REQUESTED, *FINAL - {S.REFUSED})
    ),
    ev.OrderReplaceRejected: (
        _to(S.ACCEPTED, S.REPLACE_REQUESTED)
        | _stay(S.SUBMITTED, S.UNKNOWN, S.ACCEPTED, S.HELD, S.PARTIALLY_FILLED, S.CANCEL_REQUESTED)
        | _stay(S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED)
    ),  # the replacement lost to a fill
    # what was filled before stays with the old order, the new one carries the rest
    ev.OrderReplaced: _to(S.REPLACED, *_WORKING, S.REPLACED),
    ev.OrderAdjusted: _stay(*_WORKING),  # a split while it works; a final order is never adjusted
}
TABLE: dict[tuple[Status, type[AnyOrderFact]], Status] = dict(
    chain.from_iterable(
        (((before, fact), after) for before, after in row.items())
        for fact, row in TRANSITIONS.items()
    )
)


class Order(msgspec.Struct, frozen=True):
    """One order as events have told it. Quantities in shares; `average_price` raw, over the
    executions we saw.
    """

    terms: OrderTerms
    status: Status = Status.INTENDED
    filled_quantity: float = 0.0
    executions: tuple[str, ...] = ()
    # of the executions we saw; less than filled_quantity while one is still missing
    seen_quantity: float = 0.0
    average_price: float | None = None
    broker_order_id: str | None = None
    replaced_by: str | None = None
    reason: str | None = None
    adjusted_quantity: float | None = None  # after splits

    @property
    def quantity(self) -> float:
        """Shares ordered, in today's shares."""
        return self.terms.quantity if self.adjusted_quantity is None else self.adjusted_quantity

    @property
    def client_order_id(self) -> str:
        """Its name at the broker."""
        return self.terms.client_order_id

    @property
    def is_open(self) -> bool:
        """Whether anything may still happen at the exchange."""
        return self.status in ORDER_OPEN

    @property
    def remaining(self) -> float:
        """Shares that may still be filled."""
        return max(0.0, self.quantity - self.filled_quantity) if self.is_open else 0.0


def apply(order: Order, event: AnyOrderFact) -> Order:
    """The order after the event. Pure; an execution that was seen before changes nothing, nor does
    the total that a split gave the order, told again.

    Raises BrokerContradiction when the table has no such row, when the event belongs to another
    order, or when more would be filled than ordered.
    """
    if event.client_order_id != order.client_order_id:
        raise BrokerContradiction(
            f"event of order {event.client_order_id} was applied to order {order.client_order_id}"
        )
    if isinstance(event, ev.OrderPartiallyFilled) and event.execution_id in order.executions:
        return order
    if isinstance(event, ev.OrderAdjusted) and event.quantity == order.adjusted_quantity:
        return order
    after = TABLE.get((order.status, type(event)))
    if after is None:
        raise BrokerContradiction(
            f"order {order.client_order_id} ({order.terms.symbol}) is {order.status}, so it cannot"
            f" be '{ev.kind_of(event)}' (happened {event.happened_at}): reconcile it with the"
            " broker before trading goes on"
        )
    if isinstance(event, ev.OrderPartiallyFilled):
        return _executed(order, event, after)
    if after is S.ACCEPTED and order.filled_quantity > 0.0:
        # a request was turned down on an order that has fills: it works on with its remainder
        after = S.PARTIALLY_FILLED
    return msgspec.structs.replace(
        order,
        status=after,
        broker_order_id=getattr(event, "broker_order_id", None) or order.broker_order_id,
        replaced_by=getattr(event, "replaced_by", None) or order.replaced_by,
        reason=getattr(event, "reason", None) or order.reason,
        adjusted_quantity=(
            event.quantity if isinstance(event, ev.OrderAdjusted) else order.adjusted_quantity
        ),
    )


def _executed(order: Order, event: ev.OrderPartiallyFilled, after: Status) -> Order:
    """One more execution: totals by the broker's count, late ones never lower it."""
    total = max(event.cumulative_quantity, order.filled_quantity)
    seen = order.seen_quantity + event.quantity
    ordered = order.quantity + QUANTITY_TOLERANCE
    if event.quantity <= 0.0 or event.price <= 0.0 or event.side != order.terms.side:
        raise BrokerContradiction(
            f"execution {event.execution_id} of order {order.client_order_id} is {event.side}"
            f" {event.quantity} at {event.price}, ordered was {order.terms.side} {order.quantity}:"
            " reconcile it with the broker"
        )
    if (
        total > ordered
        or seen > total + QUANTITY_TOLERANCE
        or event.quantity > event.cumulative_quantity + QUANTITY_TOLERANCE
    ):
        raise BrokerContradiction(
            f"execution {event.execution_id} brings order {order.client_order_id} to"
            f" {max(total, seen)} shares (the broker counts {event.cumulative_quantity}), ordered"
            f" were {order.quantity}: reconcile positions with the broker"
        )
    if type(event) is ev.OrderFilled and abs(total - order.quantity) > QUANTITY_TOLERANCE:
        raise BrokerContradiction(
            f"order {order.client_order_id} is said to be filled with {total} of {order.quantity}"
            " shares: look it up at the broker"
        )
    value = (order.average_price or 0.0) * order.seen_quantity + event.price * event.quantity
    return msgspec.structs.replace(
        order,
        status=after,
        filled_quantity=total,
        executions=(*order.executions, event.execution_id),
        seen_quantity=seen,
        average_price=value / seen,
    )


def start(intent: ev.OrderIntended | ev.OrderRefused) -> Order:
    """The order of an intent that was just written down, or of one that our own limits refused."""
    order = Order(intent.order)
    return order if isinstance(intent, ev.OrderIntended) else apply(order, intent)


def diagram() -> str:
    """The table as a Mermaid state diagram for the docs: the rows that change the status, in a
    fixed order.
    """
    facts = {kind: number for number, kind in enumerate(FACTS)}
    moves = sorted(
        ((before, after, kind) for (before, kind), after in TABLE.items() if before is not after),
        key=lambda row: (list(Status).index(row[0]), facts[row[2]]),
    )
    return "\n".join(
        [
            "stateDiagram-v2",
            *(
                f"    {before} --> {after}: {kind.__struct_config__.tag}"
                for before, after, kind in moves
            ),
        ]
    )
