"""The memory layout of bars and states in kernels: float64, one row a series, one slice an
indicator.

A kernel reads one matrix of shape (ROWS, bars), C-contiguous, one row a series in the order below.
Prices are adjusted for splits and dividends (price * factor), volume for splits (volume / factor).
A kernel's state is its slice of one flat vector. An all-zero slice means "nothing seen yet". So the
initial state of any set is zeros, and a state is a list of numbers that Parquet stores exactly. NaN
among the values means "not warm". A state never holds NaN.

The row numbers are constants of every `@kernel` that reads them, so a change recompiles these
kernels.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harmony_pipeline.arrays import FloatArray

OPEN, HIGH, LOW, CLOSE, VOLUME = 0, 1, 2, 3, 4
SESSION_DAY = 5  # days since 1970-01-01 of the exchange session that the bar belongs to
REGULAR = 6  # 1.0 on regular bars, 0.0 in extended hours
START = 7  # of the bar, microseconds since 1970-01-01 UTC
LOG_RETURN = 8  # filled by the fold itself, since several indicators read it
SCRATCH, SCRATCH_2 = 9, 10  # room for intermediate values, which hold nothing between kernels
GIVEN, ROWS = 8, 11


def window_state_size(*lengths: int) -> int:
    """Numbers that windows of these lengths need in a state (`rolling_window.py`)."""
    return sum(5 + 3 * length for length in lengths)


def sums_state_size(*lengths: int) -> int:
    """The same of windows of sums (`rolling_sums.py`) or of maxima (`rolling_extremes.py`)."""
    return sum(3 + length for length in lengths)


def dated_state_size(*lengths: int) -> int:
    """The same of windows of maxima with their place (`rolling_extremes.py`)."""
    return sum(5 + 2 * length for length in lengths)


def pairs_state_size(*lengths: int) -> int:
    """The same of windows of pairs (`rolling_pairs.py`)."""
    return sum(9 + 7 * length for length in lengths)


def moments_state_size(*lengths: int) -> int:
    """The same of windows of four powers (`rolling_moments.py`)."""
    return sum(7 + 5 * length for length in lengths)


def lag_state_size(*lengths: int) -> int:
    """The same of windows that only remember (`lag_window.py`)."""
    return sum(2 + length for length in lengths)


def bar_matrix(arrays: Sequence[npt.NDArray[np.generic]] | FloatArray) -> FloatArray:
    """(open, high, low, close, volume, session_day, regular, start), each of n bars, as a (ROWS, n)
    matrix.

    A matrix with ROWS contiguous rows is returned unchanged, so that hot loops can fill one in
    place.
    """
    if (
        isinstance(arrays, np.ndarray)
        and arrays.shape[0] == ROWS
        and arrays.dtype == np.float64
        and arrays.flags.c_contiguous
    ):
        return arrays
    if len(arrays) != GIVEN:
        raise ValueError(
            f"a fold takes {GIVEN} arrays (open, high, low, close, volume, session_day, regular,"
            f" start); got {len(arrays)}"
        )
    matrix = np.empty((ROWS, len(arrays[0])))
    for row, values in enumerate(arrays):
        matrix[row] = values
    return matrix
