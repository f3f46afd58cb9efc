#!/bin/sh
# backtrader 1.9.78.123, analyzers.Calmar (36 months), for accounts that grow by a fifth to a half a year with drawdowns of a tenth to a fifth.
# Guess: the Calmar ratio of the last 36 months: the rate of growth a year over the largest drawdown, about 1 to 6.
# Seen: 0.001 to 0.005, by a factor of about a thousand too small and not by the same one: the logarithm of the growth of 36 months over 36, which is a rate a
# month, is divided by the drawdown in percent, which is the largest at the ends of months, of the whole run.
# Why it matters: a search that adds ratios up never sees this one, and no number can be held against another package's.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'backtrader==1.9.78.123' 'pandas==3.1.1' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import backtrader
import numpy as np
import pandas as pd


class Hold(backtrader.Strategy):
    def next(self):
        if len(self) == 1:
            self.buy(size=95)


for seed in (1, 2, 3):
    close = 100 * np.cumprod(1 + np.random.default_rng(seed).normal(0.0013, 0.01, 1000))
    days = pd.bdate_range("2024-01-01", periods=len(close))
    before = np.r_[100.0, close[:-1]]
    bars = {"open": before, "high": np.maximum(before, close), "low": np.minimum(before, close), "close": close, "volume": 1.0}
    cerebro = backtrader.Cerebro()
    cerebro.broker.setcash(10_000)
    cerebro.adddata(backtrader.feeds.PandasData(dataname=pd.DataFrame(bars, days)))
    cerebro.addstrategy(Hold)
    cerebro.addanalyzer(backtrader.analyzers.Calmar, _name="calmar")
    cerebro.addanalyzer(backtrader.analyzers.TimeReturn, _name="returns", timeframe=backtrader.TimeFrame.Days)
    run = cerebro.run()[0]
    theirs = run.analyzers.calmar.calmar
    worth = 10_000 * (1 + pd.Series(run.analyzers.returns.get_analysis())).cumprod()
    recent = worth.iloc[-756:]
    growth, fall = (recent.iloc[-1] / recent.iloc[0]) ** (1 / 3) - 1, (1 - recent / recent.cummax()).max()
    print(f"three years: {growth:.1%} a year, drawdown {fall:.1%}, Calmar ratio {growth / fall:.2f}; backtrader {theirs:.5f}")
    assert 0 < theirs < 0.01 and 300 < growth / fall / theirs < 3000
    months = worth.groupby([worth.index.year, worth.index.month]).last()
    monthly = np.log(worth.iloc[-1] / months.iloc[-36]) / 36
    assert 0.6 < monthly / (100 * (1 - months / months.cummax()).max()) / theirs < 1.7
PY
