"""Whatever fails, the command says one line, ends with the right code, and writes the rest into the
log.
"""

import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import polars as pl
import pytest

from harmony_pipeline import error_messages
from harmony_pipeline.cli import boundary
from harmony_pipeline.cli.boundary import run_command
from harmony_pipeline.cli.invocation import VERBS, as_typed, command_line, remember_options
from harmony_pipeline.errors import DataError, NotReady
from harmony_pipeline.text import printable

SETTINGS = (
    '[paths]\nlake = "lake"\nstate = "state"\n[market]\nstart = 2024-01-02\nend = 2024-03-01\n'
)


@pytest.fixture
def market(tmp_path, monkeypatch):
    monkeypatch.setenv("HARMONY_CONFIG", "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(SETTINGS)
    yield tmp_path
    remember_options(None, None)


def raised(function) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("nothing failed")


def panic() -> BaseException:
    """A real panic of Polars' Rust code, which is no `Exception`."""
    error = raised(lambda: pl.select(pl.int_range(0, 5, dtype=pl.Int64).reshape((-2, -2))))
    if type(error).__name__ == "PanicException":
        return error
    return type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})(
        "index out of bounds"
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/lake/x"),
            "no space is left on the disk of /lake/x: free some",
        ),
        (
            OSError(errno.EROFS, os.strerror(errno.EROFS), "/lake"),
            "/lake is on a read-only file system",
        ),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/lake"),
            "this user may not use /lake",
        ),
        (OSError(errno.EFBIG, os.strerror(errno.EFBIG)), "larger than this process may write"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "ulimit -n"),
        (OSError("write failed: No space left on device (os error 28)"), "no space is left"),
        (pl.exceptions.ComputeError("No space left on device (os error 28)"), "no space is left"),
        (
            duckdb.IOException('IO Error: Could not write file "/x/tmp": No space left on device'),
            "no space is left on the disk of /x/tmp",
        ),
        (
            duckdb.OutOfMemoryException("Out of Memory Error: could not allocate"),
            "the machine has no memory left",
        ),
        (duckdb.IOException("IO Error: something"), "DuckDB refused: IO Error: something"),
        (pl.exceptions.ComputeError("first\nsecond"), "Polars refused: first"),
        (sqlite3.OperationalError("database or disk is full"), "free some disk space"),
        (
            sqlite3.OperationalError("attempt to write a readonly database"),
            "make the state folder writable",
        ),
        (sqlite3.DatabaseError("file is not a database"), "move that file away"),
        (MemoryError(), "the machine has no memory left"),
        (ValueError("open: embedded null byte"), "NUL character"),
        (ValueError("stat: embedded null character in path"), "NUL character"),
        (ImportError("No module named 'ccxt'", name="ccxt"), "the module ccxt cannot be imported"),
        (KeyError("x\x1b[31m"), "KeyError: 'x\\x1b[31m'"),
        (NotImplementedError(), "NotImplementedError: no text"),
        (DataError("a.csv row 3: close\nis 'x'"), "a.csv row 3: close is 'x'"),
        (panic(), "a library failed inside"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_failure_of_any_kind_is_one_line(error, expected):
    line = error_messages.sentence(error, {})
    assert expected in line
    assert "\n" not in line
    assert "\x1b" not in line


@pytest.mark.parametrize("package", ["lightgbm", "harmony_lightgbm"])
def test_a_full_disk_that_either_lightgbm_meets_is_named(package):
    """A forecaster of one's own imports it under its usual name."""
    kind = type("LightGBMError", (Exception,), {"__module__": f"{package}.basic"})
    line = error_messages.sentence(kind("Cannot write: No space left on device"), {})
    assert "no space is left on the disk" in line


def test_a_wrapper_of_a_library_is_taken_off():
    import dagster as dg

    wrapped = dg.DagsterExecutionInterruptedError("in step")
    wrapped.__cause__ = DataError("a.csv: no rows")
    assert error_messages.sentence(wrapped, {}) == "a.csv: no rows"
    assert error_messages.is_foreseen(wrapped)


def test_a_long_message_is_cut_and_secrets_are_left_out():
    environment = {
        "APCA_API_SECRET_KEY": "s3cr3t",
        "MY_TOKEN": "tok-tok",
        "SHORT_KEY": "1",
        "HOME": "/home/me",
    }
    line = error_messages.sentence(DataError("columns " + "x" * 10_000 + " s3cr3t"), environment)
    assert len(line) < 5_000
    assert " characters)" in line
    said = error_messages.sentence(
        OSError("tok-tok at postgresql://me:pass@host/1 with s3cr3t"), environment
    )
    assert "tok-tok" not in said
    assert "s3cr3t" not in said
    assert "me:pass" not in said
    assert "host/1" in said


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (KeyError("nobody foresaw"), 1, "KeyError: 'nobody foresaw' (log: "),
        (MemoryError(), 1, "no memory left"),
        (panic(), 1, "a library failed inside"),
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C"),
        (boundary.Stopped(signal.SIGTERM), 143, "stopped by SIGTERM"),
        (boundary.Stopped(signal.SIGINT), 130, "stopped by Ctrl-C"),
        (SystemExit(3), 3, ""),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_end_has_its_exit_code_and_at_most_one_line(
    market, monkeypatch, capfd, error, code, says
):
    def fail(*_arguments):
        raise error

    monkeypatch.setattr("harmony_pipeline.cli.model_report.print_models", fail)
    if isinstance(error, KeyboardInterrupt):
        code, says = 130, ""  # Click ends the command quietly
    assert run_command(["--config", "mine.toml", "models"]) == code
    shown = capfd.readouterr().err
    assert says in shown
    assert len(shown.strip().splitlines()) == (1 if says else 0)


def test_the_log_holds_the_traceback_and_the_run_but_no_secret(market, monkeypatch):
    monkeypatch.setenv("BROKER_PASSWORD", "open-sesame")

    def fail(*_arguments):
        raise KeyError("open-sesame")

    monkeypatch.setattr("harmony_pipeline.cli.model_report.print_models", fail)
    assert run_command(["--config", "mine.toml", "models"]) == 1
    text = (market / "state" / "logs" / "harmony.jsonl").read_text()
    line = json.loads(text)
    assert line["traceback"][0].startswith("Traceback")
    assert any("in fail" in one for one in line["traceback"])
    assert line["version"].startswith("harmony ")
    assert line["level"] == "error"
    assert "open-sesame" not in text
    assert "<BROKER_PASSWORD>" in line["error"]


def test_a_full_disk_is_told_and_does_not_stop_questions(market, monkeypatch, capfd):
    from harmony_pipeline.lake.local_store import LocalStore

    assert (
        run_command(
            ["--config", "mine.toml", "sql", "select count(*) as n from bars", "--format", "csv"]
        )
        == 0
    )
    (market / "lake" / "bars" / "partition=_schema" / "bars.parquet").unlink(missing_ok=True)

    def full(self, name, _content=b""):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder / name))

    monkeypatch.setattr(LocalStore, "scratch", full)
    monkeypatch.setattr(LocalStore, "write_bytes", full)
    for name in ("bars", "trades"):
        for file in (market / "lake" / name).rglob("*.parquet"):
            file.unlink()
    capfd.readouterr()
    assert (
        run_command(
            ["--config", "mine.toml", "sql", "select count(*) as n from bars", "--format", "csv"]
        )
        == 0
    )
    assert capfd.readouterr().out == "n\n0\n"
    assert run_command(["--config", "mine.toml", "backfill", "universe"]) == 1
    shown = capfd.readouterr().err
    assert "no space is left on the disk of" in shown
    assert "Traceback" not in shown


