#!/bin/sh
# vectorbt 1.2.0: RSI.run(close, 14) is Wilder's RSI with neither of its settings.
# Guess: the RSI of 14 bars, as TA-Lib 0.8.2, ta 0.11.0 and talipp 2.7.0 have it, which agree; perhaps with ewm=True.
# Seen: 65.6 by default (a plain mean of 14 changes, so that the bar that falls out moves it as much as the new one), 47.6 with ewm=True (a span of 14, which is
# twice as fast as Wilder's), 51.2 in the three others. ATR.run(14) uses the span of 14 too.
# Why it matters: thresholds of 30 and 70 that come from any other chart or paper are crossed at other times.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'vectorbt==1.2.0' 'ta-lib==0.8.2' 'ta==0.11.0' 'talipp==2.7.0' 'numpy==2.4.6' 'pandas==3.1.1' 'plotly==7.1.0'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pandas as pd
import ta
import talib
import vectorbt
from talipp.indicators import RSI

prices = 100 * np.exp(np.cumsum(np.random.default_rng(5).normal(0, 0.01, 400)))
close = pd.Series(prices, index=pd.bdate_range("2022-01-03", periods=400))
others = {
    "TA-Lib": talib.RSI(prices, 14),
    "ta": ta.momentum.rsi(close, 14).to_numpy(),
    "talipp": np.array([np.nan if each is None else each for each in RSI(14, list(prices))]),
}
plain, span = (vectorbt.RSI.run(close, 14, ewm=ewm).rsi.to_numpy() for ewm in (False, True))
print({name: round(float(each[-1]), 2) for name, each in others.items()}, "vectorbt", round(plain[-1], 2), "with ewm=True", round(span[-1], 2))
wilder = others["TA-Lib"][100:]
assert max(np.abs(each[100:] - wilder).max() for name, each in others.items() if name != "ta") < 1e-6 and np.abs(others["ta"][300:] - wilder[200:]).max() < 1e-4
for name, each in (("default", plain[100:]), ("ewm=True", span[100:])):
    sold = (float(((each < 30) != (wilder < 30)).sum()), float(((each > 70) != (wilder > 70)).sum()))
    print(f"{name}: at most {np.abs(each - wilder).max():.0f} points from Wilder's; bars of 300 on which only one of the two is below 30: {sold[0]:.0f}, above 70: {sold[1]:.0f}")
    assert np.abs(each - wilder).max() > 10
delta = np.diff(prices[-15:])
assert abs(plain[-1] - 100 * delta.clip(0).sum() / np.abs(delta).sum()) < 1e-9
PY
