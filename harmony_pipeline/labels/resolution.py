"""The kernels of the triple barriers; the rules themselves are `portfolio/exit_rules.py`.

All horizons of an event are settled by one walk from its entry. A longer horizon has wider
barriers, so none of its bars up to where the shorter one ended can have touched them: its walk goes
on from there.

The ranges of 32 bars are compared with both levels at once, as adjusted prices of 32 bits. The
first bar that is not clear of them is tested with the arithmetic of the simulator; when that finds
no touch, the walk goes on behind it. So the glance never changes a result.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.kernel import inlined_kernel, kernel, kernel_without_allocation
from harmony_pipeline.labels.market_arrays import (
    BarEnds,
    EventArrays,
    Grids,
    Prices,
    Sessions,
    session_near,
)
from harmony_pipeline.market.price_grid import Record
from harmony_pipeline.market.session_position import DAY
from harmony_pipeline.portfolio.exit_rules import (
    NOTHING,
    TAKE,
    barrier_levels_of_many,
    exit_at_bar,
    exit_at_close,
    level_now,
    trade_return,
)

NO_ENTRY, UNRESOLVED, UPPER, LOWER, VERTICAL = -2, -1, 0, 1, 2  # what a label touched
_GLANCE = 32  # bars; as fast for a horizon of 8
# rounding to 32 bits moves a price by 6e-8 of itself: a glance may only err towards a closer look
_SLACK = 1e-6
_AT_ONCE = 512  # events whose barriers are set at once


class Ranges(NamedTuple):
    """Highest and lowest adjusted price of each bar, and `_GLANCE` more that no level touches."""

    peak: NDArray[np.float32]
    trough: NDArray[np.float32]


class Barriers(NamedTuple):
    """`horizons` rise. `scales` are the bars that the barriers of each are scaled by. `sessions`:
    horizons count sessions, not bars; `closes`: only closes touch; not `watched`: nothing does.
    """

    horizons: IntArray
    scales: IntArray
    sessions: bool
    closes: bool
    watched: bool
    profit_take: float
    stop_loss: float
    minimum_barrier_bps: float


class SessionStarts(NamedTuple):
    """The sessions in which each symbol has bars, numbered through: `number` of each bar, and the
    position of the first bar of each. Empty where horizons count bars.
    """

    number: Sessions
    first: IntArray


class Outcomes(NamedTuple):
    """What became of every event. `entry` and `entry_price` by event, the others by [horizon,
    event]. `entry` and `end` are positions of bars, -1: none yet; then numbers are nan.
    """

    entry: IntArray
    entry_price: FloatArray
    end: IntArray
    touched: NDArray[np.int8]
    upper: FloatArray
    lower: FloatArray
    gain: FloatArray


def room_for(horizons: int, events: int) -> Outcomes:
    """Outcomes to be written."""
    # in one piece, which the system hands out in larger pages than many small ones
    numbers = np.empty((4 * horizons + 2, events))
    entry_price, upper, lower, gain = numbers[0], *np.split(numbers[1:-1], 4)[:3]
    return Outcomes(
        numbers[-1].view(np.int64),
        entry_price,
        numbers[1 + 3 * horizons : -1].view(np.int64),
        np.empty((horizons, events), np.int8),
        upper,
        lower,
        gain,
    )


@kernel_without_allocation
def adjusted_ranges(bars: Prices, first: int, stop: int, closes: bool, ranges: Ranges) -> None:
    """Write the ranges of the bars `first` to `stop`, or of their closes alone."""
    peak, trough, factor = (
        ranges.peak[first:stop], ranges.trough[first:stop], bars.factor[first:stop],
    )  # fmt: skip
    if closes:
        close = bars.close[first:stop]
        for bar in range(peak.size):
            peak[bar] = trough[bar] = close[bar] * factor[bar]
        return
    opened, high, low = bars.open[first:stop], bars.high[first:stop], bars.low[first:stop]
    for bar in range(peak.size):
        peak[bar] = max(high[bar], opened[bar]) * factor[bar]
        trough[bar] = min(low[bar], opened[bar]) * factor[bar]


def empty_ranges(bars: int) -> Ranges:
    """The ranges of so many bars, to be written."""
    # in one piece, as the outcomes
    peak, trough = np.empty((2, bars + _GLANCE), np.float32)
    peak[bars:], trough[bars:] = -np.inf, np.inf
    return Ranges(peak, trough)


@inlined_kernel
def bars_to_first_near(ranges: Ranges, start: int, ceiling: Any, floor: Any) -> int:
    """How many of the next bars from `start` on are clear of both levels; `_GLANCE` where all
    those that are looked at are.

    32-bit numbers without a branch, so that the compiler compares sixteen at once.
    """
    peak, trough = ranges.peak[start : start + _GLANCE], ranges.trough[start : start + _GLANCE]
    left = np.int32(0)
    for bar in range(np.uint32(_GLANCE)):
        near = np.int32(1) - np.int32((peak[bar] < ceiling) & (trough[bar] > floor))
        here = near * (np.int32(_GLANCE) - np.int32(bar))
        left = max(left, here)
    return int(_GLANCE - left)


@kernel
def session_starts(session: Sessions, starts: IntArray) -> SessionStarts:
    """From each bar's session in the calendar; `starts` are the first positions of the symbols."""
    number, first = np.empty(session.size, np.int32), np.empty(session.size + 1, np.int64)
    count = 0
    for run in range(starts.size - 1):
        for bar in range(starts[run], starts[run + 1]):
            if bar == starts[run] or session[bar] != session[bar - 1]:
                first[count] = bar
                count += 1
            number[bar] = count - 1
    first[count] = session.size
    return SessionStarts(number, first[: count + 1].copy())


