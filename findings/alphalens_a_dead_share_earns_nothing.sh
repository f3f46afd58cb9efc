#!/bin/sh
# alphalens-reloaded 0.5.1, get_clean_factor_and_forward_returns: a share whose prices end (delisted) while its factor goes on, and a hole in prices.
# Guess: a forward return that needs a missing price is missing, and its row is counted among those that are dropped.
# Seen: prices are filled forward first. The dead share stays to the last day with forward returns of 0.0; nothing of it is dropped. Across a hole of
# ten days there are returns of 0.0, and on its last day one that holds eleven days of movement and is labelled "1D".
# Why it matters: a factor that picks the shares which are about to vanish ends at 0 % a day instead of with a gap that somebody would see, and the mean,
# the Sharpe ratio and the information coefficient of its quantile take the zeros in.
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
days = pd.bdate_range("2024-01-01", periods=60)
names = [f"S{number:02d}" for number in range(20)]
prices = pd.DataFrame(100 * np.exp(np.cumsum(rng.normal(0, 0.01, (60, 20)), axis=0)), index=days, columns=names)
factor = pd.DataFrame(rng.normal(size=(60, 20)), index=days, columns=names).stack()
factor.index.names = ["date", "asset"]
prices.loc[days[30]:, "S04"] = np.nan
prices.loc[days[20]:days[29], "S03"] = np.nan
table = get_clean_factor_and_forward_returns(factor, prices, quantiles=5, periods=(1,))

dead = table.xs("S04", level="asset")["1D"]
after = dead.loc[days[29]:]
print(f"the price of S04 ends on {days[29]:%Y-%m-%d}; rows from then on: {len(after)}, forward returns: {sorted(set(after))}")
assert len(after) == 30 and (after == 0.0).all()

hole = table.xs("S03", level="asset")["1D"]
jump = prices["S03"][days[30]] / prices["S03"][days[19]] - 1
print(f"S03 has no price on ten days: returns of {sorted(set(hole.loc[days[19]:days[28]]))}, then {hole[days[29]]:.4f} ({jump:.4f} over eleven days)")
assert (hole.loc[days[19]:days[28]] == 0.0).all() and abs(hole[days[29]] - jump) < 1e-12

known = prices.shift(-1).div(prices).sub(1)
print(f"forward returns of one day with a price at either end: {int(known.notna().sum().sum())}, rows of the table: {len(table)}")
assert known.notna().sum().sum() == 59 * 20 - 30 - 11 and len(table) == 59 * 20
PY
