#!/bin/sh
# quantstats 0.0.86: a series of returns without a loss, one of them above 100 %, is taken for prices.
# Guess: volatility(returns) is the deviation of the returns times the root of 252, whatever they are.
# Seen: 950 instead of 7.69, and a Sharpe ratio of 7.75 instead of 6.94 (empyrical-reloaded has both right): the returns are turned into changes of themselves.
# Why it matters: a small coin or a delisted share that doubles in a day is such a series.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'quantstats==0.0.86' 'empyrical-reloaded==0.7.1' 'pandas==3.1.1' 'numpy==2.4.6' 'scipy==1.17.1' 'matplotlib==3.11.2'
"$work/venv/bin/python" -W ignore - <<'PY'
import empyrical
import pandas as pd
import quantstats

returns = pd.Series([0.02, 0.01, 1.2, 0.0, 0.03, 0.01], index=pd.bdate_range("2024-01-01", periods=6))
theirs, right = quantstats.stats.volatility(returns), empyrical.annual_volatility(returns)
print(f"annual volatility: quantstats {theirs:.2f}, from the formula {right:.2f}")
sharpe, plain = quantstats.stats.sharpe(returns), empyrical.sharpe_ratio(returns)
print(f"Sharpe ratio: quantstats {sharpe:.2f}, from the formula {plain:.2f}")
assert theirs > 100 * right and round(sharpe, 2) == 7.75 and round(plain, 2) == 6.94
PY
