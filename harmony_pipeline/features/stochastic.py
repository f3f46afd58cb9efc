"""The position of the close in its recent range."""

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import CLOSE, HIGH, LOW
from harmony_pipeline.features.rolling_window import (
    Cursor,
    is_full,
    load_cursor,
    nth,
    push,
    save_cursor,
)
from harmony_pipeline.kernel import kernel


@kernel
def position_between(price: float, highs: FloatArray, lows: FloatArray, cursor: Cursor) -> float:
    """(price - lowest low) / (highest high - lowest low); 0.5 when they are equal."""
    highest, lowest = nth(highs, cursor, 0), nth(lows, cursor, 0)
    for i in range(1, cursor.length):
        highest, lowest = max(highest, nth(highs, cursor, i)), min(lowest, nth(lows, cursor, i))
    return (price - lowest) / (highest - lowest) if highest > lowest else 0.5


@kernel
def range_position(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """(close - low_N) / (high_N - low_N) over the last N bars, 0 to 1 (Lane's %K / 100).

    State: a window of highs, a window of lows.
    """
    split = state.size // 2
    highs, lows = state[:split], state[split:]
    cursor = load_cursor(highs)
    for i in range(values.size):
        after = push(highs, cursor, bars[HIGH, i])
        push(lows, cursor, bars[LOW, i])
        cursor = after
        warm = is_full(cursor)
        values[i] = position_between(bars[CLOSE, i], highs, lows, cursor) if warm else np.nan
    save_cursor(highs, cursor)
