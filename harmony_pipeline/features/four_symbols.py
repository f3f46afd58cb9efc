"""Recursions of four symbols in one loop.

A recursive average waits for itself: each bar needs the one before, and the processor idles
meanwhile. The averages of several symbols do not wait for each other. So four symbols take about
as long as one and a half, with the arithmetic of each, and every bit, as in the kernel of one.

Kernels here: `(bars, states, parameters, values)` as in `kernel_inputs.py`, each but the parameters
a tuple with one of each symbol, and a tuple of rows for each column that it reads between `bars`
and `states`. The symbols may have different numbers of bars. What is not warm yet, or has no
partner, is left to the kernel of one symbol.
"""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.features.averages import ema_between, macd_line_between, macd_signal_between
from harmony_pipeline.features.cusum import Sums, cusum_between, cusum_step
from harmony_pipeline.features.indicator import Kernel
from harmony_pipeline.features.kernel_inputs import (
    CLOSE,
    HIGH,
    LOG_RETURN,
    LOW,
    REGULAR,
    SCRATCH,
    SCRATCH_2,
    SESSION_DAY,
    VOLUME,
)
from harmony_pipeline.features.sessions import vwap_between
from harmony_pipeline.features.wilder import adx_between, atr_between, rsi_between
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation

SYMBOLS = 4
Four = tuple[FloatArray, FloatArray, FloatArray, FloatArray]

_WARM_UP = 4  # times the longest length: by then nearly every average is known


@inlined_kernel
def shortest(values: Four) -> int:
    """The number of bars that all have."""
    return min(values[0].size, values[1].size, values[2].size, values[3].size)


@inlined_kernel
def least(states: Four, place: int) -> float:
    """The least of the four at one place of their states."""
    return float(min(states[0][place], states[1][place], states[2][place], states[3][place]))


@inlined_kernel
def smoothed(level: float, value: float, alpha: float) -> float:
    """`smooth` of an average that is known."""
    return level + alpha * (value - level)


@kernel_without_allocation
def ema_of_four(bars: Four, states: Four, parameters: FloatArray, values: Four) -> None:
    """`averages.ema`."""
    length = int(parameters[0])
    start, stop, alpha = 0, shortest(values), 2.0 / (length + 1.0)
    if least(states, 1) < length:
        start = min(stop, _WARM_UP * length)
        for k in range(SYMBOLS):
            ema_between(bars[k], states[k], parameters, values[k], 0, start)
        stop = stop if least(states, 1) >= length else start
    a, b, c, d = states[0][0], states[1][0], states[2][0], states[3][0]
    for i in range(start, stop):
        a = smoothed(a, bars[0][CLOSE, i], alpha)
        b = smoothed(b, bars[1][CLOSE, i], alpha)
        c = smoothed(c, bars[2][CLOSE, i], alpha)
        d = smoothed(d, bars[3][CLOSE, i], alpha)
        values[0][i], values[1][i], values[2][i], values[3][i] = a, b, c, d
    states[0][0], states[1][0], states[2][0], states[3][0] = a, b, c, d
    for k in range(SYMBOLS):
        states[k][1] += stop - start
        ema_between(bars[k], states[k], parameters, values[k], stop, values[k].size)


@kernel_without_allocation
def macd_line_of_four(bars: Four, states: Four, parameters: FloatArray, values: Four) -> None:
    """`averages.macd_line`."""
    slow_length = int(parameters[1])
    alpha, slow_alpha = 2.0 / (parameters[0] + 1.0), 2.0 / (parameters[1] + 1.0)
    start, stop = 0, shortest(values)
    if least(states, 3) < slow_length:
        start = min(stop, _WARM_UP * slow_length)
        for k in range(SYMBOLS):
            macd_line_between(bars[k], states[k], parameters, values[k], 0, start)
        stop = stop if least(states, 3) >= slow_length else start
    a, b, c, d = states[0][0], states[1][0], states[2][0], states[3][0]
    e, f, g, h = states[0][2], states[1][2], states[2][2], states[3][2]
    for i in range(start, stop):
        w, x, y, z = bars[0][CLOSE, i], bars[1][CLOSE, i], bars[2][CLOSE, i], bars[3][CLOSE, i]
        a, e = smoothed(a, w, alpha), smoothed(e, w, slow_alpha)
        b, f = smoothed(b, x, alpha), smoothed(f, x, slow_alpha)
        c, g = smoothed(c, y, alpha), smoothed(g, y, slow_alpha)
        d, h = smoothed(d, z, alpha), smoothed(h, z, slow_alpha)
        values[0][i], values[1][i], values[2][i], values[3][i] = a - e, b - f, c - g, d - h
    states[0][0], states[1][0], states[2][0], states[3][0] = a, b, c, d
    states[0][2], states[1][2], states[2][2], states[3][2] = e, f, g, h
    for k in range(SYMBOLS):
        states[k][1] += stop - start
        states[k][3] += stop - start
        macd_line_between(bars[k], states[k], parameters, values[k], stop, values[k].size)


