"""The fast path: rows that no rule reports are accepted without the full set of rules.

Nearly all rows are uneventful. Such a row is the only one for its time and is sound by itself. It
differs from the bar before, its session has begun, its price is near the last close, its volume is
not unusual, and no rule is waiting for it. The full path calls a dozen functions for each row, and
most of their cost is the counting of references to arrays. This loop calls none. It stops at the
first row that any rule might report and leaves that row to the full path. The state that it writes
is the one that `history.remember` would write.
"""

import math

from harmony_pipeline.arrays import ByteArray, FloatArray, IntArray
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.validation.judged_bar import Limits
from harmony_pipeline.market.validation.symbol_state import (
    BARS,
    CLOSE,
    CLOSE_DAY,
    CLOSE_STAMP,
    FACTOR,
    FROZEN,
    LARGEST_VOLUME,
    LAST_DAY,
    LAST_STAMP,
    RETURN_COUNT,
    RETURN_WINDOW,
    RETURNS,
    RUN,
    SAME_CLOSE,
    SAME_HIGH,
    SAME_LOW,
    SAME_OPEN,
    SAME_VOLUME,
    SCALE_BARS,
    SEEN,
    SESSION_DAY,
    SESSION_VOLUME,
    SPIKE_STAMP,
    SPLITS,
    UNIT_BARS,
)

_NEAR = 5.0  # a price or vwap within this factor is in the same unit


@kernel
def is_uneventful(state: FloatArray, day: int, regular: bool) -> bool:
    """Whether rows of this day can take the fast path.

    The symbol is known and no corporate action is due. In regular hours its session has begun, and
    no spike or changed unit is being followed.
    """
    if state[SEEN] == 0.0 or state[LAST_DAY] != day:
        return False
    return not regular or (
        state[CLOSE_DAY] == day
        and state[SESSION_DAY] == day
        and state[SPLITS] == 1.0
        and math.isnan(state[SPIKE_STAMP])
        and state[UNIT_BARS] == 0.0
    )


@kernel
def keep_uneventful_rows(
    row: int,
    end: int,
    until: int,
    grid: int,
    clock: int,
    stamps: IntArray,
    o: FloatArray,
    h: FloatArray,
    l: FloatArray,  # noqa: E741 - the letters of a bar
    c: FloatArray,
    v: FloatArray,
    vwap: FloatArray,
    defect: ByteArray,
    state: FloatArray,
    limits: Limits,
    regular: bool,
    part: int,
    rule_out: ByteArray,
    part_out: ByteArray,
    factor_out: FloatArray,
) -> int:
    """Accept uneventful rows from `row` on, before `until`; return the first other row.

    Over 60 lines because the loop calls no function: the state is read into local variables before
    it and written back after it, and calls would cost more than the comparisons.
    """
    factor, largest = state[FACTOR], state[LARGEST_VOLUME] * limits.volume_spike_ratio
    up, down = (
        1.0 + min(limits.max_bar_return, _NEAR - 1.0),
        max(1.0 - limits.max_bar_return, 1.0 / _NEAR),
    )
    least, most_price, most_volume = limits.min_price, limits.max_price, limits.max_volume
    frozen, frozen_limit = state[FROZEN], min(limits.frozen_bars, limits.frozen_flat_bars)
    last_open, last_high, last_low, last_close, last_volume = (
        state[SAME_OPEN],
        state[SAME_HIGH],
        state[SAME_LOW],
        state[SAME_CLOSE],
        state[SAME_VOLUME],
    )
    previous, most, place = state[CLOSE], state[SESSION_VOLUME], int(state[RETURN_COUNT]) % RETURNS
    # Separate arrays counted from 0: no index can be negative for the compiler, which halves the
    # loop's time.
    times, opens, highs, lows, closes, volumes, vwaps = (
        stamps[row:end],
        o[row:end],
        h[row:end],
        l[row:end],
        c[row:end],
        v[row:end],
        vwap[row:end],
    )
    rules, parts, factors, defects = (
        rule_out[row:end],
        part_out[row:end],
        factor_out[row:end],
        defect[row:end],
    )
    # the next start that needs no division to be found on the grid
    on_grid = times[0] if (times[0] + clock) % grid == 0 else -1
    kept = 0
    for at in range(times.size):
        stamp, first, high, low, close, volume = (
            times[at],
            opens[at],
            highs[at],
            lows[at],
            closes[at],
            volumes[at],
        )
        if (
            stamp >= until
            or (at + 1 < times.size and times[at + 1] == stamp)
            or (stamp != on_grid and (stamp + clock) % grid != 0)
        ):
            break
        if not (
            low >= least
            and low <= first <= high
            and low <= close <= high <= most_price
            and 0.0 < volume <= most_volume
        ):
            break
        if high > up * close or low < down * close or (defects.size > 0 and defects[at] != 0):
            break
        run = (
            frozen + 1.0
            if first == last_open and high == last_high and low == last_low and close == last_close
            else 1.0
        )
        if run > 1.0 and (volume == last_volume or run >= frozen_limit):
            break
        if regular:
            ratio = close / previous
            if (
                not limits.outlier_down < ratio < limits.outlier_up
                or first > _NEAR * previous
                or first * _NEAR < previous
            ):
                break
            if (
                vwaps[at] > _NEAR * close
                or 0.0 < vwaps[at] * _NEAR < close
                or (largest > 0.0 and volume >= largest)
            ):
                break
            state[RETURN_WINDOW + place] = ratio
            place = place + 1 if place + 1 < RETURNS else 0
            most = max(most, volume)
            previous = close
        elif close > _NEAR * last_close or close * _NEAR < last_close:
            break
        frozen, on_grid, kept = run, stamp + grid, at + 1
        last_open, last_high, last_low, last_close, last_volume = first, high, low, close, volume
        rules[at], parts[at], factors[at] = 0, part, factor
    if kept == 0:
        return row
    last = times[kept - 1]
    state[RUN], state[BARS], state[LAST_STAMP] = 1.0, state[BARS] + kept, last
    state[FROZEN], state[SCALE_BARS] = frozen, 0.0
    state[SAME_OPEN], state[SAME_HIGH], state[SAME_LOW], state[SAME_CLOSE], state[SAME_VOLUME] = (
        last_open,
        last_high,
        last_low,
        last_close,
        last_volume,
    )
    if regular:
        state[CLOSE], state[CLOSE_STAMP], state[SESSION_VOLUME] = previous, last, most
        state[RETURN_COUNT] += kept
    return row + kept
