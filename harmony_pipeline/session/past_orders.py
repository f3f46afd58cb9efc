"""What the process before this one did with the orders of an interrupted session, so that each is
treated likewise when it is decided again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.events import Event, OrderTerms


@dataclass
class PastOrders:
    """By client order id. What is asked for is used once, but for the orders that were canceled."""

    canceled: set[str] = field(default_factory=set)
    _refused: dict[str, str] = field(default_factory=dict)  # and why
    _intended: set[str] = field(default_factory=set)
    _answered: set[str] = field(default_factory=set)

    def remember(self, past: Iterable[Event]) -> None:
        """Note what these events tell of each order."""
        for event in past:
            if isinstance(event, ev.OrderRefused):
                self._refused[event.client_order_id] = event.reason
            elif isinstance(event, ev.OrderIntended):
                self._intended.add(event.client_order_id)
            elif isinstance(
                event,
                ev.OrderSubmitted | ev.OrderOutcomeUnknown | ev.OrderRejected | ev.OrderCanceled,
            ):
                self._answered.add(event.client_order_id)
            elif isinstance(event, ev.OrderCancelRequested):
                self.canceled.add(event.client_order_id)

    def refusal(self, name: str) -> str | None:
        """Why the gate refused it; None where it did not."""
        return self._refused.pop(name, None)

    def was_intended(self, name: str) -> bool:
        """Whether the gate let it pass."""
        intended = name in self._intended
        self._intended.discard(name)
        return intended

    def has_answer(self, name: str) -> bool:
        """Whether the broker has answered it."""
        return name in self._answered

    def answered(self, orders: Iterable[OrderTerms]) -> list[OrderTerms]:
        """Those that the broker has answered."""
        found = [terms for terms in orders if terms.client_order_id in self._answered]
        self._answered -= {terms.client_order_id for terms in found}
        return found

    def forget(self) -> None:
        """Nothing is to be done again, but what was canceled stays so."""
        self._refused, self._intended, self._answered = {}, set(), set()
