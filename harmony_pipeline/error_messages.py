"""Every failure as one line: what happened, where, and what to do about it.

`sentence` knows Harmony's own refusals, the operating system's errors and those of the libraries.
What nobody foresaw is told by its type and text. A library's wrapper around another error is taken
off first. Values of secrets are never in the line.
"""

import errno
import os
import re
import sqlite3
from collections.abc import Callable, Mapping
from functools import lru_cache

from harmony_pipeline.errors import HarmonyError
from harmony_pipeline.text import one_line, printable

_WRAPPERS = ("dagster", "alembic", "sqlalchemy")
_SECRET_NAMES = ("KEY", "SECRET", "TOKEN", "PASSWORD", "WEBHOOK")
_SHORTEST_SECRET = 4  # hiding every "1" of a message would hide the message
_LINE_LIMIT = 4000
# up to the last @ before the path; Redis asks for no user
_CREDENTIALS = re.compile(r"(?<=://)[^/\s:@]*:[^/\s'\"]+(?=@)")
_ERRNO_IN_TEXT = re.compile(r"\((?:os error|Errno) (\d+)\)|\[[Ee]rrno (\d+)\]|os error (\d+)")
# libraries whose errors of files are no OSError; lightgbm: a forecaster of one's own imports it
_WITH_SYSTEM_ERRORS = ("polars", "duckdb", "_duckdb", "pyarrow", "lightgbm", "harmony_lightgbm")
_SOMEWHERE = "the lake or the state folder"
_PATHS = "put it right, or choose other [paths] in the settings file"
_OS: dict[int, str] = {
    errno.ENOSPC: "no space is left on the disk of {where}: free some, or choose other [paths]",
    errno.EDQUOT: "the disk quota for {where} is used up: free some space, or choose other [paths]",
    errno.EFBIG: "{where} would become larger than this process may write: raise `ulimit -f`",
    errno.EROFS: "{where} is on a read-only file system: {paths}",
    errno.EACCES: "this user may not use {where}: change its permissions, or choose another path",
    errno.EPERM: "this user may not use {where}: change its permissions, or choose another path",
    errno.ENOTDIR: "a part of {where} is a file where a folder is needed: {paths}",
    errno.EEXIST: "{where} is a file where a folder is needed: {paths}",
    errno.EISDIR: "{where} is a folder where a file is needed: correct the path",
    errno.ENOENT: "{where} does not exist: correct the path, or make it",
    errno.ENAMETOOLONG: (
        "{where} is a longer name than this file system takes: choose a shorter one"
    ),
    errno.ELOOP: "{where} is a link that leads to itself: remove it",
    errno.EMFILE: "too many files are open, last {where}: raise `ulimit -n`",
    errno.ENFILE: "too many files are open on this machine, last {where}: close other programs",
    errno.EIO: "{where} cannot be read or written, the disk reports an error: check the disk",
    errno.ENOMEM: "the machine has no memory left: close other programs, or take shorter periods",
    errno.EADDRINUSE: "the port is in use already: choose another with --port",
}
_NO_MEMORY = (
    "the machine has no memory left: name fewer [market] symbols, or cut time finer with"
    " market.partitions.trading_period"
)


def root_cause(error: BaseException) -> BaseException:
    """What a library wrapped, or the error itself."""
    seen = {id(error)}
    while type(error).__module__.split(".")[0] in _WRAPPERS:
        cause = getattr(error, "user_exception", None) or error.__cause__ or error.__context__
        if cause is None or id(cause) in seen:
            break
        seen.add(id(cause))
        error = cause
    return error


def is_foreseen(error: BaseException) -> bool:
    """Whether the line says everything: a refusal of Harmony's own."""
    return isinstance(root_cause(error), HarmonyError)


def is_failure(error: BaseException) -> bool:
    """Whether an error is to be told as a failure: not a stop asked for by the user, nor an
    exit.
    """
    if isinstance(error, Exception):
        return True
    # Polars' Rust code; a BaseException of no importable type
    return type(error).__name__ == "PanicException"


def sentence(error: BaseException, environment: Mapping[str, str] | None = None) -> str:
    """One line about a failure, at most some thousand characters long."""
    cause = root_cause(error)
    told = next((tell(cause) for kind, tell in _TELLERS if isinstance(cause, kind)), None)
    line = told or _by_library(cause) or _unforeseen(cause)
    return printable(without_secrets(one_line(line), environment), _LINE_LIMIT)


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Whether what has this name is never shown."""
    return any(part in name.upper() for part in _SECRET_NAMES)


def secrets_of(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment variables that are named like secrets. Give them to `without_secrets` in
    place of the environment where many texts are cleaned.
    """
    environment = os.environ if environment is None else environment
    values = {name: environment.get(name, "") for name in environment if is_secret_name(name)}
    return {name: value for name, value in values.items() if len(value) >= _SHORTEST_SECRET}


