"""The position of the close in its recent range."""

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import CLOSE, HIGH, LOW, SCRATCH, SCRATCH_2
from harmony_pipeline.features.rolling_extremes import roll_two_maxima
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
    split, lows = state.size // 2, bars[SCRATCH_2]
    for i in range(values.size):
        lows[i] = -bars[LOW, i]
    roll_two_maxima(bars[HIGH], lows, state[:split], state[split:], bars[SCRATCH], values)
    for i in range(values.size):
        values[i] = position_between(bars[CLOSE, i], -values[i], bars[SCRATCH, i])
