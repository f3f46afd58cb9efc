"""Oscillators: where the price stands in what it did lately."""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import CLOSE, HIGH, LOW
from harmony_pipeline.features.rolling_extremes import (
    highest,
    include,
    load_extreme,
    save_extreme,
    spans,
)
from harmony_pipeline.features.rolling_sums import add, has_all, load_sum, rolling_sum, save_sum
from harmony_pipeline.features.rolling_window import (
    HEAD,
    is_full,
    load_cursor,
    mean,
    push,
    save_cursor,
)
from harmony_pipeline.features.wilder import true_range
from harmony_pipeline.kernel import inlined_kernel, kernel


@inlined_kernel
def mean_of_known(series: FloatArray, window: FloatArray, values: FloatArray, unit: float) -> None:
    """Mean of the last values of a series that are known, times `unit`."""
    cursor = load_cursor(window)
    for i in range(values.size):
        if not math.isnan(series[i]):
            cursor = push(window, cursor, series[i])
        values[i] = unit * mean(window, cursor) if is_full(cursor) else np.nan
    save_cursor(window, cursor)


@kernel
def stochastic_k(
    bars: FloatArray,
    position: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """Lane's slow %K: 100 * mean of range_position_N over K bars. State: a window of K."""
    mean_of_known(position, state, values, 100.0)


@kernel
def stochastic_d(
    bars: FloatArray,
    slow: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """Lane's slow %D: mean of stochastic_k_N_K over D bars. State: a window of D."""
    mean_of_known(slow, state, values, 1.0)


@kernel
def williams_r(
    bars: FloatArray,
    position: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """100 * (range_position_N - 1), -100 to 0."""
    for i in range(values.size):
        values[i] = 100.0 * (position[i] - 1.0)


@kernel
def cci(bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray) -> None:
    """(typical - mean) / (0.015 * mean absolute distance from the mean) of N typical prices; 0 in a
    flat window.

    The distances are from a mean that moves with every bar, so all N are taken anew: the time grows
    with N. State: a window of N.
    """
    cursor = load_cursor(state)
    length = cursor.length
    for i in range(values.size):
        typical = (bars[HIGH, i] + bars[LOW, i] + bars[CLOSE, i]) / 3.0
        cursor = push(state, cursor, typical)
        values[i] = np.nan
        if is_full(cursor):
            centre = mean(state, cursor)
            even, odd = 0.0, 0.0  # two sums, of which neither waits for the other
            for j in range(0, length - 1, 2):
                even += abs(state[HEAD + j] - centre)
                odd += abs(state[HEAD + j + 1] - centre)
            if length % 2:
                even += abs(state[HEAD + length - 1] - centre)
            spread = 0.015 * ((even + odd) / length)
            # what is left of a flat window is the rounding of the mean
            values[i] = (typical - centre) / spread if spread > 1e-16 * centre else 0.0
    save_cursor(state, cursor)


@inlined_kernel
def buying_share(pressure: float, gross: float) -> float:
    """Share of the range; 0.5 without a range."""
    return pressure / gross if gross > 0.0 else 0.5


@kernel
def ultimate(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """100 * (4 a_F + 2 a_S + a_G) / 7, a_N = sum of (close - true low) / sum of true ranges of N
    bars. State: the previous close, two sums for each of F, S, G.
    """
    f, s, g = int(parameters[0]) + 3, int(parameters[1]) + 3, int(parameters[2]) + 3
    a, b, c = 1 + 2 * f, 1 + 2 * f + 2 * s, 1 + 2 * f + 2 * s + 2 * g
    fast_gain, fast_all = state[1 : 1 + f], state[1 + f : a]
    slow_gain, slow_all = state[a : a + s], state[a + s : b]
    long_gain, long_all = state[b : b + g], state[b + g : c]
    fg, fa = load_sum(fast_gain), load_sum(fast_all)
    sg, sa = load_sum(slow_gain), load_sum(slow_all)
    lg, la = load_sum(long_gain), load_sum(long_all)
    previous = state[0]
    for i in range(values.size):
        high, low, close = bars[HIGH, i], bars[LOW, i], bars[CLOSE, i]
        if previous > 0.0:
            gain, full = close - min(low, previous), true_range(high, low, previous)
            fg, fa = add(fast_gain, fg, gain), add(fast_all, fa, full)
            sg, sa = add(slow_gain, sg, gain), add(slow_all, sa, full)
            lg, la = add(long_gain, lg, gain), add(long_all, la, full)
        previous = close
        values[i] = np.nan
        if has_all(fg) and has_all(sg) and has_all(lg):
            fast = buying_share(rolling_sum(fast_gain, fg), rolling_sum(fast_all, fa))
            slow = buying_share(rolling_sum(slow_gain, sg), rolling_sum(slow_all, sa))
            long = buying_share(rolling_sum(long_gain, lg), rolling_sum(long_all, la))
            values[i] = 100.0 * (4.0 * fast + 2.0 * slow + long) / 7.0
    save_sum(fast_gain, fg)
    save_sum(fast_all, fa)
    save_sum(slow_gain, sg)
    save_sum(slow_all, sa)
    save_sum(long_gain, lg)
    save_sum(long_all, la)
    state[0] = previous


@kernel
def stochastic_rsi(
    bars: FloatArray,
    strength: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """(rsi_N - its lowest) / (its highest - its lowest) of N bars; 0.5 where they are equal, to
    1e-9: the index is a quotient of averages, and moves in its last digits while no price does.

    State: maxima, maxima of minus the values.
    """
    split = state.size // 2
    highs, lows = state[:split], state[split:]
    top, bottom = load_extreme(highs), load_extreme(lows)
    for i in range(values.size):
        if not math.isnan(strength[i]):
            top = include(highs, top, strength[i])
            bottom = include(lows, bottom, -strength[i])
        values[i] = np.nan
        if spans(top):
            low, high = -highest(lows, bottom), highest(highs, top)
            values[i] = (strength[i] - low) / (high - low) if high - low > 1e-9 else 0.5
    save_extreme(highs, top)
    save_extreme(lows, bottom)
