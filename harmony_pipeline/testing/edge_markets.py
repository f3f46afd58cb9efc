"""Markets of hourly bars with a planted edge of known size, or with none, to try the gate on.

They are made apart from `market/simulation`, by other assumptions: five symbols, six years of seven
hourly bars a session, Student shocks (5 degrees of freedom), volatility that clusters by day and
follows the hour, a common factor, and a night that moves as much as two hours. The edge is a rule:
while its side is held, the expected log return of the next bar is `strength` times the bar's own
volatility in the direction of the side. `strength_of` finds by bisection the strength at which the
rule itself, at `COST` a side, has the wanted annual Sharpe ratio in a market of other seeds.

Sides are known at a bar's close and earn from the next open to the one after, as in Harmony.
"""

import math
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.kernel import kernel
from harmony_pipeline.schemas import TIME

Edge = Literal["none", "momentum", "reversal", "lead_lag", "opening"]
EDGES: tuple[Edge, ...] = ("momentum", "reversal", "lead_lag", "opening")
SYMBOLS, BARS_A_DAY, DAYS_A_YEAR = 5, 7, 252
COST = 0.0002  # log return a side
_FIRST_PRICE = 400.0  # so that a cent is small against the cost
_FIRST = datetime(2018, 1, 2, 14, tzinfo=UTC)
_HOURLY_DEVIATION = 0.25 / math.sqrt(252 * 9)  # 25 % a year; the night counts as two bars
_MOMENTUM_BARS, _REVERSAL_BARS, _LEAD_BARS, _OPENING_BARS = 27, 4, 4, 1
_CODES = {"none": 0, "momentum": 1, "reversal": 2, "lead_lag": 3, "opening": 4}


class Shocks(NamedTuple):
    """Draws of one market: [bars, symbols] but for the common factor [bars] and the volatility of
    the day [days]. Row 7 d is the night before day d's first bar together with that bar.
    """

    own: FloatArray
    common: FloatArray
    level: FloatArray
    wick: FloatArray


def draw(seed: int, years: float) -> Shocks:
    """The shocks of a market; the same seed gives the same."""
    random = np.random.default_rng([seed, 20260])
    days = round(years * DAYS_A_YEAR)
    bars = days * BARS_A_DAY
    level = np.empty(days)
    _cluster(random.standard_normal(days), level)
    student = math.sqrt(3.0 / 5.0)  # unit variance
    return Shocks(
        random.standard_t(5, (bars, SYMBOLS)) * student,
        random.standard_t(5, bars) * student,
        np.exp(level - 0.5 * level.var()),
        random.random((bars, SYMBOLS)),
    )


@kernel
def _cluster(shocks: FloatArray, level: FloatArray) -> None:
    """Write the log volatility of each day: it keeps 97 % of that of the day before."""
    now = 0.0
    for day in range(shocks.size):
        now = 0.97 * now + 0.12 * shocks[day]
        level[day] = now


