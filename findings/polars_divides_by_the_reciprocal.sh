#!/bin/sh
# polars 2.1.0: a column divided by one number is multiplied by its reciprocal, and is not the nearest double of the quotient.
# Guess: 187152000002 / 1e9, a fixed-point price, is 187.152000002, as in Python, numpy and in Polars with a column of divisors.
# Seen: 187.15200000200002; 40 % of random prices of 1e-9 and 32 % of 1e-4 differ in the last bit from numpy's. A column of the same divisor divides exactly.
# Why it matters: prices decoded so are equal to no literal, and two code paths disagree on a tie or a tick.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'polars==2.1.0' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import polars as pl

whole = np.random.default_rng(0).integers(10**8, 10**13, 100_000)
price = (pl.Series([187152000002]) / 1e9)[0]
beside = pl.DataFrame({"price": [187152000002], "scale": [1e9]}).select(pl.col("price") / pl.col("scale")).item()
print(f"187152000002 / 1e9: polars {price!r}, by a column {beside!r}, Python {187152000002 / 1e9!r}")
assert price != 187152000002 / 1e9 == beside
for scale in (1e9, 1e4):
    share = float(((pl.Series(whole) / scale).to_numpy() != whole / scale).mean())
    print(f"differ from numpy at a scale of {scale:g}: {share:.0%}")
    assert share > 0.3
PY
