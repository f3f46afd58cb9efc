"""State machines: what a strategy that receives one event at a time must and may have, and the one
place where its answers are checked.

A machine has `required_features` and `on_bar`. It may also have `on_quote`, `on_fill` and
`on_timer`; an event that it has no method for is not given to it. `MachineRun` gives events to a
machine and keeps what it holds. Research, the session and tests all go through it, so a machine
that raises, or returns a side of 2, a strength of NaN or a symbol that nobody gave it, is refused
everywhere with the same words.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from harmony_pipeline.errors import DataError
from harmony_pipeline.strategies.events import (
    Bar,
    Enter,
    Event,
    Fill,
    Intent,
    Leave,
    Post,
    Quote,
    SetTimer,
    Timer,
    Withdraw,
)

_NOTHING = (0, 0.0)


@runtime_checkable
class StateMachine(Protocol):
    """A strategy that receives one bar or quote at a time, in time order, all symbols through one
    machine.

    Its inputs are all that it may use: no clock, no files, no randomness. The same inputs give the
    same results.
    """

    def required_features(self) -> tuple[str, ...]:
        """Names of the features of each Bar."""
        ...

    def on_bar(self, bar: Bar) -> Sequence[Intent]:
        """A bar has ended."""
        ...


@runtime_checkable
class HearsQuotes(Protocol):
    """A machine that acts on quotes."""

    def on_quote(self, quote: Quote) -> Sequence[Intent]:
        """The best bid or offer has changed."""
        ...


@runtime_checkable
class HearsFills(Protocol):
    """A machine that knows what was executed of its orders."""

    def on_fill(self, fill: Fill) -> Sequence[Intent]:
        """An order of this machine was filled, wholly or in part."""
        ...


@runtime_checkable
class HearsTimers(Protocol):
    """A machine that acts at moments, whether or not anything traded."""

    def on_timer(self, timer: Timer) -> Sequence[Intent]:
        """The moment of a SetTimer has come."""
        ...


class MachineRun:
    """One machine, what it holds of each symbol, and the timers that it set. One owner.

    `name` is what messages call the strategy. It may name the given `symbols`, and those of which
    it has heard.
    """

    def __init__(self, machine: StateMachine, name: str, symbols: Iterable[str] = ()) -> None:
        self.machine = machine
        self.name = name
        self.holding: dict[str, tuple[int, float]] = {}
        self._symbols = set(symbols)
        self._timers: list[tuple[datetime, str]] = []
        self._due: dict[str, datetime] = {}
        self._methods: dict[type, Callable[[Any], Sequence[Intent]]] = {Bar: machine.on_bar}
        if isinstance(machine, HearsQuotes):
            self._methods[Quote] = machine.on_quote
        if isinstance(machine, HearsFills):
            self._methods[Fill] = machine.on_fill
        if isinstance(machine, HearsTimers):
            self._methods[Timer] = machine.on_timer

    def hear_bar(self, bar: Bar) -> tuple[int, float]:
        """(side, strength) that the machine holds of the bar's symbol after it.

        Timers that are due at the bar's start come first. Intents other than Enter and Leave need
        the event driver and are refused here.
        """
        for intent in self.hear(bar):
            if not isinstance(intent, Enter | Leave | SetTimer):
                raise self._refusal(
                    bar, f"{type(intent).__name__} needs quotes: run it in the event driver"
                )
        return self.holding.get(bar.symbol, _NOTHING)

    def hear(self, event: Event) -> list[Intent]:
        """Checked intents after `event`, those of timers that were due before it included."""
        intents: list[Intent] = []
        while self._timers and self._timers[0][0] <= event.timestamp:
            at, name = heapq.heappop(self._timers)
            if self._due.get(name) == at:
                del self._due[name]
                intents += self._told(Timer(at, name))
        intents += self._told(event)
        return intents

    def _told(self, event: Event) -> Sequence[Intent]:
        if not isinstance(event, Timer):
            self._symbols.add(event.symbol)
        method = self._methods.get(type(event))
        if method is None:
            return ()
        try:
            intents = method(event)
        except DataError:
            raise
        except Exception as error:
            raise self._refusal(event, f"it raised {type(error).__name__}: {error}") from error
        if not isinstance(intents, list | tuple):
            raise self._refusal(
                event, f"it returned {type(intents).__name__}: return a tuple or list of intents"
            )
        for intent in intents:
            self._accept(intent, event)
        return intents

    def _accept(self, intent: Intent, event: Event) -> None:
        if isinstance(intent, SetTimer):
            self._set_timer(intent, event)
            return
        if not isinstance(intent, Enter | Leave | Post | Withdraw):
            raise self._refusal(event, f"it returned {intent!r}, which is no intent")
        if intent.symbol not in self._symbols:
            raise self._refusal(
                event, f"{_named(intent)} of {intent.symbol!r}: it was given no data of this symbol"
            )
        if not isinstance(intent, Leave) and intent.side not in (-1, 1):
            raise self._refusal(event, f"side {intent.side} of {_named(intent)}: it is -1 or 1")
        if isinstance(intent, Enter):
            if not 0.0 < intent.strength <= 1.0:
                raise self._refusal(
                    event, f"strength {intent.strength} of Enter: above 0 and up to 1"
                )
            self.holding[intent.symbol] = (intent.side, intent.strength)
        elif isinstance(intent, Leave):
            self.holding[intent.symbol] = _NOTHING
        elif isinstance(intent, Post) and not (_positive(intent.price, intent.quantity)):
            raise self._refusal(
                event,
                f"price {intent.price} and quantity {intent.quantity} of Post: both are above 0",
            )

    def _set_timer(self, intent: SetTimer, event: Event) -> None:
        if intent.at <= event.timestamp:
            raise self._refusal(
                event, f"timer {intent.name!r} at {intent.at}: it lies after the event that sets it"
            )
        self._due[intent.name] = intent.at
        heapq.heappush(self._timers, (intent.at, intent.name))

    def _refusal(self, event: Event, reason: str) -> DataError:
        where = f"timer {event.name}" if isinstance(event, Timer) else event.symbol
        return DataError(f"strategy {self.name}, {where} at {event.timestamp}: {reason}")


def run_events(
    machine: StateMachine, events: Iterable[Event], name: str = ""
) -> Iterator[tuple[datetime, Intent]]:
    """(moment, intent) of a machine over events in time order: a driver without a venue, for tests
    and for looking at what a machine would do.
    """
    run = MachineRun(machine, name or type(machine).__name__)
    for event in events:
        for intent in run.hear(event):
            yield event.timestamp, intent


def _positive(*values: float) -> bool:
    return all(0.0 < value < math.inf for value in values)


def _named(intent: Intent) -> str:
    return type(intent).__name__