@kernel_without_allocation
def macd_signal_of_four(
    bars: Four, lines: Four, states: Four, parameters: FloatArray, values: Four
) -> None:
    """`averages.macd_signal`. A line that is known once stays known."""
    length = int(parameters[2])
    start, stop, alpha = 0, shortest(values), 2.0 / (length + 1.0)
    if least(states, 1) < length:
        start = min(stop, _WARM_UP * (int(parameters[1]) + length))
        for k in range(SYMBOLS):
            macd_signal_between(lines[k], states[k], parameters, values[k], 0, start)
        stop = stop if least(states, 1) >= length else start
    a, b, c, d = states[0][0], states[1][0], states[2][0], states[3][0]
    for i in range(start, stop):
        a, b = smoothed(a, lines[0][i], alpha), smoothed(b, lines[1][i], alpha)
        c, d = smoothed(c, lines[2][i], alpha), smoothed(d, lines[3][i], alpha)
        values[0][i], values[1][i], values[2][i], values[3][i] = a, b, c, d
    states[0][0], states[1][0], states[2][0], states[3][0] = a, b, c, d
    for k in range(SYMBOLS):
        states[k][1] += stop - start
        macd_signal_between(lines[k], states[k], parameters, values[k], stop, values[k].size)


@kernel_without_allocation
def atr_of_four(bars: Four, states: Four, parameters: FloatArray, values: Four) -> None:
    """`wilder.atr`."""
    length = int(parameters[0])
    start, stop, share = 0, shortest(values), 1.0 / length
    if least(states, 1) < length:
        start = min(stop, _WARM_UP * length)
        for k in range(SYMBOLS):
            atr_between(bars[k], states[k], parameters, values[k], 0, start)
        stop = stop if least(states, 1) >= length else start
    for k in range(SYMBOLS):
        states[k][2] = _true_ranges(bars[k], states[k][2], values[k], start, stop)
    smooth_in_place(states, 0, share, values, start, stop)
    for k in range(SYMBOLS):
        states[k][1] += stop - start
        atr_between(bars[k], states[k], parameters, values[k], stop, values[k].size)


@inlined_kernel
def _true_ranges(
    bars: FloatArray, previous: float, values: FloatArray, start: int, stop: int
) -> float:
    """True ranges in `values`; the last close."""
    if start == stop:
        return previous
    high, low, close = bars[HIGH][start:stop], bars[LOW][start:stop], bars[CLOSE][start:stop]
    ranges, before = values[start:stop], bars[SCRATCH][start:stop]
    before[0] = previous
    for i in range(1, before.size):
        before[i] = close[i - 1]
    for i in range(ranges.size):
        ranges[i] = max(high[i], before[i]) - min(low[i], before[i])
    return float(close[close.size - 1])


@inlined_kernel
def smooth_in_place(
    states: Four, place: int, share: float, rows: Four, start: int, stop: int
) -> None:
    """Known averages in the place of the values; their levels are at `place` of the states."""
    a, b = states[0][place], states[1][place]
    c, d = states[2][place], states[3][place]
    for i in range(start, stop):
        a, b = smoothed(a, rows[0][i], share), smoothed(b, rows[1][i], share)
        c, d = smoothed(c, rows[2][i], share), smoothed(d, rows[3][i], share)
        rows[0][i], rows[1][i], rows[2][i], rows[3][i] = a, b, c, d
    states[0][place], states[1][place], states[2][place], states[3][place] = a, b, c, d


