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
from harmony_pipeline.features.rolling_sums import (
    add,
    has_all,
    load_sum,
    roll_sum,
    rolling_sum,
    save_sum,
)
from harmony_pipeline.features.rolling_window import (
    is_full,
    load_cursor,
    mean,
    push,
    roll,
    save_cursor,
    to_z_scores,
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
    roll(bars[VOLUME], state, values, bars[SCRATCH])
    to_z_scores(values, bars[SCRATCH])


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
    split, signed, volume = state.size // 2, bars[SCRATCH], bars[SCRATCH_2]
    for i in range(values.size):
        change = bars[LOG_RETURN, i]
        sign = int(change > 0.0) - int(change < 0.0)  # a branch would be guessed wrong
        volume[i] = np.nan if math.isnan(change) else bars[VOLUME, i]
        signed[i] = sign * volume[i]
    roll_sum(signed, state[:split], values)
    roll_sum(volume, state[split:], signed)
    to_bounded_ratios(values, signed)


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
    half = (state.size - 1) // 2
    ups, downs, previous = state[1 : 1 + half], state[1 + half :], state[0]
    up, down = load_sum(ups), load_sum(downs)
    for i in range(values.size):
        typical = (bars[HIGH, i] + bars[LOW, i] + bars[CLOSE, i]) / 3.0
        if previous > 0.0:
            flow = typical * bars[VOLUME, i]
            up = add(ups, up, flow if typical > previous else 0.0)
            down = add(downs, down, flow if typical < previous else 0.0)
        previous = typical
        values[i] = np.nan
        if has_all(up):
            rise = rolling_sum(ups, up)
            moved = rise + rolling_sum(downs, down)
            values[i] = 100.0 * (rise / moved) if moved > 0.0 else 50.0
    save_sum(ups, up)
    save_sum(downs, down)
    state[0] = previous


@kernel
def cmf(bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray) -> None:
    """Chaikin money flow: sum of ((close - low) - (high - close)) / (high - low) * volume over N
    bars / sum of their volume. State: the two sums.
    """
    split = state.size // 2
    flows, volumes = state[:split], state[split:]
    net, gross = load_sum(flows), load_sum(volumes)
    for i in range(values.size):
        high, low, close, volume = bars[HIGH, i], bars[LOW, i], bars[CLOSE, i], bars[VOLUME, i]
        place = ((close - low) - (high - close)) / (high - low) if high > low else 0.0
        net, gross = add(flows, net, place * volume), add(volumes, gross, volume)
        values[i] = rolling_sum(flows, net) if has_all(net) else np.nan
        bars[SCRATCH, i] = rolling_sum(volumes, gross)
    save_sum(flows, net)
    save_sum(volumes, gross)
    to_bounded_ratios(values, bars[SCRATCH])


@kernel
def vwma_ratio(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Close / (sum of close * volume / sum of volume of N bars) - 1; 0 without any trade. State:
    the two sums.
    """
    split = state.size // 2
    amounts, volumes = state[:split], state[split:]
    paid, gross = load_sum(amounts), load_sum(volumes)
    for i in range(values.size):
        close, volume = bars[CLOSE, i], bars[VOLUME, i]
        paid, gross = add(amounts, paid, close * volume), add(volumes, gross, volume)
        values[i] = np.nan
        if has_all(paid):
            amount = rolling_sum(amounts, paid)
            ratio = close * rolling_sum(volumes, gross) / amount if amount > 0.0 else 1.0
            values[i] = ratio - 1.0
    save_sum(amounts, paid)
    save_sum(volumes, gross)


@kernel
def volume_correlation(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Correlation of N log returns with the volumes of their bars; 0 where one does not move.
    State: pairs of N.
    """
    sums = np.empty((SUMS, min(values.size, PART)))
    roll_correlation(bars[LOG_RETURN], bars[VOLUME], state, sums, values)
