#!/bin/sh
# polars 2.1.0: rolling_corr of a price that stands still is infinite, and of large numbers that move little it is outside -1 and 1.
# Guess: null or NaN where one column does not move, as in pandas, and numpy's number everywhere else.
# Seen: infinity, of either sign, in two thirds of the windows of a price of 37.15 that stands still, NaN in the others. Two balances near 1,000,000 that move by
# cents correlate with anything from -3.0 to 2.8, and a quarter of all windows has the wrong sign; pandas is right to 1e-10. It is mean(ab) - mean(a) mean(b).
# Why it matters: a halted or illiquid share is the most correlated of all, and fill_nan does not catch it.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'polars==2.1.0' 'pandas==3.1.1' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pandas as pd
import polars as pl

rows, window = 3_000, 20
random = np.random.default_rng(0)


def correlations(a, b):
    ours = pl.DataFrame({"a": a, "b": b}).select(pl.rolling_corr("a", "b", window_size=window)).to_series().to_numpy()
    return ours[window - 1 :], pd.Series(a).rolling(window).corr(pd.Series(b)).to_numpy()[window - 1 :]


halted = np.where((np.arange(rows) // 40) % 2 == 0, 37.15, 37.15 + np.round(random.normal(0, 3, rows)) * 0.01)
moving = 100 + np.cumsum(random.integers(-3, 4, rows)) * 0.01
spans = np.lib.stride_tricks.sliding_window_view(halted, window)
still = spans.max(axis=1) == spans.min(axis=1)
polars, pandas = correlations(halted, moving)
print(f"{still.sum()} windows without a move: infinite in polars {np.isinf(polars[still]).sum()}, in pandas {np.isinf(pandas[still]).sum()}")
assert np.isinf(polars[still]).mean() > 0.5 and np.isnan(pandas[still]).all()

balances = [1_000_000 + np.cumsum(random.integers(-2, 3, rows)) * 0.01 for _ in range(2)]
polars, pandas = correlations(*balances)
true = [np.corrcoef(*pair)[0, 1] for pair in zip(*(np.lib.stride_tricks.sliding_window_view(each, window) for each in balances))]
wrong = float((np.sign(polars) != np.sign(true)).mean())
print(f"balances: polars from {polars.min():.2f} to {polars.max():.2f}, wrong sign in {wrong:.0%}, pandas off by {np.abs(pandas - true).max():.0e}")
assert polars.min() < -1 and wrong > 0.1 and np.abs(pandas - true).max() < 1e-6
PY
