"""Scores of simple rules at every bar, and what their sides earned each day.

A rule scores a bar by what is known at its close; its side is the sign of the score, and is held
until the sign changes. Rows are the regular bars of every symbol, sorted by symbol and time;
`starts` has the first row of each symbol and the number of rows. Scores are 0 where a rule is not
warm.

- momentum: log return of L bars (Moskowitz, Ooi and Pedersen, "Time series momentum", Journal of
  Financial Economics 104, 2012). Its negative is the reversal (Jegadeesh, Journal of Finance 45,
  1990).
- others: mean log return of all other symbols in L bars (lead and lag: Lo and MacKinlay, Review of
  Financial Studies 3, 1990).
- relative: own return of L bars less that of the others.
- volume: sum over L bars of return times the surprise in log volume (Llorente, Michaely, Saar and
  Wang, Review of Financial Studies 15, 2002).
- opening: return from the session's first open over its first L bars, until its end (Gao, Han, Li
  and Zhou, "Market intraday momentum", Journal of Financial Economics 129, 2018).
- gap: the session's first open against the close before it, until the session's end.
"""

from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
from harmony_pipeline.kernel import kernel

MOMENTUM, OTHERS, RELATIVE, VOLUME, OPENING, GAP = range(6)
SURPRISE_BARS = 100  # of the mean log volume that a volume is compared with
_NEAR = 1024  # rows whose sums stay in the nearest cache


class RuleBars(NamedTuple):
    """Columns [rows]; `day` counts the different dates."""

    starts: IntArray
    day: IntArray
    open: FloatArray  # log, adjusted
    close: FloatArray  # log, adjusted
    surprise: FloatArray  # of the volume, times the bar's log return
    scale: FloatArray  # deviation of a bar's log return; NaN: unknown, earns nothing
    market: FloatArray  # cumulated mean log return of all symbols
    present: IntArray  # symbols with a bar at that time


class Holding(NamedTuple):
    """What a position earns and pays [rows], at 1 / scale."""

    gain: FloatArray  # of a long one, held from the next bar's price to that of the one after
    fee: FloatArray  # of each side traded


@kernel
def market_path(
    starts: IntArray, moment: IntArray, close: FloatArray, moments: int
) -> tuple[FloatArray, IntArray]:
    """([moments] cumulated mean over symbols of the log return to the bar, [moments] bars)."""
    total, count = np.zeros(moments), np.zeros(moments, np.int64)
    for block in range(starts.size - 1):
        for i in range(starts[block], starts[block + 1]):
            count[moment[i]] += 1
            if i > starts[block]:
                total[moment[i]] += close[i] - close[i - 1]
    path, level = np.zeros(moments), 0.0
    for at in range(moments):
        if count[at] > 0:
            level += total[at] / count[at]
        path[at] = level
    return path, count


@kernel
def past_return_scores(bars: RuleBars, kind: int, lookback: int, score: FloatArray) -> None:
    """Write MOMENTUM, OTHERS or RELATIVE of `lookback` bars to `score` [rows]."""
    for block in range(bars.starts.size - 1):
        first = bars.starts[block]
        for i in range(first, bars.starts[block + 1]):
            score[i] = 0.0
            if i - first < lookback:
                continue
            own = bars.close[i] - bars.close[i - lookback]
            if kind == MOMENTUM:
                score[i] = own
                continue
            symbols = bars.present[i]
            if symbols < 2:
                continue
            every = bars.market[i] - bars.market[i - lookback]
            others = (symbols * every - own) / (symbols - 1)
            score[i] = others if kind == OTHERS else own - others


@kernel
def volume_surprise(starts: IntArray, close: FloatArray, volume: FloatArray) -> FloatArray:
    """Log return of each bar [rows] times how much its log volume is above the usual one; 0 of the
    first bar of a symbol.
    """
    term = np.zeros(close.size)
    rate = 2.0 / (SURPRISE_BARS + 1.0)
    for block in range(starts.size - 1):
        first, usual = starts[block], 0.0
        for i in range(first, starts[block + 1]):
            level = np.log(volume[i] + 1.0)
            usual = level if i == first else usual
            term[i] = (close[i] - close[i - 1]) * (level - usual) if i > first else 0.0
            usual += rate * (level - usual)
    return term


