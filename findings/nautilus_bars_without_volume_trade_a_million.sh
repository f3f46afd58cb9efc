#!/bin/sh
# nautilus_trader 1.221.0: BarDataWrangler gives bars without a column of volume a volume of 1,000,000 each.
# Guess: an error that names the column, or 0.
# Seen: 1000000 on every bar, without a word; `process(data, default_volume=1000000.0)`.
# Why it matters: exports of currencies and indices (TradingView, FirstRate, Polygon's indices) have no volume, and rules of liquidity or fills
# by a share of volume then trade a million a bar.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'nautilus_trader==1.221.0' 'pandas==2.3.3' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import pandas as pd
from nautilus_trader.model.data import BarType
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.test_kit.providers import TestInstrumentProvider

rows = pd.DataFrame(
    {"open": [1.0936, 1.0940], "high": [1.0942, 1.0950], "low": [1.0931, 1.0930], "close": [1.0939, 1.0935]},
    index=pd.to_datetime(["2024-03-08T19:00Z", "2024-03-08T20:00Z"]),
)
kind = BarType.from_str("EUR/USD.SIM-1-HOUR-MID-EXTERNAL")
wrangler = BarDataWrangler(kind, TestInstrumentProvider.default_fx_ccy("EUR/USD"))
bars = wrangler.process(rows)
for bar in bars:
    print(bar)
assert [float(bar.volume) for bar in bars] == [1_000_000.0, 1_000_000.0]
PY
