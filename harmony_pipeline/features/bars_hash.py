"""Which bars features were computed from: a hash of everything in a frame that they depend on.

Every number is mixed into one of the sums of its column, and the sums of all columns are hashed.
So a hash costs little more than a look at the bars; a cryptographic hash of all their bytes takes
ten times as long. It tells bars apart that were corrected or added, not bars that were made up to
look alike.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from harmony_pipeline.arrays import IntArray, read_only
from harmony_pipeline.features.bar_columns import REALS, REGULAR_SESSION
from harmony_pipeline.hashing import hash_of_parts
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.text_columns import run_starts

Words = npt.NDArray[np.uint64]

LANES = 64
# odd, with ones and zeros all over: 2^64 over the golden ratio
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


def bars_hash(bars: pl.DataFrame) -> str:
    """Hash of everything in `bars` that features depend on: symbols, times, numbers, and which bars
    are of the regular session. Equal rows give equal hashes for any chunks.
    """
    starts = run_starts(bars["symbol"])
    symbols = (bars["symbol"].gather(starts[:-1]).to_list(), starts.tolist())
    stamps = bars["timestamp"].dt.cast_time_unit("us").to_physical().to_numpy()
    numbers = [bars[name].cast(pl.Float64).to_numpy() for name in REALS]
    sums = np.zeros((1 + len(numbers), LANES), np.uint64)
    for place, values in enumerate((stamps, *numbers)):
        mix(read_only(values.view(np.uint64)), sums[place])
    return hash_of_parts([repr(symbols), _regular(bars["session"]).tobytes(), sums.tobytes()], 16)


def _regular(sessions: pl.Series) -> IntArray:
    """The rows at which bars begin to be of the regular session, or cease to be."""
    starts = run_starts(sessions)
    regular = (sessions.gather(starts[:-1]) == REGULAR_SESSION).to_numpy()
    changes = np.flatnonzero(np.diff(regular, prepend=False))
    return np.asarray(starts[changes], np.int64)


@kernel
def mix(words: Words, sums: Words) -> None:
    """Mix `words` into `sums` [LANES] in turn. A step is one to one in the word and in the sum, so
    that one changed word always changes the sums.
    """
    for start in range(0, words.size, LANES):
        part = words[start : start + LANES]
        for lane in range(part.size):  # of one another they know nothing: several at once
            mixed = (sums[lane] ^ part[lane]) * _FACTOR
            sums[lane] = mixed ^ (mixed >> _SHIFT)