@inlined_kernel
def first_exit(
    side: int,
    stop: float,
    take: float,
    entry: int,
    start: int,
    last: int,
    closes: bool,
    bars: Prices,
    ranges: Ranges,
) -> tuple[int, int, float]:
    """(bar, kind, reference price) of the first touch on bars `start` .. `last` of a trade entered
    at the open of `entry`; kind is NOTHING when there is none. Where `closes` touch there is no
    reference price.
    """
    entry_factor = bars.factor[entry]
    ceiling = np.float32(max(stop, take) * entry_factor * (1.0 - _SLACK))
    floor = np.float32(min(stop, take) * entry_factor * (1.0 + _SLACK))
    bar = start
    while bar <= last:
        clear = bars_to_first_near(ranges, bar, ceiling, floor)
        bar += clear
        if clear == _GLANCE:
            continue
        if bar > last:
            break
        stop_now = level_now(stop, entry_factor, bars.factor[bar])
        take_now = level_now(take, entry_factor, bars.factor[bar])
        if closes:
            kind, reference = exit_at_close(side, bars.close[bar], stop_now, take_now), np.nan
        else:
            kind, reference = exit_at_bar(
                side, bars.open[bar], bars.high[bar], bars.low[bar], stop_now, take_now,
                bar == entry,
            )  # fmt: skip
        if kind != NOTHING:
            return bar, kind, reference
        bar += 1
    return -1, NOTHING, np.nan


@kernel_without_allocation
def resolve_events(
    events: EventArrays,
    first_event: int,
    end_event: int,
    cuts: IntArray,
    starts: IntArray,
    at: IntArray,
    ends: BarEnds,
    bars: Prices,
    ranges: Ranges,
    grids: Grids,
    barriers: Barriers,
    own_sessions: SessionStarts,
    found: Outcomes,
) -> None:
    """Write the outcomes of the events `first_event` to `end_event`, which lie in order of their
    positions. `cuts`, `starts`, `at` and `ends`: MarketArrays.

    The barriers of many events are set before the first of them is watched: the divisions of one
    then need not wait for the branches of another.
    """
    for first in range(first_event, end_event, _AT_ONCE):
        stop = min(first + _AT_ONCE, end_event)
        _enter(events, first, stop, cuts, starts, at, ends, bars, grids, barriers, found)
        for event in range(first, stop):
            if found.entry[event] >= 0:
                _watch(events.side[event], bars, ranges, barriers, own_sessions, found, event)


