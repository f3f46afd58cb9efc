"""How a session's telemetry leaves: the SDK's providers, exporters and threads, and the count of
what the collector has not taken.

The SDK's own threads send batches, so the session never waits; at the end they have two seconds.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import requests
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.version import __version__

_CLOSE_SECONDS = 2.0  # for what waits when the session ends
# loggers of the SDK that say of each attempt what the session's log says once
_LOUD = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.sdk._shared_internal",
    "opentelemetry.sdk.metrics._internal.export",
)


class Delivery:
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

    def __init__(self, delivery: Delivery) -> None:
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

    def __init__(self, url: str, delivery: Delivery) -> None:
        super().__init__(f"{url}/v1/traces", session=_Session(delivery))
        self._delivery = delivery

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """As `OTLPSpanExporter.export`."""
        result = super().export(spans)
        if result is SpanExportResult.SUCCESS:
            self._delivery.took(len(spans))
        return result


class Providers:
    """The SDK's parts of one session, with their threads. None of them is the process's own."""

    def __init__(self, url: str, resource: Resource, delivery: Delivery) -> None:
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


def session_resource(plan: SessionPlan, *, is_live: bool) -> Resource:
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
