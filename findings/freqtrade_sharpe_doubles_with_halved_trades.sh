#!/bin/sh
# freqtrade 2026.9: calculate_sharpe and calculate_sortino double when every trade is cut into two halves of the same day; calculate_calmar is 5.2 times too large.
# Guess: the ratios are those of the account, whose days do not change; Calmar is yearly growth over the largest drawdown.
# Seen: Sharpe 1.31 and 2.62, Sortino 2.18 and 4.37. The mean is that of a day, the deviation that of a trade. Calmar is 100 * the mean of a day * sqrt(365)
# over the drawdown: 15.1, where the yearly return over the drawdown is 2.9.
# The functions *_from_balance of the same file have none of it.
# Why it matters: what splits its orders (scaling in, many pairs, small stakes) wins a search by Sharpe (SharpeHyperOptLoss).
# Only the one file is loaded: the package needs much that these figures do not.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps 'freqtrade==2026.9' 'numpy==2.4.6' 'pandas==2.3.3' 'scipy==1.17.1' 'python-dateutil==2.9.0.post0' 'pytz==2025.2' 'tzdata==2025.2' 'six==1.17.0'
"$work/venv/bin/python" -W ignore - <<'PY'
import importlib.metadata
import importlib.util
import sys

import numpy as np
import pandas as pd

path = importlib.metadata.distribution("freqtrade").locate_file("freqtrade/data/metrics.py")
spec = importlib.util.spec_from_file_location("metrics", path)
metrics = importlib.util.module_from_spec(spec)
sys.modules["metrics"] = metrics
spec.loader.exec_module(metrics)

days = pd.date_range("2024-01-01", periods=365, tz="UTC")
whole = pd.DataFrame({"close_date": days, "profit_abs": np.random.default_rng(0).normal(5, 50, 365)})
halves = pd.concat([whole.assign(profit_abs=whole["profit_abs"] / 2)] * 2).sort_values("close_date").reset_index(drop=True)
for name in ("sharpe", "sortino"):
    one, two = (getattr(metrics, f"calculate_{name}")(trades, days[0], days[-1], 10_000.0) for trades in (whole, halves))
    print(f"{name}: {one:.3f} with whole trades, {two:.3f} with halves")
    assert abs(two / one - 2) < 1e-9
daily = whole["profit_abs"] / 10_000
equity = 10_000 + whole["profit_abs"].cumsum()
drawdown = (1 - equity / np.maximum(equity.cummax(), 10_000)).max()
calmar, by_hand = metrics.calculate_calmar(whole, days[0], days[-1], 10_000.0), daily.sum() / 364 * 365 / drawdown
print(f"calmar: {calmar:.2f}, yearly return over drawdown {by_hand:.2f}")
assert abs(calmar / by_hand - 100 / np.sqrt(365)) < 1e-9
PY
