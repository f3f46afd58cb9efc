#!/bin/sh
# TA-Lib 0.8.2: a price that does not move is at the top of its range and at its bottom, and sold out.
# Guess: what is 0 / 0 is either missing or neutral: RSI 50, Williams %R -50, stochastic 50.
# Seen: RSI 0 and fast stochastic 0 (as if it had only fallen), Williams %R 0 (as if at its top), though %R is the stochastic less 100 by definition; MFI 0, ultimate 0.
# Why it matters: in a halt, or in an illiquid coin, RSI < 30 buys and %R > -20 sells on the same bar.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'ta-lib==0.8.2' 'numpy==2.4.6'
"$work/venv/bin/python" - <<'PY'
import numpy as np
import talib

flat = np.full(60, 25.0)
seen = {
    "RSI": talib.RSI(flat, 14)[-1],
    "STOCHF %K": talib.STOCHF(flat, flat, flat, 14, 3, 0)[0][-1],
    "WILLR": talib.WILLR(flat, flat, flat, 14)[-1],
    "MFI": talib.MFI(flat, flat, flat, np.full(60, 100.0), 14)[-1],
    "ULTOSC": talib.ULTOSC(flat, flat, flat)[-1],
}
print(seen)
assert set(seen.values()) == {0.0}
rising = flat + np.arange(60)
assert talib.WILLR(rising, rising, rising, 14)[-1] == 0.0  # the top
assert talib.STOCHF(rising, rising, rising, 14, 3, 0)[0][-1] == 100.0
PY
