#!/bin/sh
# tulipy 0.4.0 (Tulip Indicators): macd with 12 and 26 is no difference of the library's own averages of 12 and 26; with any other two periods it is.
# Guess: macd(12, 26, 9) = ema(12) - ema(26) once the start has worn off, as TA-Lib 0.8.2 has it.
# Seen: 0.149 apart at the most, where the difference itself reaches 3.1; with 12 and 27, or 11 and 26, exact to the last bit. The default pair alone is smoothed
# by 0.15 and 0.075, not by 2/13 and 2/27.
# Why it matters: a search over periods jumps at the one pair that everyone starts from, and signals differ from TA-Lib's.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'tulipy==0.4.0' 'ta-lib==0.8.2' 'numpy==2.2.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import talib
import tulipy

prices = 100 * np.exp(np.cumsum(np.random.default_rng(5).normal(0, 0.01, 1_000)))


def apart(fast, slow):
    macd = tulipy.macd(prices, fast, slow, 9)[0][200:]
    difference = (tulipy.ema(prices, fast) - tulipy.ema(prices, slow))[-len(macd) :]
    return float(np.abs(macd - difference).max()), float(np.abs(difference).max())


for fast, slow in ((12, 26), (12, 27), (11, 26)):
    largest, size = apart(fast, slow)
    print(f"{fast}, {slow}: largest distance {largest:.3f}, largest difference of the averages {size:.2f}")
    assert (largest > 0.1) if (fast, slow) == (12, 26) else (largest == 0.0)
theirs, ours = talib.MACD(prices, 12, 26, 9)[0][300:], (tulipy.ema(prices, 12) - tulipy.ema(prices, 26))[300:]
print(f"TA-Lib from the averages: {np.abs(theirs - ours).max():.0e}")
assert np.abs(theirs - ours).max() < 1e-6
PY
