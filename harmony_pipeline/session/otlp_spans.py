"""Spans of a session's telemetry, and the attributes that they and the counters carry.

A span is current inside its `with`, so that what begins there belongs to it.
"""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from harmony_pipeline.errors import BrokerRejected, BrokerUnavailable
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.events import OrderTerms
from harmony_pipeline.portfolio.kernel_types import REASON_NAMES
from harmony_pipeline.session.otlp_delivery import Delivery
from harmony_pipeline.session.telemetry import Sent, Span

Attributes = dict[str, Any]
_REASONS = frozenset(REASON_NAMES[1:])
# what session/order_gate.py says, which names states, symbols and strategies
_GATE = (
    (" is halted: ", "symbol_halted"),
    (" is stopped: ", "strategy_stopped"),
    ("halted: ", "halted"),
    ("reducing: ", "reducing"),
)


class OpenSpan(Span):
    """A span that is current inside its context. `seconds`: a histogram of its duration."""

    __slots__ = ("_began", "_delivery", "_dropped", "_seconds", "_span", "_token")

    def __init__(self, span: trace.Span, delivery: "Delivery", seconds: Any = None) -> None:
        self._span, self._delivery, self._seconds = span, delivery, seconds
        self._dropped = False

    def __enter__(self) -> Self:
        self._token = otel_context.attach(trace.set_span_in_context(self._span))
        self._began = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        took = time.perf_counter() - self._began
        otel_context.detach(self._token)
        if self._dropped:  # never ended, so never sent
            return
        if error is not None:
            mark_failed(self._span, error)
        if self._seconds is not None:
            # with the span as its context: an exemplar of the histogram names the trace
            self._seconds.record(took, context=_context_of(self._span))
        self._delivery.ends(self._span)

    def set(self, name: str, value: str | int) -> None:
        """An attribute."""
        self._span.set_attribute(name, value)
        if name == "error.type":
            self._span.set_status(Status(StatusCode.ERROR))

    def drop(self) -> None:
        """It is neither sent nor counted."""
        self._dropped = True


class OpenRequest(OpenSpan):
    """A request to a broker: how it ended, and how often it was sent."""

    __slots__ = ("_before", "_sent")

    def __init__(self, span: trace.Span, delivery: "Delivery", sent: Sent | None) -> None:
        super().__init__(span, delivery)
        self._sent = sent
        self._before = 0 if sent is None else sent()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        count = 1 if self._sent is None else self._sent() - self._before
        self._span.set_attribute("harmony.broker.requests", count)
        self._span.set_attribute("harmony.broker.outcome", outcome_of(error))
        super().__exit__(kind, error, trace)


class UpdatesSpan(Span):
    """News taken in: `asked` is told when it began, its requests, outcome and error, where the
    broker was asked for it.
    """

    __slots__ = ("_asked", "_before", "_began", "_sent")

    def __init__(
        self, asked: Callable[[int, int, str, BaseException | None], None], sent: Sent
    ) -> None:
        self._asked, self._sent = asked, sent
        self._before, self._began = sent(), time.time_ns()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        count = self._sent() - self._before
        if count:
            self._asked(self._began, count, outcome_of(error), error)


def _context_of(span: trace.Span) -> otel_context.Context:
    return trace.set_span_in_context(span)


def mark_failed(span: trace.Span, error: BaseException) -> None:
    """The kind of the error alone: its sentence may hold what nobody outside is to read."""
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(Status(StatusCode.ERROR))


def outcome_of(error: BaseException | None) -> str:
    """How a request to the broker ended."""
    if error is None:
        return "answered"
    if isinstance(error, BrokerRejected):
        return "rejected"
    return "unavailable" if isinstance(error, BrokerUnavailable) else "failed"


def request_attributes(kind: str, orders: Sequence[OrderTerms]) -> Attributes:
    """Of a request to the broker, with the orders that it carries."""
    found: Attributes = {"harmony.broker.request": kind}
    if orders:
        found |= order_attributes(orders[0]) | {
            "harmony.symbol": orders[0].symbol,
            "harmony.order.ids": [terms.client_order_id for terms in orders],
        }
    return found


def order_attributes(terms: OrderTerms) -> Attributes:
    """Role and side, and the strategy of a portfolio."""
    found: Attributes = {"harmony.order.role": terms.role, "harmony.order.side": terms.side}
    return found if terms.strategy is None else found | {"harmony.strategy": terms.strategy}


def refusal_attributes(fact: ev.OrderRefused) -> Attributes:
    """Reason and limit by their names; a sentence of the gate by its kind."""
    reason = fact.reason
    if reason not in _REASONS:
        reason = next((kind for part, kind in _GATE if part in reason), "other")
    found = order_attributes(fact.order) | {"harmony.refusal.reason": reason}
    limit = fact.order.limit
    return found | {"harmony.risk.limit": limit} if limit in _REASONS else found
