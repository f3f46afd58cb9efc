"""Text columns that kernels read and write, as Polars' 16-byte string views (Arrow's layout
"string view").

A text of up to 12 bytes is stored in its view. A longer text is stored as length, prefix and an
offset elsewhere. Equal views are equal texts, and unequal views of short texts are unequal texts.
Longer texts may be equal although their views differ, so `run_starts` compares those again.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from harmony_pipeline.arrays import BoolArray, ByteArray, IntArray, NumberArray
from harmony_pipeline.kernel import inlined_kernel, kernel, kernel_without_allocation
from harmony_pipeline.lent_memory import ArrayRoom
from harmony_pipeline.streamed_copy import end_of_stream, streamed_copy

if TYPE_CHECKING:
    import pyarrow as pa

WHOLE_ROWS = 512  # of views, which are made before they are streamed
_FEW_RUNS = 32
_FEW_NAMES = 64
_COMPARED_ROWS = 256  # of a text column, before it is known that they hold one text
Views = npt.NDArray[np.uint64]


def run_starts(texts: pl.Series) -> IntArray:
    """The first row of every run of equal texts, and the number of rows at the end. `texts` has no
    null.
    """
    suspected, begin = [], 0
    for chunk in texts.get_chunks():
        array = chunk.to_arrow(compat_level=pl.CompatLevel.newest())
        views = np.frombuffer(array.buffers()[1], np.uint64).reshape(-1, 2)[
            array.offset : array.offset + len(array)
        ]
        room = np.empty(1024, np.int64)
        count = _find_changes(views, room)
        if count > room.size:
            room = np.empty(count, np.int64)
            count = _find_changes(views, room)
        suspected.append(room[:count] + begin)
        begin += len(array)
    starts = np.concatenate([np.empty(0, np.int64), *suspected])
    # long texts that lie in another place for every row: their views tell nothing
    if starts.size > texts.len() // 8:
        starts = np.concatenate(
            [
                starts[:1],
                np.flatnonzero((texts.slice(1) != texts.head(max(texts.len() - 1, 0))).to_numpy())
                + 1,
            ]
        )
    elif starts.size > 1:
        starts = starts[np.append(True, _differ(texts, starts))]
    return np.append(starts, texts.len())


def _differ(texts: pl.Series, starts: IntArray) -> BoolArray:
    """Whether a run of equal views has another text than the run before, of each but the first. A
    few texts are taken one by one: a gather costs as much as twenty of them.
    """
    if starts.size <= _FEW_RUNS:
        found = [texts[row] for row in starts.tolist()]
        return np.array([later != text for text, later in pairwise(found)])
    first = texts[starts]
    return (first.slice(1) != first.head(-1)).to_numpy()


@kernel
def _find_changes(views: Views, room: IntArray) -> int:
    """Write the rows whose view differs from the row before into `room`; return how many there are.

    The count goes beyond the size of `room` when there are more.
    """
    count, rows = 0, views.shape[0]
    for start in range(0, rows, _COMPARED_ROWS):
        stop = min(start + _COMPARED_ROWS, rows)
        if start > 0 and _all_alike(views[start - 1 : stop]):
            continue
        for row in range(start, stop):
            if row == 0 or views[row, 0] != views[row - 1, 0] or views[row, 1] != views[row - 1, 1]:
                if count < room.size:
                    room[count] = row
                count += 1
    return count


@inlined_kernel
def _all_alike(views: Views) -> bool:
    """Whether all views are equal. Nothing is left early, so that the compiler compares many at
    once.
    """
    first, second, differs = views[0, 0], views[0, 1], np.uint64(0)
    for row in range(views.shape[0]):
        differs |= (views[row, 0] ^ first) | (views[row, 1] ^ second)
    return bool(differs == np.uint64(0))


def name_column(numbers: NumberArray, names: Sequence[str]) -> pl.Series:
    """names[number] in each row. A number of -1, or an empty name, is null."""
    return _series_of(name_array(numbers, names))


def name_array(
    numbers: NumberArray, names: Sequence[str], room: ArrayRoom | None = None
) -> "pa.Array":
    """`name_column`, as Arrow holds it: a frame takes many of them at once."""
    column = NameColumn(numbers, names, ArrayRoom() if room is None else room)
    column.write(0, len(numbers))
    return column.array(len(numbers))


class NameColumn:
    """The names of `numbers`, which are known piece by piece: `name_array`."""

    def __init__(self, numbers: NumberArray, names: Sequence[str], room: ArrayRoom) -> None:
        views, self._texts = name_views(names)
        filled = np.array([bool(name) for name in (*names, "")], np.uint8)
        column = room.empty(2 * len(numbers), np.uint64)
        bits, scratch = (
            room.empty(-(-len(numbers) // 8), np.uint8),
            np.empty(2 * WHOLE_ROWS, np.uint64),
        )
        self.parts = NameParts(numbers, views, filled, column, bits, scratch, np.zeros(1, np.int64))

    def write(self, first: int, last: int) -> None:
        """Write the rows `first`, a multiple of 8, to `last` (not included)."""
        write_name_columns((self.parts,), first, last)

    def array(self, count: int) -> "pa.Array":
        """The first `count` rows."""
        bits = self.parts.bits[: -(-count // 8)] if self.parts.empty[0] else None
        return _text_array(self.parts.column[: 2 * count].reshape(-1, 2), bits, self._texts)


class NameParts(NamedTuple):
    """What a column of names is made from, and of: `column` holds two words a row, `bits` which of
    them are filled, `empty` how many are not. `scratch` is for views that are not streamed yet.
    """

    numbers: NumberArray
    views: Views
    filled: ByteArray
    column: Views
    bits: ByteArray
    scratch: Views
    empty: IntArray


def name_views(names: Sequence[str]) -> "tuple[Views, Sequence[pa.Buffer]]":
    """The string view of each name, and last that of an empty text; and what longer ones point
    into; neither can be written to. Polars makes them: `pyarrow.array` imports pandas.
    """
    # the tables of a run name the same few symbols and kinds again and again
    return _kept_views(tuple(names)) if len(names) <= _FEW_NAMES else _views_of(names)


def _views_of(names: Sequence[str]) -> "tuple[Views, Sequence[pa.Buffer]]":
    known = pl.Series([*names, ""], dtype=pl.String).to_arrow(compat_level=pl.CompatLevel.newest())
    return np.frombuffer(known.buffers()[1], np.uint64).reshape(-1, 2), known.buffers()[2:]


_kept_views = lru_cache(maxsize=256)(_views_of)


@kernel_without_allocation
def fill_views(numbers: npt.NDArray[np.int8], views: Views, column: Views) -> None:
    """Write the view of each number, of one below 0 the last: `column` [rows, 2]."""
    for row in range(numbers.size):
        number = np.uint64(numbers[row] if numbers[row] >= 0 else len(views) - 1)
        column[row, 0], column[row, 1] = views[number, 0], views[number, 1]


def text_column(
    views: npt.NDArray[Any], valid: BoolArray | None, texts: "Sequence[pa.Buffer]"
) -> pl.Series:
    """A text column of string views, 16 bytes a row; null where `valid` is false.

    `texts` are the buffers that the views of longer texts point into.
    """
    bits = None if valid is None else np.packbits(valid, bitorder="little")
    return _series_of(_text_array(views, bits, texts))


def _text_array(
    views: npt.NDArray[Any], bits: ByteArray | None, texts: "Sequence[pa.Buffer]"
) -> "pa.Array":
    import pyarrow as pa

    known = None if bits is None else pa.py_buffer(bits)
    buffers = [known, pa.py_buffer(views), *texts]
    return pa.Array.from_buffers(pa.string_view(), len(views), buffers)


def _series_of(array: "pa.Array") -> pl.Series:
    series = pl.from_arrow(array)
    assert isinstance(series, pl.Series)
    return series


@kernel_without_allocation
def write_name_columns(columns: tuple[NameParts, ...], begin: int, stop: int) -> None:
    """Write the rows `begin`, a multiple of 8, to `stop` (not included) of columns whose numbers
    are of one type.
    """
    for parts in columns:
        _write_names(parts, begin, stop)
    end_of_stream()


@inlined_kernel
def _write_names(parts: NameParts, begin: int, stop: int) -> None:
    room, empty = parts.scratch, 0
    for first in range(begin, stop, WHOLE_ROWS):
        count = min(WHOLE_ROWS, stop - first)
        numbers = parts.numbers[first : first + count]
        bits = parts.bits[first // 8 : (first + count + 7) // 8]
        for eight in range(0, count - 7, 8):
            present = 0
            for place in range(8):  # a fixed number, which the compiler writes out
                present |= _write_name(parts, numbers[eight + place], room, eight + place) << place
            bits[eight // 8] = present
            if present < 255:
                for place in range(8):
                    empty += 1 - (present >> place & 1)
        present, whole = 0, count // 8 * 8
        for row in range(whole, count):
            is_filled = _write_name(parts, numbers[row], room, row)
            present |= is_filled << (row - whole)
            empty += 1 - is_filled
        if whole < count:
            bits[whole // 8] = present
        streamed_copy(parts.column[2 * first : 2 * (first + count)], room[: 2 * count])
    parts.empty[0] += empty


@inlined_kernel
def _write_name(parts: NameParts, number: int, room: Views, row: int) -> int:
    """Write one view. Whether it is filled."""
    place = number if number >= 0 else len(parts.views) - 1
    room[2 * row], room[2 * row + 1] = parts.views[place, 0], parts.views[place, 1]
    return 1 if parts.filled[place] > 0 else 0
