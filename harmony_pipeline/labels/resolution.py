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
    Positions,
    Prices,
    Sessions,
    session_near,
)
from harmony_pipeline.lent_memory import ArrayRoom
from harmony_pipeline.market.price_grid import Record
from harmony_pipeline.market.session_position import DAY
from harmony_pipeline.portfolio.exit_rules import (
    NOTHING,
    TAKE,
    barrier_levels_of_many,
    exit_at_close,
    exit_by_choice,
    level_now,
    trade_return,
)

NO_ENTRY, UNRESOLVED, UPPER, LOWER, VERTICAL = -2, -1, 0, 1, 2  # what a label touched
GLANCE = 32  # bars; as fast for a horizon of 8
# rounding to 32 bits moves a price by 6e-8 of itself: a glance may only err towards a closer look
_SLACK = 1e-6
AT_ONCE = 512  # events that take each step together


class Ranges(NamedTuple):
    """Highest and lowest adjusted price of each bar, and `GLANCE` more that no level touches."""

    peak: NDArray[np.float32]
    trough: NDArray[np.float32]


class Barriers(NamedTuple):
    """`horizons` rise. `scales` are the bars that the barriers of each are scaled by. `sessions`:
    horizons count sessions, not bars; `closes`: only closes touch; not `watched`: nothing does.
    `late`: an entry fills at the close of its bar, and the position begins with the bar after it.
    """

    horizons: IntArray
    scales: IntArray
    sessions: bool
    closes: bool
    watched: bool
    late: bool
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


class Block(NamedTuple):
    """Some events that take each step together, and their outcomes of one horizon: slices, so that
    the place of an event in them needs no test. `start`: the bar from which each is watched.
    """

    side: NDArray[np.int8]
    entry: IntArray
    entry_price: FloatArray
    end: IntArray
    touched: NDArray[np.int8]
    upper: FloatArray
    lower: FloatArray
    gain: FloatArray
    start: IntArray


@inlined_kernel
def block_of(
    events: EventArrays, found: Outcomes, row: int, first: int, stop: int, start: IntArray
) -> Block:
    """The events `first` to `stop` and a horizon."""
    return Block(
        events.side[first:stop],
        found.entry[first:stop],
        found.entry_price[first:stop],
        found.end[row, first:stop],
        found.touched[row, first:stop],
        found.upper[row, first:stop],
        found.lower[row, first:stop],
        found.gain[row, first:stop],
        start[: stop - first],
    )


def room_for(room: ArrayRoom, horizons: int, events: int) -> Outcomes:
    """Outcomes to be written."""
    shape = horizons, events
    return Outcomes(
        room.empty(events, np.int64),
        room.empty(events, np.float64),
        room.empty(shape, np.int64),
        room.empty(shape, np.int8),
        room.empty(shape, np.float64),
        room.empty(shape, np.float64),
        room.empty(shape, np.float64),
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


def empty_ranges(room: ArrayRoom, bars: int) -> Ranges:
    """The ranges of so many bars, to be written."""
    peak, trough = room.empty((2, bars + GLANCE), np.float32)
    peak[bars:], trough[bars:] = -np.inf, np.inf
    return Ranges(peak, trough)


@inlined_kernel
def bars_to_first_near(ranges: Ranges, start: int, ceiling: Any, floor: Any) -> int:
    """How many of the next bars from `start` on are clear of both levels; `GLANCE` where all
    those that are looked at are.

    32-bit numbers without a branch, so that the compiler compares sixteen at once.
    """
    left, first = np.int32(0), np.uint64(start)
    for bar in range(np.uint32(GLANCE)):
        place = first + np.uint64(bar)
        near = np.int32(1) - np.int32(
            (ranges.peak[place] < ceiling) & (ranges.trough[place] > floor)
        )
        here = near * (np.int32(GLANCE) - np.int32(bar))
        left = max(left, here)
    return int(GLANCE - left)


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
def near_levels(stop: float, take: float, entry_factor: float) -> tuple[Any, Any]:
    """(ceiling, floor): adjusted prices of 32 bits between which no bar touches a level."""
    ceiling = np.float32(max(stop, take) * entry_factor * (1.0 - _SLACK))
    return ceiling, np.float32(min(stop, take) * entry_factor * (1.0 + _SLACK))


@inlined_kernel
def exit_now(
    side: int, stop: float, take: float, entry: int, bar: int, closes: bool, bars: Prices
) -> tuple[int, float]:
    """(kind, reference price) of what one bar does to a trade entered on the bar `entry`. Where
    `closes` touch there is no reference price.
    """
    at, entry_factor = np.uint64(bar), bars.factor[np.uint64(entry)]
    stop_now = level_now(stop, entry_factor, bars.factor[at])
    take_now = level_now(take, entry_factor, bars.factor[at])
    if closes:
        return exit_at_close(side, bars.close[at], stop_now, take_now), np.nan
    return exit_by_choice(
        side, bars.open[at], bars.high[at], bars.low[at], stop_now, take_now, bar == entry
    )


@kernel_without_allocation
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
    """(bar, kind, reference price) of the first touch on bars `start` .. `last`; kind is NOTHING
    when there is none.
    """
    ceiling, floor = near_levels(stop, take, bars.factor[entry])
    bar = start
    while bar <= last:
        clear = bars_to_first_near(ranges, bar, ceiling, floor)
        bar += clear
        if clear == GLANCE:
            continue
        if bar > last:
            break
        kind, reference = exit_now(side, stop, take, entry, bar, closes, bars)
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
    starting: IntArray,
) -> None:
    """Write the outcomes of the events `first_event` to `end_event`, which lie in order of their
    positions. `cuts`, `starts`, `at` and `ends`: MarketArrays. `starting`: room for AT_ONCE.

    Many events take one step before the first of them takes the next: what one computes then need
    not wait for the branches of another.
    """
    for first in range(first_event, end_event, AT_ONCE):
        stop = min(first + AT_ONCE, end_event)
        _enter(events, first, stop, cuts, starts, at, ends, bars, grids, barriers, found)
        entries = found.entry[first:stop]
        for event in range(entries.size):
            starting[event] = entries[event] + barriers.late
        for row in range(len(barriers.horizons)):
            block = block_of(events, found, row, first, stop, starting)
            if barriers.watched:
                _glance(block, bars, ranges)
            for event in range(block.entry.size):
                if block.entry[event] >= 0:
                    _settle(
                        block, event, barriers.horizons[row], bars, ranges, barriers, own_sessions
                    )


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
    first = first_event
    while first < end_event:
        position = int(events.position[first])
        while cuts[segment] <= position:
            segment += 1
        while starts[symbol + 1] <= position:
            symbol += 1
        final = cuts[segment] - 1
        # the events of the segment: but for its last bar each has a next one to be entered on
        stop = first + int(np.searchsorted(events.position[first:end_event], final))
        block = block_of(events, found, 0, first, stop, found.entry)
        prices = bars.close if barriers.late else bars.open
        _enter_block(events.position[first:stop], prices, block)
        for row in range(len(barriers.horizons)):
            found.end[row, first:stop] = final
        _set_barriers(events, first, stop, symbol, at, ends, grids, barriers, found)
        first = stop
        while first < end_event and events.position[first] == final:
            write_no_entry(found, first)
            first += 1


