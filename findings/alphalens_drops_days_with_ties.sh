#!/bin/sh
# alphalens-reloaded 0.5.1, get_clean_factor_and_forward_returns: 20 shares, and on every other day 9 of them have a factor of 0.0 (no signal).
# Guess: the nine share a quantile; the other eleven are sorted around them.
# Seen: such a day is left out whole, all 20 shares of it, and one printed line says how much was lost in the "binning phase": 50 %.
# With max_loss=0 the reason shows: two edges of the bins are equal. The days that are left are those on which everything had a signal.
# Why it matters: sparse signals (events, news, rules that say "no trade") are judged on a part of the days, chosen by the signal itself; below 35 % no
# error is raised. The day's rank with ties broken (rank(method="first")) keeps every day.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'alphalens-reloaded==0.5.1' 'pandas==2.3.3' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pandas as pd
from alphalens.utils import get_clean_factor_and_forward_returns

rng = np.random.default_rng(0)
days = pd.bdate_range("2024-01-01", periods=41)
names = [f"S{number:02d}" for number in range(20)]
prices = pd.DataFrame(100 * np.exp(np.cumsum(rng.normal(0, 0.01, (41, 20)), axis=0)), index=days, columns=names)
wide = pd.DataFrame(rng.normal(size=(41, 20)), index=days, columns=names).iloc[:-1]
wide.iloc[::2, :9] = 0.0


def days_left(values, **options):
    factor = values.stack()
    factor.index.names = ["date", "asset"]
    table = get_clean_factor_and_forward_returns(factor, prices, quantiles=5, periods=(1,), **options)
    return table.index.get_level_values("date").unique()


left = days_left(wide, max_loss=0.6)
ranked = days_left(wide.rank(axis=1, method="first"))
sparse = set(wide.index[(wide == 0.0).any(axis=1)])
print(f"days with a factor {len(wide)}, days in the table {len(left)}, of those with zeros {len(sparse & set(left))}; by rank {len(ranked)}")
assert len(wide) == len(ranked) == 40 and len(left) == 20 and not sparse & set(left)
try:
    days_left(wide, max_loss=0)
    said = "no error"
except ValueError as error:
    said = str(error)
print("max_loss=0:", said.splitlines()[0])
assert "Bin edges must be unique" in said

few = wide.copy()
few.iloc[8:, :9] = rng.normal(size=(32, 9))
kept = days_left(few)
print(f"zeros on 4 of 40 days, default max_loss: {len(kept)} days in the table, no error")
assert len(kept) == 36
PY
