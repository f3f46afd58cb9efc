"""Built calendars, kept on disk: exchange_calendars takes nearly a second for one, and every
command needs one.

A file is named by all that a calendar is made from: its name, the package that knows the holidays,
and the code that reads them. It is never changed, and a file that cannot be read is made again.
"""

import hashlib
import json
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import polars as pl

from harmony_pipeline.files import cache_root, replacing

_PACKAGES = ("exchange_calendars", "pandas", "polars", "tzdata")
_KEY = "harmony"


class CalendarParts(NamedTuple):
    """What `Calendar` holds of an exchange."""

    zone: str
    sessions_per_year: int
    table: pl.DataFrame


def kept_or_built(name: str, build: Callable[[], CalendarParts]) -> CalendarParts:
    """The calendar as it was built before by this code and these packages, else as `build` makes
    it.
    """
    file = cache_root("calendars") / f"{name.replace('/', '-')}-{_made_from()}.parquet"
    try:
        facts = json.loads(pl.read_parquet_metadata(file)[_KEY])
        return CalendarParts(facts["zone"], facts["sessions_per_year"], pl.read_parquet(file))
    except (OSError, KeyError, ValueError, pl.exceptions.PolarsError):
        built = build()
    facts = {"zone": built.zone, "sessions_per_year": built.sessions_per_year}
    try:
        with replacing(file, durable=False) as temporary:
            built.table.write_parquet(temporary, metadata={_KEY: json.dumps(facts)})
    except OSError:  # a disk that takes nothing: it is built again next time
        pass
    return built


@cache
def _made_from() -> str:
    """Hash of the packages' versions and of the source of this folder's calendars."""
    found = hashlib.sha256()
    for package in _PACKAGES:
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            version = "none"
        found.update(f"{package} {version}\n".encode())
    for source in ("session_tables.py", "calendar_exceptions.py"):
        found.update(Path(__file__).with_name(source).read_bytes())
    return found.hexdigest()[:16]
