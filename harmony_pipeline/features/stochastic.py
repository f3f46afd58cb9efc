"""The position of the close in its recent range."""

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import CLOSE, HIGH, LOW, SCRATCH
from harmony_pipeline.features.rolling_extremes import (
    highest,
    include,
    load_extreme,
    save_extreme,
    spans,
)
from harmony_pipeline.kernel import inlined_kernel, kernel


@inlined_kernel
def position_between(price: float, bottom: float, top: float) -> float:
    """(price - bottom) / (top - bottom); 0.5 when they are equal."""
    return 0.5 if top == bottom else (price - bottom) / (top - bottom)


@kernel
def range_position(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """(close - low_N) / (high_N - low_N) over the last N bars, 0 to 1 (Lane's %K / 100).

    State: maxima of highs, maxima of minus the lows.
    """
    split = state.size // 2
    highs, lows = state[:split], state[split:]
    top, bottom = load_extreme(highs), load_extreme(lows)
    for i in range(values.size):
        top = include(highs, top, bars[HIGH, i])
        bottom = include(lows, bottom, -bars[LOW, i])
        values[i] = -highest(lows, bottom) if spans(top) else np.nan
        bars[SCRATCH, i] = highest(highs, top)
    save_extreme(highs, top)
    save_extreme(lows, bottom)
    for i in range(values.size):
        values[i] = position_between(bars[CLOSE, i], values[i], bars[SCRATCH, i])
