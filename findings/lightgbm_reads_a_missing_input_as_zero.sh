#!/bin/sh
# lightgbm 4.7.0: a NaN at prediction, in a column that had none in training, counts as 0.0.
# Guess: it is an error, or the row goes down a branch of its own for missing values, as it does when training had some.
# Seen: predict(NaN) == predict(0.0) to the last bit; where training had NaN in that column the two differ.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'lightgbm==4.7.0' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import lightgbm
import numpy as np

generator = np.random.default_rng(1)
X = generator.normal(size=(4_000, 2)) + 3.0
y = (generator.random(4_000) < 1.0 / (1.0 + np.exp(3.0 - X[:, 0]))).astype(float)
probe = np.array([[np.nan, 3.0], [0.0, 3.0], [3.0, 3.0]])


def fitted(rows):
    return lightgbm.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, lightgbm.Dataset(rows, label=y), num_boost_round=50)


missing, zero, usual = fitted(X).predict(probe)
print(missing, zero, usual)
assert missing == zero != usual
holes = X.copy()
holes[::5, 0] = np.nan
missing, zero, _usual = fitted(holes).predict(probe)
print(missing, zero)
assert missing != zero
PY