def without_secrets(text: str, environment: Mapping[str, str] | None = None) -> str:
    """`text` without the values of environment variables that are named like secrets, and without
    passwords in addresses.
    """
    for name, value in secrets_of(environment).items():
        text = text.replace(value, f"<{name}>")
    return _CREDENTIALS.sub("<password>", text)


def _os_error(error: BaseException) -> str | None:
    assert isinstance(error, OSError)
    number = error.errno or _number_in(str(error))
    template = _OS.get(number or 0)
    if template is None:
        return None
    # of a rename the target: the source is a temporary file of ours
    named = error.filename2 or error.filename
    where = printable(named) if named is not None else _path_in(str(error)) or _SOMEWHERE
    return template.format(where=where, paths=_PATHS)


def _number_in(text: str) -> int | None:
    found = _ERRNO_IN_TEXT.search(text)
    if found:
        return int(next(group for group in found.groups() if group))
    known = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EMFILE, errno.EFBIG)
    return next((number for number in known if os.strerror(number).lower() in text.lower()), None)


def _path_in(text: str) -> str | None:
    """A path that a library's message names."""
    found = re.search(r"['\"]?(/[^'\":\n]+)", text)
    return printable(found[1].strip()) if found else None


def _sqlite(error: BaseException) -> str:
    said = str(error)
    cures = {
        "disk is full": "free some disk space",
        "disk I/O error": "see that the disk is neither full nor damaged",
        "readonly": "make the state folder writable",
        "unable to open": "see that the state folder can be made and written",
        "not a database": "move that file away; it is not one of Harmony's",
        "malformed": "move the file away; it is damaged",
        "locked": "another process holds it: wait, or end that one",
    }
    cure = next((cure for part, cure in cures.items() if part in said), "see the log")
    return f"a database in the state folder cannot be used ({printable(said)}): {cure}"


def _memory(_error: BaseException) -> str:
    return _NO_MEMORY


def _value(error: BaseException) -> str | None:
    # "embedded null byte", and "embedded null character in path" from Python 3.13 on
    return "a path holds a NUL character: take it out" if "embedded null" in str(error) else None


def _runtime(error: BaseException) -> str | None:
    found = re.match(r"Symlink loop from '(.*)'", str(error))  # pathlib before Python 3.13
    return _OS[errno.ELOOP].format(where=printable(found[1])) if found else None


def _import(error: BaseException) -> str:
    assert isinstance(error, ImportError)
    return (
        f"the module {printable(error.name or error)} cannot be imported ({printable(error)}):"
        " install it, or correct its name"
    )


def _by_library(error: BaseException) -> str | None:
    """What a library without a common base class said: Polars, DuckDB, PyArrow, Dagster."""
    library = type(error).__module__.split(".")[0]
    said = printable(_first_line(error))
    if type(error).__name__ == "PanicException":
        return (
            f"a library failed inside ({said}): a file that it read may be damaged; the log"
            " names it"
        )
    number = _number_in(str(error)) if library in _WITH_SYSTEM_ERRORS else None
    if number in _OS:
        return _OS[number].format(where=_path_in(str(error)) or _SOMEWHERE, paths=_PATHS)
    if library in ("duckdb", "_duckdb"):
        return _NO_MEMORY if "out of memory" in str(error).lower() else f"DuckDB refused: {said}"
    if library == "polars":
        return f"Polars refused: {said}"
    if library == "dagster":
        return f"Dagster refused: {said}"
    return None


def _unforeseen(error: BaseException) -> str:
    return (
        f"something failed that Harmony did not foresee: {type(error).__name__}:"
        f" {printable(_first_line(error)) or 'no text'}"
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else ""


def _own(error: BaseException) -> str:
    return str(error)


_TELLERS: tuple[tuple[type[BaseException], Callable[[BaseException], str | None]], ...] = (
    (HarmonyError, _own),
    (MemoryError, _memory),
    (OSError, _os_error),
    (sqlite3.Error, _sqlite),
    (ImportError, _import),
    (ValueError, _value),
    (RuntimeError, _runtime),
)
