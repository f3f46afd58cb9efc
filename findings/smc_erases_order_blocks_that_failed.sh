#!/bin/sh
# smartmoneyconcepts 0.0.27: smc.ob takes order blocks that failed out of the past.
# Guess: a block, once marked, stays in its row; what becomes of it is told by MitigatedIndex.
# Seen: of the blocks that the same call showed while bars came in, with the same swings, 17 of 22 are gone from the whole table:
# those that were broken and then crossed back are set to 0 in the row where they had been. None of those that held is missing.
# Why it matters: a backtest over the finished table trades the blocks that will hold, years before it can be known.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'smartmoneyconcepts==0.0.27' 'pandas==2.3.3' 'numpy==2.2.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import contextlib
import io

import numpy as np
import pandas as pd

with contextlib.redirect_stdout(io.StringIO()):
    from smartmoneyconcepts import smc

random = np.random.default_rng(5)
rows, reach = 1_000, 10
close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, rows)))
opened = np.r_[100, close[:-1]]
spread = np.abs(random.normal(0, 0.004, (2, rows)))
bars = pd.DataFrame({
    "open": opened, "high": np.maximum(opened, close) * (1 + spread[0]), "low": np.minimum(opened, close) * (1 - spread[1]),
    "close": close, "volume": random.integers(1_000, 9_000, rows).astype(float),
})
swings = smc.swing_highs_lows(bars, swing_length=reach)


def blocks(end):
    known = swings.iloc[:end].copy()
    known.iloc[max(0, end - reach) :] = np.nan  # a swing is known when the bars after it are
    found = smc.ob(bars.iloc[:end], known)
    return {row: (int(side), float(top), float(bottom)) for row, side, top, bottom in zip(range(end), found["OB"], found["Top"], found["Bottom"]) if side in (1, -1)}


seen = {}
for end in range(50, rows + 1, 5):
    seen |= {row: (*block, end) for row, block in blocks(end).items() if row not in seen}
left = blocks(rows)
gone = set(seen) - set(left)
broken = {row for row in seen if (bars["low"][seen[row][3] :].min() < seen[row][2] if seen[row][0] == 1 else bars["high"][seen[row][3] :].max() > seen[row][1])}
print(f"blocks seen as bars came in: {len(seen)}, left in the whole table: {len(left)}, gone: {len(gone)}, of which broken: {len(gone & broken)}")
print(f"blocks that were never broken: {len(set(seen) - broken)}, of which gone: {len(gone - broken)}")
assert len(gone) > len(seen) / 2 and gone <= broken
PY
