"""Time as a session is handed it: from the wall, or from the bars of a replayed day."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Whatever says what time it is."""

    def now(self) -> datetime:
        """The present, UTC; it never goes back."""


class ReplayClock:
    """Stands still until the stream moves it: a replay then knows exactly what a live session would
    have known.
    """

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """Where the stream has moved it."""
        return self._now

    def advance(self, moment: datetime) -> None:
        """Move on to `moment`; an earlier one changes nothing."""
        self._now = max(self._now, moment)
