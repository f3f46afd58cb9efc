"""Random intents under random faults: no order twice, no fill lost, the same books on both sides."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from exchange.alpaca_world import HeardBroker, at_exchange, wait_until
from exchange.test_alpaca_traps import terms

from harmony_pipeline.errors import BrokerRejected, BrokerUnavailable
from harmony_pipeline.exchange.control import clear_faults, commit
from harmony_pipeline.exchange.server import ExchangeServer
from harmony_pipeline.execution.brokers.alpaca.broker import AlpacaBroker
from harmony_pipeline.execution.events import (
    AnyOrderFact,
    CancelOrder,
    OrderTerms,
    ReplaceOrder,
    SubmitOrder,
)
from harmony_pipeline.execution.lifecycle import Order, apply

ORDERS = {"path": "/v2/orders"}
FAULTS: list[dict[str, Any]] = [
    {"kind": "status", "status": 500, "performed": True, "method": "POST", **ORDERS},
    {"kind": "status", "status": 504, "method": "POST", **ORDERS},
    {"kind": "status", "status": 503, **ORDERS},
    {"kind": "status", "status": 429, "retry_after": 0, **ORDERS},
    {"kind": "lost_answer", "method": "POST", **ORDERS},
    {"kind": "lost_answer", "method": "DELETE", **ORDERS},
    {"kind": "lost_answer", "method": "PATCH", **ORDERS},
    {"kind": "reset", "method": "POST", **ORDERS},
    {"kind": "delay", "seconds": 0.02, **ORDERS},
    {"kind": "lose", "times": 2},
    {"kind": "duplicate", "times": 3},
    {"kind": "reorder"},
    {"kind": "delay_update"},
    {"kind": "drop", "stream": "trades"},
    {"kind": "freeze"},
    {"kind": "reject"},
    {"kind": "partial_then_cancel"},
    {"kind": "halt", "symbol": "AAPL"},
]


class Desk:
    """Sends intents as a session does: under one name each, again when nobody knows."""

    def __init__(self, exchange: ExchangeServer, broker: HeardBroker, seed: int) -> None:
        self.exchange, self.broker = exchange, broker
        self.random = np.random.default_rng(seed)
        self.placed: dict[str, Order] = {}
        self.unknown: list[SubmitOrder] = []
        self.number = 0

    def act(self) -> None:
        """One random intent."""
        choice = self.random.random()
        open_names = [name for name, order in self.placed.items() if order.is_open]
        if choice < 0.55 or not open_names:
            self.enter()
        elif choice < 0.8:
            self.quietly(lambda: self.broker.cancel(CancelOrder(str(self.pick(open_names)))))
        else:
            self.number += 1
            old, new = str(self.pick(open_names)), f"r-{self.number}"
            changed = self.placed[old].terms
            if changed.kind != "limit":
                return
            self.placed[new] = Order(terms(new, kind="limit", limit_price=99.0, quantity=3.0))
            self.quietly(
                lambda: self.broker.replace(ReplaceOrder(old, new, quantity=3.0, limit_price=99.0))
            )

    def enter(self) -> None:
        self.number += 1
        kind = str(self.pick(["market", "limit"]))
        price = {"limit_price": float(self.pick([99.0, 99.95, 100.0]))} if kind == "limit" else {}
        made = terms(
            f"c-{self.number}", kind=kind, quantity=float(self.random.integers(2, 30)), **price
        )
        self.send(SubmitOrder(made))

    def send(self, command: SubmitOrder) -> None:
        self.placed.setdefault(command.order.client_order_id, Order(command.order))
        try:
            self.broker.submit(command)
        except BrokerUnavailable:
            self.unknown.append(command)
        except BrokerRejected:
            self.placed.pop(command.order.client_order_id, None)

    def settle(self) -> None:
        """Look up what is unclear; send it again under its own name where nobody has it."""
        again, self.unknown = self.unknown, []
        for command in again:
            if self.broker.order(command.order.client_order_id) is None:
                self.send(command)

    def hear(self, *, waits: bool = True) -> list[AnyOrderFact]:
        """Take in the news; a fact that the lifecycle does not allow raises. `waits`: nothing that
        was sent is on its way.
        """
        facts = self.broker.updates() if waits else AlpacaBroker.updates(self.broker)
        for fact in facts:
            order = self.placed.get(fact.client_order_id)
            assert order is not None, f"nobody placed {fact.client_order_id}"
            self.placed[fact.client_order_id] = apply(order, fact)
        return facts

    def quietly(self, act: Any) -> None:
        try:
            act()
        except (BrokerUnavailable, BrokerRejected):
            return

    def pick(self, choices: list[Any]) -> Any:
        return choices[int(self.random.integers(len(choices)))]


@pytest.mark.parametrize("seed", range(8))
def test_no_order_twice_no_fill_lost_and_equal_books(seed: int) -> None:
    with at_exchange([100.0] * 14, timeout_seconds=0.5, poll_seconds=0.05) as (exchange, broker):
        desk = Desk(exchange, broker, seed)
        for _ in range(12):
            fault = desk.pick(FAULTS)
            exchange.call(commit(exchange, dict(fault)))
            for _ in range(2):
                desk.act()
            exchange.step(2)
            desk.hear(waits=False)
            if desk.random.random() < 0.5:
                exchange.call(clear_faults(exchange))
        exchange.call(clear_faults(exchange))
        wait_until(lambda: broker.stream.is_up)
        desk.settle()
        exchange.step(2)
        for _ in range(3):  # by REST: what was on its way on a cut stream never comes
            broker._has_gap = True
            desk.hear(waits=False)
        assert_equal_books(desk)


def assert_equal_books(desk: Desk) -> None:
    venue = desk.exchange.venue
    names = [order.client_order_id for order in venue.orders.values()]
    assert len(names) == len(set(names))
    assert set(names) <= set(desk.placed)
    for order in venue.orders.values():
        ours = desk.placed[order.client_order_id]
        assert ours.filled_quantity == float(order.filled_qty), order.client_order_id
        assert ours.seen_quantity == float(order.filled_qty), order.client_order_id
        assert ours.is_open == order.is_open, (ours.status, order.status)
    held = sum((Decimal(str(each.filled_quantity)) for each in desk.placed.values()), Decimal(0))
    assert venue.books.shares("AAPL") == held
    assert venue.books.is_balanced()
    assert [each.quantity for each in desk.broker.positions()] == ([float(held)] if held else [])


def test_a_desk_that_sends_everything_twice_places_it_once() -> None:
    with at_exchange() as (exchange, broker):
        desk = Desk(exchange, broker, 0)
        made: list[OrderTerms] = [terms(f"c-{number}", quantity=2.0) for number in range(4)]
        for each in (*made, *made):
            desk.send(SubmitOrder(each))
        exchange.step(2)
        desk.hear()
        assert len(exchange.venue.orders) == 4
        assert_equal_books(desk)
