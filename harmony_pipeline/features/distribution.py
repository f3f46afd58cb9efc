"""Shape and memory of log returns."""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import CLOSE, LOG_RETURN
from harmony_pipeline.features.lag_window import HEAD, load_lag, remember, save_lag
from harmony_pipeline.features.rolling_moments import (
    has_moments,
    load_moments,
    push_moment,
    save_moments,
    shape,
)
from harmony_pipeline.features.rolling_pairs import (
    comoments,
    correlation,
    has_pairs,
    load_pairs,
    push_pair,
    save_pairs,
)
from harmony_pipeline.features.rolling_sums import add, has_all, load_sum, rolling_sum, save_sum
from harmony_pipeline.features.rolling_window import (
    is_full,
    load_cursor,
    push,
    save_cursor,
    variance,
)
from harmony_pipeline.kernel import inlined_kernel, kernel


@inlined_kernel
def roll_shape(bars: FloatArray, state: FloatArray, which: int, values: FloatArray) -> None:
    """Skewness (0) or excess kurtosis (1) of the last N log returns."""
    cursor = load_moments(state)
    for i in range(values.size):
        change = bars[LOG_RETURN, i]
        if not math.isnan(change):
            cursor = push_moment(state, cursor, change)
        values[i] = np.nan
        if has_moments(cursor):
            skew, kurt = shape(state, cursor)
            values[i] = skew if which == 0 else kurt
    save_moments(state, cursor)


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
    window = state[2:]
    cursor, previous, known = load_pairs(window), state[0], state[1]
    for i in range(values.size):
        change = bars[LOG_RETURN, i]
        if not math.isnan(change):
            if known > 0.0:
                cursor = push_pair(window, cursor, change, previous)
            previous, known = change, 1.0
        values[i] = correlation(comoments(window, cursor)) if has_pairs(cursor) else np.nan
    save_pairs(window, cursor)
    state[0], state[1] = previous, known


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
    split = state.size // 2
    rises, falls = state[:split], state[split:]
    up, down = load_sum(rises), load_sum(falls)
    scale = 1.0 / math.log(3.0)
    for i in range(values.size):
        change = bars[LOG_RETURN, i]
        if not math.isnan(change):
            up, down = add(rises, up, int(change > 0.0)), add(falls, down, int(change < 0.0))
        values[i] = np.nan
        if has_all(up):
            share = 1.0 / up.length
            rise, fall = rolling_sum(rises, up) * share, rolling_sum(falls, down) * share
            flat = (up.length - rolling_sum(rises, up) - rolling_sum(falls, down)) * share
            values[i] = scale * (information(rise) + information(fall) + information(flat))
    save_sum(rises, up)
    save_sum(falls, down)


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
    for i in range(values.size):
        cursor = remember(state, cursor, math.log(bars[CLOSE, i]))
        values[i] = np.nan
        if cursor.filled == length:
            total, last = 0.0, cursor.at - 1
            for k in range(last + 1):
                total += weights[k] * state[HEAD + last - k]
            for k in range(last + 1, length):
                total += weights[k] * state[HEAD + last + length - k]
            values[i] = total
    save_lag(state, cursor)
