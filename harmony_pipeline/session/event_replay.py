"""What a session at a real broker had already lived through when its process died: the events after the last snapshot, handed out once more.

The law: they come back at the very points at which they were first met. News of the broker is heard again where it was heard; what we wrote ourselves
is expected again where it was written, and is neither written nor sent twice. Only when the journal is used up does the world go on. A process that
decides differently than the one before it breaks the journal: that is a dispute, and trading stops.
"""

from collections import deque
from collections.abc import Iterable

from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.events import AnyOrderFact, Event

# What we write ourselves. Any other fact about an order came from the broker.
OURS = (ev.OrderIntended, ev.OrderRefused, ev.OrderSubmitted, ev.OrderOutcomeUnknown, ev.OrderCancelRequested)

# What happens again at the same point. The rest (streams, risk state, kill switch, reconciliation) is driven by real time and is not replayed.
REPEATED = (ev.OrderFact, ev.BarsReceived, ev.CorporateActionApplied, ev.BreakerTripped)


class Journal:
    """A queue of old events; empty for a session that was never interrupted."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._events: deque[Event] = deque(event for event in events if isinstance(event, REPEATED))

    def __bool__(self) -> bool:
        return bool(self._events)

    @property
    def head(self) -> Event | None:
        """What comes next, or None."""
        return self._events[0] if self._events else None

    def expects(self, event: Event) -> bool:
        """Whether `event` is what was written next; it is taken off then."""
        head = self.head
        if head is None or ev.kind_of(head) != ev.kind_of(event) or about(head) != about(event):
            return False
        self._events.popleft()
        return True

    def news(self) -> list[AnyOrderFact]:
        """The broker's facts up to the next event of our own."""
        facts: list[AnyOrderFact] = []
        while (head := self.head) is not None and isinstance(head, ev.OrderFact) and not isinstance(head, OURS):
            facts.append(head)
            self._events.popleft()
        return facts

    def about_order(self, client_order_id: str) -> AnyOrderFact | None:
        """The next event, if it is about this order."""
        head = self.head
        return head if isinstance(head, ev.OrderFact) and head.client_order_id == client_order_id else None

    def drop(self) -> None:
        """Take the next event off."""
        self._events.popleft()

    def abandon(self) -> list[Event]:
        """Everything that is left; the journal is empty afterwards."""
        rest: list[Event] = list(self._events)
        self._events.clear()
        return rest


def about(event: Event) -> str:
    """What an event is about: its order, or its moment."""
    name = getattr(event, "client_order_id", None)
    return str(name) if name is not None else f"moment {getattr(event, 'happened_at', '')}"
