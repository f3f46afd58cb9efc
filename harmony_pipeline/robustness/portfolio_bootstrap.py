"""Stationary bootstrap of a portfolio's returns: other orders in which its days could have come.

Blocks of geometric length keep neighbouring days together (Politis & Romano 1994), so that calm and
wild stretches stay what they were. A path compounds as many days as the sample has. It uses no
trade, so it also shows what open positions lost meanwhile.

>>> result = bootstrap_portfolio(daily_returns, paths=10_000, block=10, seed=1)
>>> result.quantile("max_drawdown", 0.05), result.ruin_probability(0.3)
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.robustness.paths import BLOCKS, Trouble, run_paths, share_paths

Measure = Literal["total_return", "max_drawdown"]
_STREAM = 8  # the trade scenarios of monte_carlo.py have 1 to 7


@dataclass(frozen=True)
class PortfolioBootstrap:
    """One number a path, as fractions; drawdowns are 0 or less."""

    total_return: FloatArray
    max_drawdown: FloatArray

    def quantile(self, measure: Measure, share: float) -> float:
        """The value that `share` of the paths do not exceed; NaN without a path."""
        values = self.total_return if measure == "total_return" else self.max_drawdown
        return float(np.quantile(values, share)) if values.size else float("nan")

    def ruin_probability(self, loss: float) -> float:
        """Share of paths that at some time were `loss` (a fraction) or more below their peak."""
        return float(np.mean(self.max_drawdown <= -loss)) if self.max_drawdown.size else 0.0

    def verdict(self, loss: float = 0.3) -> str:
        """What it comes to, in a sentence."""
        if not self.total_return.size:
            return "no return to draw from, so nothing is known"
        losing = float(np.mean(self.total_return < 0.0))
        return (
            f"of {self.total_return.size:,} paths {losing:.0%} end with a loss, one in twenty falls"
            f" {-self.quantile('max_drawdown', 0.05):.0%} or more below its peak, and"
            f" {self.ruin_probability(loss):.1%} fall {loss:.0%}"
        )


def bootstrap_portfolio(
    returns: FloatArray, *, paths: int, block: int, seed: int, threads: int | None = None
) -> PortfolioBootstrap:
    """Resample simple `returns` [days] of the portfolio in blocks of mean length `block` days.

    The same seed gives the same paths, whatever the number of threads. Raises DataError for a
    return that is no finite number.
    """
    days = np.ascontiguousarray(returns, dtype=np.float64)
    if not np.isfinite(days).all():
        where = int(np.flatnonzero(~np.isfinite(days))[0])
        raise DataError(
            f"portfolio returns: the return of day {where} is {days[where]}, expected a finite"
            " number: run the backtest again"
        )
    if not days.size:
        return PortfolioBootstrap(np.zeros(0), np.zeros(0))
    final, drawdown = np.empty(paths), np.empty(paths)
    free, whole, nothing = np.zeros(days.size), np.array([0, days.size]), np.empty((0, 2))
    chosen = np.uint64(seed & 0xFFFFFFFFFFFFFFFF)

    def walk(first: int, end: int) -> None:
        run_paths(
            days, free, np.arange(days.size), chosen, _STREAM, first, BLOCKS, 1.0 / block,
            Trouble(), whole, final[first:end], drawdown[first:end], nothing,
        )  # fmt: skip

    share_paths(walk, paths, days.size, threads)
    return PortfolioBootstrap(final - 1.0, drawdown)
