"""Returns and their dispersion. All kernels here: `(bars, state, parameters, values)`, see
`kernel_inputs.py`.
"""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import CLOSE, LOG_RETURN
from harmony_pipeline.features.rolling_window import (
    is_full,
    load_cursor,
    mean_and_deviation,
    nth,
    push,
    save_cursor,
)
from harmony_pipeline.kernel import kernel


@kernel
def fill_log_returns(bars: FloatArray, state: FloatArray) -> None:
    """Row LOG_RETURN of the matrix: ln(close_t / close_{t-1}), NaN on a symbol's first bar. State:
    the previous close.
    """
    previous = state[0]
    for i in range(bars.shape[1]):
        close = bars[CLOSE, i]
        bars[LOG_RETURN, i] = math.log(close / previous) if previous > 0.0 else np.nan
        previous = close
    state[0] = previous


@kernel
def log_return(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """ln(close_t / close_{t-1})."""
    values[:] = bars[LOG_RETURN]


@kernel
def volatility(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Sample deviation (ddof 1) of the last N log returns, per bar, not annualised. State: a window
    of N.
    """
    cursor = load_cursor(state)
    for i in range(values.size):
        change = bars[LOG_RETURN, i]
        if not math.isnan(change):
            cursor = push(state, cursor, change)
        values[i] = mean_and_deviation(state, cursor)[1] if is_full(cursor) else np.nan
    save_cursor(state, cursor)


@kernel
def momentum(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """ln(close_t / close_{t-N}). State: a window of N."""
    cursor = load_cursor(state)
    for i in range(values.size):
        close = bars[CLOSE, i]
        values[i] = math.log(close / nth(state, cursor, 0)) if is_full(cursor) else np.nan
        cursor = push(state, cursor, close)
    save_cursor(state, cursor)


@kernel
def roc(bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray) -> None:
    """Rate of change: close_t / close_{t-N} - 1, a fraction (TA-Lib's ROCP). State: a
    window of N.
    """
    cursor = load_cursor(state)
    for i in range(values.size):
        close = bars[CLOSE, i]
        values[i] = close / nth(state, cursor, 0) - 1.0 if is_full(cursor) else np.nan
        cursor = push(state, cursor, close)
    save_cursor(state, cursor)
