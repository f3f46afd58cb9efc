"""A batch of raw rows as the kernel takes it: every column, sorted, in pieces that lie as Polars
holds them, with the versions of a bar ranked.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from harmony_pipeline.arrays import ByteArray, IntArray, read_only
from harmony_pipeline.errors import DataError
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.ingest.versions import VALUE_ORDER, WITHDRAWN
from harmony_pipeline.market.text_columns import run_starts
from harmony_pipeline.market.validation.kernel import TAKEN_BACK, UNREAD
from harmony_pipeline.schemas import RAW_BARS

_TIES = ("symbol", "timestamp", "ingested_at", "origin", "row", "source")
# rows a piece on average; smaller ones cost more in calls than their copies in memory
_SMALLEST = 10_000
_LONG_AGO = np.iinfo(np.int64).min
_FEW = 50  # rows that are cut out of a batch one by one
_JUDGED_COLUMNS = ("timestamp", "open", "high", "low", "close", "volume", "vwap")


@dataclass(frozen=True)
class Piece:
    """Rows from `first` on, with their `columns` as read-only arrays (times as integers, null as
    NaN).

    The rows belong to the symbols `segments`. `begin` has the start of each within the piece.
    `goes_on` is true when the first of these symbols has rows in the piece before.
    """

    first: int
    columns: dict[str, npt.NDArray[Any]]
    segments: slice
    begin: IntArray
    goes_on: bool

    @property
    def rows(self) -> slice:
        """The position of the piece in the frame."""
        return slice(self.first, self.first + int(self.begin[-1]))


@dataclass(frozen=True)
class Batch:
    """Raw rows of whole symbols, sorted by symbol and time. `begin` has the first row of each
    symbol, and the number of rows at the end. The other arrays are those of `kernel.Rows`, of the
    whole batch.
    """

    rows: pl.DataFrame
    begin: IntArray
    pieces: list[Piece]
    defects: ByteArray
    ingested: IntArray
    rank: IntArray
    twin: IntArray

    @cached_property
    def symbols(self) -> pl.Series:
        """The symbols in order."""
        return self.rows["symbol"].gather(self.begin[:-1])


def arrange_rows(raw: pl.DataFrame) -> Batch:
    """The batch of some raw rows, in any order. Raises DataError for a missing column."""
    rows, begin, pieces, repeated = _sort_and_split(_complete_columns(raw))
    versions = (read_only(column) for column in _versions(rows, pieces, repeated))
    return Batch(rows, begin, pieces, read_only(_defects(rows["defect"])), *versions)


def _complete_columns(raw: pl.DataFrame) -> pl.DataFrame:
    """All columns of RAW_BARS; optional columns that a source left out are null."""
    missing = [
        name
        for name, column in RAW_BARS.columns.items()
        if name not in raw.columns and not (column.nullable or name == "ingested_at")
    ]
    if missing:
        raise DataError(
            f"raw bars lack the column(s) {', '.join(missing)}; they have {', '.join(raw.columns)}:"
            " a source must give every column of schemas.RAW_BARS"
        )
    whole = raw
    if dict(raw.schema) != RAW_BARS.dtypes:
        whole = raw.select(
            pl.col(name).cast(dtype) if name in raw.columns else pl.lit(None, dtype).alias(name)
            for name, dtype in RAW_BARS.dtypes.items()
        )
    # A price or volume that is no number is refused as missing. In optional columns it becomes
    # null.
    return null_non_finite(
        whole, [name for name in ("trade_count", "vwap") if not _all_finite(whole[name])]
    )


def _all_finite(values: pl.Series) -> bool:
    """Whether no value is NaN or infinite. A finite sum proves it without a mask."""
    return math.isfinite(values.sum()) or bool(values.is_finite().all())


def null_non_finite(rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """`rows` with NaN and infinity as null."""
    return (
        rows.with_columns(pl.when(pl.col(name).is_finite()).then(name) for name in names)
        if names
        else rows
    )


def _sort_and_split(
    rows: pl.DataFrame, whole: bool = False
) -> tuple[pl.DataFrame, IntArray, list[Piece], int]:
    """Sorted rows, the start of each symbol, their pieces (a single one if `whole`), and the number
    of repeated starts.

    Rows of the lake are already sorted, so the order is checked first. The versions of a bar may
    not lie in two pieces.
    """
    begin = run_starts(rows["symbol"])
    pieces = split_chunks(rows, begin, _JUDGED_COLUMNS, whole)
    in_time, repeated, cut = check_order(pieces)
    names = rows["symbol"].gather(begin[:-1])
    if not (in_time and bool((names.slice(1) > names.head(-1)).all())):
        return _sort_and_split(rows.sort(_TIES, maintain_order=True), whole=True)
    if cut:
        return _sort_and_split(rows, whole=True)
    return rows, begin, pieces, repeated


def _defects(messages: pl.Series) -> ByteArray:
    """Each row's defect as a code: unreadable, withdrawing or none; empty where no row has one."""
    if messages.null_count() == len(messages):
        return np.empty(0, np.uint8)
    back = (messages == WITHDRAWN).fill_null(value=False)
    number = pl.when(back).then(TAKEN_BACK).when(messages.is_not_null()).then(UNREAD).otherwise(0)
    marks: ByteArray = pl.select(number.cast(pl.UInt8)).to_series().to_numpy()
    return marks


