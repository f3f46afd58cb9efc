"""Tails of daily returns. Fractions, one a session; what cannot be measured is None.

Definitions are those of `definitions.py`. Quantiles interpolate linearly between order statistics
(type 7 of Hyndman and Fan, 1996), as numpy and empyrical do.
"""

import numpy as np

from harmony_pipeline.arrays import FloatArray

TAIL = 0.05  # of value at risk, its conditional mean and the tail ratio


def return_figures(returns: FloatArray) -> dict[str, float | None]:
    """omega, tail_ratio, value_at_risk, conditional_value_at_risk, positive_days, best_day and
    worst_day of daily returns.
    """
    names = (
        "omega", "tail_ratio", "value_at_risk", "conditional_value_at_risk",
        "positive_days", "best_day", "worst_day",
    )  # fmt: skip
    if not len(returns):
        return dict.fromkeys(names)
    lower, upper = np.quantile(returns, [TAIL, 1.0 - TAIL])
    lost = float(-returns[returns < 0.0].sum())
    worst = np.sort(returns)[: int((len(returns) - 1) * TAIL) + 1]
    return {
        "omega": float(returns[returns > 0.0].sum()) / lost if lost > 0.0 else None,
        "tail_ratio": float(abs(upper) / abs(lower)) if lower != 0.0 else None,
        "value_at_risk": float(lower),
        "conditional_value_at_risk": float(worst.mean()),
        "positive_days": float(np.mean(returns > 0.0)),
        "best_day": float(returns.max()),
        "worst_day": float(returns.min()),
    }