@inlined_kernel
def _enter_block(positions: Positions, prices: FloatArray, block: Block) -> None:
    """Enter each event at the price of the bar after its own."""
    for event in range(positions.size):
        bar = positions[event] + 1
        block.entry[event] = bar
        block.entry_price[event] = prices[np.uint64(bar)]


@inlined_kernel
def _set_barriers(
    events: EventArrays,
    first: int,
    stop: int,
    symbol: int,
    at: IntArray,
    ends: BarEnds,
    grids: Grids,
    barriers: Barriers,
    found: Outcomes,
) -> None:
    """Write the barriers of the events `first` to `stop` of one symbol, run by run of those whose
    prices are on one tick.
    """
    session, begin, known = 0, first, symbol
    if len(grids.changes) > 0:
        for event in range(first, stop):
            entry = found.entry[event]
            session = session_near(ends, session, at[entry])
            day, term = ends.sessions[DAY, session], 0
            while term < len(grids.changes) and grids.changes[term] <= day:
                term += 1
            grid = term * grids.symbols + symbol
            if grid != known:
                _set_levels(events, begin, event, grids.records[known], barriers, found)
                begin, known = event, grid
    _set_levels(events, begin, stop, grids.records[known], barriers, found)


@inlined_kernel
def _set_levels(
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
def _glance(block: Block, bars: Prices, ranges: Ranges) -> None:
    """Write, in place of what is touched, how many bars from the start on are clear of both
    barriers; `GLANCE` where all those that are looked at are.
    """
    for event in range(block.entry.size):
        if block.entry[event] >= 0:
            ceiling, floor = near_levels(
                block.lower[event], block.upper[event], bars.factor[np.uint64(block.entry[event])]
            )
            near = bars_to_first_near(ranges, block.start[event], ceiling, floor)
            block.touched[event] = near


@inlined_kernel
def _settle(
    block: Block,
    event: int,
    horizon: int,
    bars: Prices,
    ranges: Ranges,
    barriers: Barriers,
    own_sessions: SessionStarts,
) -> None:
    """Write how a horizon of one event ends, and where the next horizon goes on.

    Mostly the first bar that is not clear of the barriers touches one, or lies behind the horizon:
    then nothing here depends on a branch that is hard to foresee.
    """
    side, first, final = block.side[event], block.entry[event], block.end[event]
    start = block.start[event]
    limit = last_bar_of_horizon(first, horizon, barriers.sessions, own_sessions)
    if barriers.late and not barriers.sessions:
        limit += 1
    watched = min(limit, final)
    bar, kind, reference = watched, NOTHING, np.nan
    if barriers.watched:
        above, below = block.upper[event], block.lower[event]
        stop, take = (below, above) if side > 0 else (above, below)
        clear = int(block.touched[event])
        near = start + clear
        seen = near <= watched
        bar = near if seen else watched
        kind, reference = exit_now(side, stop, take, first, bar, barriers.closes, bars)
        if seen and (kind == NOTHING or clear == GLANCE):
            bar, kind, reference = first_exit(
                side, stop, take, first, near, watched, barriers.closes, bars, ranges
            )
        kind = kind if seen else NOTHING
    touch = kind != NOTHING
    block.start[event] = bar if touch else watched + 1
    touched = VERTICAL
    if touch:
        touched = UPPER if (kind == TAKE) == (side > 0) else LOWER
    # what a close has touched, and the end of the horizon, are left at the next open
    left = not touch or barriers.closes
    bar = (bar if touch else limit) + left
    if bar > final:
        block.end[event], block.touched[event], block.gain[event] = -1, UNRESOLVED, np.nan
        return
    exit_bar, entry_bar = np.uint64(bar), np.uint64(first)
    reference = bars.open[exit_bar] if left else reference
    block.end[event], block.touched[event] = bar, touched
    block.gain[event] = trade_return(
        side, block.entry_price[event], bars.factor[entry_bar], reference, bars.factor[exit_bar]
    )


@inlined_kernel
def last_bar_of_horizon(first: int, horizon: int, sessions: bool, own: SessionStarts) -> int:
    """The last bar of a trade entered at the open of `first`, on which its barriers are still
    watched: its horizon's last, or the first one of the session so many after the entry's.
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
