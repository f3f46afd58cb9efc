#!/bin/sh
# jquantstats 0.13.1 (the polars port of quantstats): the Sharpe ratio of 504 daily returns, by the dates that they are given.
# Guess: a year has 252 days, as in quantstats; or the usual distance of two rows tells how many, so that a hole changes nothing.
# Seen: it is the number of rows over the time from the first to the last. Weekdays make years of 260 days, and the Sharpe ratio is 1.6 % above
# empyrical-reloaded's 0.7.1. The same returns with a pause of a year between the two halves have years of 170 days: 0.159 instead of 0.197. And
# value_at_risk is the normal distribution's, not the fifth percentile of the returns.
# Why it matters: an account that stood still, a strategy that trades on some days, and two funds with other holidays are compared by other factors;
# volatility and Sharpe ratio fall by waiting.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'jquantstats==0.13.1' 'polars==2.1.0' 'empyrical-reloaded==0.7.1' 'pandas==3.1.1' 'numpy==2.4.6' 'pytz==2026.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import empyrical
import jquantstats
import numpy as np
import pandas as pd
import polars as pl

returns = np.random.default_rng(1).normal(0.0005, 0.01, 504)
plain = returns.mean() / returns.std(ddof=1)
halves = pd.bdate_range("2021-01-01", periods=252).append(pd.bdate_range("2023-01-02", periods=252))
seen = {}
for name, days in (("weekdays", pd.bdate_range("2021-01-01", periods=504)), ("a pause of a year", halves)):
    table = pl.DataFrame({"Date": days.to_pydatetime().tolist(), "fund": returns})
    stats = jquantstats.Data.from_returns(returns=table).stats
    sharpe, risk = stats.sharpe()["fund"], stats.value_at_risk()["fund"]
    seen[name] = (sharpe / plain) ** 2
    print(f"{name}: Sharpe {sharpe:.4f}, days in a year {seen[name]:.1f}, value at risk {risk:.5f}")
    assert abs(risk - (returns.mean() - 1.6448536 * returns.std(ddof=1))) < 1e-6 and abs(risk - np.quantile(returns, 0.05)) > 1e-4
print(f"empyrical: Sharpe {empyrical.sharpe_ratio(returns):.4f}; fifth percentile {np.quantile(returns, 0.05):.5f}")
assert abs(seen["weekdays"] - 260.4) < 0.2 and abs(seen["a pause of a year"] - 169.7) < 0.2
assert abs(empyrical.sharpe_ratio(returns) / plain - 252**0.5) < 1e-9
PY
