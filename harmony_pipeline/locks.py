"""A lock file that names its holder, by `filelock`.

The kernel frees the lock when its holder ends, however it ends, so nothing has to be cleaned up
after SIGKILL. The file stays.

The lock is of an open file, and the same descriptor says who holds it: a file that is opened again,
cut and closed for that is written to the disk at once by some file systems, several times in each
write of a lake.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import lock_descriptor, unlock_descriptor

from harmony_pipeline.text import printable

_POLL_SECONDS = 0.005
_LOOK_SECONDS = 0.1  # who asks `is_locked` holds the lock for microseconds, and is waited for
# descriptors of locks that this process holds; a child that is forked meanwhile closes its copies
_held: set[int] = set()


@contextmanager
def file_lock(
    path: Path, refusal: Callable[[str], Exception], timeout_seconds: float = 0.0, **facts: str
) -> Iterator[None]:
    """Hold the lock at `path`, which says `this_process` and `facts` meanwhile; threads of one
    process exclude each other too.

    Raises `refusal(holder)` when somebody else still holds it after the timeout, or after a tenth
    of a second where that is shorter.
    """
    descriptor = _opened(path)
    _held.add(descriptor)
    try:
        if not _acquired(descriptor, timeout_seconds):
            raise refusal(_holder(path))
        _say(descriptor, json.dumps({**this_process(), **facts}))
        try:
            yield
        finally:
            if descriptor in _held:
                _say(descriptor, "")
                unlock_descriptor(descriptor)
    finally:
        _close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock at `path` now."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        free = lock_descriptor(descriptor, blocking=False)
        if free:
            unlock_descriptor(descriptor)
        return not free
    finally:
        os.close(descriptor)


def this_process() -> dict[str, int | str]:
    """What a lock says of its holder: process, host and the present moment."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def described(holder: Mapping[str, object]) -> str:
    """A holder in words, by what its lock says. Raises KeyError when that is incomplete."""
    command = f"`harmony {holder['verb']}`, " if "verb" in holder else ""
    return printable(
        f"{command}process {holder['pid']} on {holder['host']} since {holder['since']}"
    )


def _holder(path: Path) -> str:
    try:
        return described(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)


def _acquired(descriptor: int, timeout_seconds: float) -> bool:
    deadline = time.monotonic() + max(timeout_seconds, _LOOK_SECONDS)
    while not lock_descriptor(descriptor, blocking=False):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _say(descriptor: int, text: str) -> None:
    """Say who holds the lock; on a full disk it is held all the same."""
    with suppress(OSError):
        if os.fstat(descriptor).st_size:  # its holder was killed, or is done
            os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, text.encode())


def _close(descriptor: int) -> None:
    if descriptor in _held:
        _held.remove(descriptor)
        os.close(descriptor)


def _let_go() -> None:
    """In a forked child: the lock is its parent's, and ends with it."""
    for descriptor in tuple(_held):
        _close(descriptor)


if sys.platform != "win32":  # there is no fork
    os.register_at_fork(after_in_child=_let_go)