@kernel
def walk(shocks: Shocks, edge: int, strength: float) -> tuple[FloatArray, FloatArray]:
    """([bars, symbols] log open, log close). A bar opens at the close before it, but for the first
    of a day, which opens after the night's move.
    """
    bars, symbols = shocks.own.shape
    opens, closes = np.zeros((bars, symbols)), np.zeros((bars, symbols))
    sides = np.zeros((bars, symbols))
    hour = np.array([1.3, 1.0, 0.85, 0.8, 0.85, 0.95, 1.25])
    for t in range(bars):
        scale = _HOURLY_DEVIATION * shocks.level[t // BARS_A_DAY] * hour[t % BARS_A_DAY]
        first = t % BARS_A_DAY == 0
        for s in range(symbols):
            shock = math.sqrt(0.3) * shocks.common[t] + math.sqrt(0.7) * shocks.own[t, s]
            before = closes[t - 1, s] if t > 0 else math.log(_FIRST_PRICE)
            # the side of the bar before last earns from this bar's open on
            drift = strength * sides[t - 1, s] * scale if t > 0 else 0.0
            night = 0.0
            if first and t > 0:
                night = 1.4 * _HOURLY_DEVIATION * shocks.level[t // BARS_A_DAY] * shock
                shock = shocks.own[t, s]
            opens[t, s] = before + night
            closes[t, s] = opens[t, s] + scale * shock + drift
        _sides_after(opens, closes, t, edge, sides)
    return opens, closes


@kernel
def _sides_after(
    opens: FloatArray, closes: FloatArray, t: int, edge: int, sides: FloatArray
) -> None:
    """Write the sides that are known at the close of bar `t`."""
    symbols = opens.shape[1]
    for s in range(symbols):
        score = 0.0
        if edge == 1 and t >= _MOMENTUM_BARS:
            score = closes[t, s] - closes[t - _MOMENTUM_BARS, s]
        elif edge == 2 and t >= _REVERSAL_BARS:
            score = closes[t - _REVERSAL_BARS, s] - closes[t, s]
        elif edge == 3 and t >= _LEAD_BARS:
            for other in range(symbols):
                if other != s:
                    score += closes[t, other] - closes[t - _LEAD_BARS, other]
        elif edge == 4:
            begin = t - t % BARS_A_DAY
            if begin + _OPENING_BARS - 1 <= t < begin + BARS_A_DAY - 1:
                score = closes[begin + _OPENING_BARS - 1, s] - opens[begin, s]
        sides[t, s] = np.sign(score)


@kernel
def rule_profit(opens: FloatArray, closes: FloatArray, edge: int, cost: float) -> FloatArray:
    """[days] net log profit of the planted rule itself, equal money in every symbol."""
    bars, symbols = opens.shape
    sides, profit = np.zeros((bars, symbols)), np.zeros(bars // BARS_A_DAY)
    for t in range(bars - 2):
        _sides_after(opens, closes, t, edge, sides)
        for s in range(symbols):
            before = sides[t - 1, s] if t > 0 else 0.0
            gross = sides[t, s] * (opens[t + 2, s] - opens[t + 1, s])
            paid = abs(sides[t, s] - before) * cost
            profit[(t + 2) // BARS_A_DAY] += (gross - paid) / symbols
    return profit


def annual_sharpe(profit: FloatArray) -> float:
    """Of daily profits."""
    return float(profit.mean() / profit.std(ddof=1) * math.sqrt(DAYS_A_YEAR))


@cache
def strength_of(edge: Edge, sharpe: float) -> float:
    """The strength at which the rule's own net annual Sharpe ratio is `sharpe`, over 120 years."""
    if edge == "none" or sharpe == 0.0:
        return 0.0
    draws = [draw(900_000 + seed, 30.0) for seed in range(4)]
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2.0
        found = np.mean(
            [
                annual_sharpe(rule_profit(*walk(shocks, _CODES[edge], middle), _CODES[edge], COST))
                for shocks in draws
            ]
        )
        low, high = (middle, high) if found < sharpe else (low, middle)
    return (low + high) / 2.0


def bars_of_market(
    edge: Edge,
    sharpe: float,
    seed: int,
    years: float = 6.0,
    opens_at: pl.Series | None = None,
) -> pl.DataFrame:
    """[symbol, timestamp, open, high, low, close, volume] of one market, by symbol and time.

    `opens_at` (datetimes, UTC) has the first bar of each day, of which as many are used as the
    years need; by default every weekday at 14:00 UTC. Raises ValueError when there are too few.
    """
    shocks = draw(seed, years)
    opens, closes = walk(shocks, _CODES[edge], strength_of(edge, sharpe))
    days = _weekdays(len(shocks.level)) if opens_at is None else opens_at.head(len(shocks.level))
    if len(days) < len(shocks.level):
        raise ValueError(f"{len(shocks.level)} days are needed and {len(days)} were given")
    begins = days.dt.epoch("us").to_numpy()
    hours = np.arange(BARS_A_DAY) * round(timedelta(hours=1) / timedelta(microseconds=1))
    stamps = pl.Series((begins[:, None] + hours).ravel()).cast(TIME)
    spread = 0.4 * _HOURLY_DEVIATION * shocks.wick
    highs = np.maximum(opens, closes) + spread
    lows = np.minimum(opens, closes) - spread[:, ::-1]
    volume = np.round(5e6 * (0.5 + shocks.wick))
    frames = [
        pl.DataFrame(
            {
                "symbol": f"S{s}",
                "timestamp": stamps,
                **{
                    name: np.round(np.exp(values[:, s]), 2)
                    for name, values in (
                        ("open", opens), ("high", highs), ("low", lows), ("close", closes)
                    )
                },
                "volume": volume[:, s],
            }
        )
        for s in range(SYMBOLS)
    ]  # fmt: skip
    return pl.concat(frames)


def _weekdays(count: int) -> pl.Series:
    """That many weekdays at 14:00 UTC."""
    found: list[datetime] = []
    day = _FIRST
    while len(found) < count:
        if day.weekday() < 5:
            found.append(day)
        day += timedelta(days=1)
    return pl.Series(found, dtype=TIME)
