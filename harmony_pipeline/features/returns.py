"""Returns and their dispersion. All kernels here: `(bars, state, parameters, values)`, see
`kernel_inputs.py`.
"""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import CLOSE, LOG_RETURN, SCRATCH, SCRATCH_2
from harmony_pipeline.features.lag_window import HEAD, lagged, remembered
from harmony_pipeline.features.rolling_window import roll_deviations
from harmony_pipeline.kernel import inlined_kernel, kernel


@inlined_kernel
def log_ratio(above: float, below: float) -> float:
    """ln(above / below) of positive numbers, to 1 unit in the last place, and 0 for equal ones.

    Near 1 it is a series that takes a third of the time of a logarithm and loses nothing to the
    rounding of a quotient.
    """
    if is_far(above, below):
        return math.log(above / below)
    return log_near_one(above, below)


@inlined_kernel
def is_far(above: float, below: float) -> bool:
    """Whether the series does not hold for above / below."""
    return abs(above - below) > 0.125 * (above + below)


@inlined_kernel
def log_near_one(above: float, below: float) -> float:
    """2 artanh(s) with s = (above - below) / (above + below), |s| <= 1/8, by the series up to s^17:
    what follows is below the last place.
    """
    s = (above - below) / (above + below)
    x = s * s
    tail = 1.0 / 13.0 + x * (1.0 / 15.0 + x * (1.0 / 17.0))
    series = 1.0 / 5.0 + x * (1.0 / 7.0 + x * (1.0 / 9.0 + x * (1.0 / 11.0 + x * tail)))
    return 2.0 * (s + s * x * (1.0 / 3.0 + x * series))


@inlined_kernel
def fill_log_ratios(above: FloatArray, below: FloatArray, values: FloatArray) -> None:
    """`log_ratio` of each pair; NaN stays NaN. `values` shares no memory with the others.

    The series is taken of all without a branch, so that the compiler computes several at once. Only
    where one of them is far from 1 all are looked at again.
    """
    far = 0
    for i in range(values.size):
        values[i] = log_near_one(above[i], below[i])
        far += is_far(above[i], below[i])
    if far:
        for i in range(values.size):
            values[i] = log_ratio(above[i], below[i])


@kernel
def fill_log_returns(bars: FloatArray, state: FloatArray) -> None:
    """Row LOG_RETURN of the matrix: ln(close_t / close_{t-1}), NaN on a symbol's first bar. State:
    the previous close.
    """
    close, change = bars[CLOSE], bars[LOG_RETURN]
    if close.size:
        change[0] = log_ratio(close[0], state[0]) if state[0] > 0.0 else np.nan
        fill_log_ratios(close[1:], close[:-1], change[1:])
        state[0] = close[close.size - 1]


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
    roll_deviations(bars[LOG_RETURN], state, values, bars[SCRATCH])


@kernel
def momentum(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """ln(close_t / close_{t-N}). State: the last N closes."""
    close, length = bars[CLOSE], min(int(parameters[0]), values.size)
    remembered(state, close, values[:length])
    for i in range(length):
        values[i] = log_ratio(close[i], values[i])
    fill_log_ratios(close[length:], close[: values.size - length], values[length:])


@kernel
def lagged_return(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """ln(close_{t-N} / close_{t-N-1}), the bits of log_return N bars ago. State: the last N closes,
    then the last N + 1.
    """
    second = HEAD + int(parameters[0])
    lagged(state[:second], bars[CLOSE], bars[SCRATCH])
    lagged(state[second:], bars[CLOSE], bars[SCRATCH_2])
    fill_log_ratios(bars[SCRATCH], bars[SCRATCH_2], values)


@kernel
def roc(bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray) -> None:
    """Rate of change: close_t / close_{t-N} - 1, a fraction (TA-Lib's ROCP). State: the last N
    closes.
    """
    lagged(state, bars[CLOSE], values)
    for i in range(values.size):
        values[i] = bars[CLOSE, i] / values[i] - 1.0
