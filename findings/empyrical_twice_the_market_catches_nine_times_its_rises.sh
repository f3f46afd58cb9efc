#!/bin/sh
# empyrical-reloaded 0.7.1, up_capture, down_capture and up_down_capture of a portfolio that earns twice the market on every single day.
# Guess: 2.0, 2.0 and 1.0: twice the rises, twice the falls, no skill.
# Seen: 8.80, 1.14 and 7.74. The days on which the market rose are strung together and blown up to a year of rises alone (252 of them),
# likewise the falls, and the yearly figures are divided; compounding does the rest. Half the market has 0.26, 0.73 and 0.36.
# Why it matters: leverage alone looks like timing. A ranking of strategies by capture ratio is one by leverage.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'empyrical-reloaded==0.7.1' 'pandas==3.1.1' 'numpy==2.4.6' 'scipy==1.17.1'
"$work/venv/bin/python" -W ignore - <<'PY'
import empyrical
import numpy as np
import pandas as pd

days = pd.bdate_range("2022-01-03", periods=504)
market = pd.Series(np.random.default_rng(0).normal(0.0005, 0.01, len(days)), index=days)
rises, falls = market > 0, market < 0
seen = {}
for leverage in (0.5, 1.0, 2.0):
    portfolio = leverage * market
    seen[leverage] = tuple(float(getattr(empyrical, name)(portfolio, market)) for name in ("up_capture", "down_capture", "up_down_capture"))
    means = portfolio[rises].mean() / market[rises].mean(), portfolio[falls].mean() / market[falls].mean()
    print(f"{leverage} x the market: up {seen[leverage][0]:.2f}, down {seen[leverage][1]:.2f}, up over down {seen[leverage][2]:.2f};", end=" ")
    print(f"ratios of mean returns {means[0]:.2f} and {means[1]:.2f}")
    assert abs(means[0] - leverage) < 1e-12 and abs(means[1] - leverage) < 1e-12


def yearly(returns):
    """Growth of a year of 252 such days, less 1."""
    return (1 + returns).prod() ** (252 / len(returns)) - 1


assert abs(seen[2.0][0] - yearly(2 * market[rises]) / yearly(market[rises])) < 1e-9
assert seen[1.0] == (1.0, 1.0, 1.0)
assert seen[2.0][0] > 8 and seen[2.0][1] < 1.2 and seen[2.0][2] > 7 and seen[0.5][2] < 0.5
PY
