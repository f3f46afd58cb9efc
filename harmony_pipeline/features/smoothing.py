"""Exponential smoothing started by a simple mean, the form that Wilder and TA-Lib share.

The first N values are averaged; from then on s_t = s_{t-1} + alpha * (x_t - s_{t-1}). Wilder's smoothing has alpha = 1 / N,
the exponential moving average alpha = 2 / (N + 1). (Wilder, New Concepts in Technical Trading Systems, 1978.)
"""

from typing import NamedTuple

from harmony_pipeline.kernel import kernel


class Smoothed(NamedTuple):
    """`level` is the sum of the values while fewer than N were seen, their smoothed mean afterwards."""

    level: float
    seen: float


@kernel
def smooth(state: Smoothed, value: float, length: int, alpha: float) -> Smoothed:
    """One value further."""
    seen = state.seen + 1.0
    if seen < length:
        return Smoothed(state.level + value, seen)
    if seen == length:
        return Smoothed((state.level + value) / length, seen)
    return Smoothed(state.level + alpha * (value - state.level), seen)