def test_a_new_lake_that_cannot_be_written_is_empty_for_questions(market, monkeypatch, capfd):
    from harmony_pipeline.lake.local_store import LocalStore

    def read_only(self, name, _content=b""):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self.folder / name))

    monkeypatch.setattr(LocalStore, "scratch", read_only)
    monkeypatch.setattr(LocalStore, "write_bytes", read_only)
    assert (
        run_command(
            ["--config", "mine.toml", "sql", "select symbol, close from bars", "--format", "json"]
        )
        == 0
    )
    assert capfd.readouterr().out.strip() == "[]"


# --- commands in messages -------------------------------------------------------------------------


def test_commands_in_messages_carry_the_options_that_were_given(market):
    assert as_typed("make some with: harmony ingest") == "make some with: harmony ingest"
    remember_options("my file.toml", "2025-01-15T00:00Z")
    assert (
        as_typed("see: harmony sql x")
        == "see: harmony --config 'my file.toml' --as-of 2025-01-15T00:00Z sql x"
    )
    assert (
        as_typed("make some with: harmony ingest")
        == "make some with: harmony --config 'my file.toml' ingest"
    )
    assert (
        as_typed("`harmony run` or harmony doctor")
        == "`harmony --config 'my file.toml' run` or harmony --config 'my file.toml' --as-of"
        " 2025-01-15T00:00Z doctor"
    )
    assert as_typed(as_typed("harmony sql x")) == as_typed("harmony sql x")
    assert (
        as_typed("the harmony of runs, .harmony/default, harmony.toml")
        == "the harmony of runs, .harmony/default, harmony.toml"
    )
    assert command_line("init") == "harmony init"


