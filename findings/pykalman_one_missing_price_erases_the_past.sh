#!/bin/sh
# pykalman 0.11.2 beside simdkalman 1.0.4: a filter for the level of 50 prices, of which the twentieth is NaN.
# Guess: a missing observation is no observation: the state goes on without it, as it does in a masked array of the same numbers.
# Seen: pykalman's filter() is NaN from that price to the end, and smooth() is NaN on all 50 rows, those before it too; no error, no warning. With the NaN masked
# (numpy.ma), and in simdkalman with the NaN as it is, all 50 are there and equal. filter_update(mean, covariance, NaN) is NaN, with None it is not.
# Why it matters: one holiday of one leg, and a hedge ratio that is estimated day by day is missing for good; smoothed, it never was.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'pykalman==0.11.2' 'simdkalman==1.0.4' 'numpy==2.4.6' 'scipy==1.17.1'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import simdkalman
from pykalman import KalmanFilter

rng = np.random.default_rng(1)
prices = np.cumsum(rng.normal(size=50)) + rng.normal(size=50)
prices[20] = np.nan
one = [[1.0]]
walk = KalmanFilter(one, one, one, one, [0.0], [0.0], [0.0], one)
masked = np.ma.masked_invalid(prices)
plain, smooth = walk.filter(prices)[0].ravel(), walk.smooth(prices)[0].ravel()
right, covariances = walk.filter(masked)
print("filter, rows 18 to 23:", plain[18:24], "masked:", right.ravel()[18:24])
print("missing rows of smooth():", np.isnan(smooth).sum(), "masked:", np.isnan(walk.smooth(masked)[0]).sum())
other = simdkalman.KalmanFilter(np.eye(1), np.eye(1), np.eye(1), 1.0)
peer = other.compute(prices[None], 0, filtered=True, initial_value=[0.0], initial_covariance=np.eye(1)).filtered.states.mean.ravel()
assert np.isnan(plain[20:]).all() and not np.isnan(plain[:20]).any() and np.isnan(smooth).all()
assert not np.isnan(walk.smooth(masked)[0]).any() and np.abs(peer - right.ravel()).max() < 1e-9
assert np.isnan(walk.filter_update(right[19], covariances[19], np.nan)[0]).all()
assert np.allclose(walk.filter_update(right[19], covariances[19], None)[0], right[20])
PY
