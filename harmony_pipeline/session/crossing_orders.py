"""Which orders of one account stand in each other's way at a broker outside of this process.

- A broker lets the legs of a bracket hold their shares until their cancel is confirmed: an exit
  waits for them. It knows nothing of reversals: the entry of one waits for the exit.
- Alpaca refuses an order that could trade with an open one of the same account (a wash trade); legs
  of brackets are exempt. Strategies of a portfolio may want that: one leaves a symbol that the
  other enters on the same side. The exit goes first: an entry waits until it is done, and one that
  works already is taken back. `crossing_orders` has the rule.
"""

from collections.abc import Collection, Iterable
from datetime import datetime

from harmony_pipeline.execution.events import OrderTerms
from harmony_pipeline.execution.lifecycle import Order, Status

LEGS = ("stop", "take")
_SIMPLE = ("entry", "exit")
_OTHER_SIDE = {"buy": "sell", "sell": "buy"}


def due_at(terms: OrderTerms) -> datetime:
    """When an order is to leave: at its decision, or later where it was queued."""
    return terms.decided_at if terms.release_at is None else terms.release_at


def waits_here(order: Order) -> bool:
    """Whether an order waits in the session, as far as we know, over its end if need be: for a
    closing auction, or for the exit of the position that it reverses. No broker knows of it.
    """
    waits = order.terms.after_exit or order.terms.is_at_close
    return waits and order.status is Status.INTENDED


def is_blocked(
    terms: OrderTerms, orders: Iterable[Order], waiting: Collection[str], now: datetime
) -> bool:
    """Whether an order must wait: for its hour, for others of its slot, or for those that it would
    cross. `waiting`: names of orders that have not left.
    """
    if due_at(terms) > now and terms.release_at is not None:
        return True
    ahead = LEGS if terms.role == "exit" else ("exit",) if terms.after_exit else ()
    known = list(orders)
    return any(
        order.is_open and order.terms.slot == terms.slot and order.terms.role in ahead
        for order in known
    ) or bool(crossing_orders(terms, known, waiting))


def crossing_orders(
    terms: OrderTerms, orders: Iterable[Order], waiting: Collection[str]
) -> list[Order]:
    """Open orders of other strategies that the broker would take for the other side of this one,
    and that go before it: exits before an entry, and before an exit the entries that have left
    already.
    """
    if terms.strategy is None or terms.role not in _SIMPLE:
        return []
    role = "exit" if terms.role == "entry" else "entry"
    return [
        order
        for order in orders
        if order.is_open
        and order.terms.role == role
        and (order.terms.symbol, order.terms.side) == (terms.symbol, _OTHER_SIDE[terms.side])
        and order.terms.strategy != terms.strategy
        and (role == "exit" or order.client_order_id not in waiting)
    ]
