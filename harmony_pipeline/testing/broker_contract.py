"""The obligations of every broker, as tests: subclass `BrokerContract` in a test file and supply
the facts.

>>> class TestMyBroker(BrokerContract):
...     def make(self) -> Broker: ...
...     def let_trade(self, broker: Broker, price: float) -> None: ...
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from harmony_pipeline.errors import BrokerRejected
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.brokers.base import Broker, TakesClosingOrders
from harmony_pipeline.execution.events import CancelOrder, OrderTerms, ReplaceOrder, SubmitOrder
from harmony_pipeline.execution.lifecycle import FINAL, Order, Status, apply

DECIDED = datetime(2024, 3, 5, 15, 0, tzinfo=UTC)


class BrokerContract:
    """The obligations of `Broker`. A subclass makes a broker with a flat account and moves its
    market.
    """

    symbol = "AAPL"
    price = 100.0
    keeps_cash = True

    def make(self) -> Broker:
        """A broker whose account is flat and has enough money for ten shares."""
        raise NotImplementedError

    def let_trade(self, broker: Broker, price: float) -> None:
        """The market trades at `price`, in a size that fills every order of the test that can fill
        there.
        """
        raise NotImplementedError

    @pytest.fixture
    def broker(self) -> Iterator[Broker]:
        """A fresh broker, closed after the test."""
        made = self.make()
        yield made
        made.close()

    def terms(self, name: str = "c-1", **changes: Any) -> OrderTerms:
        """An order for ten shares at the market."""
        usual: dict[str, Any] = {
            "client_order_id": name, "order_id": f"{self.symbol}-{name}", "symbol": self.symbol,
            "role": "entry", "side": "buy", "quantity": 10.0,
            "decided_at": DECIDED, "volatility": 0.002, "entry_decided_at": DECIDED,
        }  # fmt: skip
        return OrderTerms(**{**usual, **changes})

    def legs(self) -> tuple[OrderTerms, OrderTerms]:
        """Stop and profit around the price, for the ten shares."""
        common: dict[str, Any] = {"side": "sell", "time_in_force": "gtc", "entry_bar": DECIDED}
        stop = self.terms(
            "c-stop", role="stop", kind="stop", stop_price=self.price * 0.98, **common
        )
        return stop, self.terms(
            "c-take", role="take", kind="limit", limit_price=self.price * 1.02, **common
        )

    def facts_of(self, broker: Broker, name: str) -> list[ev.AnyOrderFact]:
        """New facts of one order since the last call; those of others are dropped."""
        return [fact for fact in broker.updates() if fact.client_order_id == name]

    # --- an order's life --------------------------------------------------------------------------

    def test_an_order_is_accepted_then_filled_and_the_facts_fit_the_lifecycle(
        self, broker: Broker
    ) -> None:
        terms = self.terms()
        broker.submit(SubmitOrder(terms))
        facts = self.facts_of(broker, "c-1")
        assert any(isinstance(fact, ev.OrderAccepted) for fact in facts)
        self.let_trade(broker, self.price)
        facts += self.facts_of(broker, "c-1")
        order = Order(terms)
        for fact in facts:
            order = apply(order, fact)
        assert (order.status, order.filled_quantity) == (Status.FILLED, 10.0)
        assert order.average_price == pytest.approx(self.price, rel=0.01)

    def test_facts_are_told_in_order_and_known_no_earlier_than_they_happened(
        self, broker: Broker
    ) -> None:
        broker.submit(SubmitOrder(self.terms()))
        self.let_trade(broker, self.price)
        facts = self.facts_of(broker, "c-1")
        assert all(fact.known_at >= fact.happened_at for fact in facts)
        assert [fact.known_at for fact in facts] == sorted(fact.known_at for fact in facts)

    def test_news_is_told_once_while_the_line_holds(self, broker: Broker) -> None:
        broker.submit(SubmitOrder(self.terms()))
        self.let_trade(broker, self.price)
        assert broker.updates()
        assert not broker.updates()

    def test_the_broker_agrees_with_its_own_facts(self, broker: Broker) -> None:
        broker.submit(SubmitOrder(self.terms()))
        self.let_trade(broker, self.price)
        found = broker.order("c-1")
        assert found is not None
        assert (found.status, found.filled_quantity) == (Status.FILLED, 10.0)
        assert [(position.symbol, position.quantity) for position in broker.positions()] == [
            (self.symbol, 10.0)
        ]

    def test_an_order_for_the_closing_auction_does_not_trade_before(self, broker: Broker) -> None:
        if not isinstance(broker, TakesClosingOrders) or broker.closing_hours() is None:
            pytest.skip("this broker takes no orders for closing auctions")
        broker.submit(SubmitOrder(self.terms(time_in_force="cls")))
        self.let_trade(broker, self.price)
        assert not any(isinstance(fact, ev.OrderPartiallyFilled) for fact in broker.updates())
        found = broker.order("c-1")
        assert found is not None
        assert (found.status in FINAL, found.filled_quantity) == (False, 0.0)

    def test_a_purchase_costs_cash(self, broker: Broker) -> None:
        if not self.keeps_cash:
            pytest.skip("this broker keeps no cash account")
        before = broker.account().cash
        broker.submit(SubmitOrder(self.terms()))
        self.let_trade(broker, self.price)
        after = broker.account().cash
        assert before is not None
        assert after is not None
        assert before - after == pytest.approx(10.0 * self.price, rel=0.01)

    # --- identity ---------------------------------------------------------------------------------

    def test_the_same_client_order_id_twice_is_one_order(self, broker: Broker) -> None:
        first = broker.submit(SubmitOrder(self.terms()))
        again = broker.submit(SubmitOrder(self.terms()))
        assert again.client_order_id == first.client_order_id
        assert len(broker.orders(open_only=False)) == 1
        self.let_trade(broker, self.price)
        # even after it is done
        assert broker.submit(SubmitOrder(self.terms())).status is Status.FILLED
        assert sum(position.quantity for position in broker.positions()) == 10.0

    def test_an_order_that_was_never_placed_is_none(self, broker: Broker) -> None:
        assert broker.order("c-9") is None
        assert list(broker.orders(open_only=False)) == []

    def test_open_orders_are_those_that_still_work(self, broker: Broker) -> None:
        broker.submit(SubmitOrder(self.terms()))
        assert [order.client_order_id for order in broker.orders()] == ["c-1"]
        self.let_trade(broker, self.price)
        assert list(broker.orders()) == []
        assert len(broker.orders(open_only=False)) == 1

    # --- cancels and replacements -----------------------------------------------------------------

    def test_a_canceled_order_never_fills(self, broker: Broker) -> None:
        broker.submit(SubmitOrder(self.terms()))
        broker.cancel(CancelOrder("c-1"))
        self.let_trade(broker, self.price)
        assert any(isinstance(fact, ev.OrderCanceled) for fact in self.facts_of(broker, "c-1"))
        assert list(broker.positions()) == []

    def test_to_cancel_what_is_filled_is_no_error(self, broker: Broker) -> None:
        broker.submit(SubmitOrder(self.terms()))
        self.let_trade(broker, self.price)
        broker.cancel(CancelOrder("c-1"))
        found = broker.order("c-1")
        assert found is not None
        assert found.status is Status.FILLED

    def test_to_cancel_twice_is_no_error(self, broker: Broker) -> None:
        broker.submit(SubmitOrder(self.terms()))
        broker.cancel(CancelOrder("c-1"))
        broker.cancel(CancelOrder("c-1"))

    def test_to_cancel_an_unknown_order_is_rejected(self, broker: Broker) -> None:
        with pytest.raises(BrokerRejected):
            broker.cancel(CancelOrder("c-9"))

    def test_a_replaced_order_lives_on_under_its_new_name(self, broker: Broker) -> None:
        broker.submit(SubmitOrder(self.terms()))
        broker.replace(ReplaceOrder("c-1", "c-2", quantity=4.0))
        replaced = [fact for fact in broker.updates() if isinstance(fact, ev.OrderReplaced)]
        assert [(fact.client_order_id, fact.replaced_by) for fact in replaced] == [("c-1", "c-2")]
        self.let_trade(broker, self.price)
        old, new = broker.order("c-1"), broker.order("c-2")
        assert old is not None
        assert new is not None
        assert (old.status, old.filled_quantity, new.status, new.filled_quantity) == (
            Status.REPLACED,
            0.0,
            Status.FILLED,
            4.0,
        )

    def test_to_replace_what_is_filled_is_rejected(self, broker: Broker) -> None:
        broker.submit(SubmitOrder(self.terms()))
        self.let_trade(broker, self.price)
        with pytest.raises(BrokerRejected):
            broker.replace(ReplaceOrder("c-1", "c-2", quantity=4.0))

    # --- brackets ---------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("move", "hit", "left"), [(0.97, "c-stop", "c-take"), (1.03, "c-take", "c-stop")]
    )
    def test_one_leg_of_a_bracket_cancels_the_other(
        self, broker: Broker, move: float, hit: str, left: str
    ) -> None:
        broker.submit(SubmitOrder(self.terms()))
        self.let_trade(broker, self.price)
        broker.submit(SubmitOrder(*self.legs()))
        assert {order.client_order_id for order in broker.orders()} == {"c-stop", "c-take"}
        self.let_trade(broker, self.price * move)
        found, other = broker.order(hit), broker.order(left)
        assert found is not None
        assert other is not None
        assert (found.status, other.status) == (Status.FILLED, Status.CANCELED)
        assert list(broker.positions()) == []

    # --- refusals ---------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "fault",
        [
            {"symbol": "NO.SUCH"},
            {"quantity": 0.0},
            {"quantity": -1.0},
            {"kind": "limit", "limit_price": None},
        ],
    )
    def test_what_cannot_be_an_order_is_rejected_and_leaves_nothing(
        self, broker: Broker, fault: dict[str, Any]
    ) -> None:
        with pytest.raises(BrokerRejected):
            broker.submit(SubmitOrder(self.terms(**fault)))
        assert broker.order("c-1") is None

    def test_a_bracket_with_one_bad_leg_places_neither(self, broker: Broker) -> None:
        broker.submit(SubmitOrder(self.terms()))
        self.let_trade(broker, self.price)
        stop, take = self.legs()
        with pytest.raises(BrokerRejected):
            broker.submit(
                SubmitOrder(
                    stop,
                    self.terms("c-take", role="take", kind="limit", side="sell", limit_price=None),
                )
            )
        assert list(broker.orders()) == []
        assert take.client_order_id == "c-take"
