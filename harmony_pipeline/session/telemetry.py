"""What a session says about itself to a monitoring system. Off unless `[session] telemetry` names a
collector: then each method here does nothing, and OpenTelemetry is not imported.

    with telemetry_of(url, plan, is_live=True, tell=tell) as telemetry:  # telemetry_setup.py
        with telemetry.moment(batch) as span:
            ...                                   # what happens inside is of this span

`session/otlp_telemetry.py` is the one that sends. Telemetry is told and never asked: nothing that a
session decides depends on it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self

from harmony_pipeline.execution.events import Event, OrderTerms, QuoteActed, RiskState
from harmony_pipeline.execution.lifecycle import Order
from harmony_pipeline.session.quotes import CountsQuotes
from harmony_pipeline.session.stream import Batch

Sent = Callable[[], int]
"""Requests that the calling thread has sent to the broker so far."""


class Span:
    """A piece of work with a begin and an end. A context; this one does nothing."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """The work ended, or failed with `error`."""

    def set(self, name: str, value: str | int) -> None:
        """A fact about the work."""

    def drop(self) -> None:
        """There was no work: it is not counted."""


NO_SPAN = Span()


class Telemetry:
    """Told what a session does, by the thread that trades. This one does nothing."""

    __slots__ = ()

    def moment(self, batch: Batch) -> Span:
        """From the bars of a moment to everything that was decided on them."""
        return NO_SPAN

    def quote(self, fact: QuoteActed) -> Span:
        """From a quote that is acted on to what was decided."""
        return NO_SPAN

    def request(self, kind: str, sent: Sent | None, orders: Sequence[OrderTerms] = ()) -> Span:
        """One request to the broker: submit, cancel, order, orders, positions, account or
        cash_activities. `orders`: what it is about.
        """
        return NO_SPAN

    def updates(self, sent: Sent | None) -> Span:
        """The broker's news is taken in, which asks it anew only now and then."""
        return NO_SPAN

    def reconciliation(self) -> Span:
        """The books of ledger and broker are compared."""
        return NO_SPAN

    def wrote(self, event: Event, order: Order | None) -> None:
        """The ledger has a new event, and the order as it then stands."""

    def marked(self, equity: int, drawdown: float) -> None:
        """The books at the end of a bar: money units, and a fraction of the peak (0 or less)."""

    def look(self, now: datetime, risk_state: Callable[[], RiskState]) -> None:
        """Some time has passed: `now` on the exchange's clock."""

    def hear_quotes(self, stream: CountsQuotes) -> None:
        """The stream whose quotes are counted."""

    def close(self) -> None:
        """The session is over."""


OFF = Telemetry()
