#!/bin/sh
# yfinance 1.7.0, back_adjust=True ("back-adjusted data to mimic true historical prices"), which hands the table to utils.back_adjust.
# Guess: open, high, low and close of a row are multiplied by one factor, adjusted close over close, as auto_adjust does it.
# Seen: open, high and low are; the close stays as it was traded, and the adjusted one is dropped. Before a dividend of a tenth each close is above the high
# of its own day. From the open of a day to its close the share gains 11 % on every day, and over the dividend it loses 10 % from close to close.
# Why it matters: ranges, ATR, bodies of candles and intraday returns of everything that ever paid are wrong, the more the further back.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'yfinance==1.7.0' 'pandas==3.1.1' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import pandas as pd
from yfinance import utils

days = pd.bdate_range("2024-03-04", periods=4)
close = [100.0, 100.0, 90.0, 90.0]
rows = pd.DataFrame(
    {
        "Open": close,
        "High": [price + 2 for price in close],
        "Low": [price - 2 for price in close],
        "Close": close,
        "Adj Close": 90.0,
        "Volume": 1000,
    },
    index=days,
)
back, auto = utils.back_adjust(rows.copy()), utils.auto_adjust(rows.copy())
print("as traded, a dividend of 10 on the third day\n", rows, "\nback_adjust\n", back, "\nauto_adjust\n", auto)
for table, outside in ((back, [True, True, False, False]), (auto, [False] * 4)):
    assert ((table["Close"] > table["High"]) | (table["Close"] < table["Low"])).tolist() == outside
assert back["Close"].tolist() == close and auto["Close"].tolist() == [90.0] * 4
assert back["Open"].tolist() == auto["Open"].tolist() == [90.0] * 4
PY
