"""Standard error held aside while a library reads a file that may be broken.

Rust code that panics prints "thread ... panicked at ..." to descriptor 2 before Python hears of it.
A user is told of the broken file in one line, so that print must not reach the terminal. It stays
with the error as a note, which the log shows. Everything else that was printed meanwhile is passed
on afterwards.
"""

import contextlib
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

_PANIC = re.compile(
    rb"\n?thread '[^\n]*panicked at [^\n]*\n"
    rb"(?!thread ')[^\n]*\n?"  # what was wrong
    rb"(?:(?:[ \t]|note: |stack backtrace:)[^\n]*\n?)*"
)
_MOMENT = 0.03  # seconds in which the reader's other threads tell of the same failure
_STANDARD_ERROR = 2


class _Held:
    """Descriptor 2 while at least one thread wants it held: the first one moves it, the last one
    puts it back.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        self.real = -1
        self.said: IO[bytes] | None = None

    def take(self) -> bool:
        """Whether it is held now; not where there is no standard error, or no room for a file."""
        with self.lock:
            if self.count == 0 and not self._redirect():
                return False
            self.count += 1
            return True

    def _redirect(self) -> bool:
        _flush()
        try:
            self.said = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - closed by `give_back`
        except OSError:
            return False
        try:
            self.real = os.dup(_STANDARD_ERROR)
            os.dup2(self.said.fileno(), _STANDARD_ERROR)
        except OSError:
            self.said.close()
            return False
        return True

    def has_panic(self) -> bool:
        """Whether a panic was printed so far."""
        with self.lock:
            return _PANIC.search(self._so_far()) is not None

    def _so_far(self) -> bytes:
        """What was said; read without moving the place where others write."""
        assert self.said is not None
        descriptor = self.said.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)

    def give_back(self, *, failed: bool) -> str:
        """Put it back where nobody else holds it, and pass on what was said; the panics of a read
        that failed, which are kept back.
        """
        with self.lock:
            _flush()
            assert self.said is not None
            said = self._so_far()
            panics = b"".join(found[0] for found in _PANIC.finditer(said)) if failed else b""
            rest = _PANIC.sub(b"", said) if failed else said
            self.said.truncate(0)
            self.count -= 1
            if self.count == 0:
                os.dup2(self.real, _STANDARD_ERROR)
                os.close(self.real)
                self.said.close()
                _pass_on(_STANDARD_ERROR, rest)
            else:
                _pass_on(self.real, rest)
            return panics.decode(errors="replace").strip()


_held = _Held()


@contextmanager
def hold_standard_error() -> Iterator[None]:
    """Keep panics that are printed within from standard error when the block fails; they become a
    note of the error.
    """
    if not _held.take():
        yield
        return
    try:
        yield
    except BaseException as error:
        if _held.has_panic():
            time.sleep(_MOMENT)
        if panics := _held.give_back(failed=True):
            error.add_note(panics)
        raise
    else:
        _held.give_back(failed=False)


def _flush() -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()


def _pass_on(descriptor: int, text: bytes) -> None:
    with contextlib.suppress(OSError):
        while text:
            text = text[os.write(descriptor, text) :]
