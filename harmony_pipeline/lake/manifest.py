"""What made a partition, kept in its Parquet footer, and the content hash that says whether two
partitions hold the same rows.

Two moments are kept: `known_since`, when this content was first known, and `written_at`, when the
file was written. A rewrite of equal rows moves only the second. Both are UTC with microseconds in
ISO form, so that text order is time order.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.hashing import hash_of_parts
from harmony_pipeline.version import __version__

WALL_CLOCK_COLUMNS = ("ingested_at", "learned_at", "created_at", "decided_at", "evaluated_at")
FOOTER_KEY = "harmony"
# so many hashes stay in the processor's cache while column after column is mixed into them
_HASHED_ROWS = 1 << 17
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)  # files that say no `known_since` were always known
# no colon: a name that every file system and every object store takes
_FOLDER_STAMP = "%Y%m%dT%H%M%S.%fZ"

NowFunction = Callable[[], datetime]


def utc_now() -> datetime:
    """The present moment, UTC."""
    return datetime.now(UTC)


def moment(value: datetime, what: str) -> datetime:
    """`value` in UTC. Raises ConfigError when it names no time zone."""
    if value.tzinfo is None:
        raise ConfigError(f"{what} {value} has no time zone; write it like 2025-01-15T00:00Z")
    return value.astimezone(UTC)


def iso(value: datetime) -> str:
    """`value` as text whose order is the order of time."""
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def folder_stamp(value: datetime) -> str:
    """`value` as part of a file name."""
    return value.astimezone(UTC).strftime(_FOLDER_STAMP)


def from_folder_stamp(text: str) -> datetime:
    """The moment that `folder_stamp` wrote."""
    return datetime.strptime(text, _FOLDER_STAMP).replace(tzinfo=UTC)


def known_since(manifest: Mapping[str, Any] | None) -> datetime:
    """When the content of a partition was first known."""
    text = (manifest or {}).get("known_since")
    return datetime.fromisoformat(text) if text else BEGINNING


def parsed(footer: Mapping[str, str]) -> dict[str, Any] | None:
    """The manifest in a Parquet footer; None when the file has none."""
    text = footer.get(FOOTER_KEY)
    return dict(json.loads(text)) if text else None


class ContentHash:
    """Hash of rows in order, fed in any batches: equal rows agree, however they were cut and
    however the frames came about.

    It is blind to wall-clock columns, so that two runs from scratch agree.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._kept = [name for name in schema if name not in WALL_CLOCK_COLUMNS]
        self._digest = hashlib.blake2b(
            repr([(name, schema[name]) for name in self._kept]).encode(), digest_size=16
        )
        self.rows = 0

    def add(self, frame: pl.DataFrame) -> "ContentHash":
        """Take the rows of `frame` in."""
        self.rows += frame.height
        if not frame.height:
            return self
        kept = frame if frame.columns == self._kept else frame[self._kept]
        if frame.height <= _HASHED_ROWS:
            self._digest.update(kept.hash_rows(seed=0).to_numpy().data)
            return self
        hashes = (
            kept[start : start + _HASHED_ROWS].hash_rows(seed=0).to_numpy().data
            for start in range(0, frame.height, _HASHED_ROWS)
        )
        with ThreadPoolExecutor(1) as beside:  # digested while the next rows are hashed
            digested = beside.submit(self._digest.update, next(hashes))
            for each in hashes:
                digested.result()
                digested = beside.submit(self._digest.update, each)
            digested.result()
        return self

    def text(self) -> str:
        """The hash of everything taken in so far."""
        return self._digest.hexdigest()


def content_hash(frame: pl.DataFrame) -> str:
    """Content hash of one frame."""
    return ContentHash(frame.schema).add(frame).text()


def hash_of(frames: Iterable[pl.DataFrame], schema: Mapping[str, Any]) -> ContentHash:
    """Content hash of frames in order."""
    digest = ContentHash(pl.Schema(schema))
    for frame in frames:
        digest.add(frame)
    return digest


@cache
def code_version() -> str:
    """Version of the library with a hash of its source: tables made by different code can be told
    apart.
    """
    package = Path(__file__).parent.parent
    files = sorted(package.rglob("*.py"))
    contents = (
        part for path in files for part in (path.relative_to(package).as_posix(), path.read_bytes())
    )
    return f"{__version__}+{hash_of_parts(contents, 6)}"
