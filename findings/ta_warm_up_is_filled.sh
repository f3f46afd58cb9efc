#!/bin/sh
# ta 0.11.0: bars that an indicator cannot know yet are filled with numbers, some of them from the future.
# Guess: the first 13 rows of ATR(14) and all of ADX(14)'s warm-up are missing; a change of prices from bar 150 on changes no row before it.
# Seen: ATR and ADX are 0.0 there, so a stop of two ATR lies at the entry. KST fills its shifts with the mean of the whole
# series, so 30 rows from row 14 on move when only the future moves, and its signal line 38.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'ta==0.11.0' 'pandas==2.3.3' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pandas as pd
import ta

rng = np.random.default_rng(1)
days = pd.bdate_range("2024-01-01", periods=200)
close = pd.Series(100 * np.exp(np.cumsum(rng.normal(0, 0.01, 200))), index=days)
later = close.copy()
later.iloc[150:] *= 1.5

atr = ta.volatility.AverageTrueRange(close * 1.01, close * 0.99, close, 14).average_true_range()
adx = ta.trend.ADXIndicator(close * 1.01, close * 0.99, close, 14).adx()
print("first rows of ATR:", atr.head(3).tolist(), "and of ADX:", adx.head(3).tolist())
assert (atr.head(13) == 0.0).all() and (adx.head(13) == 0.0).all()


def moved(indicator):
    before, after = (indicator(prices).iloc[:150].to_numpy() for prices in (close, later))
    return np.flatnonzero(~np.isclose(before, after, equal_nan=True))


kst = moved(lambda prices: ta.trend.KSTIndicator(prices).kst())
signal = moved(lambda prices: ta.trend.KSTIndicator(prices).kst_sig())
print(f"rows of KST before bar 150 that a change after it moved: {kst[0]} to {kst[-1]} ({len(kst)}), of its signal {len(signal)}")
assert kst[0] == 14 and len(kst) == 30 and len(signal) == 38
PY
