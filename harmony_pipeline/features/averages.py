"""Moving averages of the close, and measures against them."""

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import CLOSE
from harmony_pipeline.features.rolling_window import (
    HEAD,
    is_full,
    load_cursor,
    mean,
    push,
    save_cursor,
    z_score,
)
from harmony_pipeline.features.smoothing import Smoothed, smooth
from harmony_pipeline.kernel import kernel


@kernel
def relative_gap(fast: float, slow: float) -> float:
    """Fast / slow - 1, and exactly 0 for averages that are equal up to rounding, so that a tie is
    no crossing.
    """
    gap = fast / slow - 1.0
    return gap if abs(gap) > 1e-12 else 0.0


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
    length = int(parameters[0])
    alpha = 2.0 / (length + 1.0)
    average = Smoothed(state[0], state[1])
    for i in range(values.size):
        average = smooth(average, bars[CLOSE, i], length, alpha)
        values[i] = average.level if average.seen >= length else np.nan
    state[0], state[1] = average.level, average.seen


@kernel
def sma_ratio(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """sma_F / sma_S - 1. State: a window of F, a window of S."""
    split = HEAD + 3 * int(parameters[0])
    fast_window, slow_window = state[:split], state[split:]
    fast, slow = load_cursor(fast_window), load_cursor(slow_window)
    for i in range(values.size):
        fast = push(fast_window, fast, bars[CLOSE, i])
        slow = push(slow_window, slow, bars[CLOSE, i])
        warm = is_full(fast) and is_full(slow)
        values[i] = (
            relative_gap(mean(fast_window, fast), mean(slow_window, slow)) if warm else np.nan
        )
    save_cursor(fast_window, fast)
    save_cursor(slow_window, slow)


@kernel
def ema_ratio(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """ema_F / ema_S - 1. State: Smoothed of each."""
    fast_length, slow_length = int(parameters[0]), int(parameters[1])
    fast_alpha, slow_alpha = 2.0 / (fast_length + 1.0), 2.0 / (slow_length + 1.0)
    fast, slow = Smoothed(state[0], state[1]), Smoothed(state[2], state[3])
    for i in range(values.size):
        fast = smooth(fast, bars[CLOSE, i], fast_length, fast_alpha)
        slow = smooth(slow, bars[CLOSE, i], slow_length, slow_alpha)
        warm = fast.seen >= fast_length and slow.seen >= slow_length
        values[i] = relative_gap(fast.level, slow.level) if warm else np.nan
    state[0], state[1] = fast.level, fast.seen
    state[2], state[3] = slow.level, slow.seen


@kernel
def macd(bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray) -> None:
    """The MACD histogram in price units: line - signal.

    line = ema_F - ema_S, and signal = ema_G of the line (G is the third parameter). This is
    TA-Lib's third output, seeds included. Both averages start on bar S, the fast one with the mean
    of the F closes that end there. The signal starts with the mean of the first G lines. State:
    Smoothed of fast, slow and signal.
    """
    fast_length, slow_length, signal_length = (
        int(parameters[0]),
        int(parameters[1]),
        int(parameters[2]),
    )
    fast_alpha, slow_alpha, signal_alpha = (
        2.0 / (fast_length + 1.0),
        2.0 / (slow_length + 1.0),
        2.0 / (signal_length + 1.0),
    )
    fast, slow, signal = (
        Smoothed(state[0], state[1]),
        Smoothed(state[2], state[3]),
        Smoothed(state[4], state[5]),
    )
    for i in range(values.size):
        if slow.seen >= slow_length - fast_length:
            fast = smooth(fast, bars[CLOSE, i], fast_length, fast_alpha)
        slow = smooth(slow, bars[CLOSE, i], slow_length, slow_alpha)
        values[i] = np.nan
        if slow.seen >= slow_length:
            line = fast.level - slow.level
            signal = smooth(signal, line, signal_length, signal_alpha)
            if signal.seen >= signal_length:
                values[i] = line - signal.level
    state[0], state[1] = fast.level, fast.seen
    state[2], state[3] = slow.level, slow.seen
    state[4], state[5] = signal.level, signal.seen


@kernel
def bollinger_z(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """(close - mean) / sample deviation of the last N closes, the bar's own included; 0 in a flat
    window.

    State: a window of N.
    """
    cursor = load_cursor(state)
    for i in range(values.size):
        close = bars[CLOSE, i]
        cursor = push(state, cursor, close)
        values[i] = z_score(close, state, cursor) if is_full(cursor) else np.nan
    save_cursor(state, cursor)
