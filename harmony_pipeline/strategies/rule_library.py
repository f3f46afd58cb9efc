"""A library of simple rules, of which each period trades those that earned most before it.

Every rule (`rule_kernels.py`) is a family and a number of bars, followed or faded; both sides are
free, a side is held until it changes, and every bar counts. Orders are taken to fill at the next
bar's open, or at its close (`entry`). Before each month, quarter or year the
daily profits of all rules on all days before it are compared, net of `cost_bps` a side, and each
rule votes with the weight exp(t^2 / 2) of its t-statistic t, where that is positive: the posterior
odds that it is the one rule that earns (Hoeting, Madigan, Raftery and Volinsky, "Bayesian model
averaging", Statistical Science 14, 1999; the flat prior is ours). The side is the sign of the vote.
Where no rule reaches `minimum_t`, nothing is held. Nothing later than the period's first moment is
read, so the returns out of sample are those of one strategy, however large the library is.

What selection alone would be worth is the gate's question: White, "A reality check for data
snooping", Econometrica 68, 2000.

>>> RuleLibrary(formation_days=252, families=("momentum", "opening"))
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.frames import sort_rows, symbol_ranges
from harmony_pipeline.settings_base import FrozenSettings
from harmony_pipeline.strategies import rule_kernels as kernels
from harmony_pipeline.strategies.base import first_day_of_periods, warm_signals

_KEY = ("symbol", "timestamp")
SCALE = "volatility_20"  # by which positions are sized
Family = Literal["momentum", "others", "relative", "volume", "opening", "gap"]
_KINDS: dict[str, int] = {
    "momentum": kernels.MOMENTUM,
    "others": kernels.OTHERS,
    "relative": kernels.RELATIVE,
    "volume": kernels.VOLUME,
    "opening": kernels.OPENING,
    "gap": kernels.GAP,
}
_LEAST_SHARE = 1e-3
_LEAST_T = 1e-9  # a rule that lost is never traded, whatever `minimum_t` says
_TIE = 1e-9  # of the whole vote; what is smaller is rounding
_CUT = {"month": "1mo", "quarter": "1q", "year": "1y"}


@dataclass(frozen=True)
class LibraryRule:
    """A family, its number of bars, and whether its sign is followed (1) or faded (-1)."""

    family: str
    bars: int
    direction: int


@dataclass(frozen=True)
class ChosenRule:
    """A rule that a period trades, its share of the vote, and the t-statistic of its mean daily
    profit before it.
    """

    rule: LibraryRule
    weight: float
    t: float


class RuleLibrary(FrozenSettings):
    """The vote of a library's rules, weighted anew every period by what lies before it."""

    LATER: ClassVar[frozenset[str]] = frozenset({"entry"})
    fills_as: ClassVar[str] = "entry"

    formation_days: int = Field(
        default=252, ge=20, description="days with bars before the first choice"
    )
    window_days: int | None = Field(
        default=None, ge=20, description="latest days that are compared; none means all"
    )
    refit: Literal["month", "quarter", "year"] = Field(
        default="quarter", description="how often rules are chosen"
    )
    families: tuple[Family, ...] = Field(
        default=("momentum", "others", "relative", "volume", "opening", "gap"), min_length=1
    )
    lookbacks: tuple[int, ...] = Field(
        default=(1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 26, 31, 37, 45, 55, 70),
        min_length=1,
        description="bars of the rules",
    )
    cost_bps: float = Field(default=2.0, ge=0.0, description="cost of a side in the comparison")
    minimum_t: float = Field(
        default=1.5, description="t-statistic that one rule must reach for a period to be traded"
    )
    entry: Literal["open", "close"] = Field(
        default="open",
        description="price of the next bar at which orders fill in the comparison; the settings"
        " give it: labels.entry, or that of the strategy's bracket",
    )

    @property
    def reads_bars(self) -> bool:
        """Rules read prices and volumes."""
        return True

    @property
    def memory(self) -> Literal["day", "market"]:
        """Rules are chosen in earlier periods."""
        return "market"

    def required_features(self) -> tuple[str, ...]:
        """The volatility that sizes positions."""
        return (SCALE,)

    def rules(self) -> list[LibraryRule]:
        """Every rule of the library, a direction each."""
        return [
            LibraryRule(family, bars, direction)
            for family in self.families
            for bars in (self.lookbacks if family != "gap" else (1,))
            for direction in (1, -1)
        ]

    def first_day(self, days: pl.Series) -> date | None:
        """The first day of the first period with `formation_days` before it."""
        return first_day_of_periods(days, self.formation_days, _CUT[self.refit])

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        """The side that the period's rules vote for after each bar, at full strength. Bars outside
        regular hours keep the side before them.
        """
        rows = sort_rows(features.filter(pl.col(SCALE).is_finite()), _KEY)
        table = warm_signals(rows, (SCALE,), pl.lit(0))
        regular = (rows["session"] == "regular").to_numpy()
        side = np.zeros(rows.height)
        if regular.any():
            side[regular] = self._sides(rows.filter(pl.Series(regular)))
            kernels.carry_over(_starts(rows["symbol"]), regular, side)
        return table.with_columns(side=pl.Series(side.astype(np.int8)))

    def chosen_by_period(self, features: pl.DataFrame) -> Mapping[date, list[ChosenRule]]:
        """The rules of each period, by its first date and the heaviest first, for a frame as
        `signals` is given; none where nothing is traded.
        """
        regular = (pl.col("session") == "regular") & pl.col(SCALE).is_finite()
        rows = sort_rows(features.filter(regular), _KEY)
        return self._choose(*_rule_bars(rows)) if rows.height else {}

    def _sides(self, rows: pl.DataFrame) -> FloatArray:
        """Side [rows] of each regular bar."""
        bars, dates = _rule_bars(rows)
        periods = dates.dt.truncate(_CUT[self.refit])
        weights: dict[LibraryRule, FloatArray] = {}
        for begin, chosen in self._choose(bars, dates).items():
            inside = (periods == begin).to_numpy()
            for one in chosen:
                weights.setdefault(one.rule, np.zeros(len(dates)))[inside] = one.weight
        votes = np.zeros(rows.height)
        order = {rule: place for place, rule in enumerate(self.rules())}
        # sums keep one order, in which the directions of a rule are neighbours
        ordered = sorted(weights, key=order.__getitem__)
        for _, both in groupby(ordered, key=lambda rule: (rule.family, rule.bars)):
            directions = list(both)
            score = self._scores(bars, directions[0])
            for rule in directions:
                kernels.vote(score, rule.direction * weights[rule], bars.day, votes)
        return np.sign(np.where(np.abs(votes) < _TIE, 0.0, votes))

    @staticmethod
    def _scores(bars: kernels.RuleBars, rule: LibraryRule) -> FloatArray:
        return kernels.scores(bars, _KINDS[rule.family], rule.bars)

    def _choose(self, bars: kernels.RuleBars, dates: pl.Series) -> dict[date, list[ChosenRule]]:
        rules, cost = self.rules(), self.cost_bps / 10_000.0
        held = kernels.holding(bars, bars.open if self.entry == "open" else bars.close, cost)
        profits = np.concatenate(
            [
                kernels.daily_profit(bars, held, self._scores(bars, rule), len(dates))
                for rule in rules[::2]  # a kernel tells both directions
            ]
        )
        chosen: dict[date, list[ChosenRule]] = {}
        for begin in dates.dt.truncate(_CUT[self.refit]).unique().sort():
            end = int((dates < begin).sum())
            if end >= self.formation_days:
                first = max(end - self.window_days, 0) if self.window_days else 0
                t = _t_statistics(profits[:, first:end])
                weight = (
                    _weights(t) if t.max() >= max(self.minimum_t, _LEAST_T) else np.zeros(t.size)
                )
                best = np.argsort(-weight, kind="stable")[: int((weight > 0.0).sum())]
                chosen[begin] = [
                    ChosenRule(rules[place], float(weight[place]), float(t[place]))
                    for place in best
                ]
        return chosen


