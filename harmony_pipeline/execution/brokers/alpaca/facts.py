"""Alpaca's orders and updates as facts. Pure: no socket, no clock.

An execution is named by its order and the order's total after it, so that the stream, the list of
orders and the account's activities name it alike. What was said of an order before is not said
again; which came first, the stream's word or an answer's, does not matter.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.brokers.base import BrokerOrder
from harmony_pipeline.execution.events import AnyOrderFact
from harmony_pipeline.execution.lifecycle import Status

Json = dict[str, Any]


class Charge(NamedTuple):
    """What an execution costs: dollars, and the coins that they stand for where the fee is taken
    from a purchase.
    """

    fee: float
    withheld: float = 0.0


Fees = Callable[[str, str, float, float, bool], Charge]
"""(symbol, side, quantity, price, whether it rested) -> charge."""

STATUSES: dict[str, Status] = {
    "new": Status.ACCEPTED, "accepted": Status.ACCEPTED, "pending_new": Status.SUBMITTED,
    "accepted_for_bidding": Status.ACCEPTED, "held": Status.HELD, "stopped": Status.ACCEPTED,
    "suspended": Status.ACCEPTED, "calculated": Status.ACCEPTED,
    "done_for_day": Status.ACCEPTED, "partially_filled": Status.PARTIALLY_FILLED,
    "filled": Status.FILLED, "canceled": Status.CANCELED, "expired": Status.EXPIRED,
    "rejected": Status.REJECTED, "replaced": Status.REPLACED,
    "pending_cancel": Status.CANCEL_REQUESTED, "pending_replace": Status.REPLACE_REQUESTED,
}  # fmt: skip
ENDED = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})
NOTHING_NEW = frozenset({"pending_new", "stopped", "suspended", "calculated", "done_for_day",
                         "accepted_for_bidding", "restated"})  # fmt: skip

_PLAIN: dict[str, type[AnyOrderFact]] = {
    "canceled": ev.OrderCanceled, "expired": ev.OrderExpired,
    "pending_cancel": ev.OrderCancelRequested, "pending_replace": ev.OrderReplaceRequested,
    "order_cancel_rejected": ev.OrderCancelRejected,
    "order_replace_rejected": ev.OrderReplaceRejected,
}  # fmt: skip


def moment_of(text: str | None) -> datetime | None:
    """RFC 3339 with up to nine digits, cut to microseconds."""
    if not text:
        return None
    head, dot, tail = text.partition(".")
    if dot:
        count = next((i for i, each in enumerate(tail) if not each.isdigit()), len(tail))
        text = f"{head}.{tail[:count][:6].ljust(6, '0')}{tail[count:]}"
    return datetime.fromisoformat(text)


def quantity_of(order: Json) -> float:
    """Shares ordered; of an order for an amount of money those that were filled."""
    return float(Decimal(str(order["qty"] or order["filled_qty"] or 0)))


def broker_order(order: Json, name: str) -> BrokerOrder:
    """The order as a `Broker` shows it. A status that nobody knows counts as accepted."""
    average = order.get("filled_avg_price")
    return BrokerOrder(
        name,
        order["symbol"],
        order["side"],
        quantity_of(order),
        float(Decimal(str(order["filled_qty"] or 0))),
        STATUSES.get(order["status"], Status.ACCEPTED),
        order["id"],
        None if average is None else float(Decimal(str(average))),
    )


@dataclass
class Told:
    """What has been said of one order: words, and totals after its executions."""

    name: str
    words: set[str] = field(default_factory=set)
    totals: set[Decimal] = field(default_factory=set)
    executed: Decimal = Decimal(0)
    quantity: float | None = None
    """shares ordered, as they were said"""
    stamp: str = ""
    """when that was"""
    filled: Decimal = Decimal(0)
    """the broker's own total, as far as it was heard of"""

    @property
    def is_complete(self) -> bool:
        """Whether every execution was said that the broker counts."""
        return self.executed >= self.filled


