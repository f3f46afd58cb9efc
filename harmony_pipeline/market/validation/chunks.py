"""A frame cut where its columns' chunks end, so that kernels read the memory that Polars holds instead of a copy of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from harmony_pipeline.arrays import IntArray

_SMALLEST = 10_000  # rows a piece on average; smaller ones cost more in calls than their copies in memory


@dataclass(frozen=True)
class Piece:
    """Rows from `first` on: their `columns` as read-only arrays (times as whole numbers, nothing as NaN).

    They are of the symbols `segments`, which begin at `begin` within the piece; `goes_on` says that the first of these has rows in the piece before.
    """

    first: int
    columns: dict[str, npt.NDArray[Any]]
    segments: slice
    begin: IntArray
    goes_on: bool

    @property
    def rows(self) -> slice:
        """Where the piece lies in the frame."""
        return slice(self.first, self.first + int(self.begin[-1]))


def pieces(rows: pl.DataFrame, begin: IntArray, names: Sequence[str], whole: bool = False) -> list[Piece]:
    """The columns `names` of `rows` by pieces, or as a single one; `begin` is where each symbol begins, with the number of rows at the end."""
    if not rows.height:
        return []
    columns = [rows[name].to_physical() for name in names]
    lengths = columns[0].chunk_lengths()
    if whole or len(lengths) * _SMALLEST > rows.height or any(column.chunk_lengths() != lengths for column in columns):
        columns, lengths = [column.rechunk() for column in columns], [rows.height]
    found, start = [], 0
    for length, *chunks in zip(lengths, *(column.get_chunks() for column in columns), strict=True):
        arrays = {name: chunk.to_numpy() for name, chunk in zip(names, chunks, strict=True)}
        for array in arrays.values():  # own memory or a copy are two types to the compiler, so that both are made read-only
            array.flags.writeable = False
        found.append(_piece(arrays, begin, start, start + length))
        start += length
    return found


def halves(parts: Sequence[Piece], begin: IntArray) -> tuple[list[Piece], list[Piece]]:
    """The pieces in two parts of about equal rows that share no symbol, so that two threads may judge them; the second is empty if there is one symbol."""
    cut = int(begin[np.searchsorted(begin, int(begin[-1]) // 2)])
    first, second = list[Piece](), list[Piece]()
    for part in parts:
        start, end = part.rows.start, part.rows.stop
        if start < cut < end:
            within = cut - start
            first.append(_piece({name: array[:within] for name, array in part.columns.items()}, begin, start, cut))
            second.append(_piece({name: array[within:] for name, array in part.columns.items()}, begin, cut, end))
        else:
            (first if end <= cut else second).append(part)
    return first, second


def _piece(arrays: dict[str, npt.NDArray[Any]], begin: IntArray, start: int, end: int) -> Piece:
    first, last = int(np.searchsorted(begin, start, side="right")) - 1, int(np.searchsorted(begin, end, side="left"))
    return Piece(start, arrays, slice(first, last), np.clip(begin[first : last + 1], start, end) - start, bool(begin[first] < start))
