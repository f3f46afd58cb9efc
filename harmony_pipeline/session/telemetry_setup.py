"""Chooses the telemetry of a session: off, or OpenTelemetry, which is imported only then."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.telemetry import OFF, Telemetry


@contextmanager
def telemetry_of(
    url: str, plan: SessionPlan, *, is_live: bool, tell: Callable[..., object]
) -> Iterator[Telemetry]:
    """The telemetry of a session: sent to the collector at `url`, or off where that is empty.
    `tell` gets (event, facts) when deliveries begin to fail and when that ends. Raises ConfigError
    without the packages, or where an OTEL_* variable cannot be used.
    """
    if not url:
        yield OFF
        return
    try:
        from harmony_pipeline.session.otlp_telemetry import OtlpTelemetry
    except ImportError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise ConfigError(
            "session.telemetry needs the packages of OpenTelemetry: pip install"
            " 'harmony-pipeline[telemetry]'"
        ) from None
    telemetry = OtlpTelemetry(url, plan, is_live=is_live, tell=tell)
    try:
        yield telemetry
    finally:
        telemetry.close()
