#!/bin/sh
# raptorbt 0.13.4: after a stop or a target no entry signal counts until there is an exit signal.
# Guess: a position that was stopped at bar 3 is entered again by the entry signal of bar 6.
# Seen: entries at 1 and 6 without an exit give one trade; an exit signal at 4, while nothing is held, gives two. Entries that follow
# an entry are dropped before the stops are known.
# Why it matters: strategies whose exits are brackets trade once a run, and no count of signals or message says so.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'raptorbt==0.13.4' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import raptorbt

rows = 12
price = np.full(rows, 100.0)
low = price.copy()
low[3] = 98.0
bars = dict(
    timestamps=np.arange(rows, dtype=np.int64) * 60_000_000_000,
    open=price, high=price, low=low, close=price, volume=np.full(rows, 1e6),
)


def trades(entries, exits):
    config = raptorbt.BacktestConfig(fees=0.0, fill_timing="next_bar_open")
    config.set_fixed_stop(0.01)
    found = raptorbt.run_single_backtest(
        **bars, entries=np.isin(np.arange(rows), entries), exits=np.isin(np.arange(rows), exits), config=config
    )
    told = [(trade.entry_idx, trade.exit_idx, trade.exit_reason) for trade in found.trades()]
    print("entries", entries, "exits", exits, "trades", told)
    return told


assert trades([1, 6], []) == [(2, 3, "StopLoss")]
assert trades([1, 6], [9]) == [(2, 3, "StopLoss")]
assert trades([1, 6], [4]) == [(2, 3, "StopLoss"), (7, 11, "EndOfData")]
PY
