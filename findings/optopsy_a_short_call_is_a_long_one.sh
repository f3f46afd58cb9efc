#!/bin/sh
# optopsy 2.2.0 (backtests of option strategies): short_calls and short_puts beside long_calls and long_puts of the same chain.
# Guess: what the buyer of an option wins its seller loses: pct_change has the other sign, as between short_straddles and long_straddles of the same package.
# Seen: the four tables are two: short_calls is long_calls to the last digit, puts likewise. A call sold at 2.10 and bought back at 6.10 is +190 %. For
# straddles, strangles and spreads the sign is turned. And covered_call is no share and a call: it is the table of long_call_spread, for every pair of strikes.
# Why it matters: selling options looks best where it ruins, and a strategy of short puts has the statistics of its opponent.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'optopsy==2.2.0' 'pandas==3.1.1' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import optopsy
import pandas as pd

expiration = pd.Timestamp("2024-02-16")
rows = []
for day, spot in (("2024-01-17", 100.0), ("2024-02-16", 106.0)):
    for strike in (90.0, 95.0, 100.0, 105.0, 110.0):
        for kind, inside in (("c", spot - strike), ("p", strike - spot)):
            worth = max(0.0, inside) + (max(0.0, 2 - abs(inside) / 5) if day < "2024-02" else 0.0) + 0.1
            rows.append(("X", spot, kind, expiration, pd.Timestamp(day), strike, worth - 0.05, worth + 0.05))
names = ["underlying_symbol", "underlying_price", "option_type", "expiration", "quote_date", "strike", "bid", "ask"]
chain = pd.DataFrame(rows, columns=names)


def changes(name):
    return getattr(optopsy, name)(chain, raw=True)


for kind in ("calls", "puts"):
    bought, sold = changes(f"long_{kind}"), changes(f"short_{kind}")
    print(f"long_{kind}\n{bought.to_string()}\nshort_{kind} the same table: {sold.equals(bought)}")
    assert sold.equals(bought) and (sold["pct_change"].abs() > 0.5).any()
sold = changes("short_calls").set_index("strike").loc[100.0]
assert round(sold["entry"], 2) == 2.1 and round(sold["exit"], 2) == 6.1 and abs(sold["pct_change"] - 4 / 2.1) < 1e-9
for name in ("straddles", "strangles", "call_spread", "put_spread"):
    assert (changes(f"short_{name}")["pct_change"] + changes(f"long_{name}")["pct_change"]).abs().max() < 1e-12
assert changes("covered_call").equals(changes("long_call_spread"))
PY
