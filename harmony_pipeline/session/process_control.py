"""Who carries a session and how it is stopped: lock, heartbeat, kill switch, signals.

One process per state folder trades. The lock is an operating-system lock on an open file, so it
ends with its process, however that dies; the pid inside is for people and for telling a stale file
from a live one. The kill switch is a file: anything that can make a file can stop trading, and its
text is the reason.
"""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from harmony_pipeline.errors import HarmonyError
from harmony_pipeline.files import write_text
from harmony_pipeline.locks import file_lock, is_locked

LOCK, HEARTBEAT, KILL = "session.lock", "session.heartbeat.json", "KILL"


class SessionRunning(HarmonyError):
    """Another process trades in this state folder."""


@contextmanager
def session_lock(state: Path, session_id: str) -> Iterator[None]:
    """Hold the folder's lock. Raises SessionRunning, naming the process that has it. A lock file
    left by a dead process is simply taken over.
    """

    def refusal(_holder: str) -> SessionRunning:
        holder = read_lock(state) or {}
        return SessionRunning(
            f"a session runs in {state} already: {holder.get('session_id', 'unknown')}, process"
            f" {holder.get('pid', 'unknown')}; wait for it, or stop it with `touch {state / KILL}`"
        )

    with file_lock(state / LOCK, refusal, session_id=session_id):
        yield


def read_lock(state: Path) -> dict[str, Any] | None:
    """What the lock file says: pid, host, session_id; None when it is absent, empty or torn."""
    try:
        found = json.loads((state / LOCK).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def is_running(state: Path) -> bool:
    """Whether a live process holds the folder's lock."""
    return is_locked(state / LOCK)


def write_heartbeat(state: Path, session_id: str, at: datetime, **numbers: Any) -> None:
    """Say that the session is alive, and where it stands; replaced as a whole, so a reader never
    sees half of it.
    """
    facts = {
        "session_id": session_id,
        "pid": os.getpid(),
        "at": at.isoformat(),
        "written_at": datetime.now(UTC).isoformat(),
        **numbers,
    }
    write_text(state / HEARTBEAT, json.dumps(facts, default=str), durable=False)


def kill_reason(state: Path) -> str | None:
    """Text of the kill switch, None while it is off."""
    try:
        return (state / KILL).read_text(
            encoding="utf-8", errors="replace"
        ).strip() or f"the file {KILL} was made"
    except FileNotFoundError:
        return None
    except OSError as error:  # a switch that cannot be read is a switch that is pulled
        return f"the file {KILL} cannot be read: {error}"


class StopRequest:
    """Set by a signal or by another thread; the session looks at it between moments."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reason: str | None = None

    def ask(self, reason: str) -> None:
        """Stop at the next moment."""
        self.reason = self.reason or reason
        self._event.set()

    @property
    def asked(self) -> bool:
        """Whether to stop."""
        return self._event.is_set()


@contextmanager
def stop_on_signals(stop: Callable[[str], object]) -> Iterator[None]:
    """SIGTERM and SIGINT call `stop` with their name while the block runs, instead of ending the
    process. Outside the main thread, where signals cannot be caught, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        stop(signal.Signals(number).name)

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
