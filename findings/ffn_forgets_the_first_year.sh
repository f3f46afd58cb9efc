#!/bin/sh
# ffn 1.4.1 (bt reports its statistics): the first year is in none of the yearly figures.
# Guess: worst_year of three years, of which the first halves the price, is -50 %.
# Seen: worst_year +23 %, win_year_perc 100 %; the table of monthly returns beside them has -50 % for 2021. Yearly prices are those of
# year ends, so that the first return is the second year's. The first month goes missing from the monthly figures alike: of -20 % there is no trace.
# Why it matters: a backtest that begins with a crash shows a best and a worst year, and a share of good ones, without it.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'ffn==1.4.1' 'pandas==2.3.3' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import ffn
import numpy as np
import pandas as pd

days = pd.bdate_range("2021-01-01", "2023-12-29")
first = int((days.year == 2021).sum())
halved = pd.Series(np.r_[np.linspace(100, 50, first), np.linspace(50, 80, len(days) - first)], days)
found = ffn.core.PerformanceStats(halved)
year = found.return_table.loc[2021, "YTD"]
print(f"2021 in the table: {year:.0%}; worst_year {found.worst_year:.0%}, win_year_perc {found.win_year_perc:.0%}")
assert round(year, 2) == -0.5 and found.worst_year > 0.2 and found.win_year_perc == 1.0

january = int((days.month[:30] == 1).sum())
dropped = pd.Series(np.r_[np.linspace(100, 80, january), np.linspace(80, 120, len(days) - january)], days)
found = ffn.core.PerformanceStats(dropped)
month = found.return_table.loc[2021, "Jan"]
print(f"January 2021 in the table: {month:.0%}; worst_month {found.worst_month:.1%}")
assert round(month, 2) == -0.2 and found.worst_month > 0
PY
