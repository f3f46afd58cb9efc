"""Exponential smoothing seeded with a simple mean, as used by Wilder and TA-Lib.

The first N values are averaged. Then s_t = s_{t-1} + alpha * (x_t - s_{t-1}). Wilder's smoothing
has alpha = 1 / N, the exponential moving average alpha = 2 / (N + 1). (Wilder, New Concepts in
Technical Trading Systems, 1978.)
"""

from typing import NamedTuple

from harmony_pipeline.kernel import kernel


class Smoothed(NamedTuple):
    """`level` is the sum of the values while fewer than N were seen, and their smoothed mean
    afterwards.
    """

    level: float
    seen: float


@kernel
def smooth(state: Smoothed, value: float, length: int, alpha: float) -> Smoothed:
    """The state after one more value."""
    seen = state.seen + 1.0
    if seen < length:
        return Smoothed(state.level + value, seen)
    if seen == length:
        return Smoothed((state.level + value) / length, seen)
    return Smoothed(state.level + alpha * (value - state.level), seen)
