#!/bin/sh
# backtesting 0.6.6: buy(stop=110, limit=115), with the price at 100, and a bar that opens at 113, above the stop, and never falls below 112.
# Guess: bought at the open, 113, as with buy(stop=110) alone; the limit only keeps the price below 115.
# Seen: bought at 110, which the market jumped over: two below the lowest price of that bar. sell(stop=90, limit=85) in a bar from 87 down sells at 90, two above its
# highest. The stop alone fills at 113 and at 87. There is no warning, and the trade's entry price says 110.
# Why it matters: the limit that is added to be careful makes every gap free: breakouts at the open, where gaps are, are bought at the level that was left behind.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'backtesting==0.6.6' 'bokeh==3.9.2' 'pandas==3.1.1' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import pandas as pd
from backtesting import Backtest, Strategy

QUIET = [(100, 101, 99, 100)] * 3


def entry(side, bar, **prices):
    """The price at which an order with these prices, sent two bars earlier, is filled."""

    class Breakout(Strategy):
        def init(self):
            pass

        def next(self):
            if len(self.data) == 2:
                (self.buy if side == "buy" else self.sell)(size=10, **prices)

    rows = [*QUIET, bar, bar, bar]
    days = pd.bdate_range("2024-01-01", periods=len(rows))
    bars = pd.DataFrame(rows, columns=["Open", "High", "Low", "Close"], index=days, dtype=float).assign(Volume=1000.0)
    trade = Backtest(bars, Breakout, cash=10_000, finalize_trades=True).run()["_trades"].iloc[0]
    assert trade["EntryBar"] == 3
    return trade["EntryPrice"]


up, down = (113, 118, 112, 117), (87, 88, 84, 86)
for side, bar, stop, limit in (("buy", up, 110, 115), ("sell", down, 90, 85)):
    plain, both = entry(side, bar, stop=stop), entry(side, bar, stop=stop, limit=limit)
    print(f"{side} at {stop}, bar {bar}: the stop alone at {plain}, with a limit of {limit} at {both}")
    assert plain == bar[0] and both == stop and not bar[2] <= both <= bar[1]
assert entry("buy", (108, 113, 107, 112), stop=110, limit=115) == 110
PY
