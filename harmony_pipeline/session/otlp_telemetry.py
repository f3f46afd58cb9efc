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

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import requests
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode

from harmony_pipeline.errors import BrokerRejected, BrokerUnavailable, ConfigError
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.events import Event, OrderTerms, QuoteActed, RiskState
from harmony_pipeline.execution.lifecycle import Order
from harmony_pipeline.portfolio.kernel_types import MONEY, REASON_NAMES
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.quotes import CountsQuotes
from harmony_pipeline.session.stream import Batch
from harmony_pipeline.session.telemetry import NO_SPAN, Sent, Span, Telemetry
from harmony_pipeline.version import __version__

Attributes = dict[str, Any]

_SCOPE = "harmony_pipeline.session"
_CLOSE_SECONDS = 2.0  # for what waits when the session ends
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_RISK_STATES: tuple[RiskState, ...] = ("ACTIVE", "REDUCING", "HALTED")
_QUOTE_OUTCOMES = ("handled", "conflated", "refused")
_REASONS = frozenset(REASON_NAMES[1:])
# what the gate of session/order_manager.py says, which names states, symbols and strategies
_GATE = (
    (" is halted: ", "symbol_halted"),
    (" is stopped: ", "strategy_stopped"),
    ("halted: ", "halted"),
    ("reducing: ", "reducing"),
)
# loggers of the SDK that say of each attempt what the session's log says once
_LOUD = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.sdk._shared_internal",
    "opentelemetry.sdk.metrics._internal.export",
)


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
        self._delivery = _Delivery(tell)
        resource = _resource(plan, is_live=is_live)
        try:
            self._providers = _Providers(url.rstrip("/"), resource, self._delivery)
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
        return _Open(span, self._delivery, self._moments)

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
        return _Open(span, self._delivery)

    def request(self, kind: str, sent: Sent | None, orders: Sequence[OrderTerms] = ()) -> Span:
        """A span of a client."""
        if kind == "submit":
            self._leaves(orders)
        span = self._tracer.start_span(
            f"broker {kind}", kind=SpanKind.CLIENT, attributes=_of_request(kind, orders)
        )
        return _OpenRequest(span, self._delivery, sent)

    def updates(self, sent: Sent | None) -> Span:
        """A span where the broker was asked."""
        if sent is None:
            return NO_SPAN
        return _Perhaps(self, sent)

    def asked(self, began: int, count: int, outcome: str, error: BaseException | None) -> None:
        """News took `count` requests since `began` (nanoseconds since 1970)."""
        attributes = _of_request("updates", ()) | {
            "harmony.broker.requests": count, "harmony.broker.outcome": outcome,
        }  # fmt: skip
        span = self._tracer.start_span(
            "broker updates", kind=SpanKind.CLIENT, start_time=began, attributes=attributes
        )
        if error is not None:
            _fail(span, error)
        self._delivery.ends(span)

    def reconciliation(self) -> Span:
        """A span, or a trace."""
        return _Open(self._tracer.start_span("reconciliation"), self._delivery)

    def wrote(self, event: Event, order: Order | None) -> None:
        """Counts orders, fills, refusals and rejections, and the times on the way."""
        match event:
            case ev.OrderIntended():
                self._intended[event.client_order_id] = time.perf_counter()
                self._orders.add(1, _of_order(event.order))
            case ev.OrderRefused():
                self._refusals.add(1, _of_refusal(event))
            case ev.OrderAccepted() | ev.OrderHeld():
                self._accepted(event.client_order_id)
            case ev.OrderPartiallyFilled():
                self._accepted(event.client_order_id)
                if order is not None:
                    liquidity = {"harmony.fill.liquidity": event.liquidity}
                    self._fills.add(1, _of_order(order.terms) | liquidity)
            case ev.OrderRejected():
                if order is not None:
                    self._rejections.add(1, _of_order(order.terms))
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
                self._send.record(now - intended, _of_order(terms))
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


# --- spans ----------------------------------------------------------------------------------------


class _Open(Span):
    """A span that is current inside its context. `seconds`: a histogram of its duration."""

    __slots__ = ("_began", "_delivery", "_dropped", "_seconds", "_span", "_token")

    def __init__(self, span: trace.Span, delivery: "_Delivery", seconds: Any = None) -> None:
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
            _fail(self._span, error)
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


class _OpenRequest(_Open):
    """A request to a broker: how it ended, and how often it was sent."""

    __slots__ = ("_before", "_sent")

    def __init__(self, span: trace.Span, delivery: "_Delivery", sent: Sent | None) -> None:
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
        self._span.set_attribute("harmony.broker.outcome", _outcome(error))
        super().__exit__(kind, error, trace)


class _Perhaps(Span):
    """News taken in: a span only where the broker was asked for it."""

    __slots__ = ("_before", "_began", "_sent", "_telemetry")

    def __init__(self, telemetry: OtlpTelemetry, sent: Sent) -> None:
        self._telemetry, self._sent = telemetry, sent
        self._before, self._began = sent(), time.time_ns()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        count = self._sent() - self._before
        if count:
            self._telemetry.asked(self._began, count, _outcome(error), error)


def _context_of(span: trace.Span) -> otel_context.Context:
    return trace.set_span_in_context(span)


def _fail(span: trace.Span, error: BaseException) -> None:
    """The kind of the error alone: its sentence may hold what nobody outside is to read."""
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(Status(StatusCode.ERROR))


