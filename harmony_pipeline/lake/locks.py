"""The lock of a partition in a folder: `flock` on a small file that names its holder.

The kernel frees it when the holder ends, however it ends, so nothing has to be cleaned up after SIGKILL. The file stays: removing a lock file that
another process is about to lock would let two of them in.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from harmony_pipeline.errors import DataError

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.001, 0.05


@dataclass(frozen=True)
class Holder:
    """Who holds a lock."""

    pid: int
    host: str
    since: str

    @staticmethod
    def here() -> "Holder":
        """This process."""
        return Holder(os.getpid(), socket.gethostname(), datetime.now(UTC).isoformat(timespec="seconds"))

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


class _Held:
    """A lock of the kernel cannot be lost while its holder lives."""

    def check(self) -> None:
        """Nothing to check."""


@contextmanager
def file_lock(path: Path, what: str, timeout_seconds: float) -> Iterator[_Held]:
    """Hold the lock at `path`; threads of one process exclude each other too. Raises DataError naming the holder after the timeout."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _wait(file, what, timeout_seconds)
        _write(file, json.dumps(asdict(Holder.here())))
        try:
            yield _Held()
        finally:
            _write(file, "")  # closing the file frees the lock


def _wait(file: IO[str], what: str, timeout_seconds: float) -> None:
    deadline, pause = time.monotonic() + timeout_seconds, _FIRST_PAUSE_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise DataError(f"{what} is being written by {_holder(file)}; waited {timeout_seconds:g} s: try again when it is done") from None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        else:
            return


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        return str(Holder(**json.loads(file.read())))
    except (ValueError, TypeError):
        return "another process"


def _write(file: IO[str], text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()


def held(path: Path) -> bool:
    """Whether somebody holds the lock at `path` now."""
    if not path.exists():
        return False
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
