#!/bin/sh
# A share's prices end on the fifth of ten days (delisted), and it was bought before: what four backtesters do with it.
# Versions: vectorbt 1.0.0, backtrader 1.9.78.123, bt 1.4.1, cvxportfolio 1.5.1.
# Guess: an error, or the position is closed at the last price.
# Seen: vectorbt and backtrader hold it at its last price for ever (backtrader's order to sell it stays "Accepted", and the dead feed still
# shows its last close to the strategy); bt stops with an error at the first missing price; cvxportfolio turns it into cash at its last value. No two agree.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'vectorbt==1.0.0' 'plotly==5.24.1' 'backtrader==1.9.78.123' 'bt==1.4.1' 'ffn==1.4.1' 'cvxportfolio==1.5.1' 'pandas==2.3.3' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import backtrader
import bt
import cvxportfolio
import numpy as np
import pandas as pd
import vectorbt

days = pd.bdate_range("2024-01-01", periods=10)
prices = pd.DataFrame({"DEAD": [10.0, 11, 12, 13, 14] + [np.nan] * 5, "LIVE": np.linspace(10, 19, 10)}, index=days)

buy = pd.DataFrame(False, index=days, columns=prices.columns)
buy.iloc[0] = True
sell = pd.DataFrame(False, index=days, columns=prices.columns)
sell.iloc[7] = True
portfolio = vectorbt.Portfolio.from_signals(prices, buy, sell, init_cash=1000, size=10, freq="D")
dead = portfolio.trades.records_readable.query("Column == 'DEAD'").iloc[0]
print(f"vectorbt: trade in DEAD is {dead['Status']}, value on the last day {portfolio.value()['DEAD'].iloc[-1]}")
assert dead["Status"] == "Open" and portfolio.value()["DEAD"].iloc[-1] == 1040.0


class Sell(backtrader.Strategy):
    order = None

    def next(self):
        if len(self) == 2:
            self.buy(data=self.datas[0], size=10)
        if len(self) == 7:
            self.order = self.close(data=self.datas[0])

    def stop(self):
        self.left = (self.order.getstatusname(), self.getposition(self.datas[0]).size, self.datas[0].close[0])


def feed(name):
    close = prices[name].dropna()
    return backtrader.feeds.PandasData(dataname=pd.DataFrame({"open": close, "high": close, "low": close, "close": close, "volume": 1, "openinterest": 0}))


cerebro = backtrader.Cerebro()
cerebro.adddata(feed("DEAD"))
cerebro.adddata(feed("LIVE"))
cerebro.addstrategy(Sell)
status, size, close = cerebro.run()[0].left
print(f"backtrader: the order to sell is {status}, {size} shares are held on the last day, close {close}")
assert (status, size, close) == ("Accepted", 10, 14.0)

equal = bt.Strategy("equal", [bt.algos.RunOnce(), bt.algos.SelectAll(), bt.algos.WeighEqually(), bt.algos.Rebalance()])
try:
    bt.run(bt.Backtest(equal, prices, progress_bar=False))
    said = "no error"
except ValueError as error:
    said = str(error)
print(f"bt: {said}")
assert "latest price is NaN" in said

rng = np.random.default_rng(0)
index = pd.bdate_range("2020-01-01", periods=600)
returns = pd.DataFrame(rng.normal(0.0005, 0.01, (600, 3)), index=index, columns=["LIVE", "DEAD", "cash"])
returns["cash"] = 0.0
returns.iloc[400:, 1] = np.nan
simulator = cvxportfolio.MarketSimulator(returns=returns, cash_key="cash", costs=[])
held = simulator.backtest(cvxportfolio.Uniform(), start_time=index[300]).h
after = held[held["DEAD"].isna()].iloc[0]
print(f"cvxportfolio: on {after.name:%Y-%m-%d} DEAD is gone and cash is {after['cash']:.0f}")
assert after["cash"] > 400_000
PY
