"""Quotes on their way to a session: from the thread that hears them to the one that trades.

A quote is a state, so an unread one may be replaced by the next of its symbol, but only where the
strategy says `conflates_quotes = True`. Then a symbol has at most one unread quote, and one that
is flooded takes no room from the others. Without it no quote is replaced: up to `most` wait, in
the order in which they came. When they are full, the thread that hears them waits, so the venue
keeps what follows in its own buffers; after `longest_wait_seconds` the session ends with a line
that says so, since a venue cuts off a client that does not read. Bars do not wait behind quotes.

Nothing is lost in silence: `received = handled + conflated + refused + waiting`. Refused, by
symbol: a price or size that is no number or below 0, a bid above the ask, a symbol that the session
does not trade. A side of price 0 is how venues say that there is none, and passes.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple, Protocol, runtime_checkable

from harmony_pipeline.errors import DataError
from harmony_pipeline.strategies.events import Quote

MOST_WAITING = 100_000
MOST_AT_ONCE = 4_096
"""So that a bar is heard between two lots of quotes."""
LONGEST_WAIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Quotes:
    """Some quotes in the order in which they came, as an item of a session's stream."""

    quotes: Sequence[Quote]


class QuoteCounts(NamedTuple):
    """What became of every quote that was heard."""

    received: int
    handled: int
    conflated: int
    refused: int
    waiting: int

    @property
    def lost(self) -> int:
        """Quotes that no other count knows; 0 unless this account is wrong."""
        return self.received - self.handled - self.conflated - self.refused - self.waiting


@runtime_checkable
class CountsQuotes(Protocol):
    """A stream that hears quotes, too."""

    @property
    def quote_counts(self) -> QuoteCounts:
        """What became of them so far."""


class QuoteQueue:
    """One thread puts, another takes. `wake` is called in the first when quotes wait that were not
    announced yet.
    """

    def __init__(
        self,
        symbols: Iterable[str],
        wake: Callable[[], None],
        *,
        conflates: bool = False,
        most: int = MOST_WAITING,
        longest_wait_seconds: float = LONGEST_WAIT_SECONDS,
    ) -> None:
        self._symbols, self._wake = frozenset(symbols), wake
        self._conflates, self._most, self._longest = conflates, most, longest_wait_seconds
        self._waiting: deque[Quote] = deque()
        self._latest: dict[str, Quote] = {}
        self._room = threading.Condition()
        self._announced = self._ended = False
        self._received = self._handled = self._conflated = 0
        self.refused: dict[str, int] = {}

    def put(self, quotes: list[Quote]) -> None:
        """Hand over quotes that came together. Raises DataError when those before them have not
        been taken for too long.
        """
        with self._room:
            sound = self._sound(quotes)
            self._received += len(quotes)
            if self._conflates:
                before = len(self._latest)
                # the newest goes to the end: whoever waits longest is taken first
                self._latest |= {quote.symbol: quote for quote in sound}
                self._conflated += before + len(sound) - len(self._latest)
            else:
                self._make_room(len(sound))
                self._waiting.extend(sound)
            tell = not self._announced and bool(sound)
            self._announced = self._announced or tell
        if tell:
            self._wake()

    def take(self, most: int = MOST_AT_ONCE) -> tuple[list[Quote], bool]:
        """The oldest quotes that wait, which count as handled, and whether more wait. When none is
        left, the next that come are announced again.
        """
        with self._room:
            waiting = self._waiting
            if self._conflates:
                names = list(self._latest)[:most]
                taken = [self._latest.pop(name) for name in names]
                self._announced = bool(self._latest)
            else:
                if len(waiting) <= most:
                    taken = list(waiting)
                    waiting.clear()
                else:
                    taken = [waiting.popleft() for _ in range(most)]
                self._announced = bool(waiting)
                self._room.notify()
            self._handled += len(taken)
            return taken, self._announced

    def refuse(self, symbol: str) -> None:
        """Count a quote that could not be read."""
        with self._room:
            self._received += 1
            self.refused[symbol] = self.refused.get(symbol, 0) + 1

    def end(self) -> None:
        """Nobody takes any more: whoever waits for room is let go."""
        with self._room:
            self._ended = True
            self._room.notify_all()

    @property
    def counts(self) -> QuoteCounts:
        """What became of every quote so far."""
        with self._room:
            waiting = len(self._waiting) + len(self._latest)
            refused = sum(self.refused.values())
            return QuoteCounts(self._received, self._handled, self._conflated, refused, waiting)

    def _make_room(self, count: int) -> None:
        has_room = self._room.wait_for(
            lambda: self._ended or not self._waiting or len(self._waiting) + count <= self._most,
            self._longest,
        )
        if not has_room:
            raise DataError(
                f"{len(self._waiting):,} quotes wait and none was taken for {self._longest:g} s:"
                " the strategy is slower than its quotes; subscribe to fewer symbols, or let it say"
                " conflates_quotes = True, so that only the latest of a symbol waits"
            )

    def _sound(self, quotes: Sequence[Quote]) -> Sequence[Quote]:
        symbols = self._symbols
        for quote in quotes:
            # two-sided and sound, as nearly all are
            if not (
                0.0 <= quote.bid <= quote.ask < inf
                and quote.bid_size >= 0.0 <= quote.ask_size
                and quote.symbol in symbols
            ):
                return self._without_faults(quotes)
        return quotes

    def _without_faults(self, quotes: Sequence[Quote]) -> list[Quote]:
        kept = []
        for quote in quotes:
            numbers = (quote.bid, quote.bid_size, quote.ask, quote.ask_size)
            crossed = quote.bid > quote.ask != 0.0
            if (
                quote.symbol in self._symbols
                and not crossed
                and all(0.0 <= number < inf for number in numbers)
            ):
                kept.append(quote)
            else:
                self.refused[quote.symbol] = self.refused.get(quote.symbol, 0) + 1
        return kept
