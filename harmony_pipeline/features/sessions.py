"""Indicators that restart with each exchange session. A session's extended hours belong to it."""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import CLOSE, HIGH, LOW, OPEN, SESSION_DAY, VOLUME
from harmony_pipeline.kernel import kernel


@kernel
def vwap_distance(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Close / VWAP - 1, where VWAP = sum(typical * volume) / sum(volume) since the session's first
    bar.

    typical = (high + low + close) / 3. NaN until something traded in the session. State: session
    day, the sum of 3 * typical * volume, the sum of volume.
    """
    day, traded, shares = state[0], state[1], state[2]
    for i in range(values.size):
        kept = 1.0 if bars[SESSION_DAY, i] == day else 0.0  # a factor is faster than a branch
        day = bars[SESSION_DAY, i]
        typical = bars[HIGH, i] + bars[LOW, i] + bars[CLOSE, i]
        traded = traded * kept + typical * bars[VOLUME, i]
        shares = shares * kept + bars[VOLUME, i]
        values[i] = 3.0 * bars[CLOSE, i] * shares / traded - 1.0 if shares > 0.0 else np.nan
    state[0], state[1], state[2] = day, traded, shares


@kernel
def gap(bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray) -> None:
    """ln(first open of the session / last close of the session before), constant through the
    session.

    State: session day, last close (0: none yet), the gap, whether it is known.
    """
    day, last_close, opening, known = state[0], state[1], state[2], state[3]
    for i in range(values.size):
        if bars[SESSION_DAY, i] != day:
            day = bars[SESSION_DAY, i]
            if last_close > 0.0:
                opening, known = math.log(bars[OPEN, i] / last_close), 1.0
        last_close = bars[CLOSE, i]
        values[i] = opening if known > 0.0 else np.nan
    state[0], state[1], state[2], state[3] = day, last_close, opening, known
