#!/bin/sh
# finta 1.3: SAR starts from the deviation of the whole series, QSTICK is computed for the last 14 bars only.
# Guess: SAR of a bar needs that bar and those before it; QSTICK is a rolling mean of close - open, one value a bar.
# Seen: SAR of 100 bars starts elsewhere once later bars are appended, and QSTICK gives 14 rows whatever the length, not averaged:
# each is (close - open) / 14 of its own bar.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'finta==1.3' 'pandas==2.3.3' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pandas as pd
from finta import TA

rng = np.random.default_rng(1)
close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 120)))
bars = pd.DataFrame({"open": close * 0.999, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 100.0})
whole, part = TA.SAR(bars), TA.SAR(bars.head(100))
print(f"SAR of the first bar: {part.iloc[0]:.4f} from 100 bars, {whole.iloc[0]:.4f} from 120")
assert part.iloc[0] != whole.iloc[0]
stick = TA.QSTICK(bars)
print(f"QSTICK of 120 bars has {len(stick)} rows; the last is {stick.iloc[-1]:.6f}, a mean over 14 bars would be {(bars.close - bars.open).tail(14).mean():.6f}")
assert len(stick) == 14 and np.isclose(stick.iloc[-1], (close[-1] - close[-1] * 0.999) / 14)
PY
