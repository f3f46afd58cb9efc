#!/bin/sh
# hexital 4.1.0, LinearRegression(14): the end of the line that is fitted to the last 14 closes.
# Guess: the line's value at the newest bar, as TA-Lib 0.8.2's LINEARREG and mintalib 0.1.13's linreg, which agree.
# Seen: the value at the bar before it, short of theirs by exactly one slope, on every bar. On a straight line of prices it is yesterday's price. RegressionSlope
# of the same package is TA-Lib's.
# Why it matters: a price that rises evenly is always above its own regression, which looks like a signal; a forecast from it is a bar late.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'hexital==4.1.0' 'TA-Lib==0.8.2' 'mintalib==0.1.13' 'pandas==3.1.1' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import mintalib.functions
import numpy as np
import pandas as pd
import talib
from hexital import Candle
from hexital.indicators import LinearRegression, RegressionSlope


def readings(kind, prices):
    candles = [Candle(price, price, price, price, 1) for price in prices.tolist()]
    indicator = kind(candles=candles, period=14, rounding=None)
    indicator.calculate()
    return np.array([candle.indicators.get(indicator.name) for candle in candles[13:]], dtype=float)


prices = 100 * np.exp(np.random.default_rng(3).normal(0, 0.01, 500).cumsum())
lines, slopes = talib.LINEARREG(prices, 14)[13:], talib.LINEARREG_SLOPE(prices, 14)[13:]
other = mintalib.functions.linreg(pd.Series(prices), 14).to_numpy()[13:]
seen, seen_slopes = readings(LinearRegression, prices), readings(RegressionSlope, prices)
print("last bar: TA-Lib", lines[-1], "mintalib", other[-1], "hexital", seen[-1], "slope", slopes[-1])
assert np.allclose(lines, other, atol=1e-7) and np.allclose(slopes, seen_slopes, atol=1e-7)
assert np.allclose(seen, lines - slopes, atol=1e-7) and np.abs(seen - lines).max() > 0.5
even = np.arange(100.0, 150.0)
print("prices", even[-3:], "hexital's line", readings(LinearRegression, even)[-3:], "TA-Lib's", talib.LINEARREG(even, 14)[-3:])
assert np.allclose(readings(LinearRegression, even), even[12:-1]) and np.allclose(talib.LINEARREG(even, 14)[13:], even[13:])
PY
