#!/bin/sh
# One missing price in 500: what becomes of the indicators after it. TA-Lib 0.8.2, polars-talib 0.2.1 on polars 2.1.0.
# Guess: a gap of one window, then the numbers again; or missing to the end, the same for all.
# Seen, 397 bars later: RSI is 0.0 ("oversold") for ever, EMA and SMA are NaN for ever, STDDEV, MAX and LINEARREG have recovered; the null of a Polars column
# makes everything after it null, SMA included.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'TA-Lib==0.8.2' 'polars==2.1.0' 'polars-talib==0.2.1' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import polars as pl
import polars_talib
import talib

rng = np.random.default_rng(7)
close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 500)))
holed = close.copy()
holed[100] = np.nan
last = {name: float(getattr(talib, name)(holed, 14)[-1]) for name in ("RSI", "EMA", "SMA", "STDDEV", "MAX", "LINEARREG")}
print({name: round(value, 4) for name, value in last.items()})
assert last["RSI"] == 0.0 and np.isnan(last["EMA"]) and np.isnan(last["SMA"])
for name in ("STDDEV", "MAX", "LINEARREG"):
    assert np.isclose(last[name], getattr(talib, name)(close, 14)[-1])
frame = pl.DataFrame({"close": close}).with_columns(pl.when(pl.int_range(pl.len()) != 100).then("close").alias("close"))
answer = frame.select(rsi=polars_talib.rsi(pl.col("close"), 14), sma=polars_talib.sma(pl.col("close"), 14))
print("polars-talib, rows that are not null after the hole:", answer[101:].select(pl.all().is_not_null().sum()).row(0))
assert answer[101:].select(pl.all().is_not_null().sum()).row(0) == (0, 0)
PY
