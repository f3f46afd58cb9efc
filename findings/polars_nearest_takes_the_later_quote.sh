#!/bin/sh
# polars 2.1.0, pandas 3.1.1: the nearest quote to a trade (join_asof(strategy="nearest"), merge_asof(direction="nearest")) halfway between two quotes.
# Guess: both take the earlier one, which was known at the time of the trade.
# Seen: pandas does; polars takes the later one. Of two later quotes with one timestamp it takes the last, pandas of two earlier ones the last as well. With
# bars of one minute and trades that are stamped in whole half minutes the two disagree on every second trade.
# Why it matters: stamps in whole seconds make ties the rule, so that the same join is a look into the past in one library and into the future in the other.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'polars==2.1.0' 'pandas==3.1.1' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
from datetime import datetime, timedelta

import pandas as pd
import polars as pl

start = datetime(2024, 1, 2, 9, 30)


def nearest(quotes, trades):
    """The numbers of the quotes that pandas and polars give to the trades; both in seconds after the start."""
    quoted = {"t": [start + timedelta(seconds=s) for s in quotes], "quote": list(range(len(quotes)))}
    traded = {"t": [start + timedelta(seconds=s) for s in trades]}
    one = pd.merge_asof(pd.DataFrame(traded), pd.DataFrame(quoted), on="t", direction="nearest")
    other = pl.DataFrame(traded).join_asof(pl.DataFrame(quoted), on="t", strategy="nearest")
    return one["quote"].tolist(), other["quote"].to_list()


pandas_ties, polars_ties = nearest([0, 0, 2, 2], [1])
print("quotes 0 and 1 a second before the trade, 2 and 3 a second after it: pandas", pandas_ties, "polars", polars_ties)
assert (pandas_ties, polars_ties) == ([1], [3])
assert nearest([0, 2], [0.9, 1.1]) == ([0, 1], [0, 1])
pandas_bars, polars_bars = nearest(range(0, 3600, 60), range(0, 3540, 30))
differ = sum(a != b for a, b in zip(pandas_bars, polars_bars))
print(f"trades every 30 seconds, quotes every 60: {differ} of {len(pandas_bars)} are given another quote")
assert differ == 59 and all(b - a in (0, 1) for a, b in zip(pandas_bars, polars_bars))
PY