def _outcome(error: BaseException | None) -> str:
    if error is None:
        return "answered"
    if isinstance(error, BrokerRejected):
        return "rejected"
    return "unavailable" if isinstance(error, BrokerUnavailable) else "failed"


def _of_request(kind: str, orders: Sequence[OrderTerms]) -> Attributes:
    found: Attributes = {"harmony.broker.request": kind}
    if orders:
        found |= _of_order(orders[0]) | {
            "harmony.symbol": orders[0].symbol,
            "harmony.order.ids": [terms.client_order_id for terms in orders],
        }
    return found


def _of_order(terms: OrderTerms) -> Attributes:
    found: Attributes = {"harmony.order.role": terms.role, "harmony.order.side": terms.side}
    return found if terms.strategy is None else found | {"harmony.strategy": terms.strategy}


def _of_refusal(fact: ev.OrderRefused) -> Attributes:
    """Reason and limit by their names; a sentence of the gate by its kind."""
    reason = fact.reason
    if reason not in _REASONS:
        reason = next((kind for part, kind in _GATE if part in reason), "other")
    found = _of_order(fact.order) | {"harmony.refusal.reason": reason}
    limit = fact.order.limit
    return found | {"harmony.risk.limit": limit} if limit in _REASONS else found


# --- sending --------------------------------------------------------------------------------------


class _Delivery:
    """Whether the collector takes what it is sent, and how many spans it has not taken. Told by
    every request, in the threads that send.
    """

    def __init__(self, tell: Callable[..., object]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._fails = self._closed = False
        self._ended = 0  # spans that are to be sent; one thread counts
        self._taken = 0
        self.closing = False
        self.hopeless = threading.Event()  # nobody listens while the session is closing

    def ends(self, span: trace.Span) -> None:
        """End a span, which is to be sent where it was sampled."""
        self._ended += span.get_span_context().trace_flags.sampled
        span.end()

    def took(self, spans: int) -> None:
        """The collector has these spans."""
        with self._lock:
            self._taken += spans

    def answered(self) -> None:
        """A request was taken."""
        with self._lock:
            again, self._fails = self._fails and not self._closed, False
        if again:
            self._tell("telemetry is delivered again")

    def failed(self, reason: str, *, unreachable: bool = False) -> None:
        """A request was not: the log says it of the first."""
        with self._lock:
            first = not self._fails and not self._closed
            self._fails = True
        if first:
            self._tell("telemetry is not delivered", reason=reason)
        if unreachable and self.closing:
            self.hopeless.set()

    def close(self) -> None:
        """Say how many spans were lost, if any were, and nothing after that."""
        with self._lock:
            self._closed = True
            lost = self._ended - self._taken
        if lost:
            self._tell("telemetry was lost", spans=lost)


class _Session(requests.Session):
    """Connections to the collector that say how each request ended."""

    def __init__(self, delivery: _Delivery) -> None:
        super().__init__()
        self._delivery = delivery

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        """As `requests.Session.request`."""
        try:
            answer = super().request(*arguments, **options)
        except Exception as error:
            # the kind alone: what it says may hold the headers
            self._delivery.failed(type(error).__name__, unreachable=True)
            raise
        if answer.ok:
            self._delivery.answered()
        else:
            self._delivery.failed(f"status {answer.status_code}")
        return answer


class _SpanExporter(OTLPSpanExporter):
    """Counts the spans that the collector has taken."""

    def __init__(self, url: str, delivery: _Delivery) -> None:
        super().__init__(f"{url}/v1/traces", session=_Session(delivery))
        self._delivery = delivery

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """As `OTLPSpanExporter.export`."""
        result = super().export(spans)
        if result is SpanExportResult.SUCCESS:
            self._delivery.took(len(spans))
        return result


class _Providers:
    """The SDK's parts of one session, with their threads. None of them is the process's own."""

    def __init__(self, url: str, resource: Resource, delivery: _Delivery) -> None:
        for name in _LOUD:
            logging.getLogger(name).addFilter(_say_nothing)
        self._delivery = delivery
        self._spans = _SpanExporter(url, delivery)
        self._numbers = OTLPMetricExporter(f"{url}/v1/metrics", session=_Session(delivery))
        processor = BatchSpanProcessor(self._spans)
        self.traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.traces.add_span_processor(processor)
        reader = PeriodicExportingMetricReader(self._numbers)
        self.metrics = MeterProvider([reader], resource, shutdown_on_exit=False)

    def close(self) -> None:
        """Send what waits, for two seconds at most, and less where nobody listens. A thread that
        still waits for an answer then ends by itself.
        """
        self._delivery.closing = True
        ended = self._delivery.hopeless
        threading.Thread(
            target=self._send_rest, args=(ended,), name="telemetry end", daemon=True
        ).start()
        ended.wait(_CLOSE_SECONDS)
        for exporter in (self._spans, self._numbers):  # a repetition that is waited for is given up
            exporter.shutdown()

    def _send_rest(self, ended: threading.Event) -> None:
        for provider in (self.traces, self.metrics):
            with contextlib.suppress(Exception):
                provider.shutdown()
        ended.set()


def _say_nothing(_record: logging.LogRecord) -> bool:
    return False


def _resource(plan: SessionPlan, *, is_live: bool) -> Resource:
    """Who sends; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come before it."""
    own = Resource(
        {
            "service.name": "harmony",
            "service.version": __version__,
            "harmony.session.id": plan.session_id,
            "harmony.session.date": plan.date.isoformat(),
            "harmony.session.mode": "live" if is_live else "replay",
        }
    )
    return Resource.create().merge(own).merge(OTELResourceDetector().detect())
