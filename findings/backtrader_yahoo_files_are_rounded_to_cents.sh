#!/bin/sh
# backtrader 1.9.78.123: YahooFinanceCSVData rounds prices to two decimals, so a coin below half a cent costs nothing.
# Guess: the prices of the file, adjusted by Adj Close.
# Seen: 0.00003402 is 0.0 on every bar, 1.23456 is 1.23. `round=True` and `decimals=2` are the defaults, and nothing says that anything was rounded.
# Why it matters: exchange rates and coins are stored as Yahoo's CSV; a strategy that compares two of their prices sees equal ones.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'backtrader==1.9.78.123'
cd "$work"
cat > SHIB-USD.csv <<'CSV'
Date,Open,High,Low,Close,Adj Close,Volume
2024-03-07,0.00003391,0.00003510,0.00003305,0.00003402,0.00003402,1000000
2024-03-08,0.00003402,0.00003600,0.00003380,0.00003555,0.00003555,1200000
CSV
cat > EURUSD=X.csv <<'CSV'
Date,Open,High,Low,Close,Adj Close,Volume
2024-03-07,1.08990,1.09510,1.08670,1.09456,1.09456,0
2024-03-08,1.09456,1.09810,1.09200,1.09012,1.09012,0
CSV
"$work/venv/bin/python" -W ignore - <<'PY'
import backtrader as bt


def closes(name, **options):
    class Watch(bt.Strategy):
        def __init__(self):
            self.seen = []

        def next(self):
            self.seen.append(self.data.close[0])

    cerebro = bt.Cerebro()
    cerebro.adddata(bt.feeds.YahooFinanceCSVData(dataname=name, **options))
    cerebro.addstrategy(Watch)
    seen = cerebro.run()[0].seen
    print(name, options, seen)
    return seen


assert closes("SHIB-USD.csv") == [0.0, 0.0]
assert closes("EURUSD=X.csv") == [1.09, 1.09]
assert closes("EURUSD=X.csv", round=False) == [1.09456, 1.09012]
PY
