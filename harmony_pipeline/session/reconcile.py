"""Ledger against broker: whether both know the same orders, shares and money.

The broker is believed, and nothing is corrected here. Each difference is a sentence that a person
can act on; a session that has any does not trade on.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from harmony_pipeline.execution.brokers.base import Broker, BrokerOrder
from harmony_pipeline.execution.events import OrderAdjusted
from harmony_pipeline.execution.lifecycle import FINAL, Order
from harmony_pipeline.portfolio.kernel_types import MONEY
from harmony_pipeline.session.crossing_orders import waits_here
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.order_events import fact_head
from harmony_pipeline.session.result import SessionResult, read_session
from harmony_pipeline.session.single_stops import is_kept
from harmony_pipeline.session.telemetry import NO_SPAN, Span

_SHARES = 1e-9  # quantities travel as decimal text at real brokers
_CENT = 0.005


Asking = Callable[[str], Span]
"""The span of a request to the broker, by its kind."""


def _unseen(kind: str) -> Span:
    return NO_SPAN


@dataclass(frozen=True)
class Difference:
    """One thing on which the books disagree: kind is order, position or cash."""

    kind: str
    key: str
    ledger: str
    broker: str
    sentence: str


@dataclass(frozen=True)
class Reconciliation:
    """What was compared and what differed."""

    session_id: str
    orders: int
    positions: int
    differences: tuple[Difference, ...]

    @property
    def agrees(self) -> bool:
        """Whether the books are the same."""
        return not self.differences

    def table(self) -> pl.DataFrame:
        """One row a difference: session_id, kind, key, ledger, broker, sentence."""
        schema = dict.fromkeys(
            ("session_id", "kind", "key", "ledger", "broker", "sentence"), pl.String
        )
        return pl.DataFrame(
            [(self.session_id, *vars(found).values()) for found in self.differences],
            schema=schema,
            orient="row",
        )

    def summary(self) -> dict[str, object]:
        """Counts, and the sentences."""
        return {
            "agrees": self.agrees,
            "orders": self.orders,
            "positions": self.positions,
            "differences": [found.sentence for found in self.differences],
        }


def reconcile(ledger: Ledger, session_id: str, broker: Broker) -> Reconciliation:
    """Compare the books that the session closed with (or stands with, while it runs) with the
    broker's own.
    """
    session = read_session(ledger, session_id)
    differences = [
        *_orders(session.working, broker),
        *_positions(session.shares, broker),
        *_cash(session, broker),
    ]
    return Reconciliation(session_id, len(session.working), len(session.shares), tuple(differences))


def books_differ(
    shares: Mapping[str, float],
    working: Iterable[Order],
    broker: Broker,
    split: Collection[str] = (),
    asking: Asking = _unseen,
) -> tuple[str, ...]:
    """Sentences about orders and positions on which a session's opening books and the broker
    disagree. `split`: names of orders whose symbol has split since: a broker may have ended those,
    and its news of it is yet to be heard. `asking`: each request is made inside its span.
    """
    found = (*_orders(working, broker, split, asking), *_positions(shares, broker, asking))
    return tuple(each.sentence for each in found)


def adjustments(
    working: Iterable[Order],
    split: Collection[str],
    at_broker: Iterable[BrokerOrder],
    now: datetime,
) -> list[OrderAdjusted]:
    """The new totals of orders whose symbol has split, as they work at the broker: nobody was there
    when it changed them, and it may tell no one afterwards.
    """
    theirs = {order.client_order_id: order for order in at_broker}
    return [
        OrderAdjusted(**fact_head(order.terms, now), quantity=theirs[name].quantity)
        for order in working
        if (name := order.client_order_id) in split
        and name in theirs
        and theirs[name].quantity != order.quantity
    ]


def _orders(
    working: Iterable[Order],
    broker: Broker,
    split: Collection[str] = (),
    asking: Asking = _unseen,
) -> list[Difference]:
    ours = {order.client_order_id: order for order in working if not is_kept(order)}
    with asking("orders"):
        theirs = {order.client_order_id: order for order in broker.orders(open_only=True)}
    found = []
    for name in sorted({*ours, *theirs}):
        here, there = ours.get(name), theirs.get(name)
        if there is None and here is not None:
            with asking("order"):
                known = broker.order(name)
            if known is None and waits_here(here):
                continue
            if known is not None and name in split and _ended_unfilled(here, known):
                continue
            word = f"{known.status} with {known.filled_quantity:g} filled" if known else "unknown"
            found.append(
                Difference(
                    "order",
                    name,
                    str(here.status),
                    word,
                    f"order {name}: open in the ledger, {word} at the broker",
                )
            )
        elif here is None and there is not None:
            found.append(
                Difference(
                    "order",
                    name,
                    "absent or ended",
                    str(there.status),
                    f"order {name} ({there.side} {there.quantity:g} {there.symbol}): working at the"
                    " broker, not open in the ledger",
                )
            )
        elif (
            here is not None
            and there is not None
            and abs(here.filled_quantity - there.filled_quantity) > _SHARES
        ):
            sentence = (
                f"order {name}: ledger has {here.filled_quantity:g} shares filled, the broker"
                f" {there.filled_quantity:g}"
            )
            found.append(
                Difference(
                    "order",
                    name,
                    f"{here.filled_quantity:g}",
                    f"{there.filled_quantity:g}",
                    sentence,
                )
            )
    return found


def _ended_unfilled(here: Order, there: BrokerOrder) -> bool:
    more = there.filled_quantity - here.filled_quantity
    return there.status in FINAL and abs(more) <= _SHARES


def _positions(
    ours: Mapping[str, float], broker: Broker, asking: Asking = _unseen
) -> list[Difference]:
    with asking("positions"):
        theirs = {position.symbol: position.quantity for position in broker.positions()}
    return [
        Difference(
            "position",
            symbol,
            f"{ours.get(symbol, 0.0):g}",
            f"{theirs.get(symbol, 0.0):g}",
            f"{symbol}: ledger {ours.get(symbol, 0.0):g}, broker {theirs.get(symbol, 0.0):g}"
            " shares",
        )
        for symbol in sorted({*ours, *theirs})
        if abs(ours.get(symbol, 0.0) - theirs.get(symbol, 0.0)) > _SHARES
    ]


def _cash(session: SessionResult, broker: Broker) -> list[Difference]:
    theirs = broker.account().cash
    ours = session.broker_cash / MONEY
    fees = session.receivables.uncharged / MONEY
    if theirs is None or -_CENT < theirs - ours < fees + _CENT:
        return []
    return [
        Difference(
            "cash",
            "cash",
            f"{ours:.2f}",
            f"{theirs:.2f}",
            f"cash: ledger {ours:.2f}, broker {theirs:.2f}",
        )
    ]
