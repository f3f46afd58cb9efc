"""Shape and memory of log returns."""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import CLOSE, LOG_RETURN, SCRATCH, SCRATCH_2
from harmony_pipeline.features.lag_window import back, has_lag, load_lag, remember, save_lag
from harmony_pipeline.features.rolling_moments import load_moments, roll_moments, shape
from harmony_pipeline.features.rolling_pairs import PART, SUMS, roll_correlation
from harmony_pipeline.features.rolling_sums import HEAD as SUM_HEAD
from harmony_pipeline.features.rolling_two import roll_two_sums
from harmony_pipeline.features.rolling_window import (
    is_full,
    load_cursor,
    push,
    save_cursor,
    variance,
)
from harmony_pipeline.features.whole_windows import weighted_sums
from harmony_pipeline.kernel import inlined_kernel, kernel

_AT_ONCE = 512  # bars whose windows are summed together


@kernel
def roll_shape(bars: FloatArray, state: FloatArray, which: int, values: FloatArray) -> None:
    """Skewness (0) or excess kurtosis (1) of the last N log returns."""
    sums, share = np.empty((4, min(values.size, _AT_ONCE))), 1.0 / load_moments(state).length
    begin = 1 if values.size and math.isnan(bars[LOG_RETURN, 0]) else 0
    values[:begin] = np.nan
    for first in range(begin, values.size, _AT_ONCE):
        part = values[first : first + _AT_ONCE]
        roll_moments(bars[LOG_RETURN, first : first + _AT_ONCE], state, sums)
        for i in range(part.size):
            skew, kurt = shape(sums, share, i)
            part[i] = skew if which == 0 else kurt


@kernel
def skewness(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Skewness of the last N log returns; 0 in a flat window. State: moments of N."""
    roll_shape(bars, state, 0, values)


@kernel
def kurtosis(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Excess kurtosis of the last N log returns; 0 in a flat window. State: moments of N."""
    roll_shape(bars, state, 1, values)


@kernel
def autocorrelation(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Correlation of N log returns with the one before each; 0 in a flat window. State: the last
    return, whether there is one, pairs of N.
    """
    fill_previous(bars[LOG_RETURN], state, bars[SCRATCH])
    sums = np.empty((SUMS, min(values.size, PART)))
    roll_correlation(bars[LOG_RETURN], bars[SCRATCH], state[2:], sums, values)


@inlined_kernel
def fill_previous(changes: FloatArray, state: FloatArray, previous: FloatArray) -> None:
    """Write the log return before each, NaN before the first. State: the last one, whether there is
    one.
    """
    for i in range(1, changes.size):
        previous[i] = changes[i - 1]
    if changes.size:
        previous[0] = state[0] if state[1] > 0.0 else np.nan
        last = changes[changes.size - 1]
        if not math.isnan(last):
            state[0], state[1] = last, 1.0


@kernel
def variance_ratio(
    bars: FloatArray,
    changes: FloatArray,
    volatility: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """Sample variance of the last N returns over Q bars / (Q * that of the last N returns); 1
    without a move. State: a window of N.
    """
    cursor, step = load_cursor(state), parameters[1]
    for i in range(values.size):
        if not math.isnan(changes[i]):
            cursor = push(state, cursor, changes[i])
        values[i] = np.nan
        if is_full(cursor):
            expected = step * volatility[i] * volatility[i]
            values[i] = variance(state, cursor) / expected if expected > 0.0 else 1.0
    save_cursor(state, cursor)


@kernel
def hurst(
    bars: FloatArray,
    ratio: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """0.5 + ln(variance_ratio_N_Q) / (2 ln Q), held within 0 and 1."""
    scale = 0.5 / math.log(parameters[1])
    for i in range(values.size):
        if math.isnan(ratio[i]):
            values[i] = np.nan
        elif ratio[i] > 0.0:
            values[i] = max(0.0, min(0.5 + scale * math.log(ratio[i]), 1.0))
        else:
            values[i] = 0.0


@inlined_kernel
def information(share: float) -> float:
    """-p ln p; 0 for 0."""
    return -share * math.log(share) if share > 0.0 else 0.0


@kernel
def sign_entropy(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Entropy of falls, rises and flat bars among N, over ln 3: 0 for one kind only, 1 for all
    alike. State: numbers of rises, of falls.
    """
    split, changes = state.size // 2, bars[LOG_RETURN]
    rises, falls, length = bars[SCRATCH], bars[SCRATCH_2], state.size // 2 - SUM_HEAD
    for i in range(values.size):
        rises[i], falls[i] = int(changes[i] > 0.0), int(changes[i] < 0.0)
    begin = 1 if values.size and math.isnan(changes[0]) else 0
    up, down = rises[begin:], falls[begin:]
    roll_two_sums(up, down, state[:split], state[split:], up, down)
    values[:begin] = np.nan
    scale, share = 1.0 / math.log(3.0), 1.0 / length
    terms = np.full(length + 1, -1.0)  # by number of bars, each made when it is first needed
    for i in range(begin, values.size):
        if math.isnan(rises[i]):
            values[i] = np.nan
            continue
        rise, fall = int(rises[i]), int(falls[i])
        flat = length - rise - fall
        for count in (rise, fall, flat):
            if terms[count] < 0.0:
                terms[count] = information(count * share)
        values[i] = scale * (terms[rise] + terms[fall] + terms[flat])


@kernel
def fractional(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Sum of w_k ln(close k bars ago), w_0 = 1, w_k = w_{k-1} (k - 1 - d) / k, d = D / 100, k < N.

    Every bar has all N weights, so the time grows with N. State: the last N logarithms.
    """
    length = int(parameters[1])
    order, cursor = parameters[0] / 100.0, load_lag(state)
    weights = np.empty(length)
    weights[0] = 1.0
    for k in range(1, length):
        weights[k] = weights[k - 1] * (k - 1.0 - order) / k
    # the logarithms of the N - 1 bars before some bars, in order of time, and their own
    before, room = length - 1, min(values.size, _AT_ONCE)
    history = np.empty(before + room)
    for k in range(before):
        history[before - 1 - k] = back(state, cursor, k + 1)
    for first in range(0, values.size, _AT_ONCE):
        part = values[first : first + _AT_ONCE]
        for i in range(part.size):
            history[before + i] = math.log(bars[CLOSE, first + i])
        weighted_sums(weights, history[: before + part.size], part)
        for i in range(part.size):
            cursor = remember(state, cursor, history[before + i])
            part[i] = part[i] if has_lag(cursor) else np.nan
        for k in range(before if part.size == _AT_ONCE else 0):
            history[k] = history[part.size + k]
    save_lag(state, cursor)
