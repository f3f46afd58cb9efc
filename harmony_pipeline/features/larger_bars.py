"""Features of larger bars, as they are known at each bar.

A larger bar holds the bars that start within the same M minutes, counted from midnight UTC. It is
complete when a bar of later minutes arrives, so a value never uses the larger bar that is still
growing.
"""

import math
from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import CLOSE, START
from harmony_pipeline.features.lag_window import (
    LagCursor,
    back,
    has_lag,
    load_lag,
    oldest,
    remember,
    save_lag,
)
from harmony_pipeline.features.returns import log_ratio
from harmony_pipeline.features.rolling_window import (
    deviation,
    is_full,
    load_cursor,
    mean,
    push,
    save_cursor,
)
from harmony_pipeline.kernel import inlined_kernel, kernel


class Growing(NamedTuple):
    """The number of the larger bar that grows, and its close so far (0: none has begun)."""

    number: float
    close: float


@inlined_kernel
def number_of(start: float, minutes: float) -> float:
    """The number of the larger bar in which a bar starts."""
    return float(math.floor(start / (minutes * 6e7)))


@kernel
def larger_sma_ratio(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Close / mean of the closes of the last N complete bars of M minutes - 1. State: Growing, a
    window of N.
    """
    window, now = state[2:], Growing(state[0], state[1])
    cursor = load_cursor(window)
    for i in range(values.size):
        number = number_of(bars[START, i], parameters[0])
        if now.close > 0.0 and number != now.number:
            cursor = push(window, cursor, now.close)
        now = Growing(number, bars[CLOSE, i])
        values[i] = now.close / mean(window, cursor) - 1.0 if is_full(cursor) else np.nan
    save_cursor(window, cursor)
    state[0], state[1] = now.number, now.close


@kernel
def larger_momentum(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """ln(close of the last complete bar of M minutes / close N such bars before it). State:
    Growing, the last N + 1 closes.
    """
    window, now = state[2:], Growing(state[0], state[1])
    cursor = load_lag(window)
    value = _momentum(window, cursor)
    for i in range(values.size):
        number = number_of(bars[START, i], parameters[0])
        if now.close > 0.0 and number != now.number:
            cursor = remember(window, cursor, now.close)
            value = _momentum(window, cursor)
        now = Growing(number, bars[CLOSE, i])
        values[i] = value
    save_lag(window, cursor)
    state[0], state[1] = now.number, now.close


@inlined_kernel
def _momentum(window: FloatArray, cursor: LagCursor) -> float:
    """From the oldest close to the last; NaN without."""
    if not has_lag(cursor):
        return np.nan
    return log_ratio(back(window, cursor, 1), oldest(window, cursor))


@kernel
def larger_volatility(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Sample deviation of the last N log returns of complete bars of M minutes. State: Growing, the
    last complete close, a window of N.
    """
    window, now, last = state[3:], Growing(state[0], state[1]), state[2]
    cursor = load_cursor(window)
    for i in range(values.size):
        number = number_of(bars[START, i], parameters[0])
        if now.close > 0.0 and number != now.number:
            if last > 0.0:
                cursor = push(window, cursor, log_ratio(now.close, last))
            last = now.close
        now = Growing(number, bars[CLOSE, i])
        values[i] = deviation(window, cursor) if is_full(cursor) else np.nan
    save_cursor(window, cursor)
    state[0], state[1], state[2] = now.number, now.close, last
