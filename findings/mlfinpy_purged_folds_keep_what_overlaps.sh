#!/bin/sh
# mlfinpy 0.1.2, PurgedKFold: "the train is purged of observations overlapping test-label intervals".
# Guess: no event of the training set is open while an event of the test set is; behind the test set the embargo is left out too.
# Seen: the stretch to be purged begins where the first label of the test set ENDS, not where it starts. Each event before the test set that runs into it
# stays: with labels of 20 days 20 training events a fold share days with the test, 80 of 80 that should go. Behind the test set it is right.
# Why it matters: the leak that purging is made for is there, under its name: the last training label shares 19 of its 20 days with the first test label.
# On random walks its sign is that of the first ten test labels in 79 of 100 cases; after a true purge that of the last one left is in 50.
# scikit-learn is installed by hand: the package needs it and does not say so.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'mlfinpy==0.1.2' 'scikit-learn==1.7.2' 'pandas==2.3.3' 'numpy==1.26.4'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pandas as pd
from mlfinpy.cross_validation.cross_validation import PurgedKFold

ROWS, DAYS, FOLDS = 300, 20, 5
days = pd.bdate_range("2022-01-03", periods=ROWS)
ends = np.minimum(np.arange(ROWS) + DAYS, ROWS - 1)
labels = pd.Series(days[ends], index=days)
frame = pd.DataFrame({"x": np.zeros(ROWS)}, index=days)


def overlapping(train, test):
    """Training events that are open at some moment of the test set's events: [start, end] meets [first start, last end]."""
    return [row for row in train if row <= ends[test].max() and ends[row] >= test[0]]


kept = {"before": 0, "behind": 0}
should_go = 0
folds = []
for train, test in PurgedKFold(n_splits=FOLDS, samples_info_sets=labels, pct_embargo=0.0).split(frame):
    train, test = np.array(train), np.array(test)
    leaks = overlapping(train, test)
    kept["before"] += sum(row < test[0] for row in leaks)
    kept["behind"] += sum(row > test[-1] for row in leaks)
    should_go += len([row for row in overlapping(np.arange(test[0]), test)])
    folds.append((train, test, np.setdiff1d(train, leaks)))
print(f"training events that overlap the test set: {kept}; events before a test set that overlap it: {should_go}")
assert kept == {"before": should_go, "behind": 0} and should_go == (FOLDS - 1) * DAYS

hits = {"as split": [], "purged": []}
for seed in range(300):
    price = np.cumsum(np.random.default_rng(seed).normal(size=ROWS))
    sign = price[ends] > price
    for train, test, purged in folds[1:-1]:
        for name, rows in (("as split", train), ("purged", purged)):
            before = rows[rows < test[0]]
            hits[name].extend(sign[before[-1]] == sign[test[:10]])
share = {name: float(np.mean(values)) for name, values in hits.items()}
print("sign of the last training label before the test is that of the first ten test labels:", {name: f"{value:.0%}" for name, value in share.items()})
assert share["as split"] > 0.65 and abs(share["purged"] - 0.5) < 0.05
PY
