"""Recursions of one symbol in one loop.

A recursive average waits for itself: each bar needs the one before, and the processor idles
meanwhile. Those of several columns do not wait for each other. So four columns take about as long
as one and a half, with the arithmetic of each, and every bit, as in its own kernel.

Kernels here: `(bars, read, states, parameters, values)` as in `joints.py`. A column that is not
there has an empty state: it is computed of nothing, into a row that nobody reads. What is not warm
yet is left to the kernels of one column.
"""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.averages import ema_between, macd_line_between, macd_signal_between
from harmony_pipeline.features.cusum import Sums, cusum_between, cusum_step
from harmony_pipeline.features.four_symbols import Four, smoothed
from harmony_pipeline.features.kernel_inputs import (
    CLOSE,
    HIGH,
    LOG_RETURN,
    LOW,
    REGULAR,
    SESSION_DAY,
    VOLUME,
)
from harmony_pipeline.features.sessions import vwap_between
from harmony_pipeline.features.wilder import adx_between, atr_between, rsi_between
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation

_WARM_UP = 4  # times the longest length: by then nearly every average is known


@inlined_kernel
def _is_known(state: FloatArray, place: int, length: float) -> bool:
    """Whether an average has seen enough; one that is not there has."""
    return state.size == 0 or state[place] >= length


@inlined_kernel
def _number(parameters: FloatArray, place: int) -> float:
    """A parameter; 1 of a column that is not there."""
    return float(parameters[place]) if parameters.size else 1.0


@inlined_kernel
def _level(state: FloatArray, place: int) -> float:
    """A number of a state; 0 of a column that is not there."""
    return float(state[place]) if state.size else 0.0


@kernel_without_allocation
def averages_of_one(
    bars: FloatArray, read: FloatArray, states: Four, parameters: Four, values: Four
) -> None:
    """`wilder.rsi`, `wilder.atr`, `wilder.adx` and `averages.ema`."""
    start, stop = 0, bars.shape[1]
    if not _averages_are_known(states, parameters):
        longest = 0.0
        for one in parameters:
            longest = max(longest, _number(one, 0))
        start = min(stop, _WARM_UP * int(longest))
        _averages_alone(bars, states, parameters, values, 0, start)
        stop = stop if _averages_are_known(states, parameters) else start
    _known_averages(bars, states, parameters, values, start, stop)
    _averages_alone(bars, states, parameters, values, stop, bars.shape[1])


@inlined_kernel
def _averages_are_known(states: Four, parameters: Four) -> bool:
    return (
        _is_known(states[0], 1, _number(parameters[0], 0))
        and _is_known(states[1], 1, _number(parameters[1], 0))
        and _is_known(states[2], 6, _number(parameters[2], 0))
        and _is_known(states[3], 1, _number(parameters[3], 0))
    )


@inlined_kernel
def _averages_alone(
    bars: FloatArray, states: Four, parameters: Four, values: Four, start: int, stop: int
) -> None:
    """The columns one after the other."""
    if states[0].size:
        rsi_between(bars, states[0], parameters[0], values[0], start, stop)
    if states[1].size:
        atr_between(bars, states[1], parameters[1], values[1], start, stop)
    if states[2].size:
        adx_between(bars, states[2], parameters[2], values[2], start, stop)
    if states[3].size:
        ema_between(bars, states[3], parameters[3], values[3], start, stop)


@inlined_kernel
def _known_averages(
    bars: FloatArray, states: Four, parameters: Four, values: Four, start: int, stop: int
) -> None:
    """Without a branch: the processor cannot guess whether a price rises."""
    rsi, atr, adx, ema = states
    high, low, close = bars[HIGH], bars[LOW], bars[CLOSE]
    rsi_share, atr_share = 1.0 / _number(parameters[0], 0), 1.0 / _number(parameters[1], 0)
    adx_share, alpha = 1.0 / _number(parameters[2], 0), 2.0 / (_number(parameters[3], 0) + 1.0)
    kept, moving = 1.0 - adx_share, 0
    gain, loss, ranges = _level(rsi, 0), _level(rsi, 2), _level(atr, 0)
    up, down, index, average = _level(adx, 2), _level(adx, 3), _level(adx, 5), _level(ema, 0)
    close_before = _level(rsi, 4) if rsi.size else _level(atr, 2)
    high_before, low_before = _level(adx, 0), _level(adx, 1)
    for i in range(start, stop):
        gain = smoothed(gain, max(close[i] - close_before, 0.0), rsi_share)
        loss = smoothed(loss, max(close_before - close[i], 0.0), rsi_share)
        moved = gain + loss
        share = 100.0 * (gain / moved)
        values[0][i] = share if moved > 0.0 else 50.0
        widest = max(high[i], close_before) - min(low[i], close_before)
        ranges = smoothed(ranges, widest, atr_share)
        values[1][i] = ranges
        rise, fall = high[i] - high_before, low_before - low[i]
        up = up * kept + (rise if rise > max(fall, 0.0) else 0.0)
        down = down * kept + (fall if fall > max(rise, 0.0) else 0.0)
        total = up + down
        later = smoothed(index, 100.0 * abs(up - down) / total, adx_share)
        index = later if total > 0.0 else index
        moving += total > 0.0
        values[2][i] = index
        average = smoothed(average, close[i], alpha)
        values[3][i] = average
        close_before, high_before, low_before = close[i], high[i], low[i]
    count = stop - start
    if rsi.size:
        rsi[0], rsi[2], rsi[4] = gain, loss, close_before
        rsi[1] += count
        rsi[3] += count
    if atr.size:
        atr[0], atr[1], atr[2] = ranges, atr[1] + count, close_before
    if adx.size:
        adx[0], adx[1], adx[2], adx[3], adx[5] = high_before, low_before, up, down, index
        adx[4] += count
        adx[6] += moving
    if ema.size:
        ema[0], ema[1] = average, ema[1] + count


