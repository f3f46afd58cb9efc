"""Looks at the ledger of a running session and sends what deserves an alert.

It is a thread with a read-only connection of its own: the session neither knows of it nor waits for
it, and whatever goes wrong here stays here.
"""

import contextlib
import threading
from pathlib import Path
from typing import Self

from harmony_pipeline.alerts.alert import alert_of
from harmony_pipeline.alerts.sender import AlertSender
from harmony_pipeline.session.event_tail import EventTail

_LOOK_SECONDS = 1.0
_STOP_SECONDS = 5.0


class SessionWatch:
    """Watches one session from its present event on, while the context is open; when it is left,
    what was written last is still sent.
    """

    def __init__(
        self,
        ledger: Path | str,
        session_id: str,
        sender: AlertSender,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        self._ledger, self._session_id, self._sender = ledger, session_id, sender
        self._look_seconds = look_seconds
        self._sequence: int | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def __enter__(self) -> Self:
        with (
            contextlib.suppress(Exception),
            EventTail(self._ledger) as tail,
        ):
            self._sequence = tail.sequence(self._session_id)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        last = False
        while not last:
            last = self._stop.wait(self._look_seconds)
            with contextlib.suppress(Exception):
                self._look()

    def _look(self) -> None:
        with EventTail(self._ledger) as tail:
            if self._sequence is None:
                self._sequence = 0
            while found := tail.events_after(self._session_id, self._sequence):
                for stored in found:
                    self._sequence = stored.sequence
                    alert = alert_of(stored.event, self._session_id)
                    if alert is not None:
                        self._sender.send(alert)
