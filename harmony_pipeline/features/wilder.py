"""Wilder's indicators as TA-Lib computes them (New Concepts in Technical Trading Systems, 1978).

TA-Lib treats anything below 1e-14 as zero. These test for exactly zero, so that cheap assets in
large units work.
"""

from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import CLOSE, HIGH, LOW
from harmony_pipeline.features.smoothing import Smoothed, smooth
from harmony_pipeline.kernel import inlined_kernel, kernel


@kernel
def true_range(high: float, low: float, previous_close: float) -> float:
    """The bar's range, extended to the previous close over a gap."""
    return max(high, previous_close) - min(low, previous_close)


@kernel
def rsi(bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray) -> None:
    """Relative strength index, 0 to 100: 100 * gain / (gain + loss), Wilder's averages of rises and
    falls.

    It is 50 while no price has moved, where TA-Lib returns 0: a halted symbol is not oversold.
    State: gain, loss, previous close.
    """
    rsi_between(bars, state, parameters, values, 0, values.size)


@inlined_kernel
def rsi_between(
    bars: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
    start: int,
    stop: int,
) -> None:
    """`rsi` of the bars from `start` to `stop`."""
    length = int(parameters[0])
    gain, loss, previous = Smoothed(state[0], state[1]), Smoothed(state[2], state[3]), state[4]
    for i in range(start, stop):
        close = bars[CLOSE, i]
        if previous > 0.0:
            gain = smooth(gain, max(close - previous, 0.0), length, 1.0 / length)
            loss = smooth(loss, max(previous - close, 0.0), length, 1.0 / length)
        previous = close
        values[i] = np.nan
        if gain.seen >= length:
            moved = gain.level + loss.level
            values[i] = 100.0 * (gain.level / moved) if moved > 0.0 else 50.0
    state[0], state[1], state[2], state[3], state[4] = (
        gain.level,
        gain.seen,
        loss.level,
        loss.seen,
        previous,
    )


@kernel
def atr(bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray) -> None:
    """Average true range in adjusted price units, from the second bar on. State: the average, the
    previous close.
    """
    atr_between(bars, state, parameters, values, 0, values.size)


@inlined_kernel
def atr_between(
    bars: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
    start: int,
    stop: int,
) -> None:
    """`atr` of the bars from `start` to `stop`."""
    length = int(parameters[0])
    average, previous = Smoothed(state[0], state[1]), state[2]
    for i in range(start, stop):
        if previous > 0.0:
            average = smooth(
                average, true_range(bars[HIGH, i], bars[LOW, i], previous), length, 1.0 / length
            )
        previous = bars[CLOSE, i]
        values[i] = average.level if average.seen >= length else np.nan
    state[0], state[1], state[2] = average.level, average.seen, previous


@kernel
def natr(
    bars: FloatArray,
    average: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """Average true range in percent of the close (TA-Lib's NATR)."""
    for i in range(values.size):
        values[i] = 100.0 * (average[i] / bars[CLOSE, i])


class Directional(NamedTuple):
    """Wilder's running sums of upward and downward movement, and the number of bars (after the
    first) in them.
    """

    up: float
    down: float
    seen: float


@kernel
def directional_step(state: Directional, rise: float, fall: float, length: int) -> Directional:
    """The sums after one more bar.

    Only the larger of the two outward moves counts. From bar N on each sum loses 1/N of itself.
    """
    up = rise if rise > 0.0 and rise > fall else 0.0
    down = fall if fall > 0.0 and fall > rise else 0.0
    kept = 1.0 - 1.0 / length if state.seen >= length - 1.0 else 1.0
    return Directional(state.up * kept + up, state.down * kept + down, state.seen + 1.0)


@kernel
def adx(bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray) -> None:
    """Average directional index, 0 to 100, known from bar 2N on. A bar without movement leaves it
    unchanged.

    Both directional indicators are divided by the same true range, which cancels in 100 * |up -
    down| / (up + down). State: previous high and low, Directional, Wilder's average of the index.
    """
    adx_between(bars, state, parameters, values, 0, values.size)


@inlined_kernel
def adx_between(
    bars: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
    start: int,
    stop: int,
) -> None:
    """`adx` of the bars from `start` to `stop`."""
    length = int(parameters[0])
    previous_high, previous_low = state[0], state[1]
    moves, average = Directional(state[2], state[3], state[4]), Smoothed(state[5], state[6])
    for i in range(start, stop):
        high, low = bars[HIGH, i], bars[LOW, i]
        if previous_high > 0.0:
            moves = directional_step(moves, high - previous_high, previous_low - low, length)
        previous_high, previous_low = high, low
        if moves.seen >= length:
            total = moves.up + moves.down
            if total > 0.0:
                average = smooth(
                    average, 100.0 * abs(moves.up - moves.down) / total, length, 1.0 / length
                )
            elif average.seen < length:
                average = smooth(average, 0.0, length, 1.0 / length)
        values[i] = average.level if average.seen >= length else np.nan
    state[0], state[1] = previous_high, previous_low
    state[2], state[3], state[4] = moves.up, moves.down, moves.seen
    state[5], state[6] = average.level, average.seen


@inlined_kernel
def directional_indicator(
    bars: FloatArray, state: FloatArray, length: int, values: FloatArray, up: bool
) -> None:
    """100 * Wilder's sum of outward moves in one direction / his sum of true ranges; 0 without a
    range. State: previous high, low and close, Directional, the sum of ranges.
    """
    high_before, low_before, close_before = state[0], state[1], state[2]
    moves, ranges = Directional(state[3], state[4], state[5]), state[6]
    for i in range(values.size):
        high, low = bars[HIGH, i], bars[LOW, i]
        if close_before > 0.0:
            kept = 1.0 - 1.0 / length if moves.seen >= length - 1.0 else 1.0
            ranges = ranges * kept + true_range(high, low, close_before)
            moves = directional_step(moves, high - high_before, low_before - low, length)
        high_before, low_before, close_before = high, low, bars[CLOSE, i]
        outward = moves.up if up else moves.down
        known = moves.seen >= length
        values[i] = (100.0 * outward / ranges if ranges > 0.0 else 0.0) if known else np.nan
    state[0], state[1], state[2] = high_before, low_before, close_before
    state[3], state[4], state[5], state[6] = moves.up, moves.down, moves.seen, ranges


@kernel
def plus_di(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Wilder's +DI, 0 to 100."""
    directional_indicator(bars, state, int(parameters[0]), values, True)


@kernel
def minus_di(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Wilder's -DI, 0 to 100."""
    directional_indicator(bars, state, int(parameters[0]), values, False)
