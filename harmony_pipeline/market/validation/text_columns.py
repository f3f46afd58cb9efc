"""Text columns at the speed of numbers: where a column's value changes, and a column that says one of a few short words.

Polars keeps text as 16-byte views: up to 12 bytes lie in the view itself, longer ones as length, prefix and a place elsewhere (the Arrow
"string view" layout). Equal views are equal texts; unequal views of short texts are unequal texts. Longer texts may have unequal views
and be equal, so boundaries between those are compared again.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from harmony_pipeline.arrays import ByteArray, IntArray
from harmony_pipeline.kernel import kernel

Views = npt.NDArray[np.uint64]


def run_starts(texts: pl.Series) -> IntArray:
    """Place of the first row of every run of equal texts, with the number of rows at the end; `texts` has no null."""
    suspected, begin = [], 0
    for chunk in texts.get_chunks():
        array = chunk.to_arrow(compat_level=pl.CompatLevel.newest())
        views = np.frombuffer(array.buffers()[1], np.uint64).reshape(-1, 2)[array.offset : array.offset + len(array)]
        room = np.empty(1024, np.int64)
        count = _changes(views, room)
        if count > room.size:
            room = np.empty(count, np.int64)
            count = _changes(views, room)
        suspected.append(room[:count] + begin)
        begin += len(array)
    starts = np.concatenate([np.empty(0, np.int64), *suspected])
    if starts.size > texts.len() // 8:  # long texts that lie in another place for every row: their views tell nothing
        starts = np.concatenate([starts[:1], (texts.slice(1) != texts.head(max(texts.len() - 1, 0))).arg_true().cast(pl.Int64).to_numpy() + 1])
    elif starts.size:
        differs = (texts.gather(starts[1:]) != texts.gather(starts[1:] - 1)).to_numpy()
        starts = np.concatenate([starts[:1], starts[1:][differs]])
    return np.append(starts, texts.len())


@kernel
def _changes(views: Views, room: IntArray) -> int:
    """Rows whose view is not that of the row before, as far as there is room; how many there are."""
    count = 0
    for row in range(views.shape[0]):
        if row == 0 or views[row, 0] != views[row - 1, 0] or views[row, 1] != views[row - 1, 1]:
            if count < room.size:
                room[count] = row
            count += 1
    return count


@kernel
def count_in_runs(starts: IntArray, numbers: ByteArray, wanted: int) -> IntArray:
    """How often `wanted` comes in each run."""
    counts = np.zeros(starts.size - 1, np.int64)
    for run in range(counts.size):
        for row in range(starts[run], starts[run + 1]):
            counts[run] += numbers[row] == wanted
    return counts


def words(numbers: ByteArray, known: Sequence[str]) -> pl.Series:
    """A text column that says `known[number]` in each row; words are up to 12 ASCII letters long."""
    import pyarrow as pa

    views = np.zeros((len(known), 4), np.uint32)
    for place, word in enumerate(known):
        views[place, 0] = len(word)
        views[place, 1:] = np.frombuffer(word.encode("ascii").ljust(12, b"\0"), np.uint32)
    column = _written(numbers, views.view(np.uint64))
    return pl.Series(pa.Array.from_buffers(pa.string_view(), numbers.size, [None, pa.py_buffer(column)]))


@kernel
def _written(numbers: ByteArray, views: Views) -> Views:
    column = np.empty((numbers.size, 2), np.uint64)
    for row in range(numbers.size):
        column[row, 0], column[row, 1] = views[numbers[row], 0], views[numbers[row], 1]
    return column
