"""Trades and quotes of each simulated bar.

The trades of a bar sum to it. The first is at its open and the last at its close, one is at its
high and one at its low, all lie between, and their sizes sum to its volume exactly. So bars made of
the tape equal the bars of the market, bit for bit, and the tape does not change the market. There
are `trade_count` trades, or more if the bar's prices need more: a bar of one trade whose open and
close differ gets as many as it has prices. (The vwap of the bar is drawn separately and is not that
of the tape.)

A trade is at the bid or at the ask of a quote strictly before it. A quote exists only where one
side moves. Every number is drawn by (company, bar, trade, draw).
"""

import math
from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.simulation.price_process import tick_of
from harmony_pipeline.market.simulation.random_keys import fold, uniform

TAPE = 4  # branch below the seed, after those of market/simulation/random_keys.py
_WIDEST = 4.0  # ticks between bid and ask at most, most often one or two
_LOTS = 20.0


class Bars(NamedTuple):
    """Bars of one company: `begin` and `end` of trading inside each [us], prices, volume and trade
    count, `stamp` as key.
    """

    stamp: IntArray
    begin: IntArray
    end: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    trades: FloatArray


@kernel
def trades_in(opening: float, high: float, low: float, close: float, trades: float) -> int:
    """Number of trades of a bar: its own, but enough to reach its open, high, low and close."""
    if opening == close == high == low:
        return max(1, int(trades))
    needed = 2 + int(high > max(opening, close)) + int(low < min(opening, close))
    return max(needed, int(trades))


@kernel
def count_trades(bars: Bars) -> IntArray:
    """Number of trades of each bar."""
    counts = np.empty(len(bars.stamp), np.int64)
    for bar in range(len(counts)):
        counts[bar] = trades_in(
            bars.open[bar], bars.high[bar], bars.low[bar], bars.close[bar], bars.trades[bar]
        )
    return counts


@kernel
def price_between(
    before: float, after: float, part: float, low: float, high: float, chance: float
) -> float:
    """A random price on the way from one fixed price to the next, on the tick and
    inside the bar.
    """
    price = before + (after - before) * part + 0.5 * (high - low) * (chance - 0.5)
    price = math.floor(price * tick_of(price) + 0.5) / tick_of(price) if price > 0.0 else low
    return min(high, max(low, price))


@kernel
def generate_trades(
    key: np.uint64, bars: Bars, stamps: IntArray, prices: FloatArray, sizes: FloatArray
) -> None:
    """Trades in time order, as many as `count_trades`: `stamps` [us], `prices`,
    `sizes` [shares].
    """
    at = 0
    for bar in range(len(bars.stamp)):
        opening, high, low, close = bars.open[bar], bars.high[bar], bars.low[bar], bars.close[bar]
        count = trades_in(opening, high, low, close, bars.trades[bar])
        draws = fold(key, bars.stamp[bar])
        # --- where the extremes are, apart from the first and the last trade ----------------------
        top, bottom, inner = -1, -1, count - 2
        if high > max(opening, close):
            top = 1 + min(inner - 1, int(uniform(draws, 0) * inner))
        if low < min(opening, close):
            places = inner - (1 if top > 0 else 0)
            bottom = 1 + min(places - 1, int(uniform(draws, 1) * places))
            if top > 0 and bottom >= top:
                bottom += 1
        # --- shares: whole ones, or quarters where there are more trades than shares --------------
        unit = 1.0 if bars.volume[bar] >= count else 0.25
        left = bars.volume[bar] / unit - count
        first, reached, span = bars.begin[bar] + 1, 0, float(bars.end[bar] - bars.begin[bar] - 1)
        for number in range(count):
            draw = fold(draws, number)
            following = count - 1
            if top > number:
                following = min(following, top)
            if bottom > number:
                following = min(following, bottom)
            before = opening if reached == 0 else (high if reached == top else low)
            after = close if following == count - 1 else (high if following == top else low)
            if number == 0:
                price = opening
            elif number == count - 1:
                price = close
            elif number == top:
                price, reached = high, top
            elif number == bottom:
                price, reached = low, bottom
            else:
                price = price_between(
                    before,
                    after,
                    (number - reached) / (following - reached),
                    low,
                    high,
                    uniform(draw, 0),
                )
            extra = (
                left
                if number == count - 1
                else min(left, math.floor(2.0 * uniform(draw, 1) * left / (count - number)))
            )
            left -= extra
            stamps[at] = first + int((number + uniform(draw, 2)) / count * span)
            prices[at], sizes[at] = price, (1.0 + extra) * unit
            at += 1


@kernel
def generate_quotes(
    key: np.uint64,
    bars: Bars,
    counts: IntArray,
    traded: IntArray,
    prices: FloatArray,
    stamps: IntArray,
    values: FloatArray,
    behind: IntArray,
) -> int:
    """The quotes before the trades; returns their number.

    Written: `stamps` [us], `values` [quotes, 4] (bid, bid size, ask, ask size), `behind` (the trade
    that follows).
    """
    at, trade = 0, 0
    for bar in range(len(counts)):
        # every bar restates its quote, so that any range of bars stands alone
        bid, ask, earliest = 0.0, 0.0, bars.begin[bar]
        draws = fold(key, bars.stamp[bar])
        for number in range(counts[bar]):
            moment, price = traded[trade], prices[trade]
            if moment > earliest:
                draw, grid = fold(draws, -1 - number), tick_of(price)
                width = 1.0 + math.floor((_WIDEST - 1.0) * uniform(draw, 0) * uniform(draw, 0))
                ticks = math.floor(price * grid + 0.5)
                bought = uniform(draw, 1) < 0.5 and ticks > 1.0
                new_bid, new_ask = (
                    (max(1.0, ticks - width) / grid, price)
                    if bought
                    else (price, (ticks + width) / grid)
                )
                if new_bid != bid or new_ask != ask:
                    bid, ask = new_bid, new_ask
                    stamps[at] = earliest + min(
                        moment - earliest - 1,
                        int((moment - earliest) * (0.2 + 0.6 * uniform(draw, 2))),
                    )
                    values[at, 0], values[at, 1] = (
                        bid,
                        100.0 * (1.0 + math.floor(_LOTS * uniform(draw, 3))),
                    )
                    values[at, 2], values[at, 3] = (
                        ask,
                        100.0 * (1.0 + math.floor(_LOTS * uniform(draw, 4))),
                    )
                    behind[at] = trade
                    at += 1
            earliest = moment
            trade += 1
    return at