def test_every_verb_is_known_to_the_advice():
    from harmony_pipeline.cli import app

    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert commands | {group.name for group in app.registered_groups} == set(VERBS)


def test_the_advice_of_a_refusal_works_when_typed(market, capfd):
    import shlex

    assert (
        run_command(["--config", "mine.toml", "--as-of", "2030-01-01T00:00Z", "lineage", "nosuch"])
        == 1
    )
    said = capfd.readouterr().err.strip()
    assert "with: harmony --config mine.toml --as-of 2030-01-01T00:00Z sql" in said
    typed = shlex.split(said.rsplit("with: ", 1)[1])
    assert typed[0] == "harmony"
    assert run_command(typed[1:]) == 0


def test_a_refusal_that_names_no_command_is_left_alone():
    assert as_typed(str(NotReady("nothing yet"))) == "nothing yet"


# --- as a process ---------------------------------------------------------------------------------


def process(
    folder: Path, *arguments: str, code: str = "", buffered: bool = True, **options
) -> subprocess.Popen:
    """A command in a process of its own; `buffered`: its output is, whatever this one's is."""
    program = ["-c", code] if code else ["-m", "harmony_pipeline.cli"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONUNBUFFERED": "" if buffered else "1",
    }
    return subprocess.Popen(
        [sys.executable, *program, *arguments],
        cwd=folder,
        env=environment,
        text=True,
        stderr=subprocess.PIPE,
        **options,
    )


@pytest.mark.parametrize(
    ("number", "code", "says"),
    [(signal.SIGINT, 130, "stopped by Ctrl-C"), (signal.SIGTERM, 143, "stopped by SIGTERM")],
)
def test_a_signal_ends_a_command_with_one_line(market, number, code, says):
    program = (
        "import time, sys, harmony_pipeline.cli.model_report as s\n"
        "def wait(*_): sys.stdout.write('ready\\n'); sys.stdout.flush(); time.sleep(60)\n"
        "s.print_models = wait\n"
        "from harmony_pipeline.cli import main; main()"
    )
    running = process(
        market, "--config", "mine.toml", "models", code=program, stdout=subprocess.PIPE
    )
    assert running.stdout.readline() == "ready\n"
    time.sleep(0.1)
    running.send_signal(number)
    _out, shown = running.communicate(timeout=60)
    assert running.returncode == code
    assert says in shown
    assert len(shown.strip().splitlines()) == 1


def test_a_process_ends_after_threads_and_clean_up_and_takes_no_object_apart(market):
    program = (
        "import atexit, sys, threading, time, harmony_pipeline.cli.model_report as s\n"
        "class Left:\n"
        "    def __del__(self): sys.__stdout__.write('taken apart\\n')\n"
        "def show(*_):\n"
        "    sys.left = Left()\n"
        "    atexit.register(print, 'cleaned up')\n"
        "    threading.Thread(target=lambda: (time.sleep(0.2), print('thread ended'))).start()\n"
        "s.print_models = show\n"
        "from harmony_pipeline.cli import main; main()"
    )
    running = process(
        market, "--config", "mine.toml", "models", code=program, stdout=subprocess.PIPE
    )
    out, shown = running.communicate(timeout=60)
    assert (running.returncode, out, shown) == (0, "thread ended\ncleaned up\n", "")


def test_a_reader_that_goes_away_is_no_failure(market):
    running = process(
        market,
        "--config",
        "mine.toml",
        "sql",
        "select range as n from range(200000)",
        "--format",
        "csv",
        stdout=subprocess.PIPE,
    )
    assert running.stdout.readline() == "n\n"
    running.stdout.close()
    _out, shown = running.communicate(timeout=60)
    assert shown == ""
    assert running.returncode in (0, 1)  # some systems take what nobody reads


@pytest.mark.parametrize("buffered", [True, False])
def test_output_that_cannot_be_written_is_told(market, buffered):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        running = process(
            market, "--config", "mine.toml", "sql", "select 1", buffered=buffered, stdout=full
        )
        _out, shown = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "no space is left on the disk of" in shown
    assert len(shown.strip().splitlines()) == 1