@inlined_kernel
def _enter(
    events: EventArrays,
    first_event: int,
    end_event: int,
    cuts: IntArray,
    starts: IntArray,
    at: IntArray,
    ends: BarEnds,
    bars: Prices,
    grids: Grids,
    barriers: Barriers,
    found: Outcomes,
) -> None:
    """Write entries and barriers; and in place of each end the last bar of the event's segment."""
    segment = np.searchsorted(cuts, events.position[first_event], side="right")
    symbol = np.searchsorted(starts, events.position[first_event], side="right") - 1
    session = term = known = 0
    run = first_event  # the first event of those that share a tick
    for event in range(first_event, end_event):
        position = int(events.position[event])
        while cuts[segment] <= position:
            segment += 1
        while starts[symbol + 1] <= position:
            symbol += 1
        final, first = cuts[segment] - 1, position + 1
        if first > final:
            write_no_entry(found, event)
            continue
        term = 0
        if len(grids.changes) > 0:
            session = session_near(ends, session, at[first])
            day = ends.sessions[DAY, session]
            while term < len(grids.changes) and grids.changes[term] <= day:
                term += 1
        grid = term * grids.symbols + symbol
        if grid != known:
            _set_barriers(events, run, event, grids.records[known], barriers, found)
            run, known = event, grid
        found.entry[event], found.entry_price[event] = first, bars.open[first]
        for row in range(len(barriers.horizons)):
            found.end[row, event] = final
    _set_barriers(events, run, end_event, grids.records[known], barriers, found)


@inlined_kernel
def _set_barriers(
    events: EventArrays, first: int, stop: int, grid: Record, barriers: Barriers, found: Outcomes
) -> None:
    """Write the barriers of the events `first` to `stop`, whose prices are on one tick."""
    for row in range(len(barriers.horizons)):
        above, below = found.upper[row, first:stop], found.lower[row, first:stop]
        if not barriers.watched:
            above[:], below[:] = np.nan, np.nan
            continue
        barrier_levels_of_many(
            grid, events.side[first:stop], found.entry_price[first:stop],
            events.volatility[first:stop], barriers.scales[row], barriers.profit_take,
            barriers.stop_loss, barriers.minimum_barrier_bps, above, below,
        )  # fmt: skip


@inlined_kernel
def _watch(
    side: int,
    bars: Prices,
    ranges: Ranges,
    barriers: Barriers,
    own_sessions: SessionStarts,
    found: Outcomes,
    event: int,
) -> None:
    """Walk from the entry of one event to the ends of all its horizons."""
    first = found.entry[event]
    start = first
    for row in range(len(barriers.horizons)):
        final = found.end[row, event]
        above, below = found.upper[row, event], found.lower[row, event]
        stop, take = (below, above) if side > 0 else (above, below)
        limit = last_bar_of_horizon(first, barriers.horizons[row], barriers.sessions, own_sessions)
        watched = min(limit, final)
        bar, kind, reference = -1, NOTHING, np.nan
        if barriers.watched:
            bar, kind, reference = first_exit(
                side, stop, take, first, start, watched, barriers.closes, bars, ranges
            )
        start = bar if kind != NOTHING else watched + 1
        touched = VERTICAL
        if kind != NOTHING:
            touched = UPPER if (kind == TAKE) == (side > 0) else LOWER
        else:
            bar = limit
        # what a close has touched, and the end of the horizon, are left at the next open
        if kind == NOTHING or barriers.closes:
            bar += 1
            if bar > final:
                bar, touched = -1, UNRESOLVED
            else:
                reference = bars.open[bar]
        found.end[row, event], found.touched[row, event] = bar, touched
        found.gain[row, event] = np.nan
        if bar >= 0:
            found.gain[row, event] = trade_return(
                side, found.entry_price[event], bars.factor[first], reference, bars.factor[bar]
            )


@inlined_kernel
def last_bar_of_horizon(first: int, horizon: int, sessions: bool, own: SessionStarts) -> int:
    """The last bar of a trade entered at `first`, on which its barriers are still watched: its
    horizon's last, or the first one of the session so many after the entry's.
    """
    if not sessions:
        return first + horizon - 1
    number = own.number[first] + horizon
    return int(own.first[min(number, len(own.first) - 1)])


@inlined_kernel
def write_no_entry(found: Outcomes, event: int) -> None:
    """Write that no bar follows the event's."""
    found.entry[event], found.entry_price[event] = -1, np.nan
    for row in range(found.end.shape[0]):
        found.end[row, event], found.touched[row, event] = -1, NO_ENTRY
        found.upper[row, event] = found.lower[row, event] = found.gain[row, event] = np.nan
