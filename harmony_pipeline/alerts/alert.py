"""One alert, and the sentence of an event of a session that deserves one."""

from dataclasses import dataclass
from typing import Literal

from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.events import Event

Level = Literal["info", "warn", "bad"]
LEVELS: tuple[Level, ...] = ("info", "warn", "bad")


@dataclass(frozen=True)
class Alert:
    """`kind` and `subject` name it: the same pair again is a repetition. text: one sentence."""

    kind: str
    level: Level
    text: str
    subject: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What repetitions have in common."""
        return self.kind, self.subject


def alert_of(event: Event, session_id: str) -> Alert | None:
    """The alert of a session's event; None for what is everyday."""
    match event:
        case ev.SessionEnded(outcome=outcome) if outcome != "completed":
            because = f": {event.reason}" if event.reason else ""
            text = f"session {session_id} ended, {outcome}{because}"
            return Alert("session_ended", "bad", text, session_id)
        case ev.BooksReconciled(differences=found) if found:
            rest = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            text = f"ledger and broker differ: {found[0]}{rest}"
            return Alert("reconciliation_difference", "bad", text, session_id)
        case ev.BooksDiffered():
            text = f"ledger and broker differ: {event.sentence}"
            return Alert("reconciliation_difference", "bad", text, f"{event.subject} {event.key}")
        case ev.ActionWrittenOff():
            text = (
                f"{event.symbol}: {event.action} of {event.date}: {event.amount:.2f} was not paid"
                f" at the broker in {event.days} days and is written off"
            )
            return Alert("action_unpaid", "warn", text, f"{event.symbol} {event.date}")
        case ev.BreakerTripped():
            text = f"breaker {event.breaker} tripped at {event.measure:.2%}"
            return Alert("breaker_tripped", "bad", text, event.breaker)
        case ev.StrategyStopped():
            text = f"strategy {event.strategy} trades no more today: {event.reason}"
            return Alert("strategy_stopped", "bad", text, event.strategy)
        case ev.KillSwitchPulled():
            return Alert("kill_switch", "bad", f"the kill switch was pulled: {event.reason}")
        case ev.StreamStale(stream="orders"):
            return Alert("order_stream_down", "bad", "the order stream is down: nothing is sent")
        case ev.StreamStale():
            text = f"no news on stream {event.stream} for {event.age_seconds:.0f} s"
            return Alert("stale_data", "bad", text, event.stream)
        case ev.RiskStateChanged(current="HALTED", reason=reason) if reason != "kill switch":
            return Alert("halted", "bad", f"no order leaves: {reason}", reason)
        case ev.OrderRejected():
            text = f"the broker rejected an order of {event.symbol}: {event.reason}"
            return Alert("order_rejected", "warn", text, event.symbol)
        case ev.OrderOutcomeUnknown():
            text = f"nobody knows whether an order of {event.symbol} arrived; it is looked up"
            return Alert("order_unknown", "warn", text, event.symbol)
        case _:
            return None
