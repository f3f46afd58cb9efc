"""Trend: direction, strength, and how straight the way was."""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.averages import relative_gap
from harmony_pipeline.features.kernel_inputs import CLOSE, HIGH, LOW, SCRATCH, SCRATCH_2
from harmony_pipeline.features.lag_window import (
    has_lag,
    lagged,
    load_lag,
    oldest,
    remember,
    save_lag,
)
from harmony_pipeline.features.rolling_extremes import (
    highest,
    load_extreme,
    roll_two_maxima,
    spans,
)
from harmony_pipeline.features.rolling_pairs import (
    PART,
    SUMS,
    WITH_REFERENCES,
    X_REFERENCE,
    X,
    comoments,
    roll_pairs,
)
from harmony_pipeline.features.rolling_sums import add, has_all, load_sum, rolling_sum, save_sum
from harmony_pipeline.features.rolling_two import roll_lead
from harmony_pipeline.features.smoothing import Smoothed, smooth
from harmony_pipeline.features.stochastic import position_between
from harmony_pipeline.features.wilder import true_range
from harmony_pipeline.kernel import inlined_kernel, kernel


@kernel
def trix(bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray) -> None:
    """Rate of change, in percent, of the exponential average of the average of the average.

    State: Smoothed of each, the last of the three.
    """
    length = int(parameters[0])
    alpha = 2.0 / (length + 1.0)
    first, second, third = (
        Smoothed(state[0], state[1]),
        Smoothed(state[2], state[3]),
        Smoothed(state[4], state[5]),
    )
    for i in range(values.size):
        values[i] = np.nan
        first = smooth(first, bars[CLOSE, i], length, alpha)
        if first.seen >= length:
            second = smooth(second, first.level, length, alpha)
            if second.seen >= length:
                before = third.level
                third = smooth(third, second.level, length, alpha)
                if third.seen > length:
                    values[i] = 100.0 * relative_gap(third.level, before)
    state[0], state[1] = first.level, first.seen
    state[2], state[3] = second.level, second.seen
    state[4], state[5] = third.level, third.seen


