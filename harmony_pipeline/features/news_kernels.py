"""Columns of headlines. All kernels here: `(bars, totals..., state, parameters, values)`, where the
totals are the columns of `news_columns.py` that come with the bars.

Headlines from before a symbol's first bar are no news on it: the first bar only remembers where the
totals stood.
"""

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.lag_window import lagged
from harmony_pipeline.kernel import kernel

_MILLIONTH = 1e-6


@kernel
def news_count(
    bars: FloatArray,
    headlines: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """The total now less the total N bars ago. State: a window of totals."""
    lagged(state, headlines, values)
    for i in range(values.size):
        values[i] = headlines[i] - values[i]


@kernel
def news_sentiment(
    bars: FloatArray,
    headlines: FloatArray,
    scores: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """Decayed sum of scores over one plus the decayed number of headlines. State: whether a bar was
    seen, both totals there, both decayed sums.
    """
    decay = 2.0 ** (-1.0 / parameters[0])
    begun, known, scored, total, weight = state[0], state[1], state[2], state[3], state[4]
    for i in range(values.size):
        if begun == 0.0:
            begun, known, scored = 1.0, headlines[i], scores[i]
        total = decay * total + _MILLIONTH * (scores[i] - scored)
        weight = decay * weight + (headlines[i] - known)
        known, scored = headlines[i], scores[i]
        values[i] = total / (1.0 + weight)
    state[0], state[1], state[2], state[3], state[4] = begun, known, scored, total, weight


@kernel
def bars_since_news(
    bars: FloatArray,
    headlines: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """Bars since the total last grew, NaN before it did. State: whether a bar was seen, the total
    there, one more than the value (0: none yet).
    """
    begun, known, since = state[0], state[1], state[2]
    for i in range(values.size):
        if begun == 0.0:
            begun, known = 1.0, headlines[i]
        if headlines[i] > known:
            since = 1.0
        elif since > 0.0:
            since += 1.0
        known = headlines[i]
        values[i] = since - 1.0 if since > 0.0 else np.nan
    state[0], state[1], state[2] = begun, known, since
