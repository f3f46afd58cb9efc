"""Beta to the market and what it leaves unexplained, folded over a symbol's bars (the market model:
Sharpe, Management Science 9, 1963).

The market's return is that of the same moment (`cross_section.py`). A bar on which it, or the
symbol's own, is not known has no value and takes no place in the window.
"""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.rolling_pairs import (
    Comoments,
    comoments,
    has_pairs,
    load_pairs,
    push_pair,
    save_pairs,
)
from harmony_pipeline.kernel import inlined_kernel, kernel


@inlined_kernel
def _slope(found: Comoments) -> float:
    """Of the second series on the first; 0 where the first does not move."""
    return found.xy / found.xx if found.xx > 0.0 else 0.0


@kernel
def _regress(
    own: FloatArray, market: FloatArray, state: FloatArray, values: FloatArray, residual: bool
) -> None:
    """Write the slope of the last N pairs, or what it leaves of their sum, at every bar that has
    both returns.
    """
    cursor = load_pairs(state)
    for i in range(values.size):
        values[i] = np.nan
        if math.isnan(own[i]) or math.isnan(market[i]):
            continue
        cursor = push_pair(state, cursor, market[i], own[i])
        if has_pairs(cursor):
            found = comoments(state, cursor)
            slope = _slope(found)
            left = cursor.length * (found.y_mean - slope * found.x_mean)
            values[i] = left if residual else slope
    save_pairs(state, cursor)


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
