#!/bin/sh
# jesse-rust 1.3.1 (the indicators of jesse), adxr(candles, 14) beside adx(candles, 14) of the same module and TA-Lib 0.8.2.
# Guess: ADXR is the mean of two values of ADX, today's and that of 13 or 14 bars ago.
# Seen: of no ADX that one can ask for: adx is Wilder's, equal to TA-Lib's to 1e-8, and adxr is the mean of two plain means of 14 values of DX, 14 bars apart. It is up to
# 5.7 from what the module's own adx makes of it. And trix is the change of logarithms times 10,000: -22.8 where TA-Lib has -0.22 (a rate in percent).
# Why it matters: "ADX above ADXR" compares two smoothings, of which one remembers 14 bars and the other twice as many, and crosses for that reason.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'jesse-rust==1.3.1' 'TA-Lib==0.8.2' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import jesse_rust
import numpy as np
import talib

rng, rows = np.random.default_rng(1), 600
close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, rows)))
open_ = close * np.exp(rng.normal(0, 0.004, rows))
high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, 0.004, rows)))
low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, 0.004, rows)))
candles = np.column_stack([np.arange(rows) * 60_000.0, open_, close, high, low, np.ones(rows)])
last = slice(-250, None)


def with_older(values, bars):
    return (values + np.concatenate([np.full(bars, np.nan), values[:-bars]])) / 2


adx, adxr = jesse_rust.adx(candles, 14), jesse_rust.adxr(candles, 14)
assert np.abs(adx - talib.ADX(high, low, close, 14))[last].max() < 1e-8
assert np.abs(adxr - with_older(talib.SMA(talib.DX(high, low, close, 14), 14), 14))[last].max() < 1e-8
for bars in (13, 14):
    apart = np.abs(adxr - with_older(adx, bars))[last]
    print(f"adxr and the mean of its adx now and {bars} bars ago: {apart.mean():.2f} apart in the mean, {apart.max():.2f} at the most")
    assert apart.max() > 4 and apart.mean() > 1
thrice = np.log(close)
for _ in range(3):
    thrice = jesse_rust.ema(thrice, 18)
trix, peer = jesse_rust.trix(close, 18), talib.TRIX(close, 18)
print(f"trix {trix[-1]:.3f}, TA-Lib's {peer[-1]:.4f}")
assert np.abs(trix[1:] - 1e4 * np.diff(thrice))[last].max() < 1e-6 and np.median((trix / peer)[last]) > 90
PY
