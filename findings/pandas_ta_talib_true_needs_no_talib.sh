#!/bin/sh
# pandas-ta-classic 0.8.32: calls with talib=True on the same prices, before and after ta-lib 0.8.2 is installed beside it.
# Guess: without TA-Lib they raise, or agree with TA-Lib's to rounding once they have warmed up.
# Seen: they run without a word, on formulas of the package's own. RSI and ATR agree. stochrsi's %K is then smoothed over three bars and TA-Lib's is not: they
# are up to 67 apart, and of 1,900 bars %K is below 20 on 514 without TA-Lib and on 567 with it. trima(10) has 11 bars instead of 10.
# Why it matters: a machine on which the library could not be built trades other signals than the one the strategy was tested on, though its
# program says talib=True.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
cat >"$work/signals.py" <<'PY'
import sys

import numpy as np
import pandas as pd
import pandas_ta_classic as ta

rng = np.random.default_rng(0)
close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 2000)))
start = close * np.exp(rng.normal(0, 0.003, 2000))
high = np.maximum(start, close) * (1 + np.abs(rng.normal(0, 0.004, 2000)))
low = np.minimum(start, close) * (1 - np.abs(rng.normal(0, 0.004, 2000)))
bars = pd.DataFrame({"open": start, "high": high, "low": low, "close": close, "volume": 1000.0})
for option, suffix in (({"talib": True}, ""), ({"talib": False}, "_own")):
    columns = {
        "rsi": ta.rsi(bars["close"], 14, **option),
        "atr": ta.atr(bars["high"], bars["low"], bars["close"], 14, **option),
        "trima": ta.trima(bars["close"], 10, **option),
        "stochrsi": ta.stochrsi(bars["close"], 14, 14, 3, 3, **option).iloc[:, 0],
    }
    pd.DataFrame(columns).to_pickle(sys.argv[1] + suffix)
PY
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'pandas-ta-classic==0.8.32' 'pandas==2.3.3' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore "$work/signals.py" "$work/without"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'ta-lib==0.8.2'
"$work/venv/bin/python" -W ignore "$work/signals.py" "$work/with"
"$work/venv/bin/python" -W ignore - "$work" <<'PY'
import sys

import numpy as np
import pandas as pd

without, beside, own = (pd.read_pickle(f"{sys.argv[1]}/{name}").iloc[100:] for name in ("without", "with", "with_own"))
largest = (without - beside).abs().max()
print("largest difference after 100 bars:")
print(largest.round(6).to_string())
assert largest["rsi"] < 1e-6 and largest["atr"] < 1e-3
assert largest["trima"] > 0.1 and largest["stochrsi"] > 20

close = pd.Series(100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, 2000))))
change = close.diff()
up, down = (part.iloc[1:].ewm(alpha=1 / 14, adjust=False).mean() for part in (change.clip(lower=0), -change.clip(upper=0)))
rsi = 100 * up / (up + down)
raw = 100 * (rsi - rsi.rolling(14).min()) / (rsi.rolling(14).max() - rsi.rolling(14).min())
by_hand = {
    "stochrsi with": (beside["stochrsi"], raw),
    "stochrsi without": (without["stochrsi"], raw.rolling(3).mean()),
    "trima with": (beside["trima"], close.rolling(5).mean().rolling(6).mean()),
    "trima without": (without["trima"], close.rolling(6).mean().rolling(6).mean()),
}
for name, (theirs, mine) in by_hand.items():
    apart = (theirs - mine).iloc[900:].abs().max()
    print(f"{name} TA-Lib equals its formula to {apart:.1e}")
    assert apart < 1e-6
below = without["stochrsi"] < 20, beside["stochrsi"] < 20
apart = int((below[0] != below[1]).sum())
print(f"stochrsi below 20: on {below[0].sum()} of {len(without)} bars without TA-Lib, on {below[1].sum()} with it; on {apart} by one of them alone")
assert apart > 100
assert (without - own).abs().max().max() == 0
PY
