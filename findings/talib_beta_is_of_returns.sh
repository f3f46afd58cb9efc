#!/bin/sh
# TA-Lib 0.8.2: BETA compares changes of two prices, CORREL the prices themselves.
# Guess: two statistics of two series in one group of functions read them alike, so that beta = correlation * ratio of deviations.
# Seen: BETA(a, b, 20) is the slope of b's relative changes on a's; CORREL(a, b, 20) is the correlation of the levels: 0.09 and -0.19, of other signs.
# Why it matters: a column of returns given to BETA is differenced once more; prices given to CORREL correlate by trend.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'ta-lib==0.8.2' 'numpy==2.4.6'
"$work/venv/bin/python" - <<'PY'
import numpy as np
import talib

draws = np.random.default_rng(1).normal(0, 0.01, (2, 60))
a, b = 100 * np.exp(np.cumsum(draws, axis=1))
x, y = np.diff(a)[-20:] / a[-21:-1], np.diff(b)[-20:] / b[-21:-1]
slope = np.cov(x, y)[0, 1] / np.var(x, ddof=1)
beta, correlation = talib.BETA(a, b, 20)[-1], talib.CORREL(a, b, 20)[-1]
print(f"BETA {beta:.4f}: slope of changes {slope:.4f}")
print(f"CORREL {correlation:.4f}: of levels {np.corrcoef(a[-20:], b[-20:])[0, 1]:.4f}, of changes {np.corrcoef(x, y)[0, 1]:.4f}")
assert abs(beta - slope) < 1e-9
assert abs(correlation - np.corrcoef(a[-20:], b[-20:])[0, 1]) < 1e-9
assert beta > 0 > correlation
PY
