#!/bin/sh
# backtesting 0.6.6: a position that is open at the last bar is in the return and in no other figure.
# Guess: the trade is closed at the last bar, or at least counted as exposure.
# Seen: +7 % return with 0 trades, an exposure time of 0 % and no win rate, unless finalize_trades=True is given.
# Why it matters: buy-and-hold, and every strategy that ends in a position, shows no trade and no risk.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'backtesting==0.6.6' 'pandas==2.3.3' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy

close = np.linspace(10, 19, 10)
bars = pd.DataFrame(
    {"Open": close, "High": close + 0.5, "Low": close - 0.5, "Close": close, "Volume": 100},
    index=pd.bdate_range("2024-01-01", periods=10),
)


class Hold(Strategy):
    def init(self):
        pass

    def next(self):
        if not self.position:
            self.buy(size=10)


left = Backtest(bars, Hold, cash=1000).run()
closed = Backtest(bars, Hold, cash=1000, finalize_trades=True).run()
for name, found in (("as it is", left), ("finalize_trades=True", closed)):
    print(name, {key: found[key] for key in ("Return [%]", "# Trades", "Exposure Time [%]", "Win Rate [%]")})
assert left["# Trades"] == 0 and left["Exposure Time [%]"] == 0 and left["Return [%]"] > 6
assert closed["# Trades"] == 1
PY
