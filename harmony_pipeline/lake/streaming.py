"""A file written a batch at a time: rows in key order, whole row groups, the manifest last."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.frames import is_sorted
from harmony_pipeline.lake.manifest import FOOTER_KEY, ContentHash
from harmony_pipeline.lake.plain_file import PlainFile, is_plain
from harmony_pipeline.schemas import Table

# Measured on a month of 1,000 symbols (8.2 M rows, 12 columns, CPU time): one day of 100 symbols
# scattered over the file takes 545 ms from groups of 100,000 rows, 263 ms from 32,768, 203 ms from
# 16,384; reading everything takes the same from all; the file is 122, 139 and 151 MB.
ROW_GROUP_ROWS = 32_768
# level 3 is as large (130 MB) and takes 1.8 times as long to write, level 7 saves 4 % and takes 5
# times as long
ZSTD_LEVEL = 1


@dataclass(frozen=True)
class Written:
    """What a write left behind."""

    table: str
    partition: str
    address: str
    rows: int
    content_hash: str
    changed: bool = True
    """Whether the rows differ from those that were there."""

    @property
    def path(self) -> Path:
        """The file, in a lake that is a folder."""
        return Path(self.address)


class Stream:
    """Rows on their way into a file, handed over in key order and stored in whole row groups.

    Rows that make less than one group are written at the end, as a whole frame is: PyArrow takes
    three times as long for them. Whole groups are written while their content hash is computed.
    """

    def __init__(self, table: Table, path: Path) -> None:
        self.table = table
        self._path = path
        self.digest = ContentHash(pl.Schema(table.dtypes))
        self.learned: tuple[datetime | None, datetime | None] = (None, None)
        self.manifest: Mapping[str, Any] | None = None
        self.written: Written | None = None
        self._writer: Any = None
        self._plain: PlainFile | None = None
        self._is_closed = False
        self._waiting: list[pl.DataFrame] = []
        self._last = table.empty().select(table.key)

    def append(self, frame: pl.DataFrame, *, in_order: bool = False) -> None:
        """Add rows whose keys do not lie before those already added; `in_order` says that they are
        sorted already. Raises DataError when they lie before, ValueError on a missing column.
        """
        rows = self.table.conform(frame, in_order=in_order)
        if rows.is_empty():
            return
        seam = pl.concat([self._last, rows.select(self.table.key).head(1)])
        if not is_sorted(seam, self.table.key):
            raise DataError(
                f"{self.table.name}: a batch begins at {seam.row(1)}, before the end of the last"
                f" one at {seam.row(0)}; append batches in key order"
            )
        self._last = rows.select(self.table.key).tail(1)
        if self.table.known_by:
            self.learned = span(self.learned, rows[self.table.known_by])
        self._waiting.append(rows)
        if sum(part.height for part in self._waiting) < ROW_GROUP_ROWS:
            self.digest.add(rows)
            return
        with ThreadPoolExecutor(1) as pool:
            written = pool.submit(self._flush, whole_groups_only=True)
            self.digest.add(rows)
            written.result()

    def seal(self, manifest: Mapping[str, Any]) -> None:
        """Write what waits and the footer; later calls change nothing."""
        if self._is_closed:
            return
        self.manifest = manifest
        if is_stored_plain(self.table):
            self._flush(whole_groups_only=False)
            self._open_plain().close({FOOTER_KEY: json.dumps(manifest)})
        elif self._writer is None:
            rows = pl.concat(self._waiting) if self._waiting else self.table.empty()
            write_whole(rows, self._path, manifest)
        else:
            self._flush(whole_groups_only=False)
            self._writer.add_key_value_metadata({FOOTER_KEY: json.dumps(manifest)})
        self.abandon()

    def abandon(self) -> None:
        """Close the file as it is."""
        self._is_closed = True
        if self._plain is not None:
            self._plain.abandon()
            self._plain = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _flush(self, *, whole_groups_only: bool) -> None:
        rows = pl.concat(self._waiting) if self._waiting else self.table.empty()
        ready = rows.height - rows.height % ROW_GROUP_ROWS if whole_groups_only else rows.height
        if ready and is_stored_plain(self.table):
            self._open_plain().append(rows[:ready])
        elif ready:
            writer = self._open_writer()
            writer.write_table(
                rows[:ready].to_arrow().cast(writer.schema), row_group_size=ROW_GROUP_ROWS
            )
        self._waiting = [rows[ready:]] if ready < rows.height else []

    def _open_plain(self) -> PlainFile:
        if self._plain is None:
            self._plain = PlainFile(
                self._path, self.table.dtypes, ROW_GROUP_ROWS, self.table.key[0]
            )
        return self._plain

    def _open_writer(self) -> Any:
        from pyarrow.parquet import ParquetWriter

        if self._writer is not None:
            return self._writer
        dtypes = self.table.dtypes
        # Sorted whole numbers are stored as differences: a month of minutes is a quarter smaller
        # and decodes in two thirds of the time.
        steps = [
            name
            for name, dtype in dtypes.items()
            if isinstance(dtype, pl.Datetime) or dtype.is_integer()
        ]
        repeating = [name for name in dtypes if name not in steps]
        self._writer = ParquetWriter(
            self._path,
            self.table.empty().to_arrow().schema,
            compression="zstd",
            compression_level=ZSTD_LEVEL,
            write_statistics=True,
            use_dictionary=repeating or False,
            column_encoding=dict.fromkeys(steps, "DELTA_BINARY_PACKED"),
        )
        return self._writer


def span(
    known: tuple[datetime | None, datetime | None], learned: pl.Series
) -> tuple[datetime | None, datetime | None]:
    """First and last moment of those known and those in `learned`."""
    moments = [one for one in (*known, learned.min(), learned.max()) if isinstance(one, datetime)]
    return (min(moments), max(moments)) if moments else (None, None)


def is_stored_plain(table: Table) -> bool:
    """Whether a table's files are made of pages as they lie in memory (`PlainFile`)."""
    return not table.compressible and is_plain(table.dtypes)


def write_whole(frame: pl.DataFrame, path: Path | IO[bytes], manifest: Mapping[str, Any]) -> None:
    """Write a frame as one file, at a path or into `path`, with its manifest in the footer."""
    frame.write_parquet(
        path,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        statistics=True,
        row_group_size=ROW_GROUP_ROWS,
        metadata={FOOTER_KEY: json.dumps(manifest)},
    )


def write_plain(frame: pl.DataFrame, path: Path, table: Table, manifest: Mapping[str, Any]) -> None:
    """Write a frame of a table that is stored plain as one file."""
    file = PlainFile(path, table.dtypes, ROW_GROUP_ROWS, table.key[0])
    try:
        file.append(frame)
        file.close({FOOTER_KEY: json.dumps(manifest)})
    finally:
        file.abandon()
