"""The thread that sends alerts: bounded, deduplicated, limited, retried.

`send` puts an alert into a queue and returns at once; it never raises and never waits. Repetitions
within `repeat_minutes` and what is more than `most_per_hour` are counted, and the next one that is
sent says how many there were. A channel that fails is tried again with growing waits, while the
others get their alerts.
"""

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from harmony_pipeline.alerts.alert import LEVELS, Alert
from harmony_pipeline.alerts.channels import Channel, NotSent
from harmony_pipeline.alerts.settings import AlertSettings
from harmony_pipeline.error_messages import without_secrets
from harmony_pipeline.log import log

_MOST_WAITING = 100
_LONGEST_WAIT = 60.0
_CLOSE_SECONDS = 5.0
_HOUR = 3600.0


class Restraint:
    """Decides which alerts are sent; handed the time (seconds)."""

    def __init__(self, settings: AlertSettings) -> None:
        self._settings = settings
        self._sent_at: dict[tuple[str, str], float] = {}
        self._held: dict[tuple[str, str], int] = {}
        self._lately: deque[float] = deque()
        self._dropped = 0

    def judge(self, alert: Alert, now: float) -> Alert | None:
        """The alert as it is to be sent, None when it is held back."""
        if LEVELS.index(alert.level) < LEVELS.index(self._settings.least):
            return None
        before = self._sent_at.get(alert.key)
        if before is not None and now - before < self._settings.repeat_minutes * 60:
            self._held[alert.key] = self._held.get(alert.key, 0) + 1
            return None
        while self._lately and now - self._lately[0] >= _HOUR:
            self._lately.popleft()
        if len(self._lately) >= self._settings.most_per_hour:
            self._dropped += 1
            return None
        self._forget(now)
        self._lately.append(now)
        self._sent_at[alert.key] = now
        more, self._dropped = self._dropped, 0
        again = self._held.pop(alert.key, 0)
        text = alert.text
        text += f" ({again} more like this since the last)" if again else ""
        text += (
            f" ({more} alerts were held back: more than {self._settings.most_per_hour} an hour)"
            if more
            else ""
        )
        return replace(alert, text=text)

    def _forget(self, now: float) -> None:
        """What is too old to be a repetition needs no memory, unless something was held back."""
        limit = self._settings.repeat_minutes * 60
        self._sent_at = {
            key: at for key, at in self._sent_at.items() if now - at < limit or key in self._held
        }


class AlertSender:
    """Sends through every channel. Leaving the context waits some seconds for what is under way."""

    def __init__(
        self,
        channels: Sequence[Channel],
        settings: AlertSettings,
        state: Path | None = None,
    ) -> None:
        self._settings, self._state = settings, state
        self._restraint = Restraint(settings)
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._lanes = [(channel, _lane()) for channel in channels]
        self._threads = [
            threading.Thread(
                target=self._work, args=lane, name=f"alerts-{lane[0].name}", daemon=True
            )
            for lane in self._lanes
        ]
        self.lost = 0
        """Alerts that no channel took, or that came while the queue was full."""
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def send(self, alert: Alert) -> None:
        """Put it on its way. Never raises, never waits."""
        with contextlib.suppress(Exception):
            with self._lock:
                judged = self._restraint.judge(
                    replace(alert, text=without_secrets(alert.text)), time.monotonic()
                )
            if judged is not None:
                for _, lane in self._lanes:
                    self._put(lane, judged)

    def _put(self, lane: "queue.Queue[Alert | None]", alert: Alert) -> None:
        try:
            lane.put_nowait(alert)
        except queue.Full:
            self.lost += 1

    def close(self, seconds: float = _CLOSE_SECONDS) -> None:
        """Give what is under way so long, then give it up."""
        deadline = time.monotonic() + seconds
        for _, lane in self._lanes:
            with contextlib.suppress(queue.Full):
                lane.put_nowait(None)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._ending.set()

    def _work(self, channel: Channel, lane: "queue.Queue[Alert | None]") -> None:
        while not self._ending.is_set():
            alert = lane.get()
            if alert is None:
                return
            why = self._deliver(channel, alert)
            if why is not None:
                self.lost += 1
                with contextlib.suppress(Exception):
                    facts = {"channel": channel.name, "kind": alert.kind, "reason": why}
                    log(self._state, "alert not sent", logging.WARNING, **facts)

    def _deliver(self, channel: Channel, alert: Alert) -> str | None:
        """Why it was given up; None when it arrived."""
        why, wait = "", self._settings.wait_seconds
        for attempt in range(self._settings.attempts):
            try:
                channel.send(alert)
                return None
            except NotSent as error:
                why = str(error)
                if not error.retry or attempt == self._settings.attempts - 1:
                    return why
                pause = wait if error.after is None else max(wait, error.after)
            except Exception as error:
                return f"{channel.name}: {type(error).__name__}"
            if self._ending.wait(min(pause, _LONGEST_WAIT)):
                return why
            wait *= 2
        return why


def _lane() -> "queue.Queue[Alert | None]":
    return queue.Queue(_MOST_WAITING)
