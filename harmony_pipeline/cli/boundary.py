"""The entry point: every failure becomes one line on standard error and an exit code, whatever
failed.

0 done, 1 failed, 2 wrong options or settings, 130 stopped by Ctrl-C, 143 stopped by SIGTERM. When
the reader of a pipe went away it is 1, without a word.
"""

import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NoReturn, Self

import click
import typer

from harmony_pipeline.cli.app import app
from harmony_pipeline.cli.invocation import as_typed, state_folder
from harmony_pipeline.cli.program import Program
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.text import one_line, printable

FAILED, MISUSED = 1, 2


class Stopped(BaseException):
    """A signal asked the command to end; a BaseException, so that nothing takes it for a
    failure.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    end_process_with(lambda: run_command(arguments))


def end_process_with(run: Callable[[], int]) -> NoReturn:
    """Call `run`, which is all that this process is for, and end with the exit code it returns."""
    ended: list[int] = []
    atexit.register(_end_process, ended)  # the first to be registered is the last to be called
    ended.append(run())
    sys.exit(ended[0])


def _end_process(ended: Sequence[int]) -> None:
    """End when threads have ended and libraries have cleaned up. Python would then take a million
    objects apart, for a second and more, and the system does it at once. It would also try once
    more to write what could not be written, and end with a code of its own.
    """
    is_written = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            is_written = False
    if ended:
        os._exit(ended[0] if is_written else ended[0] or FAILED)


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and the program that it becomes; the exit code."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # a terminal without our characters is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    with _Signals() as signals:
        try:
            ended = app(
                args=None if arguments is None else list(arguments),
                prog_name="harmony",
                standalone_mode=False,
            )
            sys.stdout.flush()
        except BaseException as error:
            return _end(error, signals)
    if isinstance(ended, Program):
        return ended.run()
    return ended if isinstance(ended, int) else 0


def _open_closed_streams() -> None:
    """Python has no stream where the caller closed it (`harmony run >&-`): what is written there
    goes nowhere.
    """
    for name in ("stdout", "stderr"):
        if vars(sys)[name] is None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            setattr(sys, name, os.fdopen(nowhere, "w", encoding="utf-8"))


def _end(error: BaseException, signals: "_Signals") -> int:
    """The exit code of a command that ended by `error`, told in one line; telling it may not fail
    either.
    """
    try:
        return _told(error, signals)
    except Exception as second:
        _say(f"{type(error).__name__}, and telling it failed by {type(second).__name__}")
        return FAILED


def _told(error: BaseException, signals: "_Signals") -> int:
    """Say what ended the command; the exit code that goes with it."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if _is_stop(error):
        signals.ignore()
        number = error.number if isinstance(error, Stopped) else signals.last()
        _say(
            f"stopped by {'Ctrl-C' if number == signal.SIGINT else signal.Signals(number).name};"
            " what was finished is kept"
        )
        return 128 + number
    if isinstance(error, BrokenPipeError):
        _forget_output()
        return FAILED
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return 0
    if isinstance(error, click.ClickException):
        _say(_usage(error))
        return error.exit_code
    _fail(error)
    return MISUSED if isinstance(error, ConfigError) else FAILED


def _is_stop(error: BaseException) -> bool:
    """Ours, Python's, Click's, or the one that Dagster raises in a step."""
    return (
        isinstance(error, (Stopped, KeyboardInterrupt, click.Abort))
        or type(error).__name__ == "DagsterExecutionInterruptedError"
    )


def _usage(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    message = one_line(error.format_message())
    help_of = f" (see {context.command_path} --help)" if context is not None else ""
    return f"{printable(message, 600)}{help_of}"


def _fail(error: BaseException) -> None:
    from harmony_pipeline.log import record_failure

    line, log = record_failure(error, state_folder())
    line = as_typed(line)
    _say(line if log is None else f"{line} (log: {log})")


def _say(line: str) -> None:
    # nobody reads standard error: the exit code still tells
    with contextlib.suppress(OSError, ValueError):
        typer.secho(f"harmony: {line}", fg=typer.colors.RED, err=True)


def _forget_output() -> None:
    """Send what is still buffered nowhere, so that the interpreter's last flush does not
    complain.
    """
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Signals:
    """SIGINT and SIGTERM raise `Stopped` while the block runs.

    Dagster puts handlers of its own in their place during a run and does not say which signal came:
    the wake-up pipe does.
    """

    def __enter__(self) -> Self:
        self._active = threading.current_thread() is threading.main_thread()
        if self._active:
            self._reader, self._writer = os.pipe()
            os.set_blocking(self._reader, False)
            os.set_blocking(self._writer, False)
            self._earlier = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
            self._last_resort, logging.lastResort = logging.lastResort, _LibraryLog(logging.WARNING)  # type: ignore[assignment]
            self._hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
            self._before = {
                number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)
            }
        return self

    def __exit__(self, *_error: object) -> None:
        if self._active:
            for number, handler in self._before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._earlier)
            logging.lastResort, sys.unraisablehook = self._last_resort, self._hook
            os.close(self._reader)
            os.close(self._writer)

    def ignore(self) -> None:
        """The command is ending already."""
        if self._active:
            for number in self._before:
                signal.signal(number, signal.SIG_IGN)

    def _unraisable(self, found: Any) -> None:
        """A stop that came inside a destructor was swallowed there: ask for it again."""
        if isinstance(found.exc_value, Stopped):
            signal.raise_signal(found.exc_value.number)
        else:
            self._hook(found)

    def last(self) -> int:
        """The signal that came last; Ctrl-C when none was seen."""
        with contextlib.suppress(OSError, AttributeError):
            stops = [
                number
                for number in os.read(self._reader, 4096)
                if number in (signal.SIGINT, signal.SIGTERM)
            ]
            return stops[-1] if stops else signal.SIGINT
        return signal.SIGINT


class _LibraryLog(logging.Handler):
    """What libraries log where nobody listens; the log is imported when it is needed."""

    def emit(self, record: logging.LogRecord) -> None:
        from harmony_pipeline.log import LibraryLog

        LibraryLog(state_folder).handle(record)


def _stop(number: int, _frame: FrameType | None) -> None:
    raise Stopped(number)
