"""Values of features as columns of a frame, without a copy: NaN becomes null.

A column is the memory that the kernels wrote, handed to Polars as an Arrow array. Nulls are a bit a
row, and only of columns that have one: those that are not warm from the first bar on.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from harmony_pipeline.arrays import BoolArray, ByteArray, FloatArray, IntArray
from harmony_pipeline.kernel import kernel


@kernel
def count_nan(
    values: FloatArray, start: int, stop: int, watched: BoolArray, counts: IntArray
) -> None:
    """Write the number of NaN in each watched row of `values`, from `start` to before `stop`, into
    counts[row].
    """
    for row in range(watched.size):
        if watched[row]:
            numbers, count = values[row][start:stop], 0
            for i in range(numbers.size):
                count += np.isnan(numbers[i])
            counts[row] = count


@kernel
def _clear_nan(values: FloatArray, start: int, stop: int, bits: ByteArray) -> None:
    """Make bit i, least significant first, 0 where value i is NaN, for `start` <= i < `stop`."""
    for i in range(start, stop):
        if np.isnan(values[i]):
            bits[i >> 3] &= 255 ^ (1 << (i & 7))


def value_column(
    name: str, values: FloatArray, with_nan: Sequence[tuple[int, int, int]]
) -> pl.Series:
    """`values`, contiguous, as a Float64 column. It keeps the memory of `values`, which nobody may
    write to afterwards.

    `with_nan` are the stretches (first row, row after the last, number of NaN) outside which there
    is no NaN.
    """
    import pyarrow as pa

    valid, count = None, sum(stretch[2] for stretch in with_nan)
    if count:
        bits = np.full((values.size + 7) // 8, 255, np.uint8)
        for start, stop, _ in with_nan:
            _clear_nan(values, start, stop, bits)
        valid = pa.py_buffer(bits)
    buffers = [valid, pa.py_buffer(values)]
    series = pl.from_arrow(pa.Array.from_buffers(pa.float64(), values.size, buffers, count))
    assert isinstance(series, pl.Series)
    return series.alias(name)
