#!/bin/sh
# bottleneck 1.6.0: move_std never forgets a bad tick.
# Guess: 20 rows after a price of 100,000,000 (an unscaled 100.00) the deviation of the last 20 is right again.
# Seen: it is 15 times too large, still over the last 4,000 of 5,000 rows, and after a tick of 1e9 a tenth too small, with zeros among them. polars 2.1.0, pandas 3.1.1 and
# TA-Lib 0.8.2 are right to 1e-6 in the same window.
# Why it matters: z-scores, bands and sizes by volatility stay wrong to the end of the series, long after the bad row was scrolled past.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'bottleneck==1.6.0' 'polars==2.1.0' 'pandas==3.1.1' 'ta-lib==0.8.2' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import bottleneck
import numpy as np
import pandas as pd
import polars as pl
import talib

rows, window = 5_000, 20
clean = 100 + np.cumsum(np.random.default_rng(0).integers(-2, 3, rows)) * 0.01
true = np.lib.stride_tricks.sliding_window_view(clean, window).std(axis=1, ddof=1)[-4_000:]
for tick in (1e8, 1e9):
    prices = clean.copy()
    prices[100] = tick
    found = {
        "bottleneck": bottleneck.move_std(prices, window, ddof=1),
        "polars": pl.Series(prices).rolling_std(window).to_numpy(),
        "pandas": pd.Series(prices).rolling(window).std().to_numpy(),
        "TA-Lib": talib.STDDEV(prices, window) * np.sqrt(window / (window - 1)),
    }
    ratio = {name: float(np.median(each[-4_000:] / true)) for name, each in found.items()}
    print(f"tick of {tick:.0e}, deviation against the true one, median of the last 4,000 rows:", {name: round(each, 4) for name, each in ratio.items()})
    assert all(abs(each - 1) < 1e-6 for name, each in ratio.items() if name != "bottleneck")
    assert (ratio["bottleneck"] > 10) if tick == 1e8 else (ratio["bottleneck"] < 0.95 and (found["bottleneck"][-4_000:] == 0).any())
PY
