"""Volume indicators. Volume is adjusted for splits, so that a split is no jump of volume."""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import (
    CLOSE,
    HIGH,
    LOG_RETURN,
    LOW,
    SCRATCH,
    SCRATCH_2,
    VOLUME,
)
from harmony_pipeline.features.rolling_pairs import PART, SUMS, roll_correlation
from harmony_pipeline.features.rolling_two import roll_two_sums
from harmony_pipeline.features.rolling_window import (
    is_full,
    load_cursor,
    mean,
    push,
    roll_z_scores,
    save_cursor,
)
from harmony_pipeline.kernel import inlined_kernel, kernel


@kernel
def volume_z(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """(volume - mean) / sample deviation of the last N volumes, the bar's own included; 0 in a flat
    window.

    State: a window of N.
    """
    roll_z_scores(bars[VOLUME], state, values, bars[SCRATCH])


@kernel
def volume_ratio(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Volume over the mean of the last N volumes, the bar's own included; 1 without any trade.

    State: a window of N.
    """
    cursor = load_cursor(state)
    for i in range(values.size):
        volume = bars[VOLUME, i]
        cursor = push(state, cursor, volume)
        usual = mean(state, cursor)
        values[i] = np.nan if not is_full(cursor) else volume / usual if usual > 0.0 else 1.0
    save_cursor(state, cursor)


@kernel
def signed_volume(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Sum of sign(log return) * volume over the sum of volume in the last N bars, -1 to 1; 0
    without any trade.

    It is known from bar N + 1 on. State: sums of signed volumes, sums of volumes.
    """
    split, signed, grosses = state.size // 2, bars[SCRATCH], bars[SCRATCH_2]
    changes, volume = bars[LOG_RETURN], bars[VOLUME]
    for i in range(values.size):
        sign = int(changes[i] > 0.0) - int(changes[i] < 0.0)  # a branch would be guessed wrong
        signed[i] = sign * volume[i]
    begin = 1 if values.size and math.isnan(changes[0]) else 0  # the first bar of all has none
    values[:begin] = grosses[:begin] = np.nan
    roll_two_sums(
        signed[begin:], volume[begin:], state[:split], state[split:], values[begin:],
        grosses[begin:],
    )  # fmt: skip
    to_bounded_ratios(values, grosses)


@inlined_kernel
def to_bounded_ratios(nets: FloatArray, grosses: FloatArray) -> None:
    """Net / gross within -1 and 1, whatever rounding did, in the place of the nets; 0 where gross
    is 0, and NaN stays.
    """
    for i in range(nets.size):
        ratio = 0.0 if grosses[i] == 0.0 and nets[i] == 0.0 else nets[i] / grosses[i]
        ratio = 1.0 if ratio > 1.0 else ratio
        nets[i] = -1.0 if ratio < -1.0 else ratio


@kernel
def mfi(bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray) -> None:
    """Money flow index: 100 * the share of typical * volume on bars whose typical price rose, among
    those of N bars on which it moved; 50 when there is none.

    State: the previous typical price, sums of the flow up and of the flow down.
    """
    half, last = (state.size - 1) // 2, values.size - 1
    ups, downs, typical, previous = bars[SCRATCH], bars[SCRATCH_2], values, state[0]
    for i in range(values.size):
        typical[i] = (bars[HIGH, i] + bars[LOW, i] + bars[CLOSE, i]) / 3.0
    for i in range(values.size):
        before, flow = typical[i - 1] if i else previous, typical[i] * bars[VOLUME, i]
        ups[i] = flow if typical[i] > before else 0.0
        downs[i] = flow if typical[i] < before else 0.0
    begin = 1 if values.size and previous == 0.0 else 0  # the first bar of all has none before it
    if values.size:
        state[0] = typical[last]
    falls = np.empty(values.size)
    values[:begin] = falls[:begin] = np.nan
    roll_two_sums(
        ups[begin:], downs[begin:], state[1 : 1 + half], state[1 + half :], values[begin:],
        falls[begin:],
    )  # fmt: skip
    for i in range(values.size):
        moved = values[i] + falls[i]
        share = 100.0 * (values[i] / moved)
        values[i] = 50.0 if moved <= 0.0 else share


@kernel
def cmf(bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray) -> None:
    """Chaikin money flow: sum of ((close - low) - (high - close)) / (high - low) * volume over N
    bars / sum of their volume. State: the two sums.
    """
    split, flows, volumes = state.size // 2, bars[SCRATCH], bars[SCRATCH_2]
    for i in range(values.size):
        high, low, close, volume = bars[HIGH, i], bars[LOW, i], bars[CLOSE, i], bars[VOLUME, i]
        place = ((close - low) - (high - close)) / (high - low)
        flows[i] = (place if high > low else 0.0) * volume
    roll_two_sums(flows, bars[VOLUME], state[:split], state[split:], values, volumes)
    to_bounded_ratios(values, volumes)


@kernel
def vwma_ratio(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Close / (sum of close * volume / sum of volume of N bars) - 1; 0 without any trade. State:
    the two sums.
    """
    split, amounts, volumes = state.size // 2, bars[SCRATCH], bars[SCRATCH_2]
    for i in range(values.size):
        amounts[i] = bars[CLOSE, i] * bars[VOLUME, i]
    roll_two_sums(amounts, bars[VOLUME], state[:split], state[split:], values, volumes)
    for i in range(values.size):
        ratio = bars[CLOSE, i] * volumes[i] / values[i]
        values[i] = (1.0 if values[i] <= 0.0 else ratio) - 1.0


@kernel
def volume_correlation(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Correlation of N log returns with the volumes of their bars; 0 where one does not move.
    State: pairs of N.
    """
    sums = np.empty((SUMS, min(values.size, PART)))
    roll_correlation(bars[LOG_RETURN], bars[VOLUME], state, sums, values)
