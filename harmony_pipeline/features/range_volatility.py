"""Volatility from ranges, from falls, and against itself. All are per bar and not annualised."""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import (
    CLOSE,
    HIGH,
    LOG_RETURN,
    LOW,
    OPEN,
    SCRATCH,
    SCRATCH_2,
)
from harmony_pipeline.features.returns import fill_log_ratios, is_far, log_near_one, log_ratio
from harmony_pipeline.features.rolling_extremes import (
    highest,
    include,
    load_extreme,
    save_extreme,
    spans,
)
from harmony_pipeline.features.rolling_sums import load_sum, roll_sum
from harmony_pipeline.features.rolling_two import roll_two_windows
from harmony_pipeline.features.smoothing import Smoothed, smooth
from harmony_pipeline.kernel import inlined_kernel, kernel

_AT_ONCE = 128  # bars whose sums wait for their roots


@inlined_kernel
def root_mean(terms: FloatArray, window: FloatArray) -> None:
    """Root of the rolling mean of terms, in their place; 0 where the mean is below 0. NaN is passed
    over.
    """
    roll_sum(terms, window, terms)
    share = 1.0 / load_sum(window).length
    for i in range(terms.size):
        mean = terms[i] * share
        terms[i] = math.sqrt(0.0 if mean < 0.0 else mean)


@kernel
def parkinson(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """sqrt(mean of ln(high / low)^2 / (4 ln 2)) of N bars. State: a sum."""
    scale = 1.0 / (4.0 * math.log(2.0))
    fill_log_ratios(bars[HIGH], bars[LOW], values)
    for i in range(values.size):
        values[i] = values[i] * values[i] * scale
    root_mean(values, state)


@kernel
def garman_klass(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """sqrt(mean of ln(high / low)^2 / 2 - (2 ln 2 - 1) ln(close / open)^2) of N bars. State: a
    sum.
    """
    scale = 2.0 * math.log(2.0) - 1.0
    fill_log_ratios(bars[HIGH], bars[LOW], values)
    fill_log_ratios(bars[CLOSE], bars[OPEN], bars[SCRATCH])
    for i in range(values.size):
        width, body = values[i], bars[SCRATCH, i]
        values[i] = 0.5 * width * width - scale * body * body
    root_mean(values, state)


@inlined_kernel
def rogers_satchell_terms(
    opened: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    values: FloatArray,
    body: FloatArray,
) -> None:
    """Write the terms u (u - c) + d (d - c) with u, d, c the logarithms of high, low and close over
    open, and c into `body`.
    """
    far = 0
    for i in range(values.size):
        up, down = log_near_one(high[i], opened[i]), log_near_one(low[i], opened[i])
        whole = log_near_one(close[i], opened[i])
        body[i], values[i] = whole, up * (up - whole) + down * (down - whole)
        far += is_far(high[i], opened[i]) + is_far(low[i], opened[i]) + is_far(close[i], opened[i])
    if far:
        for i in range(values.size):
            up, down = log_ratio(high[i], opened[i]), log_ratio(low[i], opened[i])
            body[i] = log_ratio(close[i], opened[i])
            values[i] = up * (up - body[i]) + down * (down - body[i])


@kernel
def rogers_satchell(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """sqrt(mean of ln(high / close) ln(high / open) + ln(low / close) ln(low / open)) of N bars.
    State: a sum.
    """
    rogers_satchell_terms(bars[OPEN], bars[HIGH], bars[LOW], bars[CLOSE], values, bars[SCRATCH])
    root_mean(values, state)


@kernel
def yang_zhang(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """sqrt(o + k c + (1 - k) rs) of N bars: o the sample variance of ln(open / previous close), c
    that of ln(close / open), rs the square of `rogers_satchell`, k = 0.34 / (1.34 + (N + 1) /
    (N - 1)).

    State: windows of the first two, a sum of the third.
    """
    length = int(parameters[0])
    split = 5 + 3 * length
    gaps, bodies, terms = state[:split], state[split : 2 * split], state[2 * split :]
    sums, share = np.empty((4, min(values.size, _AT_ONCE))), 1.0 / length
    unbiased, weight = 1.0 / (length - 1), 0.34 / (1.34 + (length + 1.0) / (length - 1.0))
    for first in range(0, values.size, _AT_ONCE):
        part, stop = values[first : first + _AT_ONCE], first + _AT_ONCE
        changes, body, gap = (
            bars[LOG_RETURN, first:stop], bars[SCRATCH, first:stop], bars[SCRATCH_2, first:stop],
        )  # fmt: skip
        rogers_satchell_terms(
            bars[OPEN, first:stop], bars[HIGH, first:stop], bars[LOW, first:stop],
            bars[CLOSE, first:stop], part, body,
        )  # fmt: skip
        for i in range(part.size):
            gap[i] = changes[i] - body[i]  # ln(open / previous close)
        begin = 1 if math.isnan(changes[0]) else 0
        part[:begin] = np.nan
        part = part[begin:]
        roll_sum(part, terms, part)
        roll_two_windows(gap[begin:], body[begin:], gaps, bodies, sums)
        for i in range(part.size):  # roots and quotients several at once
            outside = sums[1, i] - sums[0, i] * (sums[0, i] * share)
            inside = sums[3, i] - sums[2, i] * (sums[2, i] * share)
            outside = (0.0 if outside < 0.0 else outside) * unbiased
            inside = (0.0 if inside < 0.0 else inside) * unbiased
            term = part[i] / length
            mixed = weight * inside + (1.0 - weight) * (0.0 if term < 0.0 else term)
            part[i] = math.sqrt(outside + mixed)


@kernel
def ewma_volatility(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Root of the exponential average of squared log returns, alpha 2 / (N + 1), begun with the
    mean of N. State: Smoothed.
    """
    length = int(parameters[0])
    alpha = 2.0 / (length + 1.0)
    average = Smoothed(state[0], state[1])
    for i in range(values.size):
        change = bars[LOG_RETURN, i]
        if not math.isnan(change):
            average = smooth(average, change * change, length, alpha)
        values[i] = math.sqrt(average.level) if average.seen >= length else np.nan
    state[0], state[1] = average.level, average.seen


@kernel
def downside_volatility(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Root of the mean of min(log return, 0)^2 of N bars. State: a sum."""
    for i in range(values.size):
        change = bars[LOG_RETURN, i]
        values[i] = 0.0 if change > 0.0 else change * change
    root_mean(values, state)


@kernel
def ulcer_index(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Root of the mean over N bars of the squared fall, in percent, below the highest close of N.

    State: maxima of closes, a sum.
    """
    split = state.size // 2
    closes, window = state[:split], state[split:]
    top = load_extreme(closes)
    for i in range(values.size):
        top = include(closes, top, bars[CLOSE, i])
        values[i] = np.nan
        if spans(top):
            fall = 100.0 * (bars[CLOSE, i] / highest(closes, top) - 1.0)
            values[i] = fall * fall
    save_extreme(closes, top)
    root_mean(values, window)


@kernel
def volatility_ratio(
    bars: FloatArray,
    fast: FloatArray,
    slow: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """volatility_F / volatility_S; 1 where the second is 0."""
    for i in range(values.size):
        values[i] = 1.0 if slow[i] == 0.0 and not math.isnan(fast[i]) else fast[i] / slow[i]
