#!/bin/sh
# quantstats 0.0.86, stats.montecarlo(returns, sims=500, bust=-0.1, goal=0.1): 500 simulated accounts, and the probabilities of bust and goal.
# Guess: bust and goal are the shares of the paths that ever touch -10 % and +10 %, as an account that stops there does.
# Seen: the goal is looked at on the last day only, and every path ends at the same value: the returns are shuffled, each used once. So goal_probability is 1 or
# 0: 0.0 for an account that ends at +9.9 %, though most paths were above +10 % before; 1.0 when the goal is +9.8 %. Bust is a fall of 10 % from a
# peak, not a loss of the money put in. std of the 500 ends is 0, montecarlo_cagr's too, and percentiles 5 and 95 are equal.
# Why it matters: "the probability to reach the goal" and the range of outcomes hold nothing but the one outcome that was put in.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'quantstats==0.0.86' 'pandas==3.1.1' 'numpy==2.4.6' 'scipy==1.17.1' 'matplotlib==3.11.2'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pandas as pd
from quantstats import stats

days = pd.bdate_range("2021-01-01", periods=1000)
logs = np.random.default_rng(1).normal(0, 0.01, 1000)
returns = pd.Series(np.expm1(logs - logs.mean() + np.log(1.099) / 1000), days)
print(f"the account ends at {(1 + returns).prod() - 1:+.4f}")
result = stats.montecarlo(returns, sims=500, bust=-0.1, goal=0.1, seed=1)
paths = result.data
touched, lost = (paths.max() >= 0.1).mean(), (paths.min() <= -0.1).mean()
wealth = np.vstack([np.ones(paths.shape[1]), 1 + paths.to_numpy()])
fell = ((wealth / np.maximum.accumulate(wealth)).min(axis=0) <= 0.9).mean()
print(f"goal_probability {result.goal_probability}, paths that touch +10 %: {touched}")
print(f"bust_probability {result.bust_probability}, paths that touch -10 %: {lost}, that fall by 10 % from a peak: {fell}")
print("ends:", {name: round(float(result.stats[name]), 6) for name in ("min", "max", "std", "percentile_5", "percentile_95")})
assert result.goal_probability == 0.0 and touched > 0.5
assert stats.montecarlo(returns, sims=500, goal=0.098, seed=1).goal_probability == 1.0
assert abs(result.bust_probability - fell) < 0.01 and fell > lost + 0.1
assert result.stats["std"] < 1e-9 and abs(result.stats["min"] - result.stats["max"]) < 1e-9
assert stats.montecarlo_cagr(returns, sims=500, seed=1)["std"] < 1e-9
PY
