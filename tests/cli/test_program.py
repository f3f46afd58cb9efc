"""A verb that becomes another program: it runs as `python -m` runs it, when the command has ended."""

import json
import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harmony_pipeline.cli.boundary import run_command
from harmony_pipeline.cli.program import Program

SETTINGS = (
    '[paths]\nlake = "lake"\nstate = "state"\n[market]\nstart = 2024-01-02\nend = 2024-03-01\n'
)
SCRIPT = """
import json, logging, signal, sys
from pathlib import Path

Path(sys.argv[1]).write_text(json.dumps([
    __name__,
    sys.argv[2:],
    signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
    type(logging.lastResort).__module__,
]))
sys.exit({end})
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "mine.toml").write_text(SETTINGS)
    return tmp_path


def program(folder: Path, end: str) -> Program:
    (folder / "another_program.py").write_text(SCRIPT.replace("{end}", end))
    return Program("another_program", (str(folder / "told"), "--port", "1"))


@pytest.fixture(autouse=True)
def signals_of_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("interrupt", [signal.default_int_handler, signal.SIG_IGN])
@pytest.mark.parametrize(("end", "code"), [("3", 3), ("0", 0), ("", 0), ("None", 0)])
def test_a_program_has_the_process_as_a_new_one_would(
    folder: Path, monkeypatch: pytest.MonkeyPatch, end: str, code: int, interrupt: Any
) -> None:
    """Also where a shell has started it in the background, with Ctrl-C ignored."""
    found = program(folder, end)
    monkeypatch.setattr("harmony_pipeline.cli.serve.serve", lambda *_: found)
    signal.signal(signal.SIGINT, interrupt)
    assert run_command(["--config", "mine.toml", "ui"]) == code
    assert json.loads((folder / "told").read_text()) == [
        "__main__", ["--port", "1"], True, True, logging.__name__,
    ]  # fmt: skip


def test_what_a_program_says_at_its_end_is_left_to_python(folder: Path) -> None:
    with pytest.raises(SystemExit, match="no port"):
        program(folder, "'no port'").run()


def test_an_error_of_a_program_passes_through(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        program(folder, "1 / 0").run()
