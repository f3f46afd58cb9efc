"""Progress on a terminal: one line a stage with its bar; plain lines where there is no terminal."""

import os
import sys
import time
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as RichProgress


class Progress:
    """Callable as `progress(step, done, total)`; `stage(text)` begins the next stage."""

    def __init__(self) -> None:
        self.console = _console()
        self._bars = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description:<34}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            disable=not sys.stderr.isatty(),
        )
        self._task: TaskID | None = None
        self._step = ""
        self._stage = ""
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bars.stop()

    def stage(self, text: str) -> None:
        """A new stage begins."""
        self._stage = text
        if self._bars.disable:
            self.console.print(
                f"[{time.monotonic() - self._started:5.1f} s] {text} ...",
                highlight=False,
                markup=False,
            )
        self._step = ""

    def __call__(self, step: str, done: int, total: int) -> None:
        """`done` of `total` parts of `step` are finished."""
        if step != self._step:
            self._step = step
            self._task = self._bars.add_task(step, total=total)
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=total)


def _console() -> Console:
    """Standard error; a terminal by a descriptor of its own, which goes on while a reader holds
    descriptor 2 aside (sources/held_stderr.py).
    """
    if not sys.stderr.isatty():
        return Console(stderr=True)
    return Console(
        file=os.fdopen(
            os.dup(sys.stderr.fileno()),
            "w",
            encoding=sys.stderr.encoding,
            errors="backslashreplace",
        )
    )
