"""The end of the JSON log, line by line as it grows; rotation is noticed."""

import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec

from harmony_pipeline.error_messages import without_secrets

_FIRST_BYTES = 60_000  # of what was written before we looked
_MOST_BYTES = 400_000  # of one look
_TEXT = 400
_LEVELS = {"debug": "info", "info": "info", "warning": "warn", "error": "bad", "critical": "bad"}


class LogTail:
    """Follows one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset: int | None = None
        self._inode = 0
        self._number = 0

    def new_rows(self) -> dict[str, dict[str, Any]]:
        """Lines that were completed since the last call, by number: time, level, text."""
        rows = {}
        for line in self._new_lines():
            with contextlib.suppress(msgspec.DecodeError):
                found = msgspec.json.decode(line, type=dict[str, Any])
                self._number += 1
                rows[str(self._number)] = _row(found)
        return rows

    def _new_lines(self) -> list[bytes]:
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                if self._offset is None:
                    self._offset = max(0, status.st_size - _FIRST_BYTES)
                elif status.st_ino != self._inode or status.st_size < self._offset:
                    self._offset = 0  # rotated
                self._inode = status.st_ino
                self._offset = max(self._offset, status.st_size - _MOST_BYTES)
                file.seek(self._offset)
                content = file.read(_MOST_BYTES)
        except OSError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.splitlines()


def _row(line: dict[str, Any]) -> dict[str, Any]:
    known = ("time", "level", "event", "traceback")
    rest = ", ".join(
        f"{name} {value}"
        for name, value in line.items()
        if name not in known and value not in (None, "", {}, [])
    )
    text = f"{line.get('event', '')}: {rest}" if rest else str(line.get("event", ""))
    return {
        "time": str(line.get("time", "")),
        "level": _LEVELS.get(str(line.get("level", "")), "info"),
        "text": without_secrets(text)[:_TEXT],
    }
