"""Pairs: two prices that returned to one line in the past are bet to return again.

Every month, quarter or year all pairs of symbols are searched on the daily closes of the
`formation_days` days before it, and on nothing later. A pair must be cointegrated (`cointegration`)
at `level`, have a positive hedge ratio, and come back fast enough (`half_life`). The best pairs are
taken, each symbol in one. Inside the period line and deviation are fixed: z = (log y - alpha - beta
* log x) / deviation. The spread is sold above `entry_z` and bought below `-entry_z`; it is left at
`exit_z`, after `maximum_bars`, or beyond `stop_z`, after which the pair rests until the next
search. A new period closes what the old one left open. (Gatev, Goetzmann and Rouwenhorst, "Pairs
trading", Review of Financial Studies 19, 2006, for formation and trading; Vidyamurthy, Pairs
Trading, 2004, for cointegration.)

Hedge: a move of x moves y by beta, so x is held for beta times the value of y. The sizing rule buys
value in proportion to strength / volatility; so strength_x / strength_y = beta * volatility_x /
volatility_y, the larger of the two being 1. Limits, prices and lots make the hedge approximate.

>>> PairsTrading(formation_days=252, level=0.05)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field, model_validator

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.kernel import kernel
from harmony_pipeline.settings_base import FrozenSettings
from harmony_pipeline.strategies.base import first_day_of_periods, warm_signals
from harmony_pipeline.strategies.cointegration import CRITICAL, critical_value, search

SCALE = "volatility_20"  # by which positions are sized
_CUT = {"month": "1mo", "quarter": "1q", "year": "1y"}


@dataclass(frozen=True)
class Pair:
    """A relation that is traded: log y = alpha + beta * log x, with the deviation of its
    residuals.
    """

    y: str
    x: str
    alpha: float
    beta: float
    deviation: float
    statistic: float
    half_life_days: float


class SpreadRule(NamedTuple):
    """The numbers of the rule, as the kernel reads them."""

    entry_z: float
    exit_z: float
    stop_z: float
    maximum_bars: int


@kernel
def spread_sides(z: FloatArray, rule: SpreadRule) -> tuple[npt.NDArray[np.int8], IntArray]:
    """(side of the spread, place of its entry) at each moment of one period; z is NaN where one leg
    has no bar.

    Such a moment decides nothing, but it counts for the longest holding.
    """
    sides, entries = np.zeros(z.size, np.int8), np.full(z.size, -1, np.int64)
    side, entry, resting, broken = 0, -1, False, False
    for i in range(z.size):
        known = not np.isnan(z[i])
        if side != 0:
            if known and -side * z[i] >= rule.stop_z:
                side, broken = 0, True
            elif known and -side * z[i] <= rule.exit_z:
                side = 0
            elif i - entry >= rule.maximum_bars:
                side, resting = 0, True
        if known and resting and abs(z[i]) < rule.entry_z:
            resting = False
        ready = known and side == 0 and not broken and not resting
        if ready and rule.entry_z <= abs(z[i]) < rule.stop_z:
            side, entry = (-1 if z[i] > 0.0 else 1), i
        sides[i], entries[i] = side, entry if side != 0 else -1
    return sides, entries


class PairsTrading(FrozenSettings):
    """Cointegrated pairs, searched anew every period on what lies before it."""

    formation_days: int = Field(default=252, ge=20, description="days with bars that are searched")
    refit: Literal["month", "quarter", "year"] = Field(
        default="quarter", description="how often pairs are searched"
    )
    level: float = Field(default=0.05, description="level of the test: 0.01, 0.05 or 0.1")
    lags: int = Field(default=1, ge=0, le=10, description="lagged changes in the test")
    half_life: float = Field(
        default=30.0, gt=0.0, description="days in which half of a deviation must be gone"
    )
    maximum_pairs: int = Field(default=5, ge=1)
    minimum_overlap: float = Field(
        default=0.9, gt=0.0, le=1.0, description="share of the formation days that both have"
    )
    entry_z: float = Field(default=2.0, gt=0.0)
    exit_z: float = Field(default=0.5)
    stop_z: float = Field(default=4.0, gt=0.0)
    maximum_bars: int = Field(default=140, ge=1, description="longest holding")

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        if self.level not in CRITICAL:
            raise ValueError(
                f"level ({self.level}) must be one of {', '.join(map(str, CRITICAL))}, for which"
                " critical values are known"
            )
        if not self.exit_z < self.entry_z < self.stop_z:
            raise ValueError(
                f"exit_z ({self.exit_z}), entry_z ({self.entry_z}) and stop_z ({self.stop_z}) must"
                " rise in this order"
            )
        return self

    @property
    def reads_bars(self) -> bool:
        """Relations are between prices."""
        return True

    @property
    def memory(self) -> Literal["day", "market"]:
        """Pairs are found in earlier periods."""
        return "market"

    def required_features(self) -> tuple[str, ...]:
        """The volatility that sizes the legs."""
        return (SCALE,)

    def first_day(self, days: pl.Series) -> date | None:
        """The first day of the first period with `formation_days` before it."""
        return first_day_of_periods(days, self.formation_days, _CUT[self.refit])

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        """The side of each leg after each bar, at the strength that hedges it."""
        rows = features.sort("symbol", "timestamp", maintain_order=True)
        table = warm_signals(rows, (SCALE,), pl.lit(0)).with_columns(strength=pl.lit(0.0))
        if table.is_empty():
            return table
        priced = _priced(rows, table, _CUT[self.refit])
        side, strength = np.zeros(table.height, np.int8), np.zeros(table.height)
        for begin, pairs in self.pairs_by_period(rows).items():
            if not pairs:
                continue
            inside = priced.filter(pl.col("period") == begin)
            legs = {symbol: leg for (symbol,), leg in inside.group_by("symbol")}
            for pair in pairs:
                if pair.y in legs and pair.x in legs:
                    self._trade(pair, legs[pair.y], legs[pair.x], side, strength)
        return table.with_columns(side=pl.Series(side), strength=pl.Series(strength))

    def pairs_by_period(self, bars: pl.DataFrame) -> Mapping[date, list[Pair]]:
        """The pairs of each period, by its first date. `bars` are sorted by symbol and time; the
        close of a day is that of its last regular bar.
        """
        dated = bars.select(
            "symbol", "session", "close", "adjustment_factor", date=pl.col("timestamp").dt.date()
        )
        wide = (
            dated.filter(pl.col("session") == "regular")
            .group_by("date", "symbol", maintain_order=True)
            .agg(price=(pl.col("close") * pl.col("adjustment_factor")).last().log())
            .pivot(on="symbol", index="date", values="price")
            .sort("date")
        )
        symbols = sorted(name for name in wide.columns if name != "date")
        prices = wide.select(pl.col(symbols).fill_null(np.nan)).to_numpy()
        found: dict[date, list[Pair]] = {}
        for begin in dated["date"].dt.truncate(_CUT[self.refit]).unique().sort():
            before = int((wide["date"] < begin).sum())
            if before >= self.formation_days:
                found[begin] = self._find(symbols, prices[before - self.formation_days : before])
        return found

    def _find(self, symbols: list[str], prices: FloatArray) -> list[Pair]:
        """The best pairs of one formation window, each symbol in one."""
        smallest = int(np.ceil(self.minimum_overlap * len(prices)))
        places, found = search(np.ascontiguousarray(prices), self.lags, smallest)
        limit = critical_value(self.level, len(prices) - 1)
        chosen: list[Pair] = []
        for row in np.lexsort((places[:, 1], places[:, 0], found[:, 3])):
            y, x = (symbols[place] for place in places[row])
            pair = Pair(y, x, *map(float, found[row]))
            if not pair.statistic < limit or len(chosen) == self.maximum_pairs:
                break
            used = {symbol for one in chosen for symbol in (one.y, one.x)}
            if pair.beta > 0.0 and pair.half_life_days <= self.half_life and not {y, x} & used:
                chosen.append(pair)
        return chosen

    def _trade(
        self,
        pair: Pair,
        y: pl.DataFrame,
        x: pl.DataFrame,
        side: npt.NDArray[np.int8],
        strength: FloatArray,
    ) -> None:
        """Write side and strength of both legs in one period."""
        both = (
            y.select("timestamp", y="price", scale_y=SCALE)
            .join(
                x.select("timestamp", x="price", scale_x=SCALE),
                on="timestamp",
                how="full",
                coalesce=True,
            )
            .sort("timestamp")
        )
        spread = (pl.col("y") - pair.alpha - pair.beta * pl.col("x")) / pair.deviation
        z = both.select(spread.fill_null(np.nan)).to_series().to_numpy(writable=True)
        sides, entries = spread_sides(
            z, SpreadRule(self.entry_z, self.exit_z, self.stop_z, self.maximum_bars)
        )
        scales = both.select(pl.col("scale_y", "scale_x").fill_null(np.nan)).to_numpy()[entries]
        moments = both["timestamp"].to_physical().to_numpy()
        hedge = pair.beta * scales[:, 1] / scales[:, 0]  # strength of x over that of y
        hedge = np.where(np.isfinite(hedge) & (hedge > 0.0), hedge, 1.0)
        for leg, sign, share in ((y, 1, 1.0 / hedge), (x, -1, hedge)):
            at = np.searchsorted(moments, leg["timestamp"].to_physical().to_numpy())
            places = leg["row"].to_numpy()
            side[places] = sign * sides[at]
            strength[places] = np.where(sides[at] != 0, np.minimum(share[at], 1.0), 0.0)


def _priced(rows: pl.DataFrame, table: pl.DataFrame, cut: str) -> pl.DataFrame:
    """Row (place in `table`), symbol, timestamp, log price, scale and period of every signal."""
    keys = ["symbol", "timestamp"]
    return (
        table.select(keys)
        .with_row_index("row")
        .join(rows, on=keys, how="left", maintain_order="left")
        .select(
            "row",
            *keys,
            SCALE,
            price=(pl.col("close") * pl.col("adjustment_factor")).log(),
            period=pl.col("timestamp").dt.date().dt.truncate(cut),
        )
    )
