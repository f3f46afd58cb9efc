"""The journal of a session that was interrupted at a real broker: its events after the last
snapshot.

A restart replays them through the order manager: the bars of the day are processed again, and while
the journal lasts the gateway takes every answer from it. Events come back at the points at which
they were first met. When it is used up, the ledger and the broker answer again.

The journal breaks when the new process writes something else than the journal has next: a dispute,
and trading stops.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.events import AnyOrderFact, Event, OrderTerms

# What a session writes about its own doing. Any other fact about an order came from the broker.
OWN_FACTS = (
    ev.OrderIntended,
    ev.OrderRefused,
    ev.OrderSubmitted,
    ev.OrderOutcomeUnknown,
    ev.OrderCancelRequested,
)

# What is written again at the same point. The rest (streams, risk state, kill switch,
# reconciliation) is driven by real time and is not replayed.
REPEATED = (
    ev.OrderFact, ev.BarsReceived, ev.QuoteActed, ev.CorporateActionApplied, ev.BreakerTripped,
    ev.BreakerRearmed,
)  # fmt: skip

# What can become of an order that is sent.
_ANSWERS = (ev.OrderSubmitted, ev.OrderOutcomeUnknown, ev.OrderRejected, ev.OrderCanceled)


class Journal:
    """A queue of old events; empty for a session that was never interrupted. `also`: further kinds
    that are met again.
    """

    def __init__(self, events: Iterable[Event] = (), also: tuple[type[Event], ...] = ()) -> None:
        kinds = (*REPEATED, *also)
        self._events: deque[Event] = deque(event for event in events if isinstance(event, kinds))

    def __bool__(self) -> bool:
        return bool(self._events)

    @property
    def events(self) -> tuple[Event, ...]:
        """What is left, oldest first."""
        return tuple(self._events)

    def expects(self, event: Event) -> bool:
        """Whether `event` is what was written next; it is taken off then."""
        if not self._events:
            return False
        head = self._events[0]
        if ev.kind_of(head) != ev.kind_of(event) or subject(head) != subject(event):
            return False
        self._events.popleft()
        return True

    def report(self) -> AnyOrderFact | None:
        """The next event, if the broker reported it. It stays until it is written again."""
        head = self._events[0] if self._events else None
        return head if isinstance(head, ev.OrderFact) and not isinstance(head, OWN_FACTS) else None

    def skip(self, fact: AnyOrderFact) -> None:
        """Take a report off that was not written again."""
        if self._events and self._events[0] is fact:
            self._events.popleft()

    def answers(self, orders: Sequence[OrderTerms]) -> list[AnyOrderFact]:
        """What became of sending these orders, as far as it was written next."""
        found: list[AnyOrderFact] = []
        for terms, event in zip(orders, self._events, strict=False):
            if not isinstance(event, _ANSWERS) or event.client_order_id != terms.client_order_id:
                break
            found.append(event)
        return found

    def abandon(self) -> list[Event]:
        """Everything that is left; the journal is empty afterwards."""
        rest: list[Event] = list(self._events)
        self._events.clear()
        return rest


def subject(event: Event) -> str:
    """What an event is about: its order, or its moment."""
    if isinstance(event, ev.OrderFact):
        return event.client_order_id
    return f"moment {event.happened_at}" if isinstance(event, ev.Fact) else event.__class__.__name__
