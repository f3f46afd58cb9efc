"""Returns and their dispersion. All kernels here: `(bars, state, parameters, values)`, see
`kernel_inputs.py`.
"""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import CLOSE, LOG_RETURN
from harmony_pipeline.features.lag_window import has_lag, load_lag, oldest, remember, save_lag
from harmony_pipeline.features.rolling_window import (
    deviation,
    is_full,
    load_cursor,
    push,
    save_cursor,
)
from harmony_pipeline.kernel import inlined_kernel, kernel


@inlined_kernel
def log_ratio(above: float, below: float) -> float:
    """ln(above / below) of positive numbers, to 1 unit in the last place, and 0 for equal ones.

    Near 1 it is 2 artanh(s) with s = (above - below) / (above + below), by the series up to s^17:
    what follows is below the last place. It takes a third of the time of a logarithm and loses
    nothing to the rounding of a quotient.
    """
    difference = above - below
    total = above + below
    if abs(difference) > 0.125 * total:
        return math.log(above / below)
    s = difference / total
    x = s * s
    tail = 1.0 / 13.0 + x * (1.0 / 15.0 + x * (1.0 / 17.0))
    series = 1.0 / 5.0 + x * (1.0 / 7.0 + x * (1.0 / 9.0 + x * (1.0 / 11.0 + x * tail)))
    return 2.0 * (s + s * x * (1.0 / 3.0 + x * series))


@kernel
def fill_log_returns(bars: FloatArray, state: FloatArray) -> None:
    """Row LOG_RETURN of the matrix: ln(close_t / close_{t-1}), NaN on a symbol's first bar. State:
    the previous close.
    """
    previous = state[0]
    for i in range(bars.shape[1]):
        close = bars[CLOSE, i]
        bars[LOG_RETURN, i] = log_ratio(close, previous) if previous > 0.0 else np.nan
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
        values[i] = deviation(state, cursor) if is_full(cursor) else np.nan
    save_cursor(state, cursor)


@kernel
def momentum(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """ln(close_t / close_{t-N}). State: the last N closes."""
    cursor = load_lag(state)
    for i in range(values.size):
        close = bars[CLOSE, i]
        values[i] = log_ratio(close, oldest(state, cursor)) if has_lag(cursor) else np.nan
        cursor = remember(state, cursor, close)
    save_lag(state, cursor)


@kernel
def roc(bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray) -> None:
    """Rate of change: close_t / close_{t-N} - 1, a fraction (TA-Lib's ROCP). State: the
    last N closes.
    """
    cursor = load_lag(state)
    for i in range(values.size):
        close = bars[CLOSE, i]
        values[i] = close / oldest(state, cursor) - 1.0 if has_lag(cursor) else np.nan
        cursor = remember(state, cursor, close)
    save_lag(state, cursor)