def _versions(
    rows: pl.DataFrame, parts: Sequence[Piece], repeated: int
) -> tuple[IntArray, IntArray, IntArray]:
    """(ingested, rank, twin) for `kernel.Rows`; empty where no two rows share symbol and time.

    Rank orders versions by when they were learned, then by values. The origin only breaks ties
    between rows with the same values, which chooses the row that a message names and never a value.
    """
    if not repeated:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64)
    identity = ["ingested_at", *VALUE_ORDER]
    later = np.concatenate([_repeated_rows(part) for part in parts])
    places = np.union1d(later - 1, later)
    versions = rows_at(rows, places).select(
        *identity, "origin", "row", "source", place=pl.Series(places)
    )
    # nulls come first: nothing is lowest
    versions = versions.sort(*identity, "origin", "row", "source", maintain_order=True)
    changes = versions.select(
        pl.any_horizontal(
            pl.col(name).ne_missing(pl.col(name).shift()) for name in identity
        ).cum_sum()
    )
    place, rank, twin = (
        versions["place"].to_numpy(),
        np.zeros(rows.height, np.int64),
        np.zeros(rows.height, np.int64),
    )
    rank[place], twin[place] = np.arange(place.size), changes.to_series().to_numpy()
    return rows["ingested_at"].to_physical().fill_null(0).to_numpy(), rank, twin


def _repeated_rows(part: Piece) -> IntArray:
    """Rows that share symbol and start with the row before."""
    again = part.columns["timestamp"][1:] == part.columns["timestamp"][:-1]
    again[part.begin[1:-1] - 1] = False  # the first row of a symbol repeats nothing
    return np.flatnonzero(again) + (part.first + 1)


def rows_at(rows: pl.DataFrame, places: IntArray) -> pl.DataFrame:
    """Some rows of a frame of many chunks. A few rows are sliced, since a gather first joins the
    chunks.
    """
    if places.size > _FEW:
        return rows[places]
    return pl.concat(
        [rows.clear(), *(rows.slice(place, 1) for place in places.tolist())], rechunk=True
    )


# --- pieces --------------------------------------------------------------------------------------


def split_chunks(
    rows: pl.DataFrame, begin: IntArray, names: Sequence[str], whole: bool = False
) -> list[Piece]:
    """The columns `names` of `rows` in pieces, or in a single one if `whole`.

    `begin` has the first row of each symbol, and the number of rows at the end.
    """
    if not rows.height:
        return []
    columns = [_numbers(rows[name]) for name in names]
    lengths = columns[0].chunk_lengths()
    if (
        whole
        or len(lengths) * _SMALLEST > rows.height
        or any(column.chunk_lengths() != lengths for column in columns)
    ):
        columns, lengths = [column.rechunk() for column in columns], [rows.height]
    found, start = [], 0
    for length, *chunks in zip(lengths, *(column.get_chunks() for column in columns), strict=True):
        arrays = {
            name: read_only(chunk.to_numpy()) for name, chunk in zip(names, chunks, strict=True)
        }
        found.append(_piece(arrays, begin, start, start + length))
        start += length
    return found


def _numbers(column: pl.Series) -> pl.Series:
    """The column, moments as whole numbers; `to_physical` would be a query for each column."""
    return column.cast(pl.Int64) if isinstance(column.dtype, pl.Datetime) else column


def _piece(arrays: dict[str, npt.NDArray[Any]], begin: IntArray, start: int, end: int) -> Piece:
    first, last = (
        int(np.searchsorted(begin, start, side="right")) - 1,
        int(np.searchsorted(begin, end, side="left")),
    )
    return Piece(
        start,
        arrays,
        slice(first, last),
        np.clip(begin[first : last + 1], start, end) - start,
        bool(begin[first] < start),
    )


def check_order(pieces: Sequence[Piece]) -> tuple[bool, int, bool]:
    """Whether every symbol is in time order, how many rows repeat a start, and whether a repetition
    spans two pieces.
    """
    ordered, repeated, cut, last = True, 0, False, _LONG_AGO
    for piece in pieces:
        stamps, before = piece.columns["timestamp"], last if piece.goes_on else _LONG_AGO
        in_order, again = _check_starts(piece.begin, stamps, before)
        cut = cut or int(stamps[0]) == before
        ordered, repeated, last = ordered and in_order, repeated + again, int(stamps[-1])
    return ordered, repeated, cut


@kernel
def _check_starts(begin: IntArray, stamp: IntArray, before: int) -> tuple[bool, int]:
    """Whether every segment is in time order, and how many rows share their start with the row
    before.

    `before` is the start before the first row.
    """
    falling, repeated = int(stamp[0] < before), int(stamp[0] == before)
    for segment in range(begin.size - 1):
        starts = stamp[begin[segment] : begin[segment + 1]]
        # counted from 0 in both, which the compiler turns into wide instructions
        earlier, later = starts[:-1], starts[1:]
        for row in range(later.size):
            falling += later[row] < earlier[row]
            repeated += later[row] == earlier[row]
    return falling == 0, repeated


def split_in_halves(parts: Sequence[Piece], begin: IntArray) -> tuple[list[Piece], list[Piece]]:
    """The pieces in two parts of about equal rows that share no symbol, for two threads.

    The second part is empty if there is one symbol.
    """
    cut = int(begin[np.searchsorted(begin, int(begin[-1]) // 2)])
    first, second = list[Piece](), list[Piece]()
    for part in parts:
        start, end = part.rows.start, part.rows.stop
        if start < cut < end:
            within = cut - start
            first.append(
                _piece(
                    {name: array[:within] for name, array in part.columns.items()},
                    begin,
                    start,
                    cut,
                )
            )
            second.append(
                _piece(
                    {name: array[within:] for name, array in part.columns.items()}, begin, cut, end
                )
            )
        else:
            (first if end <= cut else second).append(part)
    return first, second
