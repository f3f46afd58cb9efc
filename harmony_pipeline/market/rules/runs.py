"""Where the value of a text column changes, read from its views without building a second column.

Polars keeps text as 16-byte views: up to 12 bytes lie in the view itself, longer ones as length, prefix and a place elsewhere (the Arrow
"string view" layout). Equal views are equal texts; unequal views of short texts are unequal texts. Longer texts may have unequal views
and be equal, so boundaries between those are compared again.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from harmony_pipeline.kernel import kernel

Views = npt.NDArray[np.uint64]


def run_starts(texts: pl.Series) -> npt.NDArray[np.int64]:
    """Place of the first row of every run of equal texts, with the number of rows at the end; `texts` has no null."""
    if not texts.len():
        return np.zeros(1, np.int64)
    array = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
    views = np.frombuffer(array.buffers()[1], np.uint64).reshape(-1, 2)[array.offset : array.offset + len(array)]
    room = np.empty(1024, np.int64)
    count = _changes(views, room)
    if count > room.size:
        room = np.empty(count, np.int64)
        count = _changes(views, room)
    starts = room[:count]
    differs = (texts.gather(starts[1:]) != texts.gather(starts[1:] - 1)).to_numpy()
    return np.concatenate([starts[:1], starts[1:][differs], np.array([texts.len()], np.int64)])


@kernel
def _changes(views: Views, room: npt.NDArray[np.int64]) -> int:
    """Rows whose view is not that of the row before, as far as there is room; how many there are."""
    count = 0
    for row in range(views.shape[0]):
        if row == 0 or views[row, 0] != views[row - 1, 0] or views[row, 1] != views[row - 1, 1]:
            if count < room.size:
                room[count] = row
            count += 1
    return count
