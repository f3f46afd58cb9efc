"""The bars that a live session heard, a JSON line for each moment, for those who look on.

The lake gets the bars of a running day with the next ingest only; a page about the session needs
them at once. Nothing of the session reads them: a log that cannot be written is given up.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from harmony_pipeline.instants import micros
from harmony_pipeline.session.stream import Batch


def bar_log_path(state: Path, session_id: str) -> Path:
    """The file of a session."""
    return state / "sessions" / f"{session_id}.bars.jsonl"


class BarLog:
    """Appends batches; never raises."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, batch: Batch) -> None:
        """Write the moment: `start`, `end` in microseconds, and of each bar symbol, open, high,
        low, close, volume (raw prices).
        """
        bars = [
            (bar.symbol, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in batch.bars
        ]
        line = {"start": micros(batch.start), "end": micros(batch.end), "bars": bars}
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(line) + b"\n")


class BarLogTail:
    """Reads what was appended since it looked last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new_lines(self) -> Iterator[dict[str, Any]]:
        """Moments that are complete on disk, in order. Those that a restarted session heard again
        come again.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except OSError:
            return
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            with contextlib.suppress(msgspec.DecodeError):
                yield msgspec.json.decode(line, type=dict[str, Any])
