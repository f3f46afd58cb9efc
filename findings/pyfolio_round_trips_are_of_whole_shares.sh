#!/bin/sh
# pyfolio-reloaded 0.10.1, extract_round_trips: amounts of transactions that are no whole numbers.
# Guess: the pnl of a round trip is that of the amount traded, whatever the amount.
# Seen: amounts are cut to whole numbers. Half a coin bought at 10,000 and sold at 11,000 is no round trip; one and a half are one: 1,000 of the
# 2,000 that were earned in the two trades are in the table, and no word is said.
# Why it matters: coins, fractional shares and split-adjusted amounts lose a part of their trades: number, profit factor and winning share are others.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'pyfolio-reloaded==0.10.1' 'pandas==2.3.3' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import pandas as pd
from pyfolio.round_trips import extract_round_trips

rows = [
    ("2024-01-02 15:00", 0.5, 10_000.0),
    ("2024-01-05 15:00", -0.5, 11_000.0),
    ("2024-01-08 15:00", 1.5, 10_000.0),
    ("2024-01-11 15:00", -1.5, 11_000.0),
]
coins = pd.DataFrame(rows, columns=["dt", "amount", "price"]).assign(symbol="COIN")
coins = coins.set_index(pd.to_datetime(coins.pop("dt"), utc=True))
earned = -(coins["amount"] * coins["price"]).sum()
trips = extract_round_trips(coins)
print(f"by the cash: {earned:.0f} in two round trips; extract_round_trips: {trips['pnl'].sum():.0f} in {len(trips)}")
assert earned == 2000.0 and len(trips) == 1 and trips["pnl"].sum() == 1000.0
thousandths = extract_round_trips(coins.assign(amount=coins["amount"] * 1000, price=coins["price"] / 1000))
print(f"the same trades counted in thousandths of a coin: {thousandths['pnl'].sum():.0f} in {len(thousandths)}")
assert len(thousandths) == 2 and abs(thousandths["pnl"].sum() - 2000.0) < 1e-6
PY
