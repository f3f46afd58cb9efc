#!/bin/sh
# TA-Lib 0.8.2: the Chande momentum oscillator is the RSI on another scale.
# Guess: CMO(14) is Chande's: 100 * (sum of rises - sum of falls) / (both) of 14 bars, which forgets what is older.
# Seen: CMO = 2 * RSI - 100 on every bar (to 1e-13), since both are smoothed as Wilder's; up to 46 points from Chande's sums. tulipy 0.4.0 has those.
# Why it matters: a model that is given both columns has one of them twice, and no oscillator that forgets.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'ta-lib==0.8.2' 'tulipy==0.4.0' 'numpy==2.4.6'
"$work/venv/bin/python" - <<'PY'
import numpy as np
import talib
import tulipy

prices = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, 300)))
cmo, rsi = talib.CMO(prices, 14)[14:], talib.RSI(prices, 14)[14:]
moves = np.lib.stride_tricks.sliding_window_view(np.diff(prices), 14)
chande = 100 * moves.sum(axis=1) / np.abs(moves).sum(axis=1)
print(f"largest distance of TA-Lib's CMO from 2 * RSI - 100: {np.abs(cmo - (2 * rsi - 100)).max():.1e}")
print(f"largest distance from Chande's sums: TA-Lib {np.abs(cmo - chande).max():.1f}, "
      f"tulipy {np.abs(tulipy.cmo(prices, 14) - chande).max():.1e}")
assert np.abs(cmo - (2 * rsi - 100)).max() < 1e-12
assert np.abs(cmo - chande).max() > 20 and np.abs(tulipy.cmo(prices, 14) - chande).max() < 1e-9
PY
