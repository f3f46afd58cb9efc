"""A file written a batch at a time: rows in key order, whole row groups, the manifest last."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.frames import is_sorted
from harmony_pipeline.lake.manifest import FOOTER_KEY, ContentHash
from harmony_pipeline.schemas import Table

# Measured on a month of 1,000 symbols (8.2 M rows, 12 columns, CPU time): one day of 100 symbols
# scattered over the file takes 545 ms from groups of 100,000 rows, 263 ms from 32,768, 203 ms from
# 16,384; reading everything takes the same from all; the file is 122, 139 and 151 MB.
ROW_GROUP_ROWS = 32_768
# level 3 is as large (130 MB) and takes 1.8 times as long to write, level 7 saves 4 % and takes 5
# times as long
ZSTD_LEVEL = 1
# Measured on 15 features of 2 M minute bars: zstd leaves 104 bytes of 128 a bar, LZ4 112, written
# in two thirds of the time and read in a half. PyArrow's dictionaries of such numbers leave 122
# and take four times as long.
HARDLY_COMPRESSED = "lz4"


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
    three times as long for them.
    """

    def __init__(self, table: Table, path: Path) -> None:
        self.table = table
        self._path = path
        self.digest = ContentHash(pl.Schema(table.dtypes))
        self.learned: tuple[datetime | None, datetime | None] = (None, None)
        self.manifest: Mapping[str, Any] | None = None
        self.written: Written | None = None
        self.whole: pl.DataFrame | None = None
        """All rows, of a stream that ended before its first row group was full."""
        self._writer: Any = None
        self._is_closed = False
        self._waiting: list[pl.DataFrame] = []
        self._last = table.empty()[list(table.key)]

    def append(self, frame: pl.DataFrame) -> None:
        """Add rows whose keys do not lie before those already added. Raises DataError when they do,
        ValueError on a missing column.
        """
        rows = self.table.conform(frame)
        if rows.is_empty():
            return
        ends = rows[list(self.table.key)]
        seam = pl.concat([self._last, ends.head(1)])
        if not is_sorted(seam, self.table.key):
            raise DataError(
                f"{self.table.name}: a batch begins at {seam.row(1)}, before the end of the last"
                f" one at {seam.row(0)}; append batches in key order"
            )
        self._last = ends.tail(1)
        self.digest.add(rows)
        if self.table.known_by:
            self.learned = span(self.learned, rows[self.table.known_by])
        self._waiting.append(rows)
        if sum(part.height for part in self._waiting) >= ROW_GROUP_ROWS:
            self._flush(whole_groups_only=True)

    def seal(self, manifest: Mapping[str, Any]) -> None:
        """Write what waits and the footer; later calls change nothing."""
        if self._is_closed:
            return
        self.manifest = manifest
        if self._writer is None:
            self.whole = pl.concat(self._waiting) if self._waiting else self.table.empty()
            write_whole(self.whole, self._path, manifest, compressible=self.table.compressible)
        else:
            self._flush(whole_groups_only=False)
            self._writer.add_key_value_metadata({FOOTER_KEY: json.dumps(manifest)})
        self.abandon()

    def abandon(self) -> None:
        """Close the file as it is."""
        self._is_closed = True
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _flush(self, *, whole_groups_only: bool) -> None:
        rows = pl.concat(self._waiting) if self._waiting else self.table.empty()
        ready = rows.height - rows.height % ROW_GROUP_ROWS if whole_groups_only else rows.height
        if ready:
            writer = self._open_writer()
            writer.write_table(
                rows[:ready].to_arrow().cast(writer.schema), row_group_size=ROW_GROUP_ROWS
            )
        self._waiting = [rows[ready:]] if ready < rows.height else []

    def _open_writer(self) -> Any:
        from pyarrow.parquet import ParquetWriter

        if self._writer is not None:
            return self._writer
        dtypes, compressible = self.table.dtypes, self.table.compressible
        # Sorted whole numbers are stored as differences: a month of minutes is a quarter smaller
        # and decodes in two thirds of the time.
        steps = [
            name
            for name, dtype in dtypes.items()
            if isinstance(dtype, pl.Datetime) or dtype.is_integer()
        ]
        repeating = [
            name
            for name, dtype in dtypes.items()
            if name not in steps and (compressible or not dtype.is_float())
        ]
        self._writer = ParquetWriter(
            self._path,
            self.table.empty().to_arrow().schema,
            **_compression(compressible),
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


def write_whole(
    frame: pl.DataFrame,
    path: Path | IO[bytes],
    manifest: Mapping[str, Any],
    *,
    compressible: bool = True,
) -> None:
    """Write a frame as one file, at a path or into `path`, with its manifest in the footer."""
    metadata = {FOOTER_KEY: json.dumps(manifest)}
    frame.write_parquet(
        path,
        **_compression(compressible),
        statistics=True,
        row_group_size=ROW_GROUP_ROWS,
        metadata=metadata,
    )


def _compression(compressible: bool) -> dict[str, Any]:
    """How pages are compressed, in the words of Polars and PyArrow alike."""
    if not compressible:
        return {"compression": HARDLY_COMPRESSED}
    return {"compression": "zstd", "compression_level": ZSTD_LEVEL}