class FactBook:
    """Facts of orders, each once. `fees` tells what an execution cost, which Alpaca does not."""

    def __init__(self, fees: Fees | None = None) -> None:
        self.told: dict[str, Told] = {}
        self.now: datetime | None = None
        self._fees = fees

    def incomplete(self) -> list[str]:
        """Ids of orders of which an execution is missing."""
        return [order_id for order_id, told in self.told.items() if not told.is_complete]

    def hear(self, moment: datetime | None) -> None:
        """A stamp of the broker's clock, which never goes back."""
        if moment is not None and (self.now is None or moment > self.now):
            self.now = moment

    def begun(self, order: Json, name: str) -> list[AnyOrderFact]:
        """That the exchange took the order, as far as its status tells; its total is noted."""
        told = self._told(order, name)
        changed = self._adjusted(told, order)
        if order["status"] in {"pending_new", "held", "rejected"}:
            return changed
        return [*self._say(told, order, "new", None), *changed]

    def of_order(self, order: Json, name: str, successor: str | None = None) -> list[AnyOrderFact]:
        """What the order's status says; executions are told elsewhere."""
        told, status = self._told(order, name), order["status"]
        if status in {"partially_filled", "filled", "pending_new"}:
            return []
        return self._say(told, order, status, successor)

    def of_update(self, update: Json, name: str, successor: str | None) -> list[AnyOrderFact]:
        """What one message of the stream says. An event that nobody knows says nothing: the
        totals of its order are compared all the same.
        """
        order, event = update["order"], update["event"]
        told = self._told(order, name)
        changed = self._adjusted(told, order)
        if event in {"fill", "partial_fill"}:
            total = Decimal(str(order["filled_qty"]))
            return [
                *self._say(told, order, "new", None),
                *changed,
                *self.execution(
                    order, name, Decimal(str(update["qty"])), Decimal(str(update["price"])), total,
                    moment_of(update.get("timestamp")),
                ),
            ]  # fmt: skip
        if event in NOTHING_NEW:
            return changed
        return [*changed, *self._say(told, order, event, successor)]

    def execution(
        self,
        order: Json,
        name: str,
        quantity: Decimal,
        price: Decimal,
        total: Decimal,
        happened_at: datetime | None,
    ) -> list[AnyOrderFact]:
        """One execution, after which the order's total is `total`; nothing if it was said."""
        told = self._told(order, name)
        if total in told.totals:
            return []
        told.totals.add(total)
        told.executed += quantity
        told.filled = max(told.filled, total)
        rested = order["type"] == "limit"
        charge = (
            Charge(0.0)
            if self._fees is None
            else self._fees(order["symbol"], order["side"], float(quantity), float(price), rested)
        )
        kind = ev.OrderFilled if float(total) == quantity_of(order) else ev.OrderPartiallyFilled
        return [
            kind(
                **self._head(order, name, happened_at),
                execution_id=f"{order['id']}@{total.normalize():f}",
                side=order["side"],
                quantity=float(quantity),
                price=float(price),
                cumulative_quantity=float(total),
                fee=charge.fee,
                withheld=charge.withheld,
                liquidity="maker" if rested else "taker",
            )
        ]

    # --- inside -----------------------------------------------------------------------------------

    def _told(self, order: Json, name: str) -> Told:
        told = self.told.setdefault(order["id"], Told(name))
        told.filled = max(told.filled, Decimal(str(order["filled_qty"] or 0)))
        self.hear(moment_of(order.get("updated_at")))
        return told

    def _adjusted(self, told: Told, order: Json) -> list[AnyOrderFact]:
        """That an order is for another quantity than before: one exit that is filled in part makes
        the other smaller, and a split changes both.
        """
        stamp = str(order.get("updated_at") or "")
        if order.get("qty") is None or stamp < told.stamp:
            return []
        quantity, before = quantity_of(order), told.quantity
        told.quantity, told.stamp = quantity, stamp
        if before in (None, quantity) or order["status"] in ENDED - {"filled"}:
            return []
        head = self._head(order, told.name, moment_of(stamp))
        return [ev.OrderAdjusted(**head, quantity=quantity)]

    def _say(self, told: Told, order: Json, word: str, successor: str | None) -> list[AnyOrderFact]:
        word = "new" if word in {"accepted", "accepted_for_bidding"} else word
        if word in told.words or (word in {"new", "held"} and told.words & ENDED):
            return []
        head = self._head(order, told.name, _when(order, word))
        fact: AnyOrderFact | None = None
        if word in {"new", "held"}:
            kind = ev.OrderAccepted if word == "new" else ev.OrderHeld
            fact = kind(**head, broker_order_id=order["id"])
        elif word == "rejected":
            fact = ev.OrderRejected(**head, reason="rejected by the exchange")
        elif word == "replaced" and successor is not None:
            fact = ev.OrderReplaced(**head, replaced_by=successor)
        elif word in _PLAIN:
            fact = _PLAIN[word](**head)
        if fact is None:
            return []
        if not word.endswith("_rejected"):
            told.words.add(word)
        return [fact]

    def _head(self, order: Json, name: str, happened_at: datetime | None) -> dict[str, Any]:
        happened = happened_at or moment_of(order["submitted_at"])
        assert happened is not None
        self.hear(happened)
        return {
            "happened_at": happened,
            "known_at": self.now,
            "client_order_id": name,
            "symbol": order["symbol"],
        }


def _when(order: Json, word: str) -> datetime | None:
    """When the exchange says that it happened."""
    stamps = {
        "new": "submitted_at", "held": "submitted_at", "canceled": "canceled_at",
        "expired": "expired_at", "rejected": "failed_at", "replaced": "replaced_at",
    }  # fmt: skip
    return moment_of(order.get(stamps.get(word, "updated_at")) or order.get("updated_at"))
