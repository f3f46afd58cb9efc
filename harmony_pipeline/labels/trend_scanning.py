"""Trend scanning: which trend follows an event, and how significant it is (Lopez de Prado, Machine
Learning for Asset Managers, 2020, ch. 5.4).

From the close of the event's bar on, a line is fitted by least squares to the adjusted closes of
every window up to the horizon. The window whose slope has the largest absolute t-value is the
event's trend; of equal ones the shortest. The label says whether the trend has the event's side,
the weight is the absolute t-value, but no more than MOST_WEIGHT: prices are on a tick, so that a
few closes often lie on a line without any error, and one such label would outweigh all others. A
window of `n` closes whose correlation with time is r has
t = r * sqrt((n - 2) / (1 - r**2)).

Which window wins is not known before the last one has been seen: so the label ends with the
horizon, and not with the window. Sums are of deviations from the running mean and grow by one close
a step, so the cost is linear in the horizon, and one walk serves all horizons.
"""

import math

import numpy as np
from numpy.typing import NDArray

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.labels.market_arrays import EventArrays, Prices
from harmony_pipeline.labels.resolution import (
    UNRESOLVED,
    VERTICAL,
    Outcomes,
    SessionStarts,
    last_bar_of_horizon,
    write_no_entry,
)
from harmony_pipeline.portfolio.exit_rules import trade_return

MOST_WEIGHT = 20.0
_LEAST_UNEXPLAINED = 1e-12  # part of the variance: a line without any error has a t-value, too
# less is rounding: the variance of closes relative to the first, and the square of t
_FLAT, _NO_TREND = 1e-24, 1e-18


@kernel_without_allocation
def scan_trends(
    events: EventArrays,
    first_event: int,
    end_event: int,
    cuts: IntArray,
    bars: Prices,
    horizons: IntArray,
    sessions: bool,
    own_sessions: SessionStarts,
    shortest: int,
    late: bool,
    found: Outcomes,
    labels: NDArray[np.int8],
    weights: FloatArray,
) -> None:
    """Write outcomes, labels and weights of the events `first_event` to `end_event`, which lie in
    order of their positions. `cuts`: MarketArrays. `horizons` rise. `shortest`: bars after the
    event's of the shortest window, 2 or more. `late`: returns begin at the entry bar's close.
    """
    prices = bars.close if late else bars.open
    segment = 0
    for event in range(first_event, end_event):
        position = int(events.position[event])
        while cuts[segment] <= position:
            segment += 1
        final, first = cuts[segment] - 1, position + 1
        if first > final:
            write_no_entry(found, event)
            for row in range(len(horizons)):
                labels[row, event], weights[row, event] = 0, np.nan
            continue
        found.entry[event], found.entry_price[event] = first, prices[first]
        _scan_event(
            events.side[event], position, final, bars, horizons, sessions, own_sessions, shortest,
            found, labels, weights, event,
        )  # fmt: skip


@inlined_kernel
def _scan_event(
    side: int,
    position: int,
    final: int,
    bars: Prices,
    horizons: IntArray,
    sessions: bool,
    own_sessions: SessionStarts,
    shortest: int,
    found: Outcomes,
    labels: NDArray[np.int8],
    weights: FloatArray,
    event: int,
) -> None:
    base, first, bar = bars.close[position] * bars.factor[position], position + 1, position
    # the count of closes, their mean, and the sums of their squares and of their products with time
    count, mean, squares, products = 1, 0.0, 0.0, 0.0
    strength, trend, best = -1.0, 0.0, first  # strength: the square of t
    for row in range(len(horizons)):
        last = last_bar_of_horizon(first, horizons[row], sessions, own_sessions)
        found.upper[row, event] = found.lower[row, event] = np.nan
        if last > final:
            found.end[row, event], found.touched[row, event] = -1, UNRESOLVED
            found.gain[row, event] = weights[row, event] = np.nan
            labels[row, event] = 0
            continue
        while bar < last:
            bar += 1
            close = bars.close[bar] * bars.factor[bar] / base - 1.0
            off = close - mean
            mean += off / (count + 1)
            squares += off * (close - mean)
            products += (count - 0.5 * (count - 1)) * (close - mean)
            count += 1
            if bar - position >= shortest:
                square = _square_of_t(count, squares, products)
                if square > strength:
                    strength, trend, best = square, products, bar
        found.end[row, event], found.touched[row, event] = last, VERTICAL
        labels[row, event] = strength > 0.0 and trend * side > 0.0
        weights[row, event] = min(math.sqrt(max(strength, 0.0)), MOST_WEIGHT)
        found.gain[row, event] = trade_return(
            side, found.entry_price[event], bars.factor[first], bars.close[best], bars.factor[best]
        )


@inlined_kernel
def _square_of_t(count: int, squares: float, products: float) -> float:
    """From the sums of `count` closes; 0 where they have no trend."""
    if squares <= _FLAT * count:
        return 0.0
    whole = count * (count * count - 1.0) / 12.0 * squares
    explained = products * products
    square = (count - 2) * explained / max(whole - explained, _LEAST_UNEXPLAINED * whole)
    return square if square > _NO_TREND else 0.0
