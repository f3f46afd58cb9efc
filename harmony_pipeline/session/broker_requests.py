"""What a session asks of its broker, each request as a span of its telemetry.

The calls are the broker's own (`execution/brokers/base.py`), with its errors.
"""

from collections.abc import Sequence

from harmony_pipeline.execution.brokers.base import (
    Broker,
    BrokerAccount,
    BrokerOrder,
    BrokerPosition,
    CountsRequests,
)
from harmony_pipeline.execution.events import AnyOrderFact, CancelOrder, OrderTerms, SubmitOrder
from harmony_pipeline.session.telemetry import Sent, Telemetry


class BrokerRequests:
    """Requests of one session to one broker. One thread."""

    def __init__(self, broker: Broker, telemetry: Telemetry) -> None:
        self._broker, self._telemetry = broker, telemetry
        self._sent: Sent | None = (
            broker.requests_sent if isinstance(broker, CountsRequests) else None
        )

    def submit(self, command: SubmitOrder) -> BrokerOrder:
        """See `Broker.submit`."""
        orders = (command.order,) if command.other is None else (command.order, command.other)
        with self._telemetry.request("submit", self._sent, orders):
            return self._broker.submit(command)

    def cancel(self, command: CancelOrder, orders: Sequence[OrderTerms] = ()) -> None:
        """See `Broker.cancel`; `orders`: the order, where the session knows it."""
        with self._telemetry.request("cancel", self._sent, orders):
            self._broker.cancel(command)

    def order(self, client_order_id: str) -> BrokerOrder | None:
        """See `Broker.order`."""
        with self._telemetry.request("order", self._sent):
            return self._broker.order(client_order_id)

    def orders(self, open_only: bool = True) -> Sequence[BrokerOrder]:
        """See `Broker.orders`."""
        with self._telemetry.request("orders", self._sent):
            return self._broker.orders(open_only)

    def positions(self) -> Sequence[BrokerPosition]:
        """See `Broker.positions`."""
        with self._telemetry.request("positions", self._sent):
            return self._broker.positions()

    def account(self) -> BrokerAccount:
        """See `Broker.account`."""
        with self._telemetry.request("account", self._sent):
            return self._broker.account()

    def updates(self) -> Sequence[AnyOrderFact]:
        """See `Broker.updates`."""
        with self._telemetry.updates(self._sent):
            return self._broker.updates()
