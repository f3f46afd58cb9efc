"""A Parquet file whose pages are the memory of the columns, for numbers that no encoding makes
smaller.

Libraries look at every number before they store it as it is: whether a dictionary would pay, what
is the least and the greatest, which are null. Here a column of a row group is one page, PLAIN and
not compressed: a header, the validity bits as Arrow has them (which are Parquet's levels, bit for
bit), and the values as they lie in memory, written by one call for the whole row group. Texts,
which must hold few runs of equal ones, as the symbol does, are a dictionary and its runs. Times and
texts have statistics, by which readers skip row groups; numbers none.

Bytes go to the disk while later ones are written, so that the last flush has little to wait for.

Source: the Parquet format, github.com/apache/parquet-format (`parquet.thrift`, `Encodings.md`).
"""

import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.arrays import BoolArray
from harmony_pipeline.lake.thrift import (
    Field,
    binary,
    encoded,
    flag,
    i32,
    i32_list,
    i64,
    struct,
    struct_list,
    text_list,
    varint,
)

_MAGIC = b"PAR1"
_INT64, _DOUBLE, _BYTE_ARRAY = 2, 5, 6
_OPTIONAL = 1
_PLAIN, _RLE, _RLE_DICTIONARY = 0, 3, 8
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_UNCOMPRESSED = 0
_UTF8, _TIMESTAMP_MICROS = 0, 10
_FLUSH_BYTES = 1 << 23
_MOST_PARTS = 512  # buffers that one call of the system takes; POSIX asks for 1,024 or fewer
_TIME = pl.Datetime("us", "UTC")

Part = bytes | memoryview


def is_plain(dtypes: Mapping[str, Any]) -> bool:
    """Whether a table can be kept this way: texts, times in UTC and Float64 numbers alone."""
    return all(dtype in (pl.String(), pl.Float64(), _TIME) for dtype in dtypes.values())


