"""What a forked process lacks: the threads of libraries stay in the process that it was forked
from, and whoever hands them work waits for ever.

Polars hangs like that in every query, and so would each read and write of a lake; LightGBM does
when it grows trees with several threads. Nothing of ours forks a process in which either has worked
(assets/preload.py). A caller's own `os.fork`, or `multiprocessing` with the start method `fork`,
may: there a lake refuses in one line, and trees, which are the same with any number of threads, are
grown with one.

Whether Polars works cannot be read off the process that forked: its threads take their names a
moment after they were started. So a forked process tries it once, in a thread of its own.
"""

import os
import sys
from threading import Lock, Thread

import polars as pl

from harmony_pipeline.errors import ConfigError

ANSWER_SECONDS = 30.0  # Polars answers within milliseconds, on a busy machine within seconds
_working: set[str] = set()  # libraries that said here that their threads work
_lost: set[str] = set()  # those of the process that this one was forked from
_untried: set[str] = set()  # "Polars" in a forked process that has not used it yet
_POLARS = "Polars"
_trying = Lock()


def threads_work(library: str) -> None:
    """Say that a library has started threads of its own in this process."""
    _working.add(library)


def lost_threads(library: str) -> bool:
    """Whether this process was forked from one in which that library's threads worked."""
    return library in _lost


def use_polars() -> None:
    """Call it before Polars works. Raises ConfigError in a process that was forked after it did."""
    if _untried:
        with _trying:  # other threads wait for what the first one finds
            if _untried and not _polars_answers():
                _lost.add(_POLARS)
            _untried.clear()
    if _POLARS in _lost:
        raise ConfigError(
            "this process was forked from one in which Polars had worked, and Polars would wait for"
            ' ever here: start it another way, such as multiprocessing.get_context("spawn")'
        )


def _polars_answers() -> bool:
    query = pl.LazyFrame({"a": [2, 1, 2]}).group_by("a").len()
    attempt = Thread(target=lambda: query.collect(engine="in-memory"), daemon=True)
    attempt.start()
    attempt.join(ANSWER_SECONDS)
    return not attempt.is_alive()


def _lose() -> None:
    """In the forked process."""
    global _trying  # noqa: PLW0603  another thread may have held it
    _trying = Lock()
    _lost.update(_working)
    _working.clear()
    _untried.add(_POLARS)


if sys.platform != "win32":  # there is no fork
    os.register_at_fork(after_in_child=_lose)