@kernel
def dpo(
    bars: FloatArray,
    average: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """(close N / 2 + 1 bars ago) / sma_N - 1. State: those closes."""
    lagged(state, bars[CLOSE], values)
    for i in range(values.size):
        values[i] = relative_gap(values[i], average[i])


@kernel
def efficiency_ratio(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """|close - close N bars ago| / sum of |close - previous close| of N bars; 0 without a move.

    State: the last N closes, sums of their moves, the previous close.
    """
    split = 2 + int(parameters[0])
    window, moves = state[:split], state[split:-1]
    cursor, total, previous = load_lag(window), load_sum(moves), state[state.size - 1]
    for i in range(values.size):
        close = bars[CLOSE, i]
        if previous > 0.0:
            total = add(moves, total, abs(close - previous))
        values[i] = np.nan
        if has_lag(cursor):
            way = rolling_sum(moves, total)
            values[i] = min(abs(close - oldest(window, cursor)) / way, 1.0) if way > 0.0 else 0.0
        cursor = remember(window, cursor, close)
        previous = close
    save_lag(window, cursor)
    save_sum(moves, total)
    state[state.size - 1] = previous


@kernel
def kama_ratio(
    bars: FloatArray,
    efficiency: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """Close / KAMA - 1. KAMA moves by ((2/3 - 2/31) * efficiency + 2/31)^2 of its distance, and
    begins at the close before it is known. State: KAMA (0: not begun), the previous close.
    """
    average, previous = state[0], state[1]
    for i in range(values.size):
        close = bars[CLOSE, i]
        values[i] = np.nan
        if not math.isnan(efficiency[i]):
            if average == 0.0:
                average = previous
            share = efficiency[i] * (2.0 / 3.0 - 2.0 / 31.0) + 2.0 / 31.0
            average += share * share * (close - average)
            values[i] = relative_gap(close, average)
        previous = close
    state[0], state[1] = average, previous


@kernel
def aroon(bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray) -> None:
    """100 * (bars since the lowest low - bars since the highest high) / N among the last N + 1
    bars; of equal ones the latest counts.

    State: dated maxima of highs and of minus the lows.
    """
    split, lows, length = state.size // 2, bars[SCRATCH], parameters[0]
    for i in range(values.size):
        lows[i] = -bars[LOW, i]
    roll_lead(bars[HIGH], lows, state[:split], state[split:], values)
    for i in range(values.size):  # quotients several at once
        values[i] = 100.0 * values[i] / length


@kernel
def regression_slope(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Slope of the line of least squares through N closes, per bar, over their mean. State: the
    number of bars, pairs of close and number.
    """
    length = int(parameters[0])
    sums, share = np.empty((WITH_REFERENCES, min(values.size, PART))), 1.0 / length
    fill_numbers(state, bars[SCRATCH])
    for first in range(0, values.size, PART):
        part, close = values[first : first + PART], bars[CLOSE, first : first + PART]
        roll_pairs(close, bars[SCRATCH, first:], state[1:], sums)
        for i in range(part.size):
            _, yy, xy = comoments(sums, share, i)
            part[i] = xy / yy / (sums[X_REFERENCE, i] + sums[X, i] * share)


@inlined_kernel
def fill_numbers(state: FloatArray, numbers: FloatArray) -> None:
    """Write the number of each bar. State: the number of bars."""
    for i in range(numbers.size):
        numbers[i] = state[0] + i
    state[0] += numbers.size


@kernel
def regression_fit(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Share of the variance of N closes that the line explains, 0 to 1; 0 in a flat window. State:
    as `regression_slope`.
    """
    length = int(parameters[0])
    sums, share = np.empty((SUMS, min(values.size, PART))), 1.0 / length
    fill_numbers(state, bars[SCRATCH])
    for first in range(0, values.size, PART):
        part, close = values[first : first + PART], bars[CLOSE, first : first + PART]
        roll_pairs(close, bars[SCRATCH, first:], state[1:], sums)
        for i in range(part.size):
            xx, yy, xy = comoments(sums, share, i)
            both = xx * yy
            explained = 0.0 if both == 0.0 else xy * xy / both
            part[i] = 1.0 if explained > 1.0 else explained


@kernel
def vortex(bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray) -> None:
    """(sum of |high - previous low| - sum of |low - previous high|) / sum of true ranges of N bars;
    0 without a range. State: previous high, low and close, the two sums.
    """
    half = (state.size - 3) // 2
    moves, ranges = state[3 : 3 + half], state[3 + half :]
    net, gross = load_sum(moves), load_sum(ranges)
    high_before, low_before, close_before = state[0], state[1], state[2]
    for i in range(values.size):
        high, low = bars[HIGH, i], bars[LOW, i]
        if close_before > 0.0:
            net = add(moves, net, abs(high - low_before) - abs(low - high_before))
            gross = add(ranges, gross, true_range(high, low, close_before))
        high_before, low_before, close_before = high, low, bars[CLOSE, i]
        values[i] = np.nan
        if has_all(net):
            total = rolling_sum(ranges, gross)
            values[i] = rolling_sum(moves, net) / total if total > 0.0 else 0.0
    save_sum(moves, net)
    save_sum(ranges, gross)
    state[0], state[1], state[2] = high_before, low_before, close_before


@kernel
def donchian(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """(close - lowest low) / (highest high - lowest low) of the N bars before; above 1 it breaks
    out. 0.5 where they are equal. State: as `range_position`.
    """
    split, tops, lows = state.size // 2, bars[SCRATCH], bars[SCRATCH_2]
    highs, negated = state[:split], state[split:]
    top, bottom = load_extreme(highs), load_extreme(negated)
    # those of the bars before the first here; 0: there are not enough yet
    high, low = highest(highs, top) if spans(top) else 0.0, -highest(negated, bottom)
    for i in range(values.size):
        lows[i] = -bars[LOW, i]
    roll_two_maxima(bars[HIGH], lows, highs, negated, tops, values)
    for i in range(values.size):
        lows[i] = -values[i]
    for i in range(values.size):
        ceiling, floor = (tops[i - 1], lows[i - 1]) if i else (high, low)
        place = position_between(bars[CLOSE, i], floor, ceiling)
        values[i] = place if ceiling > 0.0 else np.nan


@kernel
def keltner(
    bars: FloatArray,
    average: FloatArray,
    ranges: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """(close - ema_N) / atr_N; 0 without a range."""
    for i in range(values.size):
        distance = bars[CLOSE, i] - average[i]
        values[i] = 0.0 if ranges[i] == 0.0 else distance / ranges[i]
