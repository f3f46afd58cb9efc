"""The symmetric CUSUM filter: an event when the price has moved enough since the last event.

S+ = max(0, S+ + r) and S- = min(0, S- + r) over log returns r. When a sum is beyond the threshold,
it restarts at 0 and the bar is an event. (Lopez de Prado, Advances in Financial Machine Learning,
2018, 2.5.2.1.)
"""

import math
from typing import NamedTuple

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import LOG_RETURN, REGULAR
from harmony_pipeline.kernel import inlined_kernel, kernel


class Sums(NamedTuple):
    """Cumulative move up (>= 0) and down (<= 0) since the last event in that direction."""

    up: float
    down: float


@inlined_kernel
def cusum_step(sums: Sums, change: float, threshold: float) -> tuple[Sums, float]:
    """The sums after one more return, and -1, 0 or 1. A threshold of infinity gives no event."""
    # choices instead of branches: which of them a bar takes cannot be guessed by the processor.
    # The threshold is not below 0, so that a sum need not be held at 0 before it is compared
    raised, fallen = sums.up + change, sums.down + change
    falls = fallen < -threshold
    rises = (raised > threshold) & (not falls)
    up, down = raised if raised > 0.0 else 0.0, fallen if fallen < 0.0 else 0.0
    return Sums(0.0 if rises else up, 0.0 if falls else down), float(int(rises) - int(falls))


@kernel
def cusum_event(
    bars: FloatArray,
    volatility: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """-1, 0 or 1. The threshold is parameters[0] * the bar's own volatility of the last 20 log
    returns.

    Moves in extended hours count, but only regular bars, which can be traded, become events. There
    is no event while the volatility is unknown. State: the sums.
    """
    cusum_between(bars, volatility, state, parameters, values, 0, values.size)


@inlined_kernel
def cusum_between(
    bars: FloatArray,
    volatility: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
    start: int,
    stop: int,
) -> None:
    """`cusum_event` of the bars from `start` to `stop`."""
    sums = Sums(state[0], state[1])
    for i in range(start, stop):
        change = bars[LOG_RETURN, i]
        may_fire = (bars[REGULAR, i] > 0.0) & (not math.isnan(volatility[i]))
        threshold = parameters[0] * volatility[i] if may_fire else math.inf
        sums, values[i] = cusum_step(sums, 0.0 if math.isnan(change) else change, threshold)
    state[0], state[1] = sums.up, sums.down
