"""A command of Harmony as a process of its own, for the length of a block."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from harmony_pipeline.errors import HarmonyError

_START_SECONDS = 120.0
_STOP_SECONDS = 10.0


class CommandProcess:
    """`harmony ARGUMENTS`, its output in the file `log`. The block begins when the output holds
    `ready`; the process ends with the block. `name` stands in errors.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        log: Path,
        ready: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._name, self._log, self._ready = name, log, ready
        self._command = [sys.executable, "-m", "harmony_pipeline.cli", *arguments]
        self._environment = dict(environment or {})

    def __enter__(self) -> Self:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=output,
                env={**os.environ, **self._environment}, start_new_session=True,
            )  # fmt: skip
        try:
            self.started(self._await_start())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def started(self, output: str) -> None:
        """Called with the output so far, once the process is ready."""

    def close(self) -> None:
        """End the process, politely at first."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _await_start(self) -> str:
        """The output that holds `ready`. Raises HarmonyError when the process ends first."""
        until = time.monotonic() + _START_SECONDS
        while True:
            has_ended = self._process.poll() is not None
            text = self._log.read_text(encoding="utf-8", errors="replace")
            if self._ready in text:
                return text
            if has_ended or time.monotonic() > until:
                last = text.strip().splitlines()[-1:]
                raise HarmonyError(f"{self._name} did not start: {' '.join(last)} ({self._log})")
            time.sleep(0.05)
