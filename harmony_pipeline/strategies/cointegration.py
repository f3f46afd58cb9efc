"""Engle and Granger's two steps: regress one log price on another, ask whether what is left
returns.

1. y_t = alpha + beta * x_t + e_t by least squares.
2. Augmented Dickey-Fuller on e without a constant: de_t = rho * e_{t-1} + sum phi_i * de_{t-i} +
   u_t. The statistic is rho over its standard error.

The residuals are fitted, so the statistic has its own critical values (Engle and Granger,
Econometrica 55, 1987). MacKinnon's response surfaces give them for a sample of T observations
(Critical Values for Cointegration Tests, Queen's Economics Department Working Paper 1227, 2010,
table 2, two variables, constant): b_inf + b_1 / T + b_2 / T^2.
"""

import math
from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.kernel import kernel

CRITICAL = {
    0.01: (-3.89644, -10.9519, -22.527),
    0.05: (-3.33613, -6.1101, -6.823),
    0.10: (-3.04445, -4.2412, -2.720),
}


class Relation(NamedTuple):
    """A fitted pair: the two numbers of the line, the deviation of the residuals (ddof 2), the
    statistic, and the bars in which half of a residual is gone (infinity where it never is).
    """

    alpha: float
    beta: float
    deviation: float
    statistic: float
    half_life: float


def critical_value(level: float, observations: int) -> float:
    """What the statistic must be below, at a level of 0.01, 0.05 or 0.1."""
    constant, first, second = CRITICAL[level]
    return constant + first / observations + second / observations**2


@kernel
def engle_granger(y: FloatArray, x: FloatArray, lags: int) -> Relation:
    """The relation of y to x, from T paired observations; NaN throughout where x does not vary or
    there are too few.
    """
    count = y.size
    nothing = Relation(np.nan, np.nan, np.nan, np.nan, np.inf)
    if count < lags + 10:
        return nothing
    mean_x, mean_y = x.mean(), y.mean()
    squares = ((x - mean_x) ** 2).sum()
    if not squares > 0.0:
        return nothing
    beta = ((x - mean_x) * (y - mean_y)).sum() / squares
    alpha = mean_y - beta * mean_x
    residuals = y - alpha - beta * x
    deviation = math.sqrt((residuals**2).sum() / (count - 2))
    if not deviation > 1e-12:  # one price is a multiple of the other: nothing to trade
        return nothing
    before = residuals[:-1]
    persistence = (residuals[1:] * before).sum() / (before**2).sum()
    half_life = math.log(0.5) / math.log(persistence) if 0.0 < persistence < 1.0 else np.inf
    return Relation(alpha, beta, deviation, dickey_fuller(residuals, lags), half_life)


@kernel
def dickey_fuller(series: FloatArray, lags: int) -> float:
    """The augmented Dickey-Fuller statistic without a constant, with this many lagged changes."""
    change = series[1:] - series[:-1]
    rows, width = change.size - lags, 1 + lags
    regressors = np.empty((width, rows))
    regressors[0] = series[lags:-1]
    for lag in range(lags):
        regressors[1 + lag] = change[lags - 1 - lag : change.size - 1 - lag]
    target = change[lags:]
    moments, products = np.empty((width, width)), np.empty(width)
    for i in range(width):
        products[i] = (regressors[i] * target).sum()
        for j in range(width):
            moments[i, j] = (regressors[i] * regressors[j]).sum()
    inverse = np.linalg.inv(moments)
    errors, slope = target.copy(), 0.0
    for i in range(width):
        coefficient = (inverse[i] * products).sum()
        errors -= coefficient * regressors[i]
        slope = coefficient if i == 0 else slope
    variance = (errors**2).sum() / (rows - width)
    return slope / math.sqrt(variance * inverse[0, 0])


@kernel
def search(prices: FloatArray, lags: int, smallest: int) -> tuple[IntArray, FloatArray]:
    """([pairs, 2] columns of y and x, [pairs, 5] their Relation) of every pair of columns.

    `prices` are log prices [days, symbols], NaN where there is none. A pair counts the days on
    which both are known; it needs `smallest` of them. Of the two directions the one with the lower
    statistic is kept, and y is its left side.
    """
    symbols = prices.shape[1]
    total = symbols * (symbols - 1) // 2
    places, found = np.zeros((total, 2), np.int64), np.full((total, 5), np.nan)
    row = 0
    for i in range(symbols):
        for j in range(i + 1, symbols):
            both = ~(np.isnan(prices[:, i]) | np.isnan(prices[:, j]))
            places[row, 0], places[row, 1] = i, j
            if both.sum() >= smallest:
                first, second = prices[:, i][both], prices[:, j][both]
                forward = engle_granger(first, second, lags)
                backward = engle_granger(second, first, lags)
                chosen = forward
                if backward.statistic < forward.statistic:
                    chosen = backward
                    places[row, 0], places[row, 1] = j, i
                found[row] = np.array(chosen)
            row += 1
    return places, found
