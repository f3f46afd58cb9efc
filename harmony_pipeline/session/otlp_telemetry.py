"""Telemetry of a session by OpenTelemetry: spans and metrics, sent as OTLP over HTTP.

Imported only where a collector is named. The SDK's own threads send batches; the session puts a
span into a bounded queue and adds a number to an aggregate, and never waits. What the queue cannot
take, or the collector does not, is lost and counted, and the log says so.

The names follow OpenTelemetry's semantic conventions: lower case, dots, UCUM units, base units.
The standard variables OTEL_* hold: headers, time limit, compression, certificate, service name,
resource attributes, sampler, sizes of batches, interval of metrics.

    moment              one trace each: the bars that ended together, to everything decided on them
    quote               one trace each: a quote that is acted on, to what was decided
    reconciliation      ledger and broker compared
    broker KIND         a request to the broker, inside one of these where it belongs to it

No attribute holds a sentence of a broker, a strategy or an error: only kinds, counts and names of
Harmony's own. Durations are of this machine's clock, since a replayed one stands still.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import SpanKind

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.events import Event, OrderTerms, QuoteActed, RiskState
from harmony_pipeline.execution.lifecycle import Order
from harmony_pipeline.portfolio.kernel_types import MONEY
from harmony_pipeline.session.otlp_delivery import Delivery, Providers, session_resource
from harmony_pipeline.session.otlp_spans import (
    OpenRequest,
    OpenSpan,
    UpdatesSpan,
    mark_failed,
    order_attributes,
    refusal_attributes,
    request_attributes,
)
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.quotes import CountsQuotes
from harmony_pipeline.session.stream import Batch
from harmony_pipeline.session.telemetry import NO_SPAN, Sent, Span, Telemetry
from harmony_pipeline.version import __version__

_SCOPE = "harmony_pipeline.session"
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_RISK_STATES: tuple[RiskState, ...] = ("ACTIVE", "REDUCING", "HALTED")
_QUOTE_OUTCOMES = ("handled", "conflated", "refused")


class OtlpTelemetry(Telemetry):
    """Sends to the collector at `url` until `close`. See `Telemetry` for what it is told."""

    __slots__ = (
        "_accept", "_age", "_books", "_delivery", "_fills", "_intended", "_moments", "_orders",
        "_providers", "_refusals", "_rejections", "_risk", "_send", "_sent_at", "_stream",
        "_tracer",
    )  # fmt: skip

    def __init__(
        self, url: str, plan: SessionPlan, *, is_live: bool, tell: Callable[..., object]
    ) -> None:
        self._delivery = Delivery(tell)
        resource = session_resource(plan, is_live=is_live)
        try:
            self._providers = Providers(url.rstrip("/"), resource, self._delivery)
        except (ValueError, RuntimeError, ImportError) as error:
            raise ConfigError(f"session.telemetry, with the variables OTEL_*: {error}") from None
        self._tracer = self._providers.traces.get_tracer(_SCOPE, __version__)
        self._stream: CountsQuotes | None = None
        self._intended: dict[str, float] = {}  # client order id -> when its intent was on disk
        self._sent_at: dict[str, float] = {}  # client order id -> when it was sent first
        self._books: tuple[float, float] | None = None
        self._risk: RiskState | None = None
        # seconds of the last bars' age, and when it was counted, on this machine's clock
        self._age: tuple[datetime | None, float, float] = (None, 0.0, 0.0)
        self._make_instruments()

    def _make_instruments(self) -> None:
        meter = self._providers.metrics.get_meter(_SCOPE, __version__)

        def seconds(name: str, description: str) -> Any:
            return meter.create_histogram(
                f"harmony.session.{name}", "s", description,
                explicit_bucket_boundaries_advisory=_SECONDS,
            )  # fmt: skip

        def counter(name: str, unit: str, description: str) -> Any:
            return meter.create_counter(f"harmony.session.{name}", unit, description)

        self._moments = seconds("moment.duration", "From the bars of a moment to its decisions.")
        self._send = seconds("order.send.duration", "From the intent on disk to the request.")
        self._accept = seconds("order.accept.duration", "From the request to the acceptance.")
        self._orders = counter("orders", "{order}", "Orders that were intended.")
        self._fills = counter("fills", "{fill}", "Executions that were taken into the ledger.")
        self._refusals = counter("refusals", "{order}", "Orders that our own limits stopped.")
        self._rejections = counter("rejections", "{order}", "Orders that the broker rejected.")
        for name, unit, description, observe in (
            ("data.age", "s", "Age of the newest bars.", self._observe_age),
            ("quote.waiting", "{quote}", "Quotes that wait.", self._observe_waiting),
            ("equity", "{currency}", "Equity at the last bar.", self._observe_equity),
            ("drawdown", "1", "Loss from the highest equity.", self._observe_drawdown),
            ("risk.state", "1", "1 for the state that holds.", self._observe_risk),
        ):
            meter.create_observable_gauge(f"harmony.session.{name}", [observe], unit, description)
        meter.create_observable_counter(
            "harmony.session.quotes", [self._observe_quotes], "{quote}", "Quotes that were heard."
        )

    # --- what is told -----------------------------------------------------------------------------

    def moment(self, batch: Batch) -> Span:
        """A trace; its duration is counted, too."""
        self._age = (batch.end, self._age[1], self._age[2])
        span = self._tracer.start_span(
            "moment",
            attributes={
                "harmony.moment.start": batch.start.isoformat(),
                "harmony.moment.end": batch.end.isoformat(),
                "harmony.moment.bars": len(batch.bars),
            },
        )
        return OpenSpan(span, self._delivery, self._moments)

    def quote(self, fact: QuoteActed) -> Span:
        """A trace."""
        span = self._tracer.start_span(
            "quote",
            attributes={
                "harmony.symbol": fact.symbol,
                "harmony.quote.symbol": fact.quoted_symbol,
                "harmony.quote.time": fact.happened_at.isoformat(),
                "harmony.signal.side": fact.side,
            },
        )
        return OpenSpan(span, self._delivery)

    def request(self, kind: str, sent: Sent | None, orders: Sequence[OrderTerms] = ()) -> Span:
        """A span of a client."""
        if kind == "submit":
            self._leaves(orders)
        span = self._tracer.start_span(
            f"broker {kind}", kind=SpanKind.CLIENT, attributes=request_attributes(kind, orders)
        )
        return OpenRequest(span, self._delivery, sent)

    def updates(self, sent: Sent | None) -> Span:
        """A span where the broker was asked."""
        if sent is None:
            return NO_SPAN
        return UpdatesSpan(self.asked, sent)

    def asked(self, began: int, count: int, outcome: str, error: BaseException | None) -> None:
        """News took `count` requests since `began` (nanoseconds since 1970)."""
        attributes = request_attributes("updates", ()) | {
            "harmony.broker.requests": count, "harmony.broker.outcome": outcome,
        }  # fmt: skip
        span = self._tracer.start_span(
            "broker updates", kind=SpanKind.CLIENT, start_time=began, attributes=attributes
        )
        if error is not None:
            mark_failed(span, error)
        self._delivery.ends(span)

    def reconciliation(self) -> Span:
        """A span, or a trace."""
        return OpenSpan(self._tracer.start_span("reconciliation"), self._delivery)

    def wrote(self, event: Event, order: Order | None) -> None:
        """Counts orders, fills, refusals and rejections, and the times on the way."""
        match event:
            case ev.OrderIntended():
                self._intended[event.client_order_id] = time.perf_counter()
                self._orders.add(1, order_attributes(event.order))
            case ev.OrderRefused():
                self._refusals.add(1, refusal_attributes(event))
            case ev.OrderAccepted() | ev.OrderHeld():
                self._accepted(event.client_order_id)
            case ev.OrderPartiallyFilled():
                self._accepted(event.client_order_id)
                if order is not None:
                    liquidity = {"harmony.fill.liquidity": event.liquidity}
                    self._fills.add(1, order_attributes(order.terms) | liquidity)
            case ev.OrderRejected():
                if order is not None:
                    self._rejections.add(1, order_attributes(order.terms))
        if order is not None and not order.is_open:
            self._intended.pop(order.client_order_id, None)
            self._sent_at.pop(order.client_order_id, None)

    def marked(self, equity: int, drawdown: float) -> None:
        """Shown by the gauges from now on."""
        self._books = (equity / MONEY, drawdown)

    def look(self, now: datetime, risk_state: Callable[[], RiskState]) -> None:
        """Shown by the gauges from now on; the age of the data grows by itself until then."""
        self._risk = risk_state()
        heard = self._age[0]
        if heard is not None:
            age = max(0.0, (now - heard).total_seconds())
            self._age = (heard, age, time.monotonic())

    def hear_quotes(self, stream: CountsQuotes) -> None:
        """Its counts are read when metrics are sent."""
        self._stream = stream

    def close(self) -> None:
        """Send what waits; what does not arrive within two seconds is lost, and the log says how
        much.
        """
        self._providers.close()
        self._delivery.close()

    # --- times of orders --------------------------------------------------------------------------

    def _leaves(self, orders: Iterable[OrderTerms]) -> None:
        now = time.perf_counter()
        for terms in orders:
            intended = self._intended.pop(terms.client_order_id, None)
            if intended is not None:
                self._send.record(now - intended, order_attributes(terms))
                self._sent_at[terms.client_order_id] = now

    def _accepted(self, name: str) -> None:
        sent = self._sent_at.pop(name, None)
        if sent is not None:
            self._accept.record(time.perf_counter() - sent)

    # --- gauges, in the thread that sends metrics -------------------------------------------------

    def _observe_age(self, _options: CallbackOptions) -> Iterable[Observation]:
        heard, age, counted = self._age
        if heard is not None and counted:
            yield Observation(age + time.monotonic() - counted)

    def _observe_waiting(self, _options: CallbackOptions) -> Iterable[Observation]:
        if self._stream is not None:
            yield Observation(self._stream.quote_counts.waiting)

    def _observe_quotes(self, _options: CallbackOptions) -> Iterable[Observation]:
        if self._stream is not None:
            counts = self._stream.quote_counts._asdict()
            for outcome in _QUOTE_OUTCOMES:
                yield Observation(counts[outcome], {"harmony.quote.outcome": outcome})

    def _observe_equity(self, _options: CallbackOptions) -> Iterable[Observation]:
        if self._books is not None:
            yield Observation(self._books[0])

    def _observe_drawdown(self, _options: CallbackOptions) -> Iterable[Observation]:
        if self._books is not None:
            yield Observation(self._books[1])

    def _observe_risk(self, _options: CallbackOptions) -> Iterable[Observation]:
        if self._risk is not None:
            for state in _RISK_STATES:
                yield Observation(int(state == self._risk), {"harmony.risk.state": state.lower()})
