"""Liquidity and spread as bars show them, without quotes."""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import CLOSE, HIGH, LOG_RETURN, LOW, VOLUME
from harmony_pipeline.features.returns import log_ratio
from harmony_pipeline.features.rolling_pairs import (
    comoments,
    has_pairs,
    load_pairs,
    push_pair,
    save_pairs,
)
from harmony_pipeline.features.rolling_sums import add, has_all, load_sum, rolling_sum, save_sum
from harmony_pipeline.kernel import inlined_kernel, kernel


@kernel
def amihud(bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray) -> None:
    """Mean of |log return| / (close * volume / 1e6) of those of N bars that traded; 0 when none
    did. State: sums of the quotients, numbers of traded bars.
    """
    split = state.size // 2
    quotients, traded = state[:split], state[split:]
    total, count = load_sum(quotients), load_sum(traded)
    for i in range(values.size):
        change, amount = bars[LOG_RETURN, i], bars[CLOSE, i] * bars[VOLUME, i]
        if not math.isnan(change):
            total = add(quotients, total, 1e6 * abs(change) / amount if amount > 0.0 else 0.0)
            count = add(traded, count, int(amount > 0.0))
        values[i] = np.nan
        if has_all(total):
            bars_traded = rolling_sum(traded, count)
            values[i] = rolling_sum(quotients, total) / bars_traded if bars_traded > 0.0 else 0.0
    save_sum(quotients, total)
    save_sum(traded, count)


@kernel
def kyle_lambda(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Slope of N log returns on sign(log return) * volume, times the mean volume; 0 without any.

    State: pairs of N, sums of volumes.
    """
    split = 9 + 7 * int(parameters[0])
    window, volumes = state[:split], state[split:]
    cursor, total = load_pairs(window), load_sum(volumes)
    for i in range(values.size):
        change, volume = bars[LOG_RETURN, i], bars[VOLUME, i]
        if not math.isnan(change):
            sign = int(change > 0.0) - int(change < 0.0)
            cursor = push_pair(window, cursor, change, sign * volume)
            total = add(volumes, total, volume)
        values[i] = np.nan
        if has_pairs(cursor):
            found, usual = comoments(window, cursor), rolling_sum(volumes, total) / total.length
            values[i] = found.xy / found.yy * usual if found.yy > 0.0 else 0.0
    save_pairs(window, cursor)
    save_sum(volumes, total)


@kernel
def roll_spread(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """2 * sqrt(-covariance of N log returns with the one before each); 0 where it is above 0.

    State: the last return, whether there is one, pairs of N.
    """
    window = state[2:]
    cursor, previous, known = load_pairs(window), state[0], state[1]
    for i in range(values.size):
        change = bars[LOG_RETURN, i]
        if not math.isnan(change):
            if known > 0.0:
                cursor = push_pair(window, cursor, change, previous)
            previous, known = change, 1.0
        values[i] = np.nan
        if has_pairs(cursor):
            covariance = comoments(window, cursor).xy / (cursor.length - 1.0)
            values[i] = 2.0 * math.sqrt(max(-covariance, 0.0))
    save_pairs(window, cursor)
    state[0], state[1] = previous, known


@inlined_kernel
def corwin_schultz_step(width: float, width_before: float, both: float) -> float:
    """The spread of two bars from ln(high / low) of each and of both together, 0 where below."""
    scale = 3.0 - 2.0 * math.sqrt(2.0)
    squares = width * width + width_before * width_before
    alpha = (math.sqrt(2.0 * squares) - math.sqrt(squares)) / scale - both / math.sqrt(scale)
    power = math.exp(alpha)
    return max(2.0 * (power - 1.0) / (1.0 + power), 0.0)


@kernel
def corwin_schultz(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Mean over N bars of the spread that each shows with the bar before, which is moved by the gap
    where this bar opens beyond its close. State: previous high, low and close, a sum.
    """
    window = state[3:]
    cursor, high_before, low_before, close_before = load_sum(window), state[0], state[1], state[2]
    for i in range(values.size):
        high, low = bars[HIGH, i], bars[LOW, i]
        if close_before > 0.0:
            gap = max(low - close_before, 0.0) + min(high - close_before, 0.0)
            top, bottom = max(high - gap, high_before), min(low - gap, low_before)
            spread = corwin_schultz_step(
                log_ratio(high - gap, low - gap),
                log_ratio(high_before, low_before),
                log_ratio(top, bottom),
            )
            cursor = add(window, cursor, spread)
        high_before, low_before, close_before = high, low, bars[CLOSE, i]
        values[i] = rolling_sum(window, cursor) / cursor.length if has_all(cursor) else np.nan
    save_sum(window, cursor)
    state[0], state[1], state[2] = high_before, low_before, close_before
