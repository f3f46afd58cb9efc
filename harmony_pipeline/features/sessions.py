"""Indicators that restart with each exchange session. A session's extended hours belong to it."""

import math
from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.kernel_inputs import (
    CLOSE,
    HIGH,
    LOW,
    OPEN,
    REGULAR,
    SESSION_DAY,
    START,
    VOLUME,
)
from harmony_pipeline.features.returns import log_ratio
from harmony_pipeline.kernel import inlined_kernel, kernel


@kernel
def vwap_distance(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Close / VWAP - 1, where VWAP = sum(typical * volume) / sum(volume) since the session's first
    bar.

    typical = (high + low + close) / 3. NaN until something traded in the session. State: session
    day, the sum of 3 * typical * volume, the sum of volume.
    """
    vwap_between(bars, state, values, 0, values.size)


@inlined_kernel
def vwap_between(
    bars: FloatArray, state: FloatArray, values: FloatArray, start: int, stop: int
) -> None:
    """`vwap_distance` of the bars from `start` to `stop`."""
    day, traded, shares = state[0], state[1], state[2]
    for i in range(start, stop):
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


class SessionOpen(NamedTuple):
    """Session day, whether its regular hours have begun, and start and price of their first bar."""

    day: float
    begun: float
    start: float
    price: float


@inlined_kernel
def open_session(state: SessionOpen, bars: FloatArray, i: int) -> SessionOpen:
    """The state with bar i. A bar of another session closes the one before."""
    begun = state.begun if bars[SESSION_DAY, i] == state.day else 0.0
    if begun == 0.0 and bars[REGULAR, i] > 0.0:
        return SessionOpen(bars[SESSION_DAY, i], 1.0, bars[START, i], bars[OPEN, i])
    return SessionOpen(bars[SESSION_DAY, i], begun, state.start, state.price)


@kernel
def minute_of_session(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Minutes from the start of the session's first regular bar to the start of this bar; -1 before
    it. State: SessionOpen.
    """
    now = SessionOpen(state[0], state[1], state[2], state[3])
    for i in range(values.size):
        now = open_session(now, bars, i)
        values[i] = (bars[START, i] - now.start) / 6e7 if now.begun > 0.0 else -1.0
    state[0], state[1], state[2], state[3] = now.day, now.begun, now.start, now.price


@kernel
def day_of_week(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """0 on Mondays to 6 on Sundays, by the date of the session."""
    for i in range(values.size):
        values[i] = (bars[SESSION_DAY, i] + 3.0) % 7.0


@kernel
def session_return(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """ln(close / open of the session's first regular bar); 0 before it. State: SessionOpen."""
    now = SessionOpen(state[0], state[1], state[2], state[3])
    for i in range(values.size):
        now = open_session(now, bars, i)
        values[i] = log_ratio(bars[CLOSE, i], now.price) if now.begun > 0.0 else 0.0
    state[0], state[1], state[2], state[3] = now.day, now.begun, now.start, now.price


@kernel
def first_hour_return(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """session_return within the first 60 minutes of regular hours, then its last value there; 0
    before them. State: SessionOpen, the return.
    """
    now, found = SessionOpen(state[0], state[1], state[2], state[3]), state[4]
    for i in range(values.size):
        now = open_session(now, bars, i)
        if now.begun == 0.0:
            found = 0.0
        elif bars[START, i] - now.start < 3.6e9:
            found = log_ratio(bars[CLOSE, i], now.price)
        values[i] = found
    state[0], state[1], state[2], state[3] = now.day, now.begun, now.start, now.price
    state[4] = found


@kernel
def overnight_return(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """ln(open of the first regular bar / close of the last one of an earlier session), from that
    bar on until the next session's. State: SessionOpen, the last regular close, the return, whether
    it is known.
    """
    now = SessionOpen(state[0], state[1], state[2], state[3])
    last_close, found, known = state[4], state[5], state[6]
    for i in range(values.size):
        begun = now.begun if bars[SESSION_DAY, i] == now.day else 0.0
        now = open_session(now, bars, i)
        if now.begun > begun and last_close > 0.0:
            found, known = log_ratio(now.price, last_close), 1.0
        if bars[REGULAR, i] > 0.0:
            last_close = bars[CLOSE, i]
        values[i] = found if known > 0.0 else np.nan
    state[0], state[1], state[2], state[3] = now.day, now.begun, now.start, now.price
    state[4], state[5], state[6] = last_close, found, known


@kernel
def session_range_position(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """(close - low) / (high - low) of the session so far; 0.5 where they are equal. State: session
    day, high, low.
    """
    day, high, low = state[0], state[1], state[2]
    for i in range(values.size):
        fresh = bars[SESSION_DAY, i] != day or high == 0.0
        day = bars[SESSION_DAY, i]
        high = bars[HIGH, i] if fresh or bars[HIGH, i] > high else high
        low = bars[LOW, i] if fresh or bars[LOW, i] < low else low
        values[i] = (bars[CLOSE, i] - low) / (high - low) if high > low else 0.5
    state[0], state[1], state[2] = day, high, low


@kernel
def prior_range_position(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """(close - low) / (high - low) of the session before; above 1 it is above that session. 0.5
    where they are equal. State: session day, its high and low, those of the session before.
    """
    day, high, low, high_before, low_before = state[0], state[1], state[2], state[3], state[4]
    for i in range(values.size):
        fresh = bars[SESSION_DAY, i] != day or high == 0.0
        if fresh:
            high_before, low_before = high, low
        day = bars[SESSION_DAY, i]
        high = bars[HIGH, i] if fresh or bars[HIGH, i] > high else high
        low = bars[LOW, i] if fresh or bars[LOW, i] < low else low
        place = bars[CLOSE, i] - low_before
        known = high_before > 0.0
        wide = high_before > low_before
        values[i] = (place / (high_before - low_before) if wide else 0.5) if known else np.nan
    state[0], state[1], state[2], state[3], state[4] = day, high, low, high_before, low_before
