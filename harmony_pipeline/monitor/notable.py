"""Events that a person should see, as one sentence each, with how bad they are."""

from typing import Literal

from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.events import Event

Level = Literal["info", "warn", "bad"]


def sentence_of(event: Event) -> tuple[Level, str] | None:
    """How bad, and the sentence; None for what is everyday."""
    match event:
        case ev.OrderRejected():
            return "bad", f"{event.symbol}: the broker rejected an order: {event.reason}"
        case ev.OrderOutcomeUnknown():
            return "warn", f"{event.symbol}: nobody knows yet whether an order arrived"
        case ev.OrderCancelRejected():
            return "warn", f"{event.symbol}: a cancel was refused: {event.reason or 'too late'}"
        case ev.CandidateRefused():
            return "info", f"{event.symbol}: the model gave no answer: {event.reason}"
        case _:
            return _session_sentence(event)


def _session_sentence(event: Event) -> tuple[Level, str] | None:
    match event:
        case ev.SessionStarted():
            return "info", f"session started, {len(event.symbols)} symbols, {event.strategy}"
        case ev.SessionEnded():
            level: Level = "info" if event.outcome == "completed" else "bad"
            because = f": {event.reason}" if event.reason else ""
            return level, f"session ended, {event.outcome}{because}"
        case ev.RiskStateChanged():
            level = "info" if event.current == "ACTIVE" else "bad"
            return level, f"{event.previous} to {event.current}: {event.reason}"
        case ev.StreamStale():
            return "bad", f"stream {event.stream} is silent for {event.age_seconds:.0f} s"
        case ev.StreamRecovered():
            return "info", f"stream {event.stream} speaks again"
        case ev.BreakerTripped():
            return "bad", f"breaker {event.breaker} tripped at {event.measure:.2%}"
        case ev.BreakerRearmed():
            return "info", f"breaker {event.breaker} is re-armed"
        case ev.KillSwitchPulled():
            return "bad", f"kill switch: {event.reason}"
        case ev.BooksReconciled():
            return _books(event)
        case ev.BooksDiffered():
            return "bad", f"ledger and broker differ: {event.sentence}"
        case ev.CorporateActionApplied():
            shares = f"{event.quantity_before:g} to {event.quantity_after:g} shares"
            return "info", f"{event.symbol}: {event.action} {event.value:g}, {shares}"
        case ev.ActionSettled() | ev.ActionWrittenOff():
            return _cash_of_action(event)
        case _:
            return _change_of_plan(event)


def _cash_of_action(event: ev.ActionSettled | ev.ActionWrittenOff) -> tuple[Level, str]:
    whose = f"{event.symbol or 'the account'}: {event.action}"
    if isinstance(event, ev.ActionWrittenOff):
        return "warn", (
            f"{whose} of {event.date}: {event.amount:.2f} was not paid at the broker in"
            f" {event.days} days and is written off"
        )
    if event.date is None:
        return "info", f"{whose}: {event.paid:.2f} at the broker, of which nothing was booked"
    booked = "" if event.paid == event.booked else f" ({event.booked:.2f} was booked)"
    return "info", f"{whose} of {event.date}: {event.paid:.2f} is paid at the broker{booked}"


def _change_of_plan(event: Event) -> tuple[Level, str] | None:
    """What is traded from now on, where that changed."""
    if isinstance(event, ev.StrategyStopped):
        return "bad", f"strategy {event.strategy} is stopped: {event.reason}"
    if isinstance(event, ev.SymbolsWatched):
        started, stopped = (", ".join(each) or "none" for each in (event.started, event.stopped))
        return "info", f"scan: started {started}; stopped {stopped}"
    return None


def _books(event: ev.BooksReconciled) -> tuple[Level, str]:
    if not event.differences:
        return "info", "ledger and broker agree"
    rest = len(event.differences) - 1
    return "bad", f"ledger and broker differ: {event.differences[0]}" + (
        f" (and {rest} more)" if rest else ""
    )