def test_output_that_is_lost_at_the_very_end_is_no_success(market):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    program = (
        "from harmony_pipeline.cli.boundary import end_process_with\n"
        "end_process_with(lambda: print('a late word') or 0)"
    )
    with Path("/dev/full").open("w") as full:
        running = process(market, code=program, stdout=full)
        _out, shown = running.communicate(timeout=60)
    assert (running.returncode, shown) == (1, "")


@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_command_whose_output_is_closed_goes_without_it(market, closed):
    program = "import os, sys; os.close(int(sys.argv[1])); os.execv(sys.executable, sys.argv[2:])"
    command = [sys.executable, "-m", "harmony_pipeline.cli", "--config", "mine.toml", "sql"]
    running = process(
        market, closed, *command, "select 1 as n", code=program, stdout=subprocess.PIPE
    )
    out, shown = running.communicate(timeout=60)
    assert (running.returncode, shown) == (0, "")
    assert bool(out) == (closed == "2")


def test_foreign_text_is_made_safe_for_a_terminal():
    assert printable("a\tb\x1b[2J\u202e") == "a\\tb\\x1b[2J\\u202e"
    assert printable("x" * 300) == "x" * 200 + "... (300 characters)"
    assert printable("Zürich – 東京") == "Zürich – 東京"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("BROKER", "redis://:{}@host/1"),
        ("BROKER", "redis://me:{}@host@host/1"),
        ("BROKER", "amqp://:{}'/@host"),
        ("BROKER", "redis://host/1?password={}"),
        ("STORAGE", "me:{}@host/db"),
        ("STORAGE", "host=h password={}"),
    ],
)
def test_a_password_in_a_refused_address_is_not_shown(market, monkeypatch, capfd, setting, value):
    secret = "Canary0123"
    monkeypatch.setenv(f"HARMONY__DAGSTER__{setting}", value.format(secret))
    assert run_command(["--config", "mine.toml", "ingest"]) == 2
    said = capfd.readouterr()
    assert f"HARMONY__DAGSTER__{setting}: dagster.{setting.lower()} = <not shown>" in said.err
    assert secret not in said.err + said.out
    logs = market / "state" / "logs"
    assert not any(secret in path.read_text() for path in logs.rglob("*.jsonl"))


def test_a_password_in_a_librarys_message_is_hidden():
    for address in ("redis://:Canary0123@host:1/0", "postgresql://me:Canary@0123@host/db"):
        line = error_messages.without_secrets(f"no answer from {address}, tried twice", {})
        assert "Canary" not in line
        assert "0123" not in line
        assert "tried twice" in line


@pytest.mark.parametrize(
    ("variable", "value", "said", "code"),
    [
        ("EXECUTOR", "json:dumps", "is no executor definition of Dagster", 2),
        ("STORAGE", "postgresql://me@127.0.0.1:9/db", "cannot be opened", 1),
    ],
)
def test_an_engine_that_cannot_be_had_is_one_line_till_the_process_ends(
    market, variable, value, said, code
):
    if variable == "STORAGE":
        pytest.importorskip("dagster_postgres")
    ended = subprocess.run(
        [sys.executable, "-m", "harmony_pipeline.cli", "--config", "mine.toml", "ingest"],
        env={**os.environ, f"HARMONY__DAGSTER__{variable}": value, "PGPASSWORD": "Canary0123"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == code
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert "Canary" not in ended.stderr + ended.stdout


def test_ctrl_c_during_steps_in_processes_of_their_own_is_a_stop(market, monkeypatch):
    """Dagster takes the signal, ends the run and returns as if it had failed."""
    monkeypatch.setenv("HARMONY__DAGSTER__EXECUTOR", "multiprocess")
    running = process(market, "--config", "mine.toml", "ingest", stdout=subprocess.DEVNULL)
    runs = market / "state" / "dagster" / "history" / "runs.db"
    deadline = time.monotonic() + 60
    while not _is_started(runs) and time.monotonic() < deadline:
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _out, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (
        130,
        "harmony: stopped by Ctrl-C; what was finished is kept\n",
    )


def _is_started(runs: Path) -> bool:
    """Whether Dagster's storage has a run that began."""
    if not runs.exists():
        return False
    try:
        with sqlite3.connect(f"file:{runs}?mode=ro", uri=True) as storage:
            return bool(storage.execute("select 1 from runs where status = 'STARTED'").fetchone())
    except sqlite3.Error:  # not made yet
        return False
