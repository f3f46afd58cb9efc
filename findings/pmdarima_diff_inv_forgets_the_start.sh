#!/bin/sh
# pmdarima 2.1.1, utils.diff_inv(x, lag, differences, xi): the way back from differences to prices; "a python implementation of R's diffinv".
# Guess: diff_inv(diff(prices), xi=prices[:1]) is the prices, as diffinv of R with the same argument.
# Seen: xi is taken and not used: the result starts at 0 with it, without it and with any number in it, also for two differences and for a lag of 2. No error.
# Why it matters: forecasts of changes that are turned back into prices are short by the whole level.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'pmdarima==2.1.1'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
from pmdarima.utils import diff, diff_inv

prices = np.array([100.0, 101.0, 103.0, 106.0, 110.0, 115.0])
for lag, differences, start in ((1, 1, [100.0]), (1, 2, [100.0, 1.0]), (2, 1, [100.0, 101.0])):
    changes = diff(prices, lag, differences)
    back = diff_inv(changes, lag, differences, xi=np.array(start))
    print(f"lag {lag}, differences {differences}: {changes} with xi={start} goes back to {back}")
    assert np.array_equal(back, diff_inv(changes, lag, differences)) and not np.allclose(back[-len(prices) :], prices)
    assert back[0] == 0.0
assert np.array_equal(diff_inv(diff(prices)) + prices[0], prices)
PY
