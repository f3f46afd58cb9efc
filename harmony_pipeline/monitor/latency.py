"""How long orders took on their way, from the times that the ledger keeps.

    intent -> submitted   ledger written, request answered
    submitted -> accepted the exchange's word, which for a leg that waits for its sibling is `held`
    accepted -> filled    waiting at the exchange

In a replayed session time stands still within a bar, so its first two are zero.
"""

from collections import deque
from collections.abc import Sequence

from harmony_pipeline.execution import events as ev
from harmony_pipeline.instants import micros

_KEPT = 500
STEPS = ("submitted", "accepted", "filled")


class Latency:
    """Milliseconds of the last orders, by step."""

    def __init__(self) -> None:
        self._began: dict[str, int] = {}
        self._unanswered: set[str] = set()  # neither accepted nor held so far
        self._took: dict[str, deque[float]] = {step: deque(maxlen=_KEPT) for step in STEPS}

    def see(self, event: ev.Event) -> None:
        """Take an event of an order into account."""
        match event:
            case ev.OrderIntended(client_order_id=name):
                self._began[name] = micros(event.known_at)
                self._unanswered.add(name)
            case ev.OrderSubmitted(client_order_id=name):
                self._step("submitted", name, micros(event.known_at))
            case ev.OrderAccepted(client_order_id=name) | ev.OrderHeld(client_order_id=name):
                if name in self._unanswered:  # a held leg is accepted again when it is released
                    self._unanswered.discard(name)
                    self._step("accepted", name, micros(event.known_at))
            case ev.OrderFilled(client_order_id=name):
                self._step("filled", name, micros(event.known_at))
                self._forget(name)
            case ev.OrderCanceled() | ev.OrderExpired() | ev.OrderRejected():
                self._forget(event.client_order_id)

    def _forget(self, name: str) -> None:
        self._began.pop(name, None)
        self._unanswered.discard(name)

    def _step(self, step: str, name: str, at: int) -> None:
        began = self._began.get(name)
        if began is not None:
            self._took[step].append((at - began) / 1000)
            self._began[name] = at

    def row(self) -> dict[str, float | None]:
        """Median, 95th percentile and maximum of each step, milliseconds."""
        return {
            f"{step}_{name}": value
            for step in STEPS
            for name, value in _summary(sorted(self._took[step])).items()
        }


def _summary(values: Sequence[float]) -> dict[str, float | None]:
    if not values:
        return {"p50": None, "p95": None, "max": None}
    last = len(values) - 1
    return {"p50": values[last // 2], "p95": values[int(last * 0.95)], "max": values[-1]}