@kernel
def volume_scores(bars: RuleBars, lookback: int, score: FloatArray) -> None:
    """Write VOLUME of `lookback` bars to `score` [rows]."""
    score[:] = 0.0
    for block in range(bars.starts.size - 1):
        first, last = bars.starts[block] + lookback, bars.starts[block + 1]
        for begin in range(first, last, _NEAR):
            sums = score[begin : min(begin + _NEAR, last)]
            # each sum goes from its oldest term to its newest; neighbours are summed side by side
            for before in range(lookback - 1, -1, -1):
                terms = bars.surprise[begin - before : begin - before + sums.size]
                for place in range(sums.size):
                    sums[place] += terms[place]


@kernel
def opening_scores(bars: RuleBars, kind: int, lookback: int, score: FloatArray) -> None:
    """Write OPENING after `lookback` bars, or GAP, to `score` [rows]."""
    for block in range(bars.starts.size - 1):
        first = bars.starts[block]
        began, opened, kept = first, bars.open[first], 0.0
        for i in range(first, bars.starts[block + 1]):
            if i == first or bars.day[i] != bars.day[i - 1]:
                began, opened, kept = i, bars.open[i], 0.0
                if kind == GAP and i > first:
                    kept = opened - bars.close[i - 1]
            if kind == OPENING and i - began == lookback - 1:
                kept = bars.close[i] - opened
            score[i] = kept


@kernel
def scores(bars: RuleBars, kind: int, lookback: int) -> FloatArray:
    """Scores [rows] of one rule."""
    score = np.zeros(bars.close.size)
    if kind <= RELATIVE:
        past_return_scores(bars, kind, lookback, score)
    elif kind == VOLUME:
        volume_scores(bars, lookback, score)
    else:
        opening_scores(bars, kind, lookback, score)
    return score


@kernel
def holding(bars: RuleBars, price: FloatArray, cost: float) -> Holding:
    """What positions earn and pay at `price` [rows], log, adjusted, at which each bar fills orders:
    its open, or its close; `cost` is the log return that a side costs.
    """
    gain, fee = np.zeros(price.size), np.zeros(price.size)
    for block in range(bars.starts.size - 1):
        for i in range(bars.starts[block], bars.starts[block + 1] - 2):
            weight = 1.0 / bars.scale[i] if bars.scale[i] > 0.0 else 0.0
            gain[i] = (price[i + 2] - price[i + 1]) * weight
            fee[i] = cost * weight
    return Holding(gain, fee)


@kernel
def daily_profit(bars: RuleBars, held: Holding, score: FloatArray, days: int) -> FloatArray:
    """[2, days] profit of the sides of `score`, and of the opposite sides, after costs.

    A side known at the close of a bar is held from the next bar's price to that of the one after;
    it is booked on the day of the latter, at which it is known.
    """
    profit = np.zeros((2, days))
    for block in range(bars.starts.size - 1):
        first, last = bars.starts[block], bars.starts[block + 1]
        before, day, own, opposite = 0.0, -1, 0.0, 0.0
        for i in range(first, last - 2):
            if bars.day[i + 2] != day:
                if day >= 0:
                    profit[0, day], profit[1, day] = own, opposite
                day = bars.day[i + 2]
                own, opposite = profit[0, day], profit[1, day]
            side = np.sign(score[i])
            gross, paid = side * held.gain[i], abs(side - before) * held.fee[i]
            own += gross - paid
            opposite += -gross - paid
            before = side
        if day >= 0:
            profit[0, day], profit[1, day] = own, opposite
    return profit


@kernel
def vote(score: FloatArray, share: FloatArray, day: IntArray, votes: FloatArray) -> None:
    """Add the side of each row's `score` to its `votes`, by the `share` [days] of its day."""
    for i in range(score.size):
        votes[i] += np.sign(score[i]) * share[day[i]]


@kernel
def carry_over(starts: IntArray, regular: BoolArray, side: FloatArray) -> None:
    """Give every row that is not regular the side of its symbol's last regular row, in place."""
    for block in range(starts.size - 1):
        held = 0.0
        for i in range(starts[block], starts[block + 1]):
            if regular[i]:
                held = side[i]
            else:
                side[i] = held
