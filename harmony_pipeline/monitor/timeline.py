"""Up to which moment a page sees a session: everything there is, or a past one at some speed."""

import time
from collections.abc import Callable
from typing import Protocol

from harmony_pipeline.session.event_tail import FOREVER


class Timeline(Protocol):
    """Says the present of the page."""

    replayed: bool
    """Whether it is a past session."""

    def now(self) -> int:
        """Microseconds UTC; `FOREVER` where everything there is may be seen."""
        ...


class Present:
    """A session as it runs."""

    replayed = False

    def now(self) -> int:
        """No bound."""
        return FOREVER


class Replay:
    """From `first` to `last` (microseconds), `speed` seconds of the session a second, from the
    first look on.
    """

    replayed = True

    def __init__(
        self,
        first: int,
        last: int,
        speed: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first, self._last, self.speed = first, last, speed
        self._clock = clock
        self._began: float | None = None

    def now(self) -> int:
        """Where the replay stands; after the last event everything may be seen."""
        if self._began is None:
            self._began = self._clock()
        moment = self._first + round((self._clock() - self._began) * self.speed * 1_000_000)
        return FOREVER if moment >= self._last else moment
