"""Volume indicators. Volume is adjusted for splits, so that a split is no jump of volume."""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import LOG_RETURN, SCRATCH, VOLUME
from harmony_pipeline.features.rolling_sums import add, has_all, load_sum, rolling_sum, save_sum
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
    split = state.size // 2
    signed, total = state[:split], state[split:]
    net, gross = load_sum(signed), load_sum(total)
    for i in range(values.size):
        change, volume = bars[LOG_RETURN, i], bars[VOLUME, i]
        if not math.isnan(change):
            sign = int(change > 0.0) - int(change < 0.0)  # a branch would be guessed wrong
            net, gross = add(signed, net, sign * volume), add(total, gross, volume)
        values[i] = rolling_sum(signed, net) if has_all(net) else np.nan
        bars[SCRATCH, i] = rolling_sum(total, gross)
    save_sum(signed, net)
    save_sum(total, gross)
    to_bounded_ratios(values, bars[SCRATCH])


@inlined_kernel
def to_bounded_ratios(nets: FloatArray, grosses: FloatArray) -> None:
    """Net / gross within -1 and 1, whatever rounding did, in the place of the nets; 0 where gross
    is 0, and NaN stays.
    """
    for i in range(nets.size):
        ratio = 0.0 if grosses[i] == 0.0 and nets[i] == 0.0 else nets[i] / grosses[i]
        ratio = 1.0 if ratio > 1.0 else ratio
        nets[i] = -1.0 if ratio < -1.0 else ratio
