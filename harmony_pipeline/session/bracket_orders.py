"""What becomes of a position when a leg of its bracket ends without a fill.

A position whose bracket never left, or that somebody else took away, is closed. A leg that we took
back, or whose twin was reached, leaves nothing behind.
"""

from collections.abc import Collection, Iterable
from enum import Enum

from harmony_pipeline.execution.events import OrderCanceled, OrderTerms
from harmony_pipeline.execution.lifecycle import Order, Status
from harmony_pipeline.session.crossing_orders import LEGS
from harmony_pipeline.session.live_portfolio import LivePortfolio
from harmony_pipeline.session.order_events import ENDED_AT_BROKER


class Consequence(Enum):
    """Of a canceled leg, for its position."""

    NONE = "none"
    CLOSE = "close"
    """at the next decision"""
    CLOSE_AND_CANCEL = "close_and_cancel"
    """and the other leg is taken back: half a bracket protects nothing"""


def is_leg(terms: OrderTerms) -> bool:
    """Whether an order is a leg of a bracket."""
    return terms.role in LEGS


def legs_of(slot: str, orders: Iterable[Order]) -> list[Order]:
    """The legs of a slot among these orders."""
    return [order for order in orders if order.terms.slot == slot and is_leg(order.terms)]


def of_canceled_leg(
    fact: OrderCanceled,
    before: Order,
    orders: Iterable[Order],
    portfolio: LivePortfolio,
    canceled_by_us: Collection[str],
) -> Consequence:
    """What follows from `fact`; `before`: the leg as it stood; `canceled_by_us`: names of legs that
    the process before a restart took back.
    """
    if not portfolio.is_protected_by(before.terms):
        return Consequence.NONE
    if before.status is Status.INTENDED:
        return Consequence.CLOSE
    is_ours = before.status is Status.CANCEL_REQUESTED or before.client_order_id in canceled_by_us
    if fact.reason == ENDED_AT_BROKER or not (is_ours or _twin_has_filled(before, orders)):
        return Consequence.CLOSE_AND_CANCEL
    return Consequence.NONE


def _twin_has_filled(leg: Order, orders: Iterable[Order]) -> bool:
    """Whether a leg of the same bracket was reached."""
    return any(
        order.executions
        for order in legs_of(leg.terms.slot, orders)
        if order.terms.decided_at == leg.terms.decided_at
    )
