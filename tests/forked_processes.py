"""Processes of a test's own that are forked from one that has imported what they need: a new one
would import for two seconds and more before it does anything.

What they run is a function of a module of the tests. They read the environment that they are given,
write to a file, and can be killed like any other process.
"""

import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


@dataclass
class ForkedProcess:
    """One process; the next one begins when it has ended."""

    server: "ForkServer"
    pid: int
    output: Path
    returncode: int | None = None

    def wait(self) -> int:
        """Wait for its end: its exit code, or minus the signal that ended it."""
        if self.returncode is None:
            self.returncode = int(self.server.answer()["returncode"])
        return self.returncode

    def has_ended(self) -> bool:
        """Whether its end can be told without waiting."""
        return self.returncode is not None or self.server.has_answer()

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        if not self.has_ended():
            os.kill(self.pid, signal.SIGKILL)

    def said(self) -> str:
        """What it wrote to standard output and error."""
        return self.output.read_text(errors="replace")


class ForkServer:
    """The process from which others are forked, one at a time; it ends with the block."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from forked_processes import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # an answer that waits is in the pipe, where `select` sees it
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self._latest: ForkedProcess | None = None
        return self

    def __exit__(self, *_error: object) -> None:
        self._end_latest()
        self._process.communicate()

    def start(self, function: str, *arguments: str, output: Path) -> ForkedProcess:
        """Call `function` ("module:name") with texts in a new process, in today's folder and with
        today's environment. Its exit code is 0, and 1 when the function raised.
        """
        self._end_latest()
        asked = {
            "function": function,
            "arguments": arguments,
            "output": str(output),
            "folder": str(Path.cwd()),
            "environment": dict(os.environ),
        }
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        self._latest = ForkedProcess(self, int(self.answer()["pid"]), output)
        return self._latest

    def _end_latest(self) -> None:
        """End what a test has left that failed."""
        if self._latest is not None:
            self._latest.kill()
            self._latest.wait()

    def has_answer(self) -> bool:
        return bool(select.select([self._process.stdout], [], [], 0.0)[0])

    def answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        assert line, "the process that others are forked from has ended"
        return dict(json.loads(line))


def serve() -> None:
    """Fork a process for each line that is read, and tell its id and how it ended."""
    importlib.import_module("chain.forked_runs")
    gc.freeze()
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _be(asked)
        _tell(pid=pid)
        _, status = os.waitpid(pid, 0)
        _tell(returncode=os.waitstatus_to_exitcode(status))


def _tell(**facts: int) -> None:
    print(json.dumps(facts), flush=True)


def _be(asked: Mapping[str, Any]) -> None:
    """What a forked process does, to its end."""
    code = 1
    try:
        for descriptor, place, mode in ((0, os.devnull, "rb"), (1, asked["output"], "wb")):
            with Path(place).open(mode) as file:
                os.dup2(file.fileno(), descriptor)
        os.dup2(1, 2)
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["folder"])
        module, _, name = asked["function"].partition(":")
        getattr(importlib.import_module(module), name)(*asked["arguments"])
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
