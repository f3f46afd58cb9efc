"""The process of a session as its supervisor sees it: started once, watched until it ends, stopped
in order.
"""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from harmony_pipeline.errors import HarmonyError
from harmony_pipeline.session.process_control import HEARTBEAT, is_running

_POLL_SECONDS = 0.2
_STOP_SECONDS = 30.0
_HUNG_SECONDS = 120.0


class SessionProcessFailed(HarmonyError):
    """The process ended with a code; below zero a signal killed it, and it could say nothing."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def run_session_process(
    state: Path,
    day: date,
    command: Sequence[str],
    hung_after: float = _HUNG_SECONDS,
    tell_hung: Callable[[float], None] = lambda _seconds: None,
) -> None:
    """Run `command`, the session of `day`, until it ends; wait first for one that runs in this
    state folder already.

    `tell_hung` is called, once each time, when the process lives and has written no heartbeat for
    `hung_after` seconds: the seconds. It is not ended: its brackets are at the broker, and whether
    to kill it is a person's decision. The process outlives the death of its supervisor. Terminating
    the supervisor stops the session in order. Raises SessionProcessFailed, with the last line of
    the session's log, when it fails.
    """
    while is_running(state):
        time.sleep(_POLL_SECONDS)
    log = state / "sessions" / f"{day}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, start_new_session=True, cwd=os.getcwd()
        )
    beat, heard_at, told = _last_heartbeat(state), time.monotonic(), False
    try:
        while process.poll() is None:
            before, beat = beat, _last_heartbeat(state)
            heard_at = heard_at if beat == before else time.monotonic()
            silent = time.monotonic() - heard_at
            if silent > hung_after and not told:
                tell_hung(silent)
            told = silent > hung_after
            time.sleep(_POLL_SECONDS)
    except BaseException:
        process.terminate()
        process.wait(_STOP_SECONDS)
        raise
    if process.returncode:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        raise SessionProcessFailed(
            f"the session of {day} ended with code {process.returncode}: {' '.join(last)} (log:"
            f" sessions/{log.name} in the state folder)",
            process.returncode,
        )


def _last_heartbeat(state: Path) -> tuple[int, int]:
    """Which heartbeat was written last. Its stamp says that it is another one, and not how long ago
    that was: the machine's clock may be set meanwhile.
    """
    try:
        found = (state / HEARTBEAT).stat()
    except OSError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns
