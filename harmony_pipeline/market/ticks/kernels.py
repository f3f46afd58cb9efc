"""Bars out of trades, as a fold: `(state, trades) -> (state, bars that ended)`.

One kernel makes every kind of bar (Lopez de Prado, "Advances in Financial Machine Learning", 2018,
ch. 2.3). A bar ends before a trade of another `group` (a slot of the clock for time bars, a part of
a session for the others) and after the trade that brings its measure to the threshold: trades (tick
bars), shares (volume bars) or currency (dollar bars). A trade is never split, and the excess over
the threshold is not carried, as in the book.

Any cut of the trades into chunks gives the same bars, bit for bit, because sums run trade by trade
in the order of the tape. Shares are conserved: those of all bars and of the open one sum to those
of all trades that count.
"""

import numpy as np

from harmony_pipeline.arrays import ByteArray, FloatArray, IntArray
from harmony_pipeline.kernel import kernel

# The state: one open bar of one symbol. Times are epoch microseconds, which float64 holds exactly
# until the year 2255.
(
    GROUP,
    START,
    LATEST,
    OPEN,
    HIGH,
    LOW,
    CLOSE,
    VOLUME,
    TRADES,
    NOTIONAL,
    PRICED,
    MEASURE,
    FIRMNESS,
) = range(13)
STATE_SIZE = 13
# FIRMNESS: no price yet; prices of trades that give the last only if no other can; settled
EMPTY, TENTATIVE, FIRM = 0.0, 1.0, 2.0
BAR_SIZE = STATE_SIZE  # a bar that ended is the state as it stood
_HIGH_LOW, _LAST, _VOLUME = 1, 2, 4  # ticks/conditions.py


def empty_state() -> FloatArray:
    """No open bar."""
    return np.zeros(STATE_SIZE)


@kernel
def add_trade(
    state: FloatArray, group: float, stamp: float, price: float, size: float, sets: int, kind: int
) -> None:
    """Add a trade to the open bar, or open a bar with it when there is none (TRADES is 0)."""
    if state[TRADES] == 0.0:
        state[:] = 0.0
        state[GROUP], state[START] = group, stamp
        state[OPEN], state[HIGH], state[LOW], state[CLOSE] = np.nan, np.nan, np.nan, np.nan
    state[LATEST] = stamp
    state[TRADES] += 1.0
    counted = size if sets & _VOLUME else 0.0
    state[VOLUME] += counted
    if sets & _HIGH_LOW:
        state[NOTIONAL] += price * counted
        state[PRICED] += counted
        if state[FIRMNESS] == EMPTY:
            state[OPEN], state[HIGH], state[LOW], state[CLOSE] = price, price, price, price
            state[FIRMNESS] = TENTATIVE
        state[HIGH], state[LOW] = max(state[HIGH], price), min(state[LOW], price)
        if sets & _LAST:
            if state[FIRMNESS] == TENTATIVE:
                state[OPEN], state[FIRMNESS] = price, FIRM
            state[CLOSE] = price
        elif state[FIRMNESS] == TENTATIVE:
            state[CLOSE] = price
    if kind == 1:
        state[MEASURE] += 1.0
    elif kind == 2:
        state[MEASURE] += counted
    elif kind == 3:
        state[MEASURE] += price * counted


@kernel
def fold_trades(
    state: FloatArray,
    group: IntArray,
    stamp: IntArray,
    price: FloatArray,
    size: FloatArray,
    sets: ByteArray,
    kind: int,
    threshold: float,
    out: FloatArray,
) -> int:
    """Fold one symbol's trades, in the order of the tape, into `state`; return the number of bars
    that ended.

    The bars are written to `out` [bars, BAR_SIZE]. `kind` 0 is time bars (no threshold), 1 ticks, 2
    shares, 3 currency. Every trade ends at most one bar, except the first, which may end another.
    So `out` needs no more rows than there are trades plus one.
    """
    ended = 0
    for i in range(len(stamp)):
        if state[TRADES] > 0.0 and state[GROUP] != group[i]:
            out[ended] = state
            state[TRADES] = 0.0
            ended += 1
        add_trade(state, float(group[i]), float(stamp[i]), price[i], size[i], sets[i], kind)
        if kind > 0 and state[MEASURE] >= threshold:
            out[ended] = state
            state[TRADES] = 0.0
            ended += 1
    return ended