class PlainFile:
    """A file at `path` that row groups of at most `group_rows` rows are appended to, and that
    `close` makes whole. Rows come sorted by the column `sorted_by`.
    """

    def __init__(
        self, path: Path, dtypes: Mapping[str, Any], group_rows: int, sorted_by: str
    ) -> None:
        self._dtypes, self._group_rows, self._sorted_by = dict(dtypes), group_rows, sorted_by
        self._groups: list[Sequence[Field]] = []
        self.rows = 0
        self._file = _SteadyFile(path)
        self._file.write([_MAGIC])

    def append(self, frame: pl.DataFrame) -> None:
        """Write the rows of `frame`, which has the file's columns, in groups of so many rows."""
        for start in range(0, frame.height, self._group_rows):
            group = frame[start : start + self._group_rows]
            self._append([group[name].rechunk() for name in self._dtypes])

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write the footer and end the file."""
        footer = encoded(
            [
                i32(1, 1),
                struct_list(2, [self._root(), *starmap(_element, self._dtypes.items())]),
                i64(3, self.rows),
                struct_list(4, self._groups),
                struct_list(5, [[binary(1, k), binary(2, v)] for k, v in metadata.items()]),
                binary(6, "harmony-pipeline"),
                # order of each type's own, without which no reader trusts statistics
                struct_list(7, [[struct(1, [])] for _ in self._dtypes]),
            ]
        )
        self._file.write([footer, len(footer).to_bytes(4, "little"), _MAGIC])
        self._file.close()

    def abandon(self) -> None:
        """End the file as it is."""
        self._file.close()

    def _root(self) -> list[Field]:
        return [binary(4, "root"), i32(5, len(self._dtypes))]

    def _append(self, columns: Sequence[pl.Series]) -> None:
        place, rows = self._file.size, len(columns[0])
        parts, chunks, begin = list[Part](), list[Sequence[Field]](), place
        for column in columns:
            chunk = _chunk(column, is_sorted=column.name == self._sorted_by)
            parts += chunk.parts
            chunks.append([i64(2, place), struct(3, chunk.metadata(column.name, rows, place))])
            place += chunk.size
        size = place - begin
        self._groups.append([struct_list(1, chunks), i64(2, size), i64(3, rows)])
        self._file.write(parts)
        self.rows += rows


@dataclass(frozen=True)
class _Chunk:
    """One column of a row group. `dictionary_size`: bytes before the data page."""

    kind: int
    encodings: tuple[int, ...]
    parts: list[Part]
    statistics: list[Field]
    dictionary_size: int = 0

    @property
    def size(self) -> int:
        return sum(map(len, self.parts))

    def metadata(self, name: str, rows: int, place: int) -> list[Field]:
        """What the footer says of it, with the pages from byte `place` on."""
        fields = [
            i32(1, self.kind),
            i32_list(2, self.encodings),
            text_list(3, [name]),
            i32(4, _UNCOMPRESSED),
            i64(5, rows),
            i64(6, self.size),
            i64(7, self.size),
            i64(9, place + self.dictionary_size),
        ]
        if self.dictionary_size:
            fields.append(i64(11, place))
        return [*fields, struct(12, self.statistics)]


def _chunk(column: pl.Series, *, is_sorted: bool) -> _Chunk:
    if column.dtype == pl.String:
        return _texts(column, is_sorted=is_sorted)
    array, nulls, valid = column.to_arrow(), column.null_count(), None
    words = np.frombuffer(array.buffers()[1], np.uint64)[array.offset : array.offset + len(column)]
    if nulls:
        valid = _valid(array)
        words = words[valid]
    values = words.data.cast("B")
    header, levels = _data_page(len(column), valid, len(values), _PLAIN)
    statistics = [i64(3, nulls)]
    is_time = column.dtype == _TIME
    if is_time and nulls < len(column):
        physical = column.to_physical()
        least, most = (_eight_bytes(physical.min()), _eight_bytes(physical.max()))
        statistics += [binary(5, most), binary(6, least)]
    kind = _INT64 if is_time else _DOUBLE
    return _Chunk(kind, (_PLAIN, _RLE), [header, levels, values], statistics)


def _texts(column: pl.Series, *, is_sorted: bool) -> _Chunk:
    """A dictionary of the texts in order of their first row, and runs of their places in it."""
    nulls, valid = column.null_count(), None
    if nulls:
        valid, column = column.is_not_null().to_numpy(), column.drop_nulls()
    rows = len(column) + nulls
    if is_sorted and len(column) and column[0] == column[-1]:
        lengths, values = [len(column)], [column[0]]
    else:
        runs = column.rle()
        lengths, values = runs.struct.field("len").to_list(), runs.struct.field("value").to_list()
    places: dict[str, int] = {}
    for value in values:
        places.setdefault(value, len(places))
    width = max(len(places) - 1, 1).bit_length()
    index = bytes([width]) + b"".join(
        varint(length << 1) + places[value].to_bytes((width + 7) // 8, "little")
        for length, value in zip(lengths, values, strict=True)
    )
    texts = [value.encode() for value in places]
    words = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    fields, size = [i32(1, len(texts)), i32(2, _PLAIN)], len(words)
    dictionary = encoded([i32(1, _DICTIONARY_PAGE), i32(2, size), i32(3, size), struct(7, fields)])
    header, levels = _data_page(rows, valid, len(index), _RLE_DICTIONARY)
    statistics = [i64(3, nulls)]
    if texts:
        statistics += [binary(5, max(texts)), binary(6, min(texts))]
    return _Chunk(
        _BYTE_ARRAY,
        (_PLAIN, _RLE, _RLE_DICTIONARY),
        [dictionary, words, header, levels, index],
        statistics,
        len(dictionary) + len(words),
    )


def _valid(array: Any) -> BoolArray:
    """Which elements of an Arrow array have a value."""
    first, shift = divmod(array.offset, 8)
    bits = np.frombuffer(array.buffers()[0], np.uint8)[first : first + len(array) // 8 + 2]
    chosen: BoolArray = np.unpackbits(bits, bitorder="little")[shift : shift + len(array)].view(
        np.bool_
    )
    return chosen


def _data_page(rows: int, valid: BoolArray | None, size: int, encoding: int) -> tuple[bytes, bytes]:
    """The header and the levels of a page of `size` bytes of values: which of its rows have one."""
    if valid is None:
        runs = varint(rows << 1) + b"\1"
    else:
        bits = np.packbits(valid, bitorder="little")
        runs = varint(bits.size << 1 | 1) + bits.tobytes()
    levels = len(runs).to_bytes(4, "little") + runs
    return _data_header(rows, len(levels) + size, encoding), levels


@lru_cache(maxsize=64)
def _data_header(rows: int, size: int, encoding: int) -> bytes:
    fields = [i32(1, rows), i32(2, encoding), i32(3, _RLE), i32(4, _RLE)]
    return encoded([i32(1, _DATA_PAGE), i32(2, size), i32(3, size), struct(5, fields)])


def _element(name: str, dtype: Any) -> list[Field]:
    """A column in the schema of the file."""
    if dtype == pl.String:
        return [
            i32(1, _BYTE_ARRAY),
            i32(3, _OPTIONAL),
            binary(4, name),
            i32(6, _UTF8),
            struct(10, [struct(1, [])]),
        ]
    if dtype == _TIME:
        micros = struct(2, [struct(2, [])])
        return [
            i32(1, _INT64),
            i32(3, _OPTIONAL),
            binary(4, name),
            i32(6, _TIMESTAMP_MICROS),
            struct(10, [struct(8, [flag(1, value=True), micros])]),
        ]
    return [i32(1, _DOUBLE), i32(3, _OPTIONAL), binary(4, name)]


def _eight_bytes(value: Any) -> bytes:
    return int(value).to_bytes(8, "little", signed=True)


class _SteadyFile:
    """A file that is written from its begin to its end. Its bytes go to the disk meanwhile."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._flusher: ThreadPoolExecutor | None = None
        self._flush: Future[None] | None = None
        self._flushed = self.size = 0
        self._is_open = True

    def write(self, parts: Sequence[Part]) -> None:
        """Append buffers, one after the other."""
        for start in range(0, len(parts), _MOST_PARTS):
            self._write(parts[start : start + _MOST_PARTS])
        if sys.platform == "linux" and self.size - self._flushed >= _FLUSH_BYTES:
            self._begin_flush()

    def _write(self, parts: Sequence[Part]) -> None:
        left = [memoryview(part).cast("B") for part in parts if len(part)]
        while left:
            written = os.writev(self._descriptor, left)
            self.size += written
            while left and written >= len(left[0]):
                written -= len(left.pop(0))
            if written:
                left[0] = left[0][written:]

    def _begin_flush(self) -> None:
        if self._flush is not None and not self._flush.done():
            return
        self._flusher = self._flusher or ThreadPoolExecutor(1)
        if self._flush is not None:
            self._flush.result()
        self._flushed = self.size
        self._flush = self._flusher.submit(os.fdatasync, self._descriptor)

    def close(self) -> None:
        """End it; a later call does nothing. What a flush met is raised."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            if self._flusher is not None and self._flush is not None:
                self._flusher.shutdown()
                self._flush.result()
        finally:
            os.close(self._descriptor)
