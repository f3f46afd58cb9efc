"""Resamples of rows by the stationary bootstrap, and the means of columns over each of them.

Blocks have geometric lengths, and go on from the last row to the first (Politis & Romano 1994, "The
stationary bootstrap"). The draws are those of `arch.bootstrap.StationaryBootstrap`, whose import
takes a second.
"""

import numpy as np

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.kernel import kernel


def resampled_rows(rows: int, block: int, reps: int, seed: int) -> IntArray:
    """[reps, rows] numbers of rows in resamples of blocks of `block` rows in the mean."""
    generator = np.random.default_rng(seed)
    drawn = np.empty((reps, rows), np.int64)
    for resample in drawn:
        first = generator.integers(rows, size=rows)
        _follow_blocks(first, generator.random(rows), 1.0 / block, resample)
    return drawn


@kernel
def _follow_blocks(first: IntArray, draws: FloatArray, fresh: float, resample: IntArray) -> None:
    """Fill `resample` [rows]: a block begins with the row in `first` where a draw is at most
    `fresh`, and with the first row.
    """
    rows, here = len(resample), first[0]
    for place in range(rows):
        if place > 0:
            following = here + 1 if here + 1 < rows else 0
            here = first[place] if draws[place] <= fresh else following
        resample[place] = here


def means_of_resamples(values: FloatArray, drawn: IntArray) -> FloatArray:
    """[reps, columns] the mean of each column of `values` [rows, columns] over the rows of each
    resample.
    """
    if values.shape[1] == 1:  # NumPy sums a single column in pairs, and several row by row
        return np.array([values[rows].mean(axis=0) for rows in drawn])
    sums = np.zeros((len(drawn), values.shape[1]))
    _add_rows(np.ascontiguousarray(values), drawn, sums)
    means: FloatArray = sums / drawn.shape[1]
    return means


@kernel
def _add_rows(values: FloatArray, drawn: IntArray, sums: FloatArray) -> None:
    for number in range(len(drawn)):
        total, rows = sums[number], drawn[number]
        for place in range(len(rows)):
            row = values[rows[place]]
            for column in range(len(row)):
                total[column] += row[column]
