"""State machines: what a strategy that receives one event at a time must and may have, and the one
place where its answers are checked.

A machine has `required_features` and `on_bar`. It may also have `on_quote`, `on_fill`, `on_timer`
and `on_adjusted`; an event that it has no method for is not given to it. `MachineRun` gives events
to a machine and keeps what it holds. Research, backtests, the session and tests go through it. So a
machine that raises, or returns a side of 2, a strength of NaN or a symbol that nobody gave it, is
refused everywhere with the same words.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from harmony_pipeline.errors import DataError
from harmony_pipeline.strategies.events import (
    Adjusted,
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
_SEQUENCES = (tuple, list)


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
class HandlesQuotes(Protocol):
    """A machine that acts on quotes."""

    def on_quote(self, quote: Quote) -> Sequence[Intent]:
        """The best bid or offer has changed."""
        ...


@runtime_checkable
class HandlesFills(Protocol):
    """A machine that knows what was executed of its orders."""

    def on_fill(self, fill: Fill) -> Sequence[Intent]:
        """An order of this machine was filled, wholly or in part."""
        ...


@runtime_checkable
class HandlesTimers(Protocol):
    """A machine that acts at moments, whether or not anything traded."""

    def on_timer(self, timer: Timer) -> Sequence[Intent]:
        """The moment of a SetTimer has come."""
        ...


@runtime_checkable
class HandlesAdjustments(Protocol):
    """A machine on quotes that knows what corporate actions did to its positions."""

    def on_adjusted(self, adjusted: Adjusted) -> Sequence[Intent]:
        """A split, a dividend or the end of a listing was booked."""
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
        self._on_bar = machine.on_bar
        self._methods: dict[type, Callable[[Any], Sequence[Intent]]] = {Bar: machine.on_bar}
        self._on_quote: Callable[[Quote], Sequence[Intent]] | None = None
        if isinstance(machine, HandlesQuotes):
            self._on_quote = self._methods[Quote] = machine.on_quote
        if isinstance(machine, HandlesFills):
            self._methods[Fill] = machine.on_fill
        if isinstance(machine, HandlesTimers):
            self._methods[Timer] = machine.on_timer
        if isinstance(machine, HandlesAdjustments):
            self._methods[Adjusted] = machine.on_adjusted

    def handle_bar(self, bar: Bar) -> tuple[int, float]:
        """(side, strength) that the machine holds of the bar's symbol after it.

        Timers that are due at the bar's start come first. Intents other than Enter, Leave and
        SetTimer need quotes and are refused here.
        """
        # the same as `handle`, without its calls: it runs once for each bar of a backtest
        timers, symbol = self._timers, bar.symbol
        if timers and timers[0][0] <= bar.timestamp:
            self.hear_timers(bar.timestamp, holds_only=True)
        self._symbols.add(symbol)
        try:
            intents = self._on_bar(bar)
        except DataError:
            raise
        except Exception as error:
            raise self._raised(bar, error) from error
        if intents.__class__ not in _SEQUENCES or intents:
            self._accept_all(intents, bar, holds_only=True)
        return self.holding.get(symbol, _NOTHING)

    def hear_quotes(self, quotes: Sequence[Quote]) -> Iterator[tuple[Quote, Sequence[Intent]]]:
        """Give the machine each quote of a session over bars; those on which it returned intents,
        with them. What is limited is limited as in `handle_bar`.

        The quotes are of symbols that were given. Timers that are due at a quote come before it.
        """
        # the same as `handle`, without its calls: there may be a million quotes a second
        on_quote, timers = self._on_quote, self._timers
        if on_quote is None:
            return
        for quote in quotes:
            if timers and timers[0][0] <= quote.timestamp:
                due = self.hear_timers(quote.timestamp, holds_only=True)
                if due:
                    yield quote, due
            try:
                intents = on_quote(quote)
            except DataError:
                raise
            except Exception as error:
                raise self._raised(quote, error) from error
            if intents or intents.__class__ not in _SEQUENCES:
                self._accept_all(intents, quote, holds_only=True)
                yield quote, intents

    def hear_fill(self, fill: Fill) -> None:
        """A fill in a backtest over bars: intents are limited as those of `handle_bar`."""
        self.hear_timers(fill.timestamp, holds_only=True)
        self._tell(fill, holds_only=True)

    def handle(self, event: Event) -> list[Intent]:
        """Checked intents after `event`, those of timers that were due before it included."""
        return [*self.hear_timers(event.timestamp), *self._tell(event)]

    @property
    def hears_fills(self) -> bool:
        """Whether the machine has `on_fill`."""
        return Fill in self._methods

    @property
    def hears_quotes(self) -> bool:
        """Whether the machine has `on_quote`."""
        return Quote in self._methods

    @property
    def next_timer(self) -> datetime | None:
        """The moment of the earliest timer that is set; None: there is none."""
        timers = self._timers
        while timers and self._due.get(timers[0][1]) != timers[0][0]:  # replaced since
            heapq.heappop(timers)
        return timers[0][0] if timers else None

    def hear_timers(self, until: datetime, *, holds_only: bool = False) -> list[Intent]:
        """Checked intents of the timers that are due by `until`. A driver that knows the time
        calls this at `next_timer`, so that it need not wait for the next event. `holds_only`
        refuses intents that need quotes.
        """
        intents: list[Intent] = []
        while self._timers and self._timers[0][0] <= until:
            at, name = heapq.heappop(self._timers)
            if self._due.get(name) == at:
                del self._due[name]
                intents += self._tell(Timer(at, name), holds_only=holds_only)
        return intents

    def _tell(self, event: Event, *, holds_only: bool = False) -> Sequence[Intent]:
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
            raise self._raised(event, error) from error
        self._accept_all(intents, event, holds_only=holds_only)
        return intents

    def _accept_all(self, intents: Sequence[Intent], event: Event, *, holds_only: bool) -> None:
        if not isinstance(intents, (list, tuple)):
            raise self._refusal(
                event, f"it returned {type(intents).__name__}: return a tuple or list of intents"
            )
        for intent in intents:
            self._accept(intent, event)
            if holds_only and not isinstance(intent, (Enter, Leave, SetTimer)):
                raise self._refusal(
                    event, f"{_named(intent)} needs quotes: run it over ticks, docs/own-strategy.md"
                )

    def _accept(self, intent: Intent, event: Event) -> None:
        if isinstance(intent, SetTimer):
            self._set_timer(intent, event)
            return
        if not isinstance(intent, (Enter, Leave, Post, Withdraw)):
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
        elif isinstance(intent, Post) and not _positive(
            intent.price, 1.0 if intent.quantity is None else intent.quantity
        ):
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

    def _raised(self, event: Event, error: Exception) -> DataError:
        return self._refusal(event, f"it raised {type(error).__name__}: {error}")

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
        for intent in run.handle(event):
            yield event.timestamp, intent


def _positive(*values: float) -> bool:
    return all(0.0 < value < math.inf for value in values)


def _named(intent: Intent) -> str:
    return type(intent).__name__
