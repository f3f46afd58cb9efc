#!/bin/sh
# stockstats 0.6.10: the column adx beside atr_14, rsi_14 and pdi of the same frame.
# Guess: all four are Wilder's of 14 bars; once they have warmed up they equal a plain Wilder recursion.
# Seen: ATR, RSI and +DI do. ADX is an exponential mean of six bars of DX, not Wilder's mean of 14, which has the memory of 27: on 1,000 bars of a
# random walk it crosses 25 in 75 places, where Wilder's does in 21, and is above it on 27 % of the bars instead of 21 %.
# Why it matters: "trade the trend when ADX > 25" is another rule, with more than three times as many switches.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'stockstats==0.6.10' 'pandas==2.3.3' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pandas as pd
import stockstats

rng = np.random.default_rng(0)
rows, bars = 2000, 14
close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, rows)))
start = close * np.exp(rng.normal(0, 0.003, rows))
high = np.maximum(start, close) * (1 + np.abs(rng.normal(0, 0.004, rows)))
low = np.minimum(start, close) * (1 - np.abs(rng.normal(0, 0.004, rows)))
frame = pd.DataFrame({"open": start, "high": high, "low": low, "close": close, "volume": 1.0})


def wilder(values, first):
    """Wilder's mean: the plain mean of the first window that begins at row `first`, then 13 parts old and one part new."""
    mean = np.full(rows, np.nan)
    mean[first + bars - 1] = values[first:first + bars].mean()
    for row in range(first + bars, rows):
        mean[row] = mean[row - 1] + (values[row] - mean[row - 1]) / bars
    return mean


before = np.r_[np.nan, close[:-1]]
true_range = np.fmax(high - low, np.fmax(np.abs(high - before), np.abs(low - before)))
up, down, change = np.diff(high, prepend=np.nan), -np.diff(low, prepend=np.nan), np.diff(close, prepend=np.nan)
plus = 100 * wilder(np.where((up > down) & (up > 0), up, 0.0), 1) / wilder(true_range, 1)
minus = 100 * wilder(np.where((down > up) & (down > 0), down, 0.0), 1) / wilder(true_range, 1)
dx = 100 * np.abs(plus - minus) / (plus + minus)
by_hand = {
    "atr_14": wilder(true_range, 1),
    "rsi_14": 100 - 100 / (1 + wilder(np.maximum(change, 0), 1) / wilder(np.maximum(-change, 0), 1)),
    "pdi": plus,
    "adx": wilder(dx, bars),
}
theirs = stockstats.wrap(frame.copy())
late = slice(1000, rows)
for name, values in by_hand.items():
    print(f"{name}: largest difference from Wilder's after row 1000: {np.abs(theirs[name].to_numpy() - values)[late].max():.2e}")
    assert (np.abs(theirs[name].to_numpy() - values)[late].max() < 1e-9) == (name != "adx")
six = pd.Series(dx).ewm(span=6, adjust=False).mean().to_numpy()
assert np.nanmax(np.abs(theirs["adx"].to_numpy() - six)[late]) < 1e-9


def share_and_crossings(values):
    above = values[late] > 25
    return float(above.mean()), int(np.count_nonzero(np.diff(above.astype(int))))


ours, his = share_and_crossings(theirs["adx"].to_numpy()), share_and_crossings(by_hand["adx"])
print(f"above 25: stockstats {ours[0]:.0%} of bars, {ours[1]} crossings; Wilder {his[0]:.0%}, {his[1]} crossings")
assert ours[1] > 3 * his[1]
PY
