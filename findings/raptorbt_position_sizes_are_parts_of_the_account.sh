#!/bin/sh
# raptorbt 0.13.4: position_sizes=100 is no hundred shares but a hundred accounts, and a cash account buys them.
# Guess: position_sizes are shares, and what the cash does not pay for is refused or made smaller.
# Seen: an account of 100,000 buys 100,000 shares at 100, ten million, and ends 400,000 in debt with a return of -500 %; a size of 0.1 is 100 shares.
# Why it matters: neither the README nor the stubs say what a size is, and the larger reading runs without a word.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'raptorbt==0.13.4' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import raptorbt

price = np.array([100.0, 100.0, 100.0, 95.0, 95.0])
bars = dict(
    timestamps=np.arange(5, dtype=np.int64) * 60_000_000_000,
    open=price, high=price, low=price, close=price, volume=np.full(5, 1e9),
)


def bought(size):
    found = raptorbt.run_single_backtest(
        **bars, entries=np.arange(5) == 0, exits=np.arange(5) == 3, position_sizes=np.full(5, size),
        config=raptorbt.BacktestConfig(initial_capital=100_000.0, fees=0.0, fill_timing="next_bar_open"),
    )
    trade, = found.trades()
    print(f"position_sizes {size:g}: {trade.size:g} shares, account at the end {found.metrics.end_value:g}, return {found.metrics.total_return_pct:g} %")
    return trade.size, found.metrics.end_value


assert bought(0.1) == (100.0, 99_500.0)
assert bought(100.0) == (100_000.0, -400_000.0)
PY
