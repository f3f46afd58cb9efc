"""The thread that looks at the session and publishes what is new.

It looks some times a second and reads a bounded amount each time. A look that fails (a ledger that
is busy, a file that is being replaced) is repeated at the next; the page says what is wrong.
"""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from harmony_pipeline.errors import HarmonyError
from harmony_pipeline.monitor import changes as table
from harmony_pipeline.monitor.hub import Hub
from harmony_pipeline.monitor.session_feed import SessionFeed, Sources, session_of
from harmony_pipeline.monitor.timeline import Present, Timeline
from harmony_pipeline.session.event_tail import EventTail
from harmony_pipeline.session.ledger_rows import SessionRow

LOOK_SECONDS = 0.25
_REST_SECONDS = 0.5  # after a look that failed
MakeTimeline = Callable[[EventTail, SessionRow], Timeline]


def present(_tail: EventTail, _row: SessionRow) -> Timeline:
    """A running session, or a past one at once."""
    return Present()


class Follower:
    """Follows the session `chosen`, or the newest one, also when a newer begins."""

    def __init__(
        self,
        hub: Hub,
        sources: Sources,
        ledger: Path | str,
        chosen: str | None = None,
        timeline: MakeTimeline = present,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self.feed: SessionFeed | None = None
        self._hub, self._sources, self._ledger = hub, sources, ledger
        self._chosen, self._timeline, self._look_seconds = chosen, timeline, look_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except (HarmonyError, OSError, sqlite3.Error) as error:
                self._hub.publish({table.SESSION: {"": {"problem": str(error)}}})
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
                self._hub.publish({table.SESSION: {"": {"problem": problem}}})
            self._stop.wait(_REST_SECONDS)

    def _follow(self) -> None:
        """Look until there is nothing to look at any more, or a look fails."""
        with ExitStack() as opened:
            tail = opened.enter_context(EventTail(self._ledger))
            row = session_of(tail, self._chosen)
            if row is None:
                wanted = "session" if self._chosen is None else f"session {self._chosen}"
                problem = f"there is no {wanted} in the ledger yet"
                self._hub.publish({table.SESSION: {"": {"problem": problem}}})
                return
            self.feed = SessionFeed(self._sources, tail, row, self._timeline(tail, row))
            self._hub.restart()
            self._hub.publish(self.feed.scanner())
            while not self._stop.is_set():
                self._hub.publish(self.feed.poll())
                newest = tail.newest_session() if self._chosen is None else None
                if newest is not None and newest.session_id != row.session_id:
                    row = newest
                    self.feed = SessionFeed(self._sources, tail, row, self._timeline(tail, row))
                    self._hub.restart()
                    self._hub.publish(self.feed.scanner())
                self._stop.wait(self._look_seconds)
