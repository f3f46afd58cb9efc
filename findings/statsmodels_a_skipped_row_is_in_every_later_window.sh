#!/bin/sh
# statsmodels 0.15.0, RollingOLS(..., window=20, missing="skip"): one missing price in 400 rows.
# Guess: the 20 windows that hold it are NaN, as documented, and all others are the regressions of their 20 rows.
# Seen: 19 are NaN; of the windows behind them all but the last are wrong, to the end of the data. What leaves the window while windows are skipped is never
# taken out of the running sums, so that 19 old rows stay in. A hedge ratio that goes from 0.5 to 2.0 at row 200 (the missing row is 190) is
# 1.5 a hundred rows later, where the window says 2.0. reset=1, or the default missing="drop", gives the right ones.
# Why it matters: after one holiday of one leg a pair is hedged with prices from before it, for good, and its standard error says that it is sure.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'statsmodels==0.15.0' 'pandas==3.1.1' 'numpy==2.4.6' 'scipy==1.17.1'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
from statsmodels.regression.rolling import RollingOLS

ROWS, WINDOW, MISSING = 400, 20, 190
rng = np.random.default_rng(0)
inputs = np.column_stack([np.ones(ROWS), rng.normal(size=ROWS)])
outcomes = np.where(np.arange(ROWS) < 200, 0.5, 2.0) * inputs[:, 1] + rng.normal(0, 0.3, ROWS)
outcomes[MISSING] = np.nan

by_hand = np.full(ROWS, np.nan)
for row in range(WINDOW - 1, ROWS):
    window = slice(row - WINDOW + 1, row + 1)
    if not np.isnan(outcomes[window]).any():
        by_hand[row] = np.linalg.lstsq(inputs[window], outcomes[window], rcond=None)[0][1]


def slopes(missing, **options):
    return RollingOLS(outcomes, inputs, window=WINDOW, missing=missing).fit(**options).params[:, 1]


def wrong(values):
    """Rows at which there is a slope, and it is not the one of the window by hand (rows whose window holds the missing one aside)."""
    known = ~np.isnan(values) & ~np.isnan(by_hand)
    return np.flatnonzero(known & (np.abs(values - by_hand) > 1e-9))


skipped = slopes("skip")
rows = wrong(skipped)
print(f"NaN behind the missing row: {np.isnan(skipped[MISSING:]).sum()}; wrong slopes: {len(rows)}, from row {rows[0]} to {rows[-1]}")
print(f"row {MISSING + 100}: skip {skipped[MISSING + 100]:.2f}, by hand {by_hand[MISSING + 100]:.2f}")
for name, values in {"skip, reset=1": slopes("skip", reset=1), "drop": slopes("drop")}.items():
    print(f"{name}: wrong slopes {len(wrong(values))}")
    assert len(wrong(values)) == 0
assert np.isnan(skipped[MISSING:]).sum() == WINDOW - 1
assert rows[0] == MISSING + WINDOW and rows[-1] == ROWS - 2 and len(rows) == ROWS - 1 - (MISSING + WINDOW)
assert abs(skipped[MISSING + 100] - by_hand[MISSING + 100]) > 0.3
PY