@kernel_without_allocation
def sums_of_one(
    bars: FloatArray, read: FloatArray, states: Four, parameters: Four, values: Four
) -> None:
    """`averages.macd_line` and `averages.macd_signal` of it, `sessions.vwap_distance` and
    `cusum.cusum_event`, which reads a volatility.
    """
    start, stop = 0, bars.shape[1]
    if not _lines_are_known(states, parameters):
        start = _WARM_UP * int(_number(parameters[0], 1) + _number(parameters[1], 2))
        start = min(stop, start)
        _sums_alone(bars, read, states, parameters, values, 0, start)
        stop = stop if _lines_are_known(states, parameters) else start
    _known_sums(bars, read, states, parameters, values, start, stop)
    _sums_alone(bars, read, states, parameters, values, stop, bars.shape[1])


@inlined_kernel
def _lines_are_known(states: Four, parameters: Four) -> bool:
    return _is_known(states[0], 3, _number(parameters[0], 1)) and _is_known(
        states[1], 1, _number(parameters[1], 2)
    )


@inlined_kernel
def _sums_alone(
    bars: FloatArray,
    volatility: FloatArray,
    states: Four,
    parameters: Four,
    values: Four,
    start: int,
    stop: int,
) -> None:
    """The columns one after the other."""
    if states[0].size:
        macd_line_between(bars, states[0], parameters[0], values[0], start, stop)
    if states[1].size:
        macd_signal_between(values[0], states[1], parameters[1], values[1], start, stop)
    if states[2].size:
        vwap_between(bars, states[2], values[2], start, stop)
    if states[3].size:
        cusum_between(bars, volatility, states[3], parameters[3], values[3], start, stop)


@inlined_kernel
def _known_sums(
    bars: FloatArray,
    volatility: FloatArray,
    states: Four,
    parameters: Four,
    values: Four,
    start: int,
    stop: int,
) -> None:
    """Without a branch, too."""
    line, signal, vwap, cusum = states
    high, low, close, volume = bars[HIGH], bars[LOW], bars[CLOSE], bars[VOLUME]
    days, regular, changes = bars[SESSION_DAY], bars[REGULAR], bars[LOG_RETURN]
    fast_alpha = 2.0 / (_number(parameters[0], 0) + 1.0)
    slow_alpha = 2.0 / (_number(parameters[0], 1) + 1.0)
    alpha, times = 2.0 / (_number(parameters[1], 2) + 1.0), _number(parameters[3], 0)
    fast, slow, level = _level(line, 0), _level(line, 2), _level(signal, 0)
    day, traded, shares = _level(vwap, 0), _level(vwap, 1), _level(vwap, 2)
    sums = Sums(_level(cusum, 0), _level(cusum, 1))
    for i in range(start, stop):
        fast, slow = smoothed(fast, close[i], fast_alpha), smoothed(slow, close[i], slow_alpha)
        values[0][i] = fast - slow
        level = smoothed(level, fast - slow, alpha)
        values[1][i] = level
        kept = 1.0 if days[i] == day else 0.0
        day = days[i]
        traded = traded * kept + (high[i] + low[i] + close[i]) * volume[i]
        shares = shares * kept + volume[i]
        distance = 3.0 * close[i] * shares / traded - 1.0
        values[2][i] = distance if shares > 0.0 else np.nan
        may_fire = (regular[i] > 0.0) & (not math.isnan(volatility[i]))
        threshold = times * volatility[i] if may_fire else math.inf
        change = 0.0 if math.isnan(changes[i]) else changes[i]
        sums, values[3][i] = cusum_step(sums, change, threshold)
    count = stop - start
    if line.size:
        line[0], line[1], line[2], line[3] = fast, line[1] + count, slow, line[3] + count
    if signal.size:
        signal[0], signal[1] = level, signal[1] + count
    if vwap.size:
        vwap[0], vwap[1], vwap[2] = day, traded, shares
    if cusum.size:
        cusum[0], cusum[1] = sums.up, sums.down