@kernel_without_allocation
def rsi_of_four(bars: Four, states: Four, parameters: FloatArray, values: Four) -> None:
    """`wilder.rsi`. The quotients have a loop of their own, in which the compiler computes several
    at once.
    """
    length = int(parameters[0])
    start, stop, share = 0, shortest(values), 1.0 / length
    if least(states, 1) < length:
        start = min(stop, _WARM_UP * length)
        for k in range(SYMBOLS):
            rsi_between(bars[k], states[k], parameters, values[k], 0, start)
        stop = stop if least(states, 1) >= length else start
    losses = bars[0][SCRATCH], bars[1][SCRATCH], bars[2][SCRATCH], bars[3][SCRATCH]
    for k in range(SYMBOLS):
        states[k][4] = _moves(bars[k], states[k][4], values[k], start, stop)
    a, b, c, d = states[0][0], states[1][0], states[2][0], states[3][0]
    e, f, g, h = states[0][2], states[1][2], states[2][2], states[3][2]
    for i in range(start, stop):
        a, e = smoothed(a, values[0][i], share), smoothed(e, losses[0][i], share)
        b, f = smoothed(b, values[1][i], share), smoothed(f, losses[1][i], share)
        c, g = smoothed(c, values[2][i], share), smoothed(g, losses[2][i], share)
        d, h = smoothed(d, values[3][i], share), smoothed(h, losses[3][i], share)
        values[0][i], values[1][i], values[2][i], values[3][i] = a, b, c, d
        losses[0][i], losses[1][i], losses[2][i], losses[3][i] = e, f, g, h
    states[0][0], states[1][0], states[2][0], states[3][0] = a, b, c, d
    states[0][2], states[1][2], states[2][2], states[3][2] = e, f, g, h
    for k in range(SYMBOLS):
        _shares_of_gain(values[k][start:stop], losses[k][start:stop])
        states[k][1] += stop - start
        states[k][3] += stop - start
        rsi_between(bars[k], states[k], parameters, values[k], stop, values[k].size)


@inlined_kernel
def _moves(bars: FloatArray, previous: float, values: FloatArray, start: int, stop: int) -> float:
    """Rises of the close in `values`, falls in SCRATCH; the last close."""
    if start == stop:
        return previous
    close, rises, falls = bars[CLOSE][start:stop], values[start:stop], bars[SCRATCH][start:stop]
    rises[0], falls[0] = max(close[0] - previous, 0.0), max(previous - close[0], 0.0)
    before, later, later_rises, later_falls = close[:-1], close[1:], rises[1:], falls[1:]
    for i in range(later.size):
        later_rises[i] = max(later[i] - before[i], 0.0)
        later_falls[i] = max(before[i] - later[i], 0.0)
    return float(close[close.size - 1])


@inlined_kernel
def _shares_of_gain(gains: FloatArray, losses: FloatArray) -> None:
    """100 * gain / (gain + loss) in the place of the gains; 50 without a move."""
    for i in range(gains.size):
        moved = gains[i] + losses[i]
        share = 100.0 * (gains[i] / moved)
        gains[i] = share if moved > 0.0 else 50.0


@kernel_without_allocation
def adx_of_four(bars: Four, states: Four, parameters: FloatArray, values: Four) -> None:
    """`wilder.adx`. First the sums of moves, then the quotients, then their average, in loops of
    their own.
    """
    length = int(parameters[0])
    start, stop, kept = 0, shortest(values), 1.0 - 1.0 / length
    if least(states, 6) < length:
        start = min(stop, _WARM_UP * length)
        for k in range(SYMBOLS):
            adx_between(bars[k], states[k], parameters, values[k], 0, start)
        stop = stop if least(states, 6) >= length else start
    a, b, c, d = states[0][2], states[1][2], states[2][2], states[3][2]
    e, f, g, h = states[0][3], states[1][3], states[2][3], states[3][3]
    for k in range(SYMBOLS):
        _outward_moves(bars[k], states[k], values[k], start, stop)
    downs = bars[0][SCRATCH], bars[1][SCRATCH], bars[2][SCRATCH], bars[3][SCRATCH]
    for i in range(start, stop):
        a, e = a * kept + values[0][i], e * kept + downs[0][i]
        b, f = b * kept + values[1][i], f * kept + downs[1][i]
        c, g = c * kept + values[2][i], g * kept + downs[2][i]
        d, h = d * kept + values[3][i], h * kept + downs[3][i]
        values[0][i], values[1][i], values[2][i], values[3][i] = a, b, c, d
        downs[0][i], downs[1][i], downs[2][i], downs[3][i] = e, f, g, h
    states[0][2], states[1][2], states[2][2], states[3][2] = a, b, c, d
    states[0][3], states[1][3], states[2][3], states[3][3] = e, f, g, h
    still = 0
    for k in range(SYMBOLS):
        still += _directional_indices(values[k][start:stop], downs[k][start:stop])
    if still:
        for k in range(SYMBOLS):
            _average_of_moving(states[k], 1.0 / length, values[k], start, stop)
    else:
        smooth_in_place(states, 5, 1.0 / length, values, start, stop)
        for k in range(SYMBOLS):
            states[k][6] += stop - start
    for k in range(SYMBOLS):
        states[k][4] += stop - start
        adx_between(bars[k], states[k], parameters, values[k], stop, values[k].size)


