#!/bin/sh
# hurst 0.0.5: compute_Hc calls random walks persistent, and the more so the longer they are.
# Guess: the mean of H over 100 random walks of prices is 0.50, give or take 0.02, and comes nearer with more days.
# Seen: 0.57 with 250 days and 0.60 with 2,500 (ten years), of which 7 in 10 have more than 0.55. simplified=True, the default, has no correction for
# small windows; simplified=False still says 0.56 with 2,500.
# Why it matters: "H > 0.5, so it trends" holds for almost every series that does not.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'hurst==0.0.5' 'numpy==2.4.6' 'pandas==2.3.3'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
from hurst import compute_Hc

random = np.random.default_rng(1)
means = {}
for days in (250, 2_500):
    walks = [100 * np.exp(np.cumsum(random.normal(0, 0.01, days))) for _ in range(100)]
    for simplified in (True, False):
        found = np.array([compute_Hc(walk, kind="price", simplified=simplified)[0] for walk in walks])
        means[days, simplified] = found.mean()
        print(f"{days} days, simplified={simplified}: mean {found.mean():.3f}, above 0.55: {(found > 0.55).mean():.0%}")
        if (days, simplified) == (2_500, True):
            assert (found > 0.55).mean() > 0.7
assert means[2_500, True] > 0.59 and means[2_500, True] > means[250, True] and means[2_500, False] > 0.55
PY
