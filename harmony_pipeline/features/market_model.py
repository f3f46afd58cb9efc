"""Beta to the market and what it leaves unexplained, folded over a symbol's bars (the market model:
Sharpe, Management Science 9, 1963).

The market's return is that of the same moment (`cross_section.py`). A bar on which it, or the
symbol's own, is not known has no value and takes no place in the window.
"""

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.rolling_pairs import (
    PART,
    WITH_REFERENCES,
    X_REFERENCE,
    Y_REFERENCE,
    X,
    Y,
    comoments,
    load_pairs,
    roll_pairs,
)
from harmony_pipeline.kernel import kernel


@kernel
def _regress(
    own: FloatArray, market: FloatArray, state: FloatArray, values: FloatArray, residual: bool
) -> None:
    """Write the slope of the last N pairs, or what it leaves of their sum, at every bar that has
    both returns.
    """
    length = load_pairs(state).length
    sums, share = np.empty((WITH_REFERENCES, min(values.size, PART))), 1.0 / length
    for first in range(0, values.size, PART):
        part = values[first : first + PART]
        roll_pairs(market[first : first + PART], own[first : first + PART], state, sums)
        for i in range(part.size):
            xx, _, xy = comoments(sums, share, i)
            slope = 0.0 if xx == 0.0 else xy / xx
            x_mean = sums[X_REFERENCE, i] + sums[X, i] * share
            y_mean = sums[Y_REFERENCE, i] + sums[Y, i] * share
            left = length * (y_mean - slope * x_mean)
            part[i] = left if residual else slope


@kernel
def beta(
    bars: FloatArray,
    own: FloatArray,
    market: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """Covariance of N log returns with the market's / variance of the market's. State: N pairs."""
    _regress(own, market, state, values, False)


@kernel
def residual_return(
    bars: FloatArray,
    own: FloatArray,
    market: FloatArray,
    state: FloatArray,
    parameters: FloatArray,
    values: FloatArray,
) -> None:
    """Sum of N log returns - beta * sum of the market's N. State: N pairs."""
    _regress(own, market, state, values, True)
