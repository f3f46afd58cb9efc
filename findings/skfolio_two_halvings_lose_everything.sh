#!/bin/sh
# skfolio 1.12.2: a portfolio that loses half twice has a drawdown of 100 %, and is at -100 %.
# Guess: the maximum drawdown of returns -50 %, -50 % is 75 %.
# Seen: 1.0, and cumulative returns of -0.5, -1.0, -0.9: returns are summed unless the portfolio is made with compounded=True, which says 0.75.
# Why it matters: a limit on drawdown, or a Calmar ratio, that is carried over from another library means something else; a sum can pass 100 %.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'skfolio==1.12.2' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import pandas as pd
from skfolio import Portfolio

returns = pd.DataFrame({"A": [-0.5, -0.5, 0.1]}, index=pd.date_range("2024-01-01", periods=3))
summed = Portfolio(X=returns, weights=[1.0])
compounded = Portfolio(X=returns, weights=[1.0], compounded=True)
print("default:", summed.max_drawdown, summed.cumulative_returns.tolist())
print("compounded:", compounded.max_drawdown, compounded.cumulative_returns.tolist())
assert summed.max_drawdown == 1.0 and [round(x, 12) for x in summed.cumulative_returns] == [-0.5, -1.0, -0.9]
assert round(compounded.max_drawdown, 12) == 0.75
PY
