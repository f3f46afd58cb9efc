"""The log file that holds what one line cannot: the traceback, and what was running.

`logs/harmony.log` in the state folder, with four older ones behind it. Values of secrets are taken out. A log that cannot be
written (a full disk, a read-only folder) is left out; it never hides the failure that it was to describe.
"""

import contextlib
import logging
import logging.handlers
import os
import platform
import shlex
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path

from harmony_pipeline import __version__
from harmony_pipeline.command_line import as_typed, state_folder
from harmony_pipeline.failures import is_foreseen, root_cause, sentence, without_secrets

_BYTES, _KEPT = 1_000_000, 4
_LINES = 400
_LOGGED = "logged_by_harmony"


class _Handler(logging.handlers.RotatingFileHandler):
    """Rotates by size; remembers that a record could not be written instead of printing a traceback of its own."""

    failed = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name that logging calls
        self.failed = True


class LibraryLog(logging.Handler):
    """What libraries log where nobody listens goes into the log file instead of onto the terminal."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Append one record."""
        path = log_file(state_folder())
        if path.parent.is_dir():
            with contextlib.suppress(OSError, ValueError), path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(without_secrets(self.format(record)) + "\n")


def log_file(state: Path | None) -> Path:
    """Where failures are written: in the state folder, or where there is none in the folder of temporary files."""
    if state is not None:
        return state / "logs" / "harmony.log"
    return Path(tempfile.gettempdir()) / f"harmony-{os.getuid()}.log"


def record_failure(error: BaseException, state: Path | None, facts: Mapping[str, str] | None = None) -> tuple[str, Path | None]:
    """One line about a failure, and the log that has the rest; None for a refusal, of which the line says everything.

    A failure that passes two boundaries is written once.
    """
    line, cause = as_typed(sentence(error)), root_cause(error)
    logged: Path | None = getattr(cause, _LOGGED, None)
    if logged is None and (not is_foreseen(error) or (state is not None and state.is_dir())):
        logged = write_failure(error, line, state, facts)
        with contextlib.suppress(AttributeError, TypeError):
            setattr(cause, _LOGGED, logged)
    return line, None if is_foreseen(error) else logged


def write_failure(error: BaseException, line: str, state: Path | None, facts: Mapping[str, str] | None = None) -> Path | None:
    """Append a failure with its traceback and `facts` about the run; the file, or None when it could not be written."""
    path = log_file(state)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _Handler(path, maxBytes=_BYTES, backupCount=_KEPT, encoding="utf-8", errors="backslashreplace")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        try:
            handler.emit(logging.LogRecord("harmony", logging.ERROR, __file__, 0, _text(error, line, facts or {}), None, None))
        finally:
            handler.close()
    except (OSError, ValueError):  # closing writes what is left, and fails on a full disk too
        return None
    return None if handler.failed else path


def _text(error: BaseException, line: str, facts: Mapping[str, str]) -> str:
    context = {
        "command": shlex.join(sys.argv),
        "folder": _working_folder(),
        "version": f"harmony {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}",
        **facts,
    }
    told = [f"  {name}: {value}" for name, value in context.items()]
    trace = "".join(traceback.format_exception(error)).splitlines()[-_LINES:]
    return without_secrets("\n".join([line, *told, *(f"  | {one}" for one in trace)]))


def _working_folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return "a folder that is gone"
