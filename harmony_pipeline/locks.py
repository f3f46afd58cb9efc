"""A lock file that names its holder, by `filelock`.

The kernel frees the lock when its holder ends, however it ends, so nothing has to be cleaned up
after SIGKILL. The file stays.
"""

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from harmony_pipeline.text import printable

_POLL_SECONDS = 0.005


@contextmanager
def file_lock(
    path: Path, refusal: Callable[[str], Exception], timeout_seconds: float = 0.0, **facts: str
) -> Iterator[None]:
    """Hold the lock at `path`, which says `this_process` and `facts` meanwhile; threads of one
    process exclude each other too.

    Raises `refusal(holder)` when somebody else still holds it after the timeout.
    """
    # a soft lock would outlive its holder
    lock = FileLock(path, poll_interval=_POLL_SECONDS, fallback_to_soft=False)
    try:
        lock.acquire(timeout=timeout_seconds)
    except Timeout:
        raise refusal(_holder(path)) from None
    try:
        _write(path, json.dumps({**this_process(), **facts}))
        yield
    finally:
        _write(path, "")
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock at `path` now."""
    if not path.exists():
        return False
    try:
        with FileLock(path, blocking=False, fallback_to_soft=False):
            return False
    except Timeout:
        return True


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


def _write(path: Path, text: str) -> None:
    """Say who holds the lock; on a full disk it is held all the same."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
