"""The kernels of the triple barriers; the rules themselves are `portfolio/exit_rules.py`.

Bars of all symbols are stored one symbol after the other. A position is an index into that order. A
whole block of eight bars is skipped if its highest and lowest adjusted prices are clear of both
levels. Otherwise its bars are tested one by one, with the arithmetic of the simulator. So the
skipping never changes a result.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.kernel import kernel
from harmony_pipeline.portfolio.exit_rules import (
    NOTHING,
    TAKE,
    barrier_levels,
    exit_at_bar,
    level_now,
    trade_return,
)

UNRESOLVED, UPPER, LOWER, VERTICAL = -1, 0, 1, 2  # what a label touched
_BLOCK = 8  # 4, 16 and 32 were no faster at horizons of 8 and 32 bars
# adjusted prices and exact levels differ by about 1e-16: the block test may only err towards no
# skip
_SLACK = 1e-9


class Prices(NamedTuple):
    """Raw prices of the regular bars and their forward adjustment factors."""

    open: FloatArray
    high: FloatArray
    low: FloatArray
    factor: FloatArray


class Blocks(NamedTuple):
    """Highest and lowest adjusted price of bars 8k .. 8k+7."""

    peak: FloatArray
    trough: FloatArray


class Outcomes(NamedTuple):
    """One row an event: bar positions (-1: none yet), the barrier touched, raw levels and return
    (nan: none yet).
    """

    entry: IntArray
    end: IntArray
    touched: IntArray
    upper: FloatArray
    lower: FloatArray
    gain: FloatArray


@kernel
def block_extremes(bars: Prices) -> Blocks:
    """The extremes of every block, across symbols too. A block with two symbols only prevents a
    skip.
    """
    blocks = (bars.open.size + _BLOCK - 1) // _BLOCK
    peak, trough = np.full(blocks, -np.inf), np.full(blocks, np.inf)
    for bar in range(bars.open.size):
        block = bar // _BLOCK
        peak[block] = max(peak[block], max(bars.high[bar], bars.open[bar]) * bars.factor[bar])
        trough[block] = min(trough[block], min(bars.low[bar], bars.open[bar]) * bars.factor[bar])
    return Blocks(peak, trough)


@kernel
def first_exit(
    side: int, upper: float, lower: float, entry: int, last: int, bars: Prices, blocks: Blocks
) -> tuple[int, int, float]:
    """(bar, kind, reference price) of the first exit on bars `entry` .. `last`; kind is NOTHING
    when there is none.
    """
    stop, take = (lower, upper) if side > 0 else (upper, lower)
    entry_factor = bars.factor[entry]
    ceiling, floor = upper * entry_factor * (1.0 - _SLACK), lower * entry_factor * (1.0 + _SLACK)
    bar = entry
    while bar <= last:
        block = bar // _BLOCK
        block_end = min(block * _BLOCK + _BLOCK - 1, last)
        if blocks.peak[block] >= ceiling or blocks.trough[block] <= floor:
            while bar <= block_end:
                stop_now, take_now = stop, take
                if bars.factor[bar] != entry_factor:
                    stop_now, take_now = (
                        level_now(stop, entry_factor, bars.factor[bar]),
                        level_now(take, entry_factor, bars.factor[bar]),
                    )
                kind, reference = exit_at_bar(
                    side,
                    bars.open[bar],
                    bars.high[bar],
                    bars.low[bar],
                    stop_now,
                    take_now,
                    bar == entry,
                )
                if kind != NOTHING:
                    return bar, kind, reference
                bar += 1
        bar = block_end + 1
    return -1, NOTHING, np.nan


@kernel
def resolve_events(
    position: IntArray,
    side: IntArray,
    volatility: FloatArray,
    last_bar: IntArray,
    bars: Prices,
    blocks: Blocks,
    grids: NDArray[np.void],
    grid_of: IntArray,
    horizon: int,
    profit_take: float,
    stop_loss: float,
    minimum_barrier_bps: float,
) -> Outcomes:
    """The outcome of each event on the bar at `position`.

    `last_bar[b]` is the last bar of bar b's symbol. `grids` are TICK records, and event e is
    rounded by number `grid_of[e]`.
    """
    events = position.size
    entry, end, touched = (
        np.full(events, -1, np.int64),
        np.full(events, -1, np.int64),
        np.full(events, UNRESOLVED, np.int64),
    )
    upper, lower, gain = np.full(events, np.nan), np.full(events, np.nan), np.full(events, np.nan)
    for event in range(events):
        final = last_bar[position[event]]
        first = position[event] + 1
        if first > final:
            continue
        price = bars.open[first]
        above, below = barrier_levels(
            grids[grid_of[event]],
            side[event],
            price,
            volatility[event],
            horizon,
            profit_take,
            stop_loss,
            minimum_barrier_bps,
        )
        entry[event], upper[event], lower[event] = first, above, below
        watched = min(first + horizon - 1, final)
        bar, kind, reference = first_exit(side[event], above, below, first, watched, bars, blocks)
        if kind != NOTHING:
            touched[event] = UPPER if (kind == TAKE) == (side[event] > 0) else LOWER
        elif first + horizon <= final:
            bar = first + horizon
            touched[event], reference = VERTICAL, bars.open[bar]
        else:
            continue
        end[event] = bar
        gain[event] = trade_return(
            side[event], price, bars.factor[first], reference, bars.factor[bar]
        )
    return Outcomes(entry, end, touched, upper, lower, gain)


@kernel
def match_positions(wanted: IntArray, known: IntArray) -> IntArray:
    """Position of each wanted value in `known`; -1 if it is absent.

    `known` rises. `wanted` rises too, but may restart (at the next symbol).
    """
    found = np.full(wanted.size, -1, np.int64)
    at = 0
    for row in range(wanted.size):
        if row > 0 and wanted[row] < wanted[row - 1]:
            at = 0
        while at < known.size and known[at] < wanted[row]:
            at += 1
        if at < known.size and known[at] == wanted[row]:
            found[row] = at
    return found
