"""What the rules remember of a symbol: a flat vector of floats, so that it can lie in the lake between two periods.

The vector after a bar is a function of the vector before it and of the bar. Cutting time, or the symbols, anywhere changes no bit.
Slots hold prices in the shares of the last day seen: a split moves them when its day comes. NaN is "nothing yet".

Returns and volumes are kept in rings of the last RETURNS regular bars and the largest bar of each of the last SESSIONS sessions. Their median
and median deviation (MAD) are worked out only for a bar that moved enough to be judged, so that a quiet bar costs nothing.
    robust z = (x - median) / max(1.4826 MAD, floor)        Hampel (1974); 1.4826 makes the MAD of a normal law its deviation
"""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.kernel import kernel

SEEN, LAST_DAY, LAST_STAMP = 0, 1, 2  # 1.0 once a bar was accepted; its session day and start
CLOSE, CLOSE_DAY, CLOSE_STAMP, CLOSE_SESSION = 3, 4, 5, 6  # the last regular close, when, and which session of the calendar
FACTOR, SPLITS = 7, 8  # forward adjustment factor; splits since the last regular close, multiplied
RUN, SAME_OPEN, SAME_HIGH, SAME_LOW, SAME_CLOSE, SAME_VOLUME = 9, 10, 11, 12, 13, 14  # how often the last five values came in a row
SPIKE_BASE, SPIKE_CLOSE, SPIKE_STAMP = 15, 16, 17  # close before an outlier and its own, while the next bar is awaited
UNIT_BASE, UNIT_RATIO, UNIT_BARS, UNIT_STAMP = 18, 19, 20, 21  # a jump by a power of ten that is being watched
SESSION_VOLUME, SESSION_DAY = 22, 23  # largest regular bar of the running session
RETURN_COUNT, SESSION_COUNT = 24, 25  # how many were ever put into each ring
BARS, IDLE_BARS = 26, 27  # accepted, and those of them without volume
LARGEST_VOLUME = 108  # of the ring of sessions; 0.0 while too few are known
FROZEN = 109  # how often the last four prices came in a row, whatever the volume
SCALE_CLOSE, SCALE_BARS = 110, 111  # the last close that was refused for its scale, and how many were so in a row
RETURNS, SESSIONS = 60, 20
RETURN_RING, SESSION_RING = 28, 88
WIDTH = 112
FEWEST_RETURNS, FEWEST_SESSIONS = 30, 5  # before these a ring knows too little to judge by
_NORMAL = 1.4826


def blank(symbols: int) -> FloatArray:
    """The memory of symbols that were never seen: one row each."""
    states = np.full((symbols, WIDTH), np.nan)
    for slot in (SEEN, RUN, UNIT_BARS, SESSION_VOLUME, RETURN_COUNT, SESSION_COUNT, BARS, IDLE_BARS, LARGEST_VOLUME, FROZEN, SCALE_BARS):
        states[:, slot] = 0.0
    states[:, FACTOR] = states[:, SPLITS] = 1.0
    return states


@kernel
def remember_return(state: FloatArray, ratio: float) -> None:
    """Put a regular bar's price relative, exp(log return), into its ring: logarithms are taken of the few rings that are looked at."""
    count = int(state[RETURN_COUNT])
    state[RETURN_RING + count % RETURNS] = ratio
    state[RETURN_COUNT] = count + 1.0


@kernel
def remember_volume(state: FloatArray, day: float, volume: float) -> None:
    """Keep the largest regular bar of the running session; when a new one begins, the old one's goes into the ring."""
    if state[SESSION_DAY] != day:
        if state[SESSION_VOLUME] > 0.0:
            count = int(state[SESSION_COUNT])
            state[SESSION_RING + count % SESSIONS] = state[SESSION_VOLUME]
            state[SESSION_COUNT] = count + 1.0
            if count + 1 >= FEWEST_SESSIONS:
                state[LARGEST_VOLUME] = state[SESSION_RING : SESSION_RING + filled(count + 1.0, SESSIONS)].max()
        state[SESSION_DAY] = day
        state[SESSION_VOLUME] = 0.0
    state[SESSION_VOLUME] = max(state[SESSION_VOLUME], volume)


@kernel
def filled(count: float, size: int) -> int:
    """How many places of a ring hold a value."""
    return min(int(count), size)


@kernel
def robust_scale(values: FloatArray, floor: float) -> tuple[float, float]:
    """(median, max(1.4826 MAD, floor))."""
    middle = np.median(values)
    return middle, max(_NORMAL * np.median(np.abs(values - middle)), floor)


@kernel
def return_z(state: FloatArray, value: float, floor: float) -> float:
    """Robust z of a log return; 0 while too few are known."""
    count = filled(state[RETURN_COUNT], RETURNS)
    if count < FEWEST_RETURNS:
        return 0.0
    middle, scale = robust_scale(np.log(state[RETURN_RING : RETURN_RING + count]), floor)
    return (value - middle) / scale


@kernel
def volume_z(state: FloatArray, volume: float, floor: float) -> float:
    """Robust z of log volume against the log of the largest bar of each session before."""
    count = filled(state[SESSION_COUNT], SESSIONS)
    middle, scale = robust_scale(np.log(state[SESSION_RING : SESSION_RING + count]), floor)
    return (math.log(volume) - middle) / scale


@kernel
def usual_volume(state: FloatArray) -> float:
    """Median of the largest bars of the sessions before; of the running session's where no other is known; 0.0 while there is none."""
    count = filled(state[SESSION_COUNT], SESSIONS)
    return float(np.median(state[SESSION_RING : SESSION_RING + count])) if count else float(state[SESSION_VOLUME])


@kernel
def volume_level_change(state: FloatArray) -> float:
    """Median of the newest five sessions' largest volumes over that of the fifteen before, where the two do not overlap by far; else 1.

    Called when a ring has just taken a session in; true at one session only, the fifth after the change.
    """
    count = int(state[SESSION_COUNT])
    if count < SESSIONS:
        return 1.0
    new, old = np.empty(5), np.empty(SESSIONS - 5)
    for back in range(SESSIONS):
        value = state[SESSION_RING + (count - 1 - back) % SESSIONS]
        if back < 5:
            new[back] = value
        else:
            old[back - 5] = value
    if new.min() > 10.0 * old.max() or old.min() > 10.0 * new.max():
        return float(np.median(new) / np.median(old))
    return 1.0


@kernel
def apply_split(state: FloatArray, value: float) -> None:
    """Bring what is remembered to the shares after a split of `value` new shares per old one."""
    state[SPLITS] *= value
    state[SPIKE_BASE] /= value
    state[SPIKE_CLOSE] /= value
    state[UNIT_BASE] /= value
    state[SCALE_CLOSE] /= value
    state[SESSION_VOLUME] *= value
    state[LARGEST_VOLUME] *= value
    for place in range(SESSION_RING, SESSION_RING + SESSIONS):
        state[place] *= value
