"""One command at a time writes a market: `run.lock` in the state folder and in a lake that is a folder.

A second one is refused at once, with the process, host, start and command of the first. The kernel gives a lock back when its
process ends, however it ends, so one of a dead process is simply taken over. Commands that read take no lock.
"""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from harmony_pipeline.config import Settings
from harmony_pipeline.errors import HarmonyError
from harmony_pipeline.text import printable


class AlreadyRunning(HarmonyError):
    """Another process writes this lake or this state folder."""


@contextlib.contextmanager
def run_lock(settings: Settings, what: str) -> Iterator[None]:
    """Hold the locks of a market while `what` (the verb) works. Raises AlreadyRunning, naming who has one of them."""
    places = [("state folder", settings.state_root / "run.lock")]
    root = settings.lake_root
    if isinstance(root, Path) and settings.as_of is None:  # what a look into the past makes lies in a state folder of its own
        places.append(("lake", root / "_locks" / "run.lock"))
    with contextlib.ExitStack() as held:
        for name, path in places:
            held.enter_context(_held(path, name, what))
        yield


@contextlib.contextmanager
def _held(path: Path, name: str, what: str) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            folder = path.parent.parent if path.parent.name == "_locks" else path.parent
            raise AlreadyRunning(f"the {name} {folder} is in use by {_holder(handle)}: wait for it, or stop that process") from None
        _write(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat(timespec="seconds"), "verb": what}))
        yield
        _write(handle, "")
    finally:
        os.close(handle)  # gives the lock back, too


def _holder(handle: int) -> str:
    try:
        found = json.loads(os.pread(handle, 1000, 0))
        return printable(f"`harmony {found['verb']}`, process {found['pid']} on {found['host']} since {found['since']}")
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"


def _write(handle: int, text: str) -> None:
    """Say who holds the lock; on a full disk it is held all the same."""
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, text.encode(), 0)
