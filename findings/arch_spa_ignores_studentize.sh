#!/bin/sh
# arch 8.0.0, SPA(..., studentize=True): the losses are not studentized.
# Guess: one trial with a mean of 4.74 standard errors beside 20 trials of noise with 20 times its deviation gives a p-value near 0.
# Seen: p = 1.0 with studentize=True, the same numbers as with False; 0.0 once each column is divided by its own deviation.
# Why it matters: a test for superior ability over strategies of unequal volatility never finds the quiet good one.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'arch==8.0.0' 'numpy==2.4.6' 'pandas==3.1.1' 'scipy==1.17.1'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
from arch.bootstrap import SPA

rng = np.random.default_rng(3)
rows = 1000
good = rng.normal(0, 1, rows)
good += 4.74 * good.std() / np.sqrt(rows) - good.mean()
noise = rng.normal(0, 20, (rows, 20))
noise -= noise.mean(axis=0)
gains = np.column_stack([good, noise])


def p_value(losses, studentize):
    test = SPA(np.zeros(rows), losses, studentize=studentize, seed=1, reps=500)
    test.compute()
    return float(test.pvalues["consistent"])


with_, without, scaled = p_value(-gains, True), p_value(-gains, False), p_value(-gains / gains.std(axis=0), False)
print(f"studentize=True p={with_}, studentize=False p={without}, columns divided by their deviation p={scaled}")
assert with_ == without == 1.0 and scaled == 0.0
PY
