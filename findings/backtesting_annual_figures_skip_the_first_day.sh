#!/bin/sh
# backtesting 0.6.6: with bars shorter than a day the annual figures begin after the first day.
# Guess: an account that ends 22 % lower has a negative annual return and a negative Sharpe ratio.
# Seen: -30 % on the first of ten days and +10 % over the others: return -22 %, annual return +1,342 %, Sharpe ratio 206, beside a CAGR of -99.9 %.
# Returns are taken from the last equity of one day to that of the next, so what was lost on the first day is in none of them.
# Why it matters: annual return, volatility, Sharpe, Sortino and Calmar of intraday runs leave out a day, the one on which a warm-up ends or a gap is caught.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'backtesting==0.6.6' 'pandas==2.3.3' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy

BARS = 78  # of five minutes
stamps = pd.DatetimeIndex([day + pd.Timedelta(hours=14, minutes=30 + 5 * bar) for day in pd.bdate_range("2024-01-02", periods=10) for bar in range(BARS)])
close = np.r_[np.linspace(100, 70, BARS), np.linspace(70, 77, 9 * BARS)]
bars = pd.DataFrame(dict.fromkeys(("Open", "High", "Low", "Close"), close), index=stamps)


class Hold(Strategy):
    def init(self):
        pass

    def next(self):
        if not self.position and len(self.data) < 5:
            self.buy()


found = Backtest(bars, Hold, cash=1_000_000, finalize_trades=True).run()
print({name: round(float(found[name]), 2) for name in ("Return [%]", "Return (Ann.) [%]", "CAGR [%]", "Sharpe Ratio", "Calmar Ratio", "Max. Drawdown [%]")})
assert found["Return [%]"] < -20 and found["CAGR [%]"] < -99
assert found["Return (Ann.) [%]"] > 1_000 and found["Sharpe Ratio"] > 100 and found["Calmar Ratio"] > 10
PY
