#!/bin/sh
# backtrader 1.9.78.123, CommodityChannelIndex(period=20), beside TA-Lib 0.8.2 and Lambert's formula.
# Guess: the distance of the typical price to the mean of 20 bars, over 0.015 times the mean distance of those 20 to that mean; equal to TA-Lib's.
# Seen: the distances are those of each old bar to the mean of the 20 bars that ended with it, so that 39 bars go in. On 250 bars of a random walk the two are up
# to 169 points apart, and on other sides of 100 (up or down) on one bar in eight. RSI, ATR, ADX and PSAR of the same package are TA-Lib's to 1e-8.
# Why it matters: thresholds of 100 and 200 from a chart or a paper are crossed on other bars.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'backtrader==1.9.78.123' 'TA-Lib==0.8.2' 'pandas==3.1.1' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import backtrader
import numpy as np
import pandas as pd
import talib

rng, rows, period = np.random.default_rng(1), 600, 20
close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, rows)))
open_ = close * np.exp(rng.normal(0, 0.004, rows))
high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, 0.004, rows)))
low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, 0.004, rows)))
bars = pd.DataFrame({"open": open_, "high": high, "low": low, "close": close, "volume": 1.0}, pd.bdate_range("2020-01-01", periods=rows))
seen = {}


class Watch(backtrader.Strategy):
    def __init__(self):
        kit = backtrader.indicators
        self.kept = {"cci": kit.CCI(period=period), "rsi": kit.RSI(period=14), "atr": kit.ATR(period=14), "adx": kit.ADX(period=14), "sar": kit.PSAR()}

    def next(self):
        pass

    def stop(self):
        seen.update({name: np.array(each.lines[0].array)[:rows] for name, each in self.kept.items()})


cerebro = backtrader.Cerebro()
cerebro.adddata(backtrader.feeds.PandasData(dataname=bars))
cerebro.addstrategy(Watch)
cerebro.run()
last = slice(-250, None)
for name, peer in (("rsi", talib.RSI(close, 14)), ("atr", talib.ATR(high, low, close, 14)), ("adx", talib.ADX(high, low, close, 14)), ("sar", talib.SAR(high, low))):
    assert np.abs(seen[name][last] - peer[last]).max() < 1e-8, name
price = pd.Series((high + low + close) / 3)
mean = price.rolling(period).mean()
textbook = (price - mean) / (0.015 * price.rolling(period).apply(lambda window: np.abs(window - window.mean()).mean(), raw=True))
longer = (price - mean) / (0.015 * (price - mean).abs().rolling(period).mean())
theirs, peer = seen["cci"][last], talib.CCI(high, low, close, period)[last]
apart = np.abs(theirs - peer)
sides = np.mean((np.abs(theirs) > 100) != (np.abs(peer) > 100))
print(f"TA-Lib and backtrader: up to {apart.max():.1f} apart, on other sides of 100 on {sides:.1%} of the bars; last {peer[-1]:.1f}, {theirs[-1]:.1f}")
assert np.abs(peer - textbook.to_numpy()[last]).max() < 1e-8
assert np.abs(theirs - longer.to_numpy()[last]).max() < 1e-8
assert apart.max() > 100 and sides > 0.1
PY
