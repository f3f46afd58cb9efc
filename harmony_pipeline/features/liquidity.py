"""Liquidity and spread as bars show them, without quotes."""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.distribution import fill_previous
from harmony_pipeline.features.kernel_inputs import (
    CLOSE,
    HIGH,
    LOG_RETURN,
    LOW,
    SCRATCH,
    SCRATCH_2,
    VOLUME,
)
from harmony_pipeline.features.returns import fill_log_ratios, log_ratio
from harmony_pipeline.features.rolling_pairs import PART, SUMS, comoments, roll_pairs
from harmony_pipeline.features.rolling_sums import (
    add,
    has_all,
    load_sum,
    roll_sum,
    rolling_sum,
    save_sum,
)
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
    length = int(parameters[0])
    split, share = 9 + 7 * length, 1.0 / length
    changes, volumes, signed, usual = bars[LOG_RETURN], bars[VOLUME], bars[SCRATCH], bars[SCRATCH_2]
    for i in range(values.size):
        signed[i] = (int(changes[i] > 0.0) - int(changes[i] < 0.0)) * volumes[i]
    begin = 1 if values.size and math.isnan(changes[0]) else 0
    roll_sum(volumes[begin:], state[split:], usual[begin:])
    sums = np.empty((SUMS, min(values.size, PART)))
    for first in range(0, values.size, PART):
        part, means = values[first : first + PART], usual[first : first + PART]
        roll_pairs(changes[first : first + PART], signed[first:], state[:split], sums)
        for i in range(part.size):
            _, yy, xy = comoments(sums, share, i)
            part[i] = 0.0 if yy == 0.0 else xy / yy * (means[i] / length)


@kernel
def roll_spread(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """2 * sqrt(-covariance of N log returns with the one before each); 0 where it is above 0.

    State: the last return, whether there is one, pairs of N.
    """
    fill_previous(bars[LOG_RETURN], state, bars[SCRATCH])
    length = int(parameters[0])
    sums, share = np.empty((SUMS, min(values.size, PART))), 1.0 / length
    for first in range(0, values.size, PART):
        part, changes = values[first : first + PART], bars[LOG_RETURN, first : first + PART]
        roll_pairs(changes, bars[SCRATCH, first:], state[2:], sums)
        for i in range(part.size):
            covariance = comoments(sums, share, i)[2] / (length - 1.0)
            part[i] = 2.0 * math.sqrt(0.0 if covariance > 0.0 else -covariance)


@inlined_kernel
def half_tanh(x: float) -> float:
    """Tanh by its series up to x^15, for |x| <= 1/8, where what follows is below the last place."""
    square = x * x
    tail = -1382.0 / 155925.0 + square * (21844.0 / 6081075.0 - square * 929569.0 / 638512875.0)
    series = 2.0 / 15.0 + square * (-17.0 / 315.0 + square * (62.0 / 2835.0 + square * tail))
    return x + x * square * (-1.0 / 3.0 + square * series)


@inlined_kernel
def to_spreads(widths: FloatArray, before: FloatArray, both: FloatArray) -> None:
    """The spread of two bars, 2 (e^a - 1) / (1 + e^a) = 2 tanh(a / 2) and 0 where below, in the
    place of `widths`: from ln(high / low) of each and of both together.

    Without a branch, so that the compiler computes several at once, unless one of them is far off.
    """
    scale = 3.0 - 2.0 * math.sqrt(2.0)
    grown, shrunk = 0.5 * (math.sqrt(2.0) - 1.0) / scale, 0.5 / math.sqrt(scale)
    far = 0
    for i in range(widths.size):
        squares = widths[i] * widths[i] + before[i] * before[i]
        widths[i] = max(grown * math.sqrt(squares) - shrunk * both[i], 0.0)
        far += widths[i] > 0.125
    if far:
        for i in range(widths.size):
            x = widths[i]
            widths[i] = 2.0 * (math.tanh(x) if x > 0.125 else half_tanh(x))
        return
    for i in range(widths.size):
        widths[i] = 2.0 * half_tanh(widths[i])


@inlined_kernel
def fill_before(values: FloatArray, high: FloatArray, low: FloatArray, state: FloatArray) -> None:
    """ln(high / low) of the bar before each; 0 before the first of all."""
    if values.size:
        fill_log_ratios(high[:-1], low[:-1], values[1:])
        values[0] = log_ratio(state[0], state[1]) if state[0] > 0.0 else 0.0


@kernel
def corwin_schultz(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Mean over N bars of the spread that each shows with the bar before, which is moved by the gap
    where this bar opens beyond its close. State: previous high, low and close, a sum.

    A loop for each step, since the compiler takes logarithms, roots and the rest several at once;
    and some bars after the others, so that they stay in the nearest cache from step to step.
    """
    window, length = state[3:], load_sum(state[3:]).length
    room = np.empty(min(values.size, PART))
    for first in range(0, values.size, PART):
        part = values[first : first + PART]
        begin = 0 if state[2] > 0.0 else 1  # the first bar of all has none before it
        _fill_spreads(
            bars[HIGH, first : first + PART], bars[LOW, first : first + PART],
            bars[CLOSE, first : first + PART], bars[SCRATCH, first : first + PART],
            bars[SCRATCH_2, first : first + PART], room[: part.size], state, part,
        )  # fmt: skip
        roll_sum(part[begin:], window, part[begin:])
        part[:begin] = np.nan
        for i in range(part.size):
            part[i] = part[i] / length


@inlined_kernel
def _fill_spreads(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    above: FloatArray,
    below: FloatArray,
    both: FloatArray,
    state: FloatArray,
    values: FloatArray,
) -> None:
    """Write the spread that each bar shows with the one before, and remember the last one. `above`,
    `below` and `both` are room.
    """
    for i in range(values.size):
        earlier = close[i - 1] if i else state[2]
        gap = max(low[i] - earlier, 0.0) + min(high[i] - earlier, 0.0)
        gap = gap if earlier > 0.0 else 0.0
        above[i], below[i] = high[i] - gap, low[i] - gap
    fill_log_ratios(above, below, values)
    for i in range(values.size):
        high_before, low_before = (high[i - 1], low[i - 1]) if i else (state[0], state[1])
        seen = high_before > 0.0
        above[i] = max(above[i], high_before) if seen else above[i]
        below[i] = min(below[i], low_before) if seen else below[i]
    fill_log_ratios(above, below, both)  # of both bars together
    fill_before(above, high, low, state)
    to_spreads(values, above, both)
    if values.size:
        state[0], state[1], state[2] = high[-1], low[-1], close[-1]
