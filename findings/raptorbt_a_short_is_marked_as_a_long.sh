#!/bin/sh
# raptorbt 0.13.4: with direction=-1 the trade is a short one, and the equity, the return and the drawdown are those of a long one.
# Guess: 1,000 shares sold at 105 and bought back at 100 leave an account of 105,000 with 110,000.
# Seen: the trade has pnl +5,000 and a win rate of 100 %, the equity curve ends at 100,000 and total_return_pct is -4.76: figure for
# figure the run with direction=1. A strategy class with account_type="margin" ends at 110,000.
# Why it matters: every short backtest from signal arrays reports its result with the wrong sign, beside trades that are right.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'raptorbt==0.13.4' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import raptorbt
from raptorbt.strategy import orders

price = np.array([105.0, 105.0, 105.0, 100.0, 100.0])
bars = dict(
    timestamps=np.arange(5, dtype=np.int64) * 60_000_000_000,
    open=price, high=price, low=price, close=price, volume=np.full(5, 1e6),
)
entries, exits = np.arange(5) == 0, np.arange(5) == 2
config = raptorbt.BacktestConfig(initial_capital=105_000.0, fees=0.0, fill_timing="next_bar_open")


class Short(raptorbt.Strategy):
    def on_bar(self, ctx):
        if ctx.idx == 0:
            self.submit_order(orders.Market(side="sell", units=1_000.0))
        if ctx.idx == 2:
            self.close_position()


def shown(name, found):
    trade, = found.trades()
    told = (trade.direction, trade.entry_price, trade.exit_price, trade.size, trade.pnl, found.metrics.win_rate_pct)
    account = (found.metrics.end_value, round(found.metrics.total_return_pct, 2), round(found.metrics.max_drawdown_pct, 2))
    print(f"{name:24s} trade {told} account {account} equity {found.equity_curve().tolist()}")
    return told, account


long = shown("arrays, direction=1", raptorbt.run_single_backtest(**bars, entries=entries, exits=exits, direction=1, config=config))
short = shown("arrays, direction=-1", raptorbt.run_single_backtest(**bars, entries=entries, exits=exits, direction=-1, config=config))
margin = shown("strategy, margin", raptorbt.run_strategy_backtest(Short, **bars, config=config, account_type="margin"))
assert short[0] == margin[0] == (-1, 105.0, 100.0, 1_000.0, 5_000.0, 100.0)
assert short[1] == long[1] == (100_000.0, -4.76, 4.76)
assert margin[1] == (110_000.0, 4.76, 0.0)
PY
