"""Volatility of the whole simulated market, session by session.

Volatility clusters: a Markov chain moves between calm, normal and stress (Hamilton and Susmel
1994), and a slow autoregression of log volatility is added (Taylor 1986). Both have their own draws
and do not depend on returns, so they change the size of returns and not their mean. The average
variance is 1.
"""

import numpy as np

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.simulation.random_keys import fold, normal, uniform

CALM, NORMAL, STRESS = 0, 1, 2
# volatility in each state; with the stays below the mean variance is 1.00
LEVELS = np.array([0.75, 1.0, 1.9])
STAYS = np.array([80.0, 60.0, 20.0])  # mean sessions before the state is left
_CALMER = 0.6  # leaving normal, the chance of calm rather than stress
_PERSISTENCE, _SPREAD = 0.95, 0.20  # of log volatility: daily autocorrelation, standard deviation
_SWITCH, _DIRECTION, _SLOW = 0, 1, 2


@kernel
def next_state(state: int, chance: float) -> int:
    """The state after this one. Calm and stress are neighbours of normal only."""
    if state != NORMAL:
        return NORMAL
    return CALM if chance < _CALMER else STRESS


@kernel
def market_volatility(
    key: np.uint64, ordinals: IntArray, levels: FloatArray, stays: FloatArray
) -> FloatArray:
    """Volatility multiplier of the market in each session, from the first session on (which starts
    in normal).
    """
    out = np.empty(len(ordinals))
    state, slow = NORMAL, 0.0
    for session in range(len(ordinals)):
        day = fold(key, ordinals[session])
        if uniform(day, _SWITCH) < 1.0 / stays[state]:
            state = next_state(state, uniform(day, _DIRECTION))
        slow = _PERSISTENCE * slow + _SPREAD * np.sqrt(1.0 - _PERSISTENCE * _PERSISTENCE) * normal(
            day, _SLOW
        )
        out[session] = levels[state] * np.exp(slow - _SPREAD * _SPREAD)
    return out
