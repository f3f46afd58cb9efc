"""Looking again and again at the same growing record: how much of the error each look may spend.

A test at 5 % that is asked every quarter promotes far more than 5 % of what is worthless, since
each look is another chance. Alpha spending (Lan & DeMets 1983, "Discrete sequential boundaries for
clinical trials", Biometrika 70) bounds the chance of a false promotion at *any* look. Of the error
`alpha`, the share

    spent(t) = t / (t + half)

may have been used once `t` days were seen, whatever the number of looks: `half` days release one
half, twice as many two thirds, and all looks ever together stay below `alpha`. No end has to be
planned. The level of a look is what its new share allows, given that no earlier look promoted. For
returns without skill the sum of standardised returns is a Brownian motion over days, so the level
follows by integration from look to look (Armitage, McPherson & Rowe 1969; Jennison & Turnbull 2000,
ch. 19).

>>> look_level([252], alpha=0.05, half=252)  # the first look, after a year
0.025
"""

import math
from collections.abc import Sequence

import numpy as np

from harmony_pipeline.arrays import FloatArray

_REACH = 8.0  # standard deviations that are integrated over
_CELLS = 10.0  # of the grid, in a standard deviation of the shortest step
_MOST_CELLS = 8_000


def spent_share(days: float, half: float) -> float:
    """Share of the error that may have been spent by then, in [0, 1)."""
    return days / (days + half)


def look_level(days: Sequence[int], alpha: float, half: float) -> float:
    """The one-sided level at which the last of these looks may promote.

    days: observations at every look so far, the present one included, in any order; a repeated
    number is one look. alpha: chance of a false promotion over all looks, below one half. Raises
    ValueError without a look, and for an alpha outside (0, 0.5).
    """
    times = np.array(sorted({int(day) for day in days if day > 0}), dtype=np.float64)
    if not times.size or not 0.0 < alpha < 0.5:
        raise ValueError(
            f"a level needs looks after at least a day and an alpha in (0, 0.5), found"
            f" {list(days)} and {alpha}"
        )
    if times.size == 1:
        return alpha * spent_share(float(times[0]), half)
    return _last_level(times, np.diff(times, prepend=0.0), alpha, half)


def _last_level(times: FloatArray, steps: FloatArray, alpha: float, half: float) -> float:
    """Integrate the density of the sum, where no look has promoted yet, over an even grid. Of a
    cell that the bound cuts the part below it is kept.
    """
    from scipy.special import ndtr

    reach = _REACH * math.sqrt(times[-1])
    cell = max(math.sqrt(steps.min()) / _CELLS, 2.0 * reach / _MOST_CELLS)
    grid = np.arange(-reach, reach + cell, cell)
    level = alpha * spent_share(times[0], half)
    bound = -_quantile(level) * math.sqrt(times[0])
    density = np.exp(-0.5 * grid**2 / times[0]) / math.sqrt(2.0 * math.pi * times[0])
    density *= _part_below(grid, cell, bound)
    for number in range(1, times.size):
        allowed = alpha * (spent_share(times[number], half) - spent_share(times[number - 1], half))
        deviation = math.sqrt(steps[number])
        bound = _bound(grid, density * cell, deviation, allowed, ndtr)
        density = _convolved(density, cell, deviation)
        density *= _part_below(grid, cell, bound)
    return float(ndtr(-bound / math.sqrt(times[-1])))


def _part_below(grid: FloatArray, cell: float, bound: float) -> FloatArray:
    return np.clip((bound - grid) / cell + 0.5, 0.0, 1.0)


def _bound(
    grid: FloatArray, mass: FloatArray, deviation: float, allowed: float, ndtr: np.ufunc
) -> float:
    """The bound that the sum passes with probability `allowed` after a step of this deviation."""
    low, high = 0.0, float(grid[-1]) + _REACH * deviation
    for _ in range(80):
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break  # no number lies between
        if float(np.sum(mass * ndtr((grid - middle) / deviation))) > allowed:
            low = middle
        else:
            high = middle
    return high


def _convolved(density: FloatArray, cell: float, deviation: float) -> FloatArray:
    wide = min(math.ceil(_REACH * deviation / cell), density.size - 1)
    offsets = np.arange(-wide, wide + 1) * cell
    step = np.exp(-0.5 * (offsets / deviation) ** 2)
    return np.convolve(density, step / step.sum(), mode="same")


def _quantile(level: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(level)