def _weights(t: FloatArray) -> FloatArray:
    """Shares [rules] of the vote, of t-statistics of which one is positive; those below a
    thousandth of the largest are 0.
    """
    odds = np.square(np.maximum(t, 0.0)) / 2.0
    share = np.exp(odds - odds.max())
    share[(share < _LEAST_SHARE) | (t <= 0.0)] = 0.0
    return np.asarray(share / share.sum())


def _t_statistics(profits: FloatArray) -> FloatArray:
    """[rules] mean over its standard error, of profits [rules, days]; -inf without a move."""
    mean = profits.mean(axis=1, keepdims=True)
    deviation = profits.std(axis=1, ddof=1, mean=mean)
    moves = deviation > 0.0
    error = np.where(moves, deviation, 1.0) / np.sqrt(profits.shape[1])
    return np.where(moves, mean[:, 0] / error, -np.inf)


def _starts(symbols: pl.Series) -> IntArray:
    ranges = symbol_ranges(symbols)
    return np.array([*(start for start, _ in ranges.values()), len(symbols)], np.int64)


def _rule_bars(rows: pl.DataFrame) -> tuple[kernels.RuleBars, pl.Series]:
    """The columns that kernels read, and the date of each day that they count."""
    stamps = rows["timestamp"].cast(pl.Int64).to_numpy()
    moments, moment = np.unique(stamps, return_inverse=True)
    dates = rows["timestamp"].dt.date()
    distinct = dates.unique().sort()
    day = distinct.search_sorted(dates).to_numpy().astype(np.int64)
    starts = _starts(rows["symbol"])
    factor = rows["adjustment_factor"].to_numpy()
    close = np.log(rows["close"].to_numpy() * factor)
    moment = np.ascontiguousarray(moment, dtype=np.int64)
    path, count = kernels.market_path(starts, moment, close, moments.size)
    return (
        kernels.RuleBars(
            starts,
            day,
            np.log(rows["open"].to_numpy() * factor),
            close,
            kernels.volume_surprise(starts, close, rows["volume"].to_numpy() / factor),
            np.ascontiguousarray(rows[SCALE].to_numpy(), dtype=np.float64),
            path[moment],
            count[moment],
        ),
        distinct,
    )
