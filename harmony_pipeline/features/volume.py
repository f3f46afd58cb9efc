"""Volume indicators. Volume is adjusted for splits, so that a split is no jump of volume."""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import LOG_RETURN, VOLUME
from harmony_pipeline.features.rolling_window import (
    Cursor,
    is_full,
    load_cursor,
    mean,
    nth,
    push,
    save_cursor,
    z_score,
)
from harmony_pipeline.kernel import kernel


@kernel
def volume_z(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """(volume - mean) / sample deviation of the last N volumes, the bar's own included; 0 in a flat
    window.

    State: a window of N.
    """
    cursor = load_cursor(state)
    for i in range(values.size):
        volume = bars[VOLUME, i]
        cursor = push(state, cursor, volume)
        values[i] = z_score(volume, state, cursor) if is_full(cursor) else np.nan
    save_cursor(state, cursor)


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
def volume_imbalance(signed: FloatArray, total: FloatArray, cursor: Cursor) -> float:
    """Sum of signed volume over the sum of volume; 0 without any trade."""
    net, gross = 0.0, 0.0
    for i in range(cursor.length):
        net += nth(signed, cursor, i)
        gross += nth(total, cursor, i)
    return net / gross if gross > 0.0 else 0.0


@kernel
def signed_volume(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Sum of sign(log return) * volume over the sum of volume in the last N bars, -1 to 1.

    It is known from bar N + 1 on. State: a window of signed volumes, a window of volumes.
    """
    split = state.size // 2
    signed, total = state[:split], state[split:]
    cursor = load_cursor(signed)
    for i in range(values.size):
        change, volume = bars[LOG_RETURN, i], bars[VOLUME, i]
        if not math.isnan(change):
            after = push(signed, cursor, volume * np.sign(change))
            push(total, cursor, volume)
            cursor = after
        values[i] = volume_imbalance(signed, total, cursor) if is_full(cursor) else np.nan
    save_cursor(signed, cursor)
