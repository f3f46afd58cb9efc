"""Platt scaling: margins into calibrated probabilities.

p = sigmoid(slope * margin + intercept), fitted on events later than those of the forecaster's fit.
Targets are smoothed by a prior of one event a side, so that few events cannot give certainty (Platt
1999, "Probabilistic outputs for support vector machines"). The fit is Newton's method with
backtracking (Lin, Lin & Weng 2007, "A note on Platt's probabilistic outputs"). Isotonic regression
needs thousands of independent events, and a walk-forward window of overlapping labels has hundreds.

Slope and level come from different rows. The slope must come from events outside the forecaster's
fit. The level need not: all training events show how often the primary signal is right. The few
weeks of the calibration part, whose events share one market, would shift every probability by
sampling error. `match_base_rate` sets the level so that the mean forecast of the calibration events
is the long-run rate.

The slope is never negative. A forecaster that ranked the calibration events backwards is set to the
base rate, not inverted. `shrink_slope` removes the part of the slope that sampling error explains,
since a calibration part of 3000 events may be no more than 15 independent days.
"""

from dataclasses import dataclass

import numpy as np

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.models.base import sigmoid

_STEPS = 100
_HALVINGS = 30
_BISECTIONS = 80
_RIDGE = 1e-12


@dataclass(frozen=True)
class Platt:
    """A fitted calibration. `Platt()` is the identity on the margin."""

    slope: float = 1.0
    intercept: float = 0.0

    def apply(self, margin: FloatArray) -> FloatArray:
        """Calibrated probability [rows], increasing in the margin."""
        return sigmoid(self.slope * margin + self.intercept)


def fit_platt(margin: FloatArray, outcome: FloatArray, weight: FloatArray) -> Platt:
    """The calibration that fits `outcome` (0.0 or 1.0) best. All arrays are float64 [rows].

    `weight` counts as numbers of observations. With one outcome only, or none, the result is the
    smoothed base rate.
    """
    positives = float(weight[outcome == 1.0].sum())
    negatives = float(weight[outcome != 1.0].sum())
    target = np.where(
        outcome == 1.0, (positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0)
    )
    flat = Platt(0.0, float(np.log((positives + 1.0) / (negatives + 1.0))))
    if positives == 0.0 or negatives == 0.0:
        return flat
    scale = float(np.max(np.abs(margin)))
    if scale == 0.0 or float(np.ptp(margin)) == 0.0:
        return flat
    slope, intercept = _newton(margin / scale, target, weight, flat.intercept)
    return (
        Platt(slope / scale, intercept) if slope > 0.0 else _base_rate_calibration(target, weight)
    )


def shrink_slope(
    calibration: Platt, margin: FloatArray, outcome: FloatArray, weight: FloatArray, block: IntArray
) -> Platt:
    """The slope times max(0, 1 - (standard error / slope)^2): the part that its own uncertainty
    does not explain.

    The error is clustered by `block` [rows], the day of each event, since events of a day share
    their market (Liang & Zeger 1986). The factor is the positive-part shrinkage of James & Stein
    1961. It is near 0 for a forecaster without information and near 1 for an informative one. A
    single block gives no error, and the slope is then 0.
    """
    if calibration.slope == 0.0:
        return calibration
    p = calibration.apply(margin)
    curve = weight * p * (1.0 - p)
    centre = float((curve * margin).sum() / curve.sum())
    # centred: the intercept's own error is taken out
    score = weight * (outcome - p) * (margin - centre)
    blocks, place = np.unique(block, return_inverse=True)
    if blocks.size < 2:
        return Platt(0.0, calibration.intercept)
    by_block = np.bincount(place, weights=score)
    information = float((curve * (margin - centre) ** 2).sum())
    few_blocks = blocks.size / (blocks.size - 1.0)
    relative_variance = (
        few_blocks * float((by_block**2).sum()) / (information * calibration.slope) ** 2
    )
    return Platt(calibration.slope * max(0.0, 1.0 - relative_variance), calibration.intercept)


def match_base_rate(
    calibration: Platt, margin: FloatArray, weight: FloatArray, rate: float
) -> Platt:
    """The same slope, with the intercept at which the weighted mean probability of `margin` [rows]
    is `rate`.

    `rate` lies strictly between 0 and 1.
    """
    if calibration.slope == 0.0:
        return Platt(0.0, float(np.log(rate / (1.0 - rate))))
    raised = calibration.slope * margin
    low, high = (float(np.log(rate / (1.0 - rate)) - edge) for edge in (raised.max(), raised.min()))
    total = weight.sum()
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break  # neighbours: nothing lies between them
        mean = float((sigmoid(raised + middle) * weight).sum() / total)
        low, high = (middle, high) if mean < rate else (low, middle)
    return Platt(calibration.slope, 0.5 * (low + high))


def _base_rate_calibration(target: FloatArray, weight: FloatArray) -> Platt:
    rate = float((target * weight).sum() / weight.sum())
    return Platt(0.0, float(np.log(rate / (1.0 - rate))))


def _newton(
    x: FloatArray, target: FloatArray, weight: FloatArray, start: float
) -> tuple[float, float]:
    """(slope, intercept) of the smallest weighted cross entropy. x is scaled to [-1, 1]."""
    slope, intercept = 0.0, start
    loss = _cross_entropy(slope * x + intercept, target, weight)
    for _ in range(_STEPS):
        p = sigmoid(slope * x + intercept)
        residual = weight * (p - target)
        gradient_slope, gradient_intercept = float((residual * x).sum()), float(residual.sum())
        if max(abs(gradient_slope), abs(gradient_intercept)) < 1e-9 * (1.0 + float(weight.sum())):
            break
        curve = weight * p * (1.0 - p)
        h11, h12, h22 = (
            float((curve * x * x).sum()) + _RIDGE,
            float((curve * x).sum()),
            float(curve.sum()) + _RIDGE,
        )
        determinant = h11 * h22 - h12 * h12
        step_slope = -(h22 * gradient_slope - h12 * gradient_intercept) / determinant
        step_intercept = -(h11 * gradient_intercept - h12 * gradient_slope) / determinant
        decrease = gradient_slope * step_slope + gradient_intercept * step_intercept
        size = 1.0
        for _ in range(_HALVINGS):
            candidate = _cross_entropy(
                (slope + size * step_slope) * x + intercept + size * step_intercept, target, weight
            )
            if candidate <= loss + 1e-4 * size * decrease:
                break
            size /= 2.0
        else:
            break  # no step lowers the loss any more: the last bits are reached
        slope, intercept, loss = (
            slope + size * step_slope,
            intercept + size * step_intercept,
            candidate,
        )
    return slope, intercept


def _cross_entropy(margin: FloatArray, target: FloatArray, weight: FloatArray) -> float:
    """Weighted sum of log(1 + exp(m)) - t * m, which is the cross entropy without overflow."""
    return float((weight * (np.logaddexp(0.0, margin) - target * margin)).sum())
