"""Moving averages of the close, and measures against them."""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import CLOSE, SCRATCH
from harmony_pipeline.features.rolling_window import (
    is_full,
    load_cursor,
    mean,
    push,
    roll_z_scores,
    save_cursor,
)
from harmony_pipeline.features.smoothing import Smoothed, smooth
from harmony_pipeline.kernel import inlined_kernel, kernel


@inlined_kernel
def relative_gap(fast: float, slow: float) -> float:
    """Fast / slow - 1, and exactly 0 for averages that are equal up to rounding, so that a tie is
    no crossing.
    """
    gap = fast / slow - 1.0
    return 0.0 if abs(gap) <= 1e-12 else gap


@kernel
def sma(bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray) -> None:
    """Mean of the last N closes. State: a window of N."""
    cursor = load_cursor(state)
    for i in range(values.size):
        cursor = push(state, cursor, bars[CLOSE, i])
        values[i] = mean(state, cursor) if is_full(cursor) else np.nan
    save_cursor(state, cursor)


@kernel
def ema(bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray) -> None:
    """Exponential average, alpha = 2 / (N + 1), seeded with the mean of the first N closes (TA-
    Lib's EMA).

    State: Smoothed.
    """
    ema_between(bars, state, parameters, values, 0, values.size)


@inlined_kernel
def ema_between(
    bars: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
    start: int,
    stop: int,
) -> None:
    """`ema` of the bars from `start` to `stop`."""
    length = int(parameters[0])
    alpha = 2.0 / (length + 1.0)
    average = Smoothed(state[0], state[1])
    for i in range(start, stop):
        average = smooth(average, bars[CLOSE, i], length, alpha)
        values[i] = average.level if average.seen >= length else np.nan
    state[0], state[1] = average.level, average.seen


@kernel
def average_ratio(
    bars: FloatArray,
    fast: FloatArray,
    slow: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """Fast / slow - 1 of two averages of closes."""
    for i in range(values.size):
        values[i] = relative_gap(fast[i], slow[i])


@kernel
def macd_line(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """ema_F - ema_S in price units, seeds as in TA-Lib.

    Both averages start on bar S, the fast one with the mean of the F closes that end there. State:
    Smoothed of fast and slow.
    """
    macd_line_between(bars, state, parameters, values, 0, values.size)


@inlined_kernel
def macd_line_between(
    bars: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
    start: int,
    stop: int,
) -> None:
    """`macd_line` of the bars from `start` to `stop`."""
    fast_length, slow_length = int(parameters[0]), int(parameters[1])
    fast_alpha, slow_alpha = 2.0 / (fast_length + 1.0), 2.0 / (slow_length + 1.0)
    fast, slow = Smoothed(state[0], state[1]), Smoothed(state[2], state[3])
    for i in range(start, stop):
        if slow.seen >= slow_length - fast_length:
            fast = smooth(fast, bars[CLOSE, i], fast_length, fast_alpha)
        slow = smooth(slow, bars[CLOSE, i], slow_length, slow_alpha)
        values[i] = fast.level - slow.level if slow.seen >= slow_length else np.nan
    state[0], state[1] = fast.level, fast.seen
    state[2], state[3] = slow.level, slow.seen


@kernel
def macd_signal(
    bars: FloatArray,
    line: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """Exponential average of the line over G bars, begun with the mean of the first G. State:
    Smoothed.
    """
    macd_signal_between(line, state, parameters, values, 0, values.size)


@inlined_kernel
def macd_signal_between(
    line: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
    start: int,
    stop: int,
) -> None:
    """`macd_signal` of the bars from `start` to `stop`."""
    length = int(parameters[2])
    alpha = 2.0 / (length + 1.0)
    signal = Smoothed(state[0], state[1])
    for i in range(start, stop):
        if not math.isnan(line[i]):
            signal = smooth(signal, line[i], length, alpha)
        values[i] = signal.level if signal.seen >= length else np.nan
    state[0], state[1] = signal.level, signal.seen


@kernel
def macd(
    bars: FloatArray,
    line: FloatArray,
    signal: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """The histogram in price units: line - signal."""
    for i in range(values.size):
        values[i] = line[i] - signal[i]


@kernel
def bollinger_z(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """(close - mean) / sample deviation of the last N closes, the bar's own included; 0 in a flat
    window.

    State: a window of N.
    """
    roll_z_scores(bars[CLOSE], state, values, bars[SCRATCH])
