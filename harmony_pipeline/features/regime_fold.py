"""The regimes of sessions as a fold: a compiled kernel with a state, like every feature.

Any cut of the sessions, with the state carried over, gives the same bits. The state is one vector
of numbers: a window of index levels, a window of returns, the past realised volatilities whose
median splits low from high, and the hidden-state model with the returns that it is fitted to.

The model of a year is fitted at its first session, to returns of earlier years alone, and filters
until the next year. A session's own return is never among those that its model was fitted to.
"""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.features.hidden_states import PARAMETERS, filter_all, filter_step, fit
from harmony_pipeline.features.kernel_inputs import window_state_size
from harmony_pipeline.features.rolling_window import (
    deviation,
    is_full,
    load_cursor,
    mean,
    push,
    save_cursor,
)
from harmony_pipeline.features.settings import RegimeSettings
from harmony_pipeline.kernel import inlined_kernel, kernel

TREND_AVERAGE, REALISED, MEDIAN, TURBULENT = 0, 1, 2, 3
ROWS = 4
_HEAD = 2  # of what remembers: values seen (up to its length), the next position to write
_MODEL = 2 + PARAMETERS  # year of the last session, probability of the turbulent state, parameters


def initial_state(settings: RegimeSettings) -> FloatArray:
    """The state before the first session."""
    return np.zeros(sum(_sizes(settings)))


def fold_regimes(
    state: FloatArray,
    levels: FloatArray,
    changes: FloatArray,
    years: IntArray,
    settings: RegimeSettings,
    sessions_per_year: float,
) -> tuple[FloatArray, FloatArray]:
    """(new state, values [ROWS, sessions]) after these sessions; `state` is not changed.

    levels: of the index. changes: its simple return from the session before, NaN where there is
    none. years: in which each session lies. Values are the trailing mean of the level, the
    annualised deviation of returns, its trailing median, and the filtered probability of the
    turbulent state; NaN while not known.
    """
    after, values = state.copy(), np.empty((ROWS, levels.size))
    trend, volatility, volatilities, hidden = np.split(after, np.cumsum(_sizes(settings))[:-1])
    _fold(
        np.ascontiguousarray(levels, np.float64),
        np.ascontiguousarray(changes, np.float64),
        np.ascontiguousarray(years, np.int64),
        trend,
        volatility,
        volatilities,
        hidden,
        (
            min(settings.volatility_minimum_days, settings.volatility_history_days),
            min(settings.hidden_minimum_days, settings.hidden_history_days),
        ),
        math.sqrt(sessions_per_year),
        values,
    )
    return after, values


def _sizes(settings: RegimeSettings) -> tuple[int, ...]:
    return (
        window_state_size(settings.trend_days),
        window_state_size(settings.volatility_days),
        _HEAD + settings.volatility_history_days,
        _MODEL + _HEAD + settings.hidden_history_days,
    )


@kernel
def _fold(
    levels: FloatArray,
    changes: FloatArray,
    years: IntArray,
    trend: FloatArray,
    volatility: FloatArray,
    volatilities: FloatArray,
    hidden: FloatArray,
    least: tuple[int, int],
    annual: float,
    values: FloatArray,
) -> None:
    """`least`: of past volatilities and of past returns that are enough."""
    trend_cursor, return_cursor = load_cursor(trend), load_cursor(volatility)
    model, past = hidden[2:_MODEL], hidden[_MODEL:]
    for i in range(levels.size):
        values[:, i] = np.nan
        trend_cursor = push(trend, trend_cursor, levels[i])
        if is_full(trend_cursor):
            values[TREND_AVERAGE, i] = mean(trend, trend_cursor)
        if years[i] != hidden[0] and past[0] >= least[1]:
            returns = _in_order(past)
            fit(returns, model)
            if model[0] > 0.0:
                hidden[1] = filter_all(model, returns)
        hidden[0] = years[i]
        change = changes[i]
        if math.isnan(change):
            continue
        if model[0] > 0.0:
            hidden[1] = filter_step(model, hidden[1], change)
            values[TURBULENT, i] = hidden[1]
        _remember(past, change)
        return_cursor = push(volatility, return_cursor, change)
        if is_full(return_cursor):
            realised = deviation(volatility, return_cursor) * annual
            values[REALISED, i] = realised
            _remember(volatilities, realised)
            if volatilities[0] >= least[0]:
                values[MEDIAN, i] = np.median(_in_order(volatilities))
    save_cursor(trend, trend_cursor)
    save_cursor(volatility, return_cursor)


@inlined_kernel
def _remember(past: FloatArray, value: float) -> None:
    """Replace the oldest value."""
    length, at = past.size - _HEAD, int(past[1])
    past[_HEAD + at] = value
    past[0], past[1] = min(past[0] + 1.0, float(length)), float((at + 1) % length)


@kernel
def _in_order(past: FloatArray) -> FloatArray:
    """A copy of what is remembered, oldest first."""
    length, count = past.size - _HEAD, int(past[0])
    found = np.empty(count)
    begin = (int(past[1]) - count) % length
    for i in range(count):
        found[i] = past[_HEAD + (begin + i) % length]
    return found
