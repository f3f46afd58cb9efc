#!/bin/sh
# ta-py 2.1.0, mom(prices, 12) and roc(prices, 12), beside TA-Lib 0.8.2.
# Guess: the change since 12 bars ago, as in TA-Lib, since RSI, ATR, ADX, CCI, TRIX, KAMA and T3 of the package equal TA-Lib's (those we had looked at first).
# Seen: the change since 11 bars ago, TA-Lib's of 11: a length counts the two ends. roc of length 2 is the change of one bar, where
# other lengths (EMA, RSI of 2) are two bars. Nothing else that was looked at is off by one: the linear regression and its forecast of 14 are TA-Lib's.
# Why it matters: a monthly momentum is a day short, and a signal made of mom(1), the change of a day, is always 0.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'ta-py==2.1.0' 'TA-Lib==0.8.2' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import ta_py
import talib

close = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, 600)))
prices = close.tolist()


def apart(theirs, peer):
    return np.abs(np.array(theirs[-250:]) - peer[-250:]).max()


for length in (2, 12):
    changes, rates = ta_py.mom(prices, length), ta_py.roc(prices, length)
    print(f"mom({length}) {changes[-1]:.4f}; TA-Lib's of {length} {talib.MOM(close, length)[-1]:.4f}, of {length - 1} {talib.MOM(close, length - 1)[-1]:.4f}")
    assert apart(changes, talib.MOM(close, length - 1)) < 1e-9 and apart(changes, talib.MOM(close, length)) > 0.1
    assert apart(rates, talib.ROC(close, length - 1)) < 1e-9 and apart(rates, talib.ROC(close, length)) > 0.1
for name, theirs, peer in (
    ("rsi", ta_py.rsi(prices, 14), talib.RSI(close, 14)),
    ("trix", ta_py.trix(prices, 15), talib.TRIX(close, 15)),
    ("lsma", ta_py.lsma(prices, 25), talib.LINEARREG(close, 25)),
    ("tsf", ta_py.tsf(prices, 14), talib.TSF(close, 14)),
):
    assert apart(theirs, peer) < 1e-8, name
print("mom(1):", ta_py.mom([1.0, 2.0, 4.0, 8.0], 1), "roc(2):", ta_py.roc([1.0, 2.0, 4.0, 8.0], 2))
assert not any(ta_py.mom([1.0, 2.0, 4.0, 8.0], 1))
PY
