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
from harmony_pipeline.features.returns import fill_log_ratios
from harmony_pipeline.features.rolling_extremes import (
    highest,
    include,
    load_extreme,
    save_extreme,
    spans,
)
from harmony_pipeline.features.rolling_sums import add, has_all, load_sum, rolling_sum, save_sum
from harmony_pipeline.features.rolling_window import (
    is_full,
    load_cursor,
    push,
    save_cursor,
    to_roots,
    variance,
)
from harmony_pipeline.features.smoothing import Smoothed, smooth
from harmony_pipeline.kernel import inlined_kernel, kernel


@inlined_kernel
def root_mean(terms: FloatArray, window: FloatArray) -> None:
    """Root of the rolling mean of terms, in their place; 0 where the mean is below 0. NaN is passed
    over.
    """
    cursor = load_sum(window)
    share = 1.0 / cursor.length
    for i in range(terms.size):
        if not math.isnan(terms[i]):
            cursor = add(window, cursor, terms[i])
        terms[i] = max(rolling_sum(window, cursor) * share, 0.0) if has_all(cursor) else np.nan
    save_sum(window, cursor)
    to_roots(terms)


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
def rogers_satchell_terms(bars: FloatArray, values: FloatArray) -> None:
    """Terms u (u - c) + d (d - c) with u, d, c the logarithms of high, low and close over open;
    leaves c in SCRATCH.
    """
    up, down, body = values, bars[SCRATCH_2], bars[SCRATCH]
    fill_log_ratios(bars[HIGH], bars[OPEN], up)
    fill_log_ratios(bars[LOW], bars[OPEN], down)
    fill_log_ratios(bars[CLOSE], bars[OPEN], body)
    for i in range(values.size):
        values[i] = up[i] * (up[i] - body[i]) + down[i] * (down[i] - body[i])


@kernel
def rogers_satchell(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """sqrt(mean of ln(high / close) ln(high / open) + ln(low / close) ln(low / open)) of N bars.
    State: a sum.
    """
    rogers_satchell_terms(bars, values)
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
    gap, body, term = load_cursor(gaps), load_cursor(bodies), load_sum(terms)
    rogers_satchell_terms(bars, values)
    weight = 0.34 / (1.34 + (length + 1.0) / (length - 1.0))
    for i in range(values.size):
        within = bars[SCRATCH, i]
        between = bars[LOG_RETURN, i] - within  # ln(open / previous close)
        if not math.isnan(between):
            gap, body = push(gaps, gap, between), push(bodies, body, within)
            term = add(terms, term, values[i])
        values[i] = np.nan
        if is_full(gap):
            inside = max(rolling_sum(terms, term) / length, 0.0)
            mixed = weight * variance(bodies, body) + (1.0 - weight) * inside
            values[i] = math.sqrt(variance(gaps, gap) + mixed)
    save_cursor(gaps, gap)
    save_cursor(bodies, body)
    save_sum(terms, term)


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
