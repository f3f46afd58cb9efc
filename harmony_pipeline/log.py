"""The log: a JSON line about everything that was made, ran or failed, in `logs/harmony.jsonl` of
the state folder.

    {"time": "2024-07-01T08:00:00.1Z", "level": "info", "event": "asset made", "run": "d41c...",
    "asset": "bars",
     "partition": "2024-01", "rows": {"bars": 4012}, "seconds": 1.2}

`log_context` adds facts, and the seconds since it began, to every line inside it. The file rotates
by size. Values of secrets are taken out. A log that cannot be written neither stops the work nor
hides a failure.
"""

import contextlib
import logging
import logging.handlers
import os
import platform
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from harmony_pipeline.error_messages import (
    is_foreseen,
    root_cause,
    secrets_of,
    sentence,
    without_secrets,
)
from harmony_pipeline.version import __version__

_BYTES, _KEPT = 5_000_000, 4
_TRACEBACK_LINES = 400
_LOGGED = "logged_by_harmony"


def log_file(state: Path | None) -> Path:
    """Where the log is: in the state folder, or where there is none in the folder of temporary
    files.
    """
    if state is not None:
        return state / "logs" / "harmony.jsonl"
    return Path(tempfile.gettempdir()) / f"harmony-{os.getuid()}.jsonl"


def log(state: Path | None, event: str, level: int = logging.INFO, **facts: Any) -> Path | None:
    """Append one line; the file, or None when it could not be written."""
    path = log_file(state)
    return path if _logger(_Lines(path)).log(level, event, **facts) else None


def log_all(state: Path | None, event: str, lines: Iterable[Mapping[str, Any]]) -> None:
    """Append a line about each; the file is opened once."""
    found = list(lines)
    if found:
        together = _Together(log_file(state))
        logger = _logger(together)
        for facts in found:
            logger.info(event, **facts)
        together.write()


def _logger(lines: "_Lines") -> Any:
    levels = structlog.make_filtering_bound_logger(logging.INFO)
    return structlog.wrap_logger(lines, processors=_PROCESSORS, wrapper_class=levels)


@contextlib.contextmanager
def log_context(**facts: Any) -> Iterator[None]:
    """Add `facts`, and the seconds since now, to every line that is logged inside."""
    with structlog.contextvars.bound_contextvars(begun=time.monotonic(), **facts):
        yield


def record_failure(
    error: BaseException, state: Path | None, facts: Mapping[str, str] | None = None
) -> tuple[str, Path | None]:
    """One line about a failure, and the log that has the rest; None for a refusal, of which the
    line says everything.

    A failure that passes two boundaries is written once.
    """
    line, cause = sentence(error), root_cause(error)
    logged: Path | None = getattr(cause, _LOGGED, None)
    if logged is None and (not is_foreseen(error) or (state is not None and state.is_dir())):
        logged = log(
            state,
            "failure",
            logging.ERROR,
            error=line,
            **_circumstances(),
            **(facts or {}),
            traceback=_traceback(error),
        )
        with contextlib.suppress(AttributeError, TypeError):
            setattr(cause, _LOGGED, logged)
    return line, None if is_foreseen(error) else logged


def _circumstances() -> dict[str, str]:
    """What was running, and where."""
    try:
        folder = str(Path.cwd())
    except OSError:
        folder = "a folder that is gone"
    version = (
        f"harmony {__version__}, Python {platform.python_version()}, {platform.system()}"
        f" {platform.machine()}"
    )
    return {"command_line": shlex.join(sys.argv), "folder": folder, "version": version}


def _traceback(error: BaseException) -> list[str]:
    return "".join(traceback.format_exception(error)).splitlines()[-_TRACEBACK_LINES:]


class LibraryLog(logging.Handler):
    """What libraries log where nobody listens goes into the log instead of onto the terminal."""

    def __init__(self, state_folder: Callable[[], Path | None]) -> None:
        super().__init__(logging.WARNING)
        self._state_folder = state_folder

    def emit(self, record: logging.LogRecord) -> None:
        """Append one record; none where no log was begun."""
        state = self._state_folder()
        if log_file(state).parent.is_dir():
            log(
                state,
                "library warning",
                logging.WARNING,
                library=record.name,
                said=record.getMessage(),
            )


class _RotatingFile(logging.handlers.RotatingFileHandler):
    """Remembers that a line could not be written instead of printing a traceback of its own."""

    failed = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name that logging calls
        self.failed = True


class _Lines:
    """Where structlog writes. The file is opened for each line: several processes write it, and
    each may rotate it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def append(self, line: str) -> bool:
        """Append one line; whether it could be written."""
        return self._append([line])

    def _append(self, lines: Sequence[str]) -> bool:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            handler = _RotatingFile(
                self._file,
                maxBytes=_BYTES,
                backupCount=_KEPT,
                encoding="utf-8",
                errors="backslashreplace",
            )
            with contextlib.closing(handler):
                for line in lines:
                    handler.emit(logging.makeLogRecord({"msg": line}))
        except (OSError, ValueError):  # closing writes what is left, and fails on a full disk too
            return False
        return not handler.failed

    info = warning = error = append


class _Together(_Lines):
    """Lines that are put down at the end, in one go."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self._waiting: list[str] = []

    def info(self, line: str) -> bool:
        """Keep a line."""
        self._waiting.append(line)
        return True

    def write(self) -> None:
        """Append the lines."""
        self._append(self._waiting)


def _add_seconds(_logger: Any, _method: str, event: Any) -> Any:
    begun = event.pop("begun", None)
    return event if begun is None else {"seconds": round(time.monotonic() - begun, 3)} | event


def _hide_secrets(_logger: Any, _method: str, event: Any) -> Any:
    return _clean(
        {"time": event["time"], "level": event["level"], "event": event["event"], **event},
        secrets_of(),
    )


def _clean(value: Any, secrets: dict[str, str]) -> Any:
    """`value` without secrets, also in what it holds."""
    if isinstance(value, dict):
        return {key: _clean(inner, secrets) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(inner, secrets) for inner in value]
    return (
        value
        if value is None or isinstance(value, (bool, int, float))
        else without_secrets(str(value), secrets)
    )


_PROCESSORS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    _add_seconds,
    _hide_secrets,
    structlog.processors.JSONRenderer(),
]
