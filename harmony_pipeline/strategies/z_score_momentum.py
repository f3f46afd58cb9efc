"""Time-series momentum by the z-score of the past return, left by a trailing stop.

The z-score is the log return of N bars over the deviation that a random walk would have in N bars:
z = momentum_N / (volatility_V * sqrt(N)) (Moskowitz, Ooi and Pedersen, "Time series momentum",
Journal of Financial Economics, 2012, scale past returns alike). The strength grows with |z| up to
`full_z`: for a forecast proportional to z the Kelly bet is proportional to it too, and is capped
(Carver, Systematic Trading, 2015).

The stop is LeBeau's chandelier: it hangs `trail_ranges` average true ranges below the best close
since entry and never moves away. After a stop the same direction is taken again only once |z| was
below `entry_z`.
"""

import math
from typing import Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field, model_validator

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.kernel import kernel
from harmony_pipeline.settings_base import FrozenSettings
from harmony_pipeline.strategies.base import warm_signals


class Trail(NamedTuple):
    """The numbers of the rule, as the kernel reads them."""

    entry_z: float
    exit_z: float
    full_z: float
    trail_ranges: float
    maximum_bars: int


class Followed(NamedTuple):
    """What is held of one symbol: its stop, best close, strength, age in bars, and the side that is
    blocked after a stop.
    """

    side: int
    stop: float
    best: float
    strength: float
    bars: int
    blocked: int


@kernel
def follow_bar(
    held: Followed, z: float, price: float, relative_range: float, rule: Trail
) -> Followed:
    """What is held after one more bar; `relative_range` is the average true range over the
    price.
    """
    side, stop, best, strength, bars, blocked = held
    if blocked != 0 and z * blocked < rule.entry_z:
        blocked = 0
    if side != 0:
        bars += 1
        best = max(best, price) if side > 0 else min(best, price)
        hanging = best * (1.0 - side * rule.trail_ranges * relative_range)
        stop = max(stop, hanging) if side > 0 else min(stop, hanging)
        if side * (price - stop) <= 0.0 or 0 < rule.maximum_bars <= bars:
            side, blocked = 0, (side if z * side >= rule.entry_z else 0)
        elif z * side < rule.exit_z:
            side = 0
    if side == 0:
        strength = 0.0
        wanted = 1 if z >= rule.entry_z else (-1 if z <= -rule.entry_z else 0)
        if wanted not in (0, blocked):
            side, best, bars = wanted, price, 0
            stop = price * (1.0 - side * rule.trail_ranges * relative_range)
            strength = min(abs(z) / rule.full_z, 1.0)
    return Followed(side, stop, best, strength, bars, blocked)


@kernel
def follow(
    starts: IntArray, z: FloatArray, price: FloatArray, relative_range: FloatArray, rule: Trail
) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """(side, strength) of every bar. Bars are sorted by symbol and time, `starts` has the first bar
    of each symbol and the number of bars.
    """
    sides, strengths = np.zeros(z.size, np.int8), np.zeros(z.size)
    for block in range(starts.size - 1):
        held = Followed(0, 0.0, 0.0, 0.0, 0, 0)
        for i in range(starts[block], starts[block + 1]):
            held = follow_bar(held, z[i], price[i], relative_range[i], rule)
            sides[i], strengths[i] = held.side, held.strength
    return sides, strengths


class ZScoreMomentum(FrozenSettings):
    """Follow a move of `entry_z` deviations until it falls back by `trail_ranges` average true
    ranges, turns below `exit_z`, or is `maximum_bars` old.
    """

    window: int = Field(default=35, ge=2, description="bars of the past return")
    volatility_window: int = Field(default=70, ge=2, description="bars of its deviation")
    range_window: int = Field(default=14, ge=2, description="bars of the average true range")
    entry_z: float = Field(default=1.5, gt=0.0, description="deviations that open a position")
    exit_z: float = Field(
        default=0.0, description="left where z, signed by the side, falls below this"
    )
    full_z: float = Field(default=3.0, gt=0.0, description="z of the full strength")
    trail_ranges: float = Field(
        default=5.0, gt=0.0, description="average true ranges from the best close to the stop"
    )
    maximum_bars: int = Field(default=0, ge=0, description="longest holding; 0: no limit")

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        if not self.exit_z < self.entry_z <= self.full_z:
            raise ValueError(
                f"exit_z ({self.exit_z}) must be below entry_z ({self.entry_z}), and that not above"
                f" full_z ({self.full_z})"
            )
        return self

    @property
    def reads_bars(self) -> bool:
        """The trailing stop follows prices."""
        return True

    @property
    def memory(self) -> Literal["day", "market"]:
        """A position may be older than the day."""
        return "market"

    def required_features(self) -> tuple[str, ...]:
        """Past return, deviation and average true range."""
        return (
            f"momentum_{self.window}",
            f"volatility_{self.volatility_window}",
            f"natr_{self.range_window}",
        )

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        """The side that is held after each bar, at the strength of its entry."""
        momentum, volatility, ranges = self.required_features()
        rows = features.sort("symbol", "timestamp", maintain_order=True)
        table = warm_signals(rows, self.required_features(), pl.lit(0))
        warm = rows.join(table.select("symbol", "timestamp"), on=["symbol", "timestamp"]).sort(
            "symbol", "timestamp"
        )
        deviation = warm[volatility].to_numpy() * math.sqrt(self.window)
        # a price that never moved has neither a return nor a deviation
        z = np.divide(
            warm[momentum].to_numpy(), deviation, out=np.zeros(warm.height), where=deviation > 0.0
        )
        price = (warm["close"] * warm["adjustment_factor"]).to_numpy(writable=True)
        rule = Trail(self.entry_z, self.exit_z, self.full_z, self.trail_ranges, self.maximum_bars)
        side, strength = follow(
            block_starts(warm["symbol"]), z, price, warm[ranges].to_numpy() / 100.0, rule
        )
        return table.with_columns(side=pl.Series(side), strength=pl.Series(strength))


def block_starts(symbols: pl.Series) -> IntArray:
    """The first row of each symbol in sorted rows, and the number of rows."""
    first = (symbols != symbols.shift()).fill_null(value=True)
    return np.append(np.flatnonzero(first.to_numpy()), len(symbols)).astype(np.int64)
