#!/bin/sh
# vectorbt 1.2.0: a position that is bought at the open has its stop around the close of that bar.
# Guess: sl_stop=0.01 is 1 % below the price paid, "the acquisition price" of the documentation.
# Seen: bought at 100 in a bar that closes at 104, it is stopped at 102.96, a gain; stop_entry_price="fillprice" has it at 99. And the
# range of the entry bar itself is never looked at: a bar that falls to 98 after the purchase does not stop it.
# Why it matters: signals that fill at the next open, as the documentation advises, get brackets around a price that nobody paid.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'vectorbt==1.2.0' 'numpy==2.4.6' 'pandas==3.1.1' 'plotly==7.1.0'
"$work/venv/bin/python" -W ignore - <<'PY'
import pandas as pd
import vectorbt as vbt

index = pd.date_range("2024-01-01", periods=5, freq="min")
columns = {
    "open": [100.0, 100.0, 104.0, 103.0, 98.0],
    "high": [100.0, 104.0, 104.0, 103.0, 98.0],
    "low": [100.0, 98.0, 103.5, 102.5, 98.0],
    "close": [100.0, 104.0, 103.5, 102.5, 98.0],
}
bars = {name: pd.Series(values, index) for name, values in columns.items()}


def stopped(**more):
    found = vbt.Portfolio.from_signals(
        bars["close"], entries=pd.Series([False, True, False, False, False], index), exits=False,
        price=bars["open"], open=bars["open"], high=bars["high"], low=bars["low"],
        size=1.0, sl_stop=0.01, freq="1min", **more,
    )
    trade = found.trades.records.iloc[0]
    told = (int(trade.entry_idx), float(trade.entry_price), int(trade.exit_idx), round(float(trade.exit_price), 2))
    print(more or "as it is", "entry bar, entry price, exit bar, exit price:", told)
    return told


assert stopped() == (1, 100.0, 3, 102.96)
assert stopped(stop_entry_price="fillprice") == (1, 100.0, 4, 98.0)  # gapped to 98; the entry bar's low was 98 too
PY
