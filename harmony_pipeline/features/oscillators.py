"""Oscillators: where the price stands in what it did lately."""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import CLOSE, HIGH, LOW, SCRATCH, SCRATCH_2
from harmony_pipeline.features.rolling_extremes import (
    roll_two_maxima,
)
from harmony_pipeline.features.rolling_two import roll_two_sums
from harmony_pipeline.features.rolling_window import (
    HEAD,
    after_last_nan,
    is_full,
    load_cursor,
    mean,
    push,
    save_cursor,
)
from harmony_pipeline.features.whole_windows import distance_sum, distance_sums
from harmony_pipeline.features.wilder import true_range
from harmony_pipeline.kernel import inlined_kernel, kernel

_AT_ONCE = 128  # bars whose sums wait for their quotients
_SHORT = 12  # windows in which taking bars together gains nothing


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
    with N. They are added up as they lie in the window, even and odd places apart. State: a window
    of N.
    """
    cursor, typical, centres = load_cursor(state), bars[SCRATCH], bars[SCRATCH_2]
    length = cursor.length
    ring = state[HEAD : HEAD + length]
    for i in range(values.size):
        typical[i] = (bars[HIGH, i] + bars[LOW, i] + bars[CLOSE, i]) / 3.0
    if length < _SHORT or values.size == 1:
        for i in range(values.size):
            cursor = push(state, cursor, typical[i])
            centres[i] = mean(state, cursor) if is_full(cursor) else np.nan
            values[i] = distance_sum(ring, centres[i])
    else:
        before, even, odd = np.empty(length), np.empty(length), np.empty(length)
        first = 0
        while first < values.size:
            at, stop = cursor.at, min(first + length - cursor.at, values.size)
            before[:] = ring
            for i in range(first, stop):
                cursor = push(state, cursor, typical[i])
                centres[i] = mean(state, cursor) if is_full(cursor) else np.nan
            distance_sums(before, ring, at, centres[first:stop], even, odd)
            for i in range(first, stop):
                values[i] = even[i - first] + odd[i - first]
            first = stop
    save_cursor(state, cursor)
    for i in range(values.size):  # quotients several at once
        centre, spread = centres[i], 0.015 * (values[i] / length)
        distance = (typical[i] - centre) / spread
        # what is left of a flat window is the rounding of the mean
        values[i] = 0.0 if spread <= 1e-16 * centre else distance


@inlined_kernel
def buying_share(pressure: float, gross: float) -> float:
    """Share of the range; 0.5 without a range, NaN where the range is."""
    return 0.5 if gross == 0.0 else pressure / gross


@kernel
def ultimate(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """100 * (4 a_F + 2 a_S + a_G) / 7, a_N = sum of (close - true low) / sum of true ranges of N
    bars. State: the previous close, two sums for each of F, S, G.
    """
    a, b = 2 * (int(parameters[0]) + 3), 2 * (int(parameters[1]) + 3)
    c = 2 * (int(parameters[2]) + 3)
    fast, slow, long = state[1 : 1 + a], state[1 + a : 1 + a + b], state[1 + a + b : 1 + a + b + c]
    sums, previous = np.empty((6, min(values.size, _AT_ONCE))), state[0]
    for first in range(0, values.size, _AT_ONCE):
        part = values[first : first + _AT_ONCE]
        gains, ranges = bars[SCRATCH, : part.size], bars[SCRATCH_2, : part.size]
        begin = 1 if first == 0 and previous == 0.0 else 0  # the first bar of all has no gain
        for i in range(part.size):
            low, before = (
                bars[LOW, first + i],
                bars[CLOSE, first + i - 1] if first + i else previous,
            )
            gains[i] = bars[CLOSE, first + i] - min(low, before)
            ranges[i] = true_range(bars[HIGH, first + i], low, before)
        sums[:, :begin] = np.nan
        moves, widths, stop = gains[begin:], ranges[begin:], part.size
        roll_two_sums(  # a part of each row, which lies in one piece, as a part of all does not
            moves, widths, fast[: a // 2], fast[a // 2 :], sums[0, begin:stop], sums[1, begin:stop]
        )
        roll_two_sums(
            moves, widths, slow[: b // 2], slow[b // 2 :], sums[2, begin:stop], sums[3, begin:stop]
        )
        roll_two_sums(
            moves, widths, long[: c // 2], long[c // 2 :], sums[4, begin:stop], sums[5, begin:stop]
        )
        for i in range(part.size):
            quick = buying_share(sums[0, i], sums[1, i])
            usual = buying_share(sums[2, i], sums[3, i])
            calm = buying_share(sums[4, i], sums[5, i])
            part[i] = 100.0 * (4.0 * quick + 2.0 * usual + calm) / 7.0
    if values.size:
        state[0] = bars[CLOSE, values.size - 1]


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
    split, tops, falls = state.size // 2, bars[SCRATCH], bars[SCRATCH_2]
    begin = after_last_nan(strength)  # once known, it stays known
    values[:begin] = np.nan
    for i in range(values.size):
        falls[i] = -strength[i]
    roll_two_maxima(
        strength[begin:], falls[begin:], state[:split], state[split:], tops[begin:], values[begin:]
    )
    for i in range(begin, values.size):
        low, high = -values[i], tops[i]
        place = (strength[i] - low) / (high - low)
        values[i] = 0.5 if high - low <= 1e-9 else place
