"""Whether the session lives: lock, heartbeat, kill switch, age of the data."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harmony_pipeline.instants import micros
from harmony_pipeline.session.process_control import HEARTBEAT, is_running, kill_reason


@dataclass(frozen=True)
class Pulse:
    """What the state folder says about a session. now: its own clock, microseconds, while it runs
    carried on by the seconds since the heartbeat was written; None without one. age: those seconds.
    """

    running: bool
    killed: str | None
    now: int | None = None
    age: float | None = None
    risk_state: str | None = None
    pid: int | None = None


def read_pulse(state: Path, session_id: str) -> Pulse:
    """The pulse of that session; a heartbeat of another one is none."""
    running, killed = is_running(state), kill_reason(state)
    beat = _heartbeat(state)
    if beat is None or beat.get("session_id") != session_id:
        return Pulse(running=False, killed=killed)
    try:
        at = datetime.fromisoformat(beat["at"])
        written = datetime.fromisoformat(beat["written_at"])
    except (KeyError, TypeError, ValueError):
        return Pulse(running, killed)
    age = max(0.0, (datetime.now(UTC) - written).total_seconds())
    now = micros(at) + (round(age * 1_000_000) if running else 0)
    return Pulse(running, killed, now, age, beat.get("risk_state"), beat.get("pid"))


def _heartbeat(state: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((state / HEARTBEAT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
