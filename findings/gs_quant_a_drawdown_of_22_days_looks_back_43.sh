#!/bin/sh
# gs-quant 2.2.1, max_drawdown(x, 22): documented as the maximum drawdown over a rolling window of 22 observations.
# Guess: the deepest fall from a peak among the last 22 prices to a later one among them.
# Seen: the fall of each of the last 22 prices from the peak of the 22 before it, so that a peak of 42 rows ago counts. A price that fell from 100 to 80 and
# has stood still for 30 rows has a drawdown of 20 % in a window in which every price is 80. On a random walk the figure is deeper than that of
# its window on 6 days of 10.
# Why it matters: a stop by the drawdown of a month trades on one of two months; two programs with "22 days" disagree.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'gs-quant==2.2.1'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pandas as pd
from gs_quant.timeseries import Window, max_drawdown

WINDOW = 22


def by_hand(prices):
    """Deepest fall inside each window of 22 prices, from the definition."""
    values = prices.to_numpy()
    return np.array([
        (part / np.maximum.accumulate(part) - 1).min() for part in (values[row - WINDOW + 1:row + 1] for row in range(WINDOW - 1, len(values)))
    ])


def theirs(prices):
    return max_drawdown(prices, Window(WINDOW, 0)).reindex(prices.index).to_numpy()[WINDOW - 1:]


days = pd.bdate_range("2023-01-02", periods=200)
step = pd.Series(np.r_[np.full(100, 100.0), np.full(100, 80.0)], index=days)
row = 130 - (WINDOW - 1)
print(f"30 rows after the fall from 100 to 80: gs_quant {theirs(step)[row]:.2f}, by hand {by_hand(step)[row]:.2f}")
assert abs(theirs(step)[row] + 0.2) < 1e-12 and by_hand(step)[row] == 0.0
last = int(np.flatnonzero(theirs(step) < 0)[-1]) + WINDOW - 1
print(f"the last row with a drawdown is {last - 99} rows after the peak")
assert last - 99 == 2 * WINDOW - 2

walk = pd.Series(100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, 2000))), index=pd.bdate_range("2015-01-01", periods=2000))
deeper = (theirs(walk) < by_hand(walk) - 1e-12)[2 * WINDOW:]
print(f"random walk: deeper than in its window on {deeper.mean():.0%} of days")
assert deeper.mean() > 0.5
PY