@inlined_kernel
def _outward_moves(
    bars: FloatArray, state: FloatArray, values: FloatArray, start: int, stop: int
) -> None:
    """Upward moves in `values`, downward ones in SCRATCH; the last high and low in the state."""
    if start == stop:
        return
    high, low, up, down = bars[HIGH], bars[LOW], values, bars[SCRATCH]
    high_before, low_before = state[0], state[1]
    state[0], state[1] = high[stop - 1], low[stop - 1]
    for i in range(start, min(start + 1, stop)):
        up[i], down[i] = _outward(high[i] - high_before, low_before - low[i])
    count = stop - start - 1
    highs, lows = high[start : start + count], low[start : start + count]
    later_highs, later_lows = high[start + 1 : stop], low[start + 1 : stop]
    ups, downs = up[start + 1 : stop], down[start + 1 : stop]
    for i in range(count):
        ups[i], downs[i] = _outward(later_highs[i] - highs[i], lows[i] - later_lows[i])


@inlined_kernel
def _outward(rise: float, fall: float) -> tuple[float, float]:
    """Only the larger of the two outward moves counts. Without `and`, which would be a branch."""
    up = rise if (rise > 0.0) & (rise > fall) else 0.0
    down = fall if (fall > 0.0) & (fall > rise) else 0.0
    return up, down


@inlined_kernel
def _directional_indices(ups: FloatArray, downs: FloatArray) -> int:
    """100 * |up - down| / (up + down) in the place of the sums upward, NaN without a move; how many
    are without one.
    """
    still = 0
    for i in range(ups.size):
        total = ups[i] + downs[i]
        index = 100.0 * abs(ups[i] - downs[i]) / total
        moves = total > 0.0
        still += not moves
        ups[i] = index if moves else np.nan
    return still


@inlined_kernel
def _average_of_moving(
    state: FloatArray, share: float, values: FloatArray, start: int, stop: int
) -> None:
    """The average in the place of the indices; without an index it stays."""
    average, seen = state[5], state[6]
    for i in range(start, stop):
        if not math.isnan(values[i]):
            average = smoothed(average, values[i], share)
            seen += 1.0
        values[i] = average
    state[5], state[6] = average, seen


@kernel_without_allocation
def vwap_distance_of_four(bars: Four, states: Four, parameters: FloatArray, values: Four) -> None:
    """`sessions.vwap_distance`. The quotients have a loop of their own."""
    stop = shortest(values)
    for k in range(SYMBOLS):
        _amounts(bars[k], states[k], values[k], stop)
    kept = bars[0][SCRATCH], bars[1][SCRATCH], bars[2][SCRATCH], bars[3][SCRATCH]
    shares = bars[0][SCRATCH_2], bars[1][SCRATCH_2], bars[2][SCRATCH_2], bars[3][SCRATCH_2]
    _add_up(states, 1, kept, values, stop)
    _add_up(states, 2, kept, shares, stop)
    for k in range(SYMBOLS):
        _distances(bars[k][CLOSE][:stop], shares[k][:stop], values[k][:stop])
        vwap_between(bars[k], states[k], values[k], stop, values[k].size)


@inlined_kernel
def _add_up(states: Four, place: int, kept: Four, rows: Four, stop: int) -> None:
    """Sums in the place of what is added, which begin anew where `kept` is 0."""
    a, b = states[0][place], states[1][place]
    c, d = states[2][place], states[3][place]
    for i in range(stop):
        a, b = a * kept[0][i] + rows[0][i], b * kept[1][i] + rows[1][i]
        c, d = c * kept[2][i] + rows[2][i], d * kept[3][i] + rows[3][i]
        rows[0][i], rows[1][i], rows[2][i], rows[3][i] = a, b, c, d
    states[0][place], states[1][place], states[2][place], states[3][place] = a, b, c, d


@inlined_kernel
def _distances(close: FloatArray, shares: FloatArray, traded: FloatArray) -> None:
    """Close / VWAP - 1 in the place of the amounts; NaN until something traded."""
    for i in range(traded.size):
        distance = 3.0 * close[i] * shares[i] / traded[i] - 1.0
        traded[i] = distance if shares[i] > 0.0 else np.nan


@inlined_kernel
def _amounts(bars: FloatArray, state: FloatArray, values: FloatArray, stop: int) -> None:
    """3 * typical * volume in `values`, volumes in SCRATCH_2, and in SCRATCH 1 where a session goes
    on, else 0.
    """
    if stop == 0:
        return
    days, kept, amounts = bars[SESSION_DAY][:stop], bars[SCRATCH][:stop], values[:stop]
    high, low, close = bars[HIGH][:stop], bars[LOW][:stop], bars[CLOSE][:stop]
    volume, shares = bars[VOLUME][:stop], bars[SCRATCH_2][:stop]
    kept[0] = 1.0 if days[0] == state[0] else 0.0
    earlier, later, continues = days[:-1], days[1:], kept[1:]
    for i in range(earlier.size):
        continues[i] = 1.0 if later[i] == earlier[i] else 0.0
    for i in range(stop):
        amounts[i] = (high[i] + low[i] + close[i]) * volume[i]
        shares[i] = volume[i]
    state[0] = days[stop - 1]


@kernel_without_allocation
def cusum_event_of_four(
    bars: Four, volatilities: Four, states: Four, parameters: FloatArray, values: Four
) -> None:
    """`cusum.cusum_event`."""
    stop = shortest(values)
    for k in range(SYMBOLS):
        _thresholds(bars[k], volatilities[k], parameters[0], values[k], stop)
    a, b = Sums(states[0][0], states[0][1]), Sums(states[1][0], states[1][1])
    c, d = Sums(states[2][0], states[2][1]), Sums(states[3][0], states[3][1])
    for i in range(stop):
        a, values[0][i] = cusum_step(a, bars[0][SCRATCH, i], values[0][i])
        b, values[1][i] = cusum_step(b, bars[1][SCRATCH, i], values[1][i])
        c, values[2][i] = cusum_step(c, bars[2][SCRATCH, i], values[2][i])
        d, values[3][i] = cusum_step(d, bars[3][SCRATCH, i], values[3][i])
    states[0][0], states[0][1], states[1][0], states[1][1] = a.up, a.down, b.up, b.down
    states[2][0], states[2][1], states[3][0], states[3][1] = c.up, c.down, d.up, d.down
    for k in range(SYMBOLS):
        cusum_between(
            bars[k], volatilities[k], states[k], parameters, values[k], stop, values[k].size
        )


@inlined_kernel
def _thresholds(
    bars: FloatArray, volatility: FloatArray, times: float, values: FloatArray, stop: int
) -> None:
    """The threshold of each bar in `values`, infinity where it may not fire, and its return in
    SCRATCH, 0 where there is none.
    """
    change, given = bars[SCRATCH], bars[LOG_RETURN]
    regular = bars[REGULAR]
    for i in range(stop):
        may_fire = (regular[i] > 0.0) & (not math.isnan(volatility[i]))
        values[i] = times * volatility[i] if may_fire else math.inf
        change[i] = 0.0 if math.isnan(given[i]) else given[i]


OF_FOUR: dict[str, Kernel] = {
    "averages:ema": ema_of_four,
    "averages:macd_line": macd_line_of_four,
    "averages:macd_signal": macd_signal_of_four,
    "wilder:rsi": rsi_of_four,
    "wilder:atr": atr_of_four,
    "wilder:adx": adx_of_four,
    "sessions:vwap_distance": vwap_distance_of_four,
    "cusum:cusum_event": cusum_event_of_four,
}
"""by the kernel of one symbol, as the tables in `kinds/` name it"""
