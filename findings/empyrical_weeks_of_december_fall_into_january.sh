#!/bin/sh
# empyrical-reloaded 0.5.12: weekly returns put the last days of December into the first week of the same year's January.
# Guess: 30 and 31 December 2024 are a week of their own, or one with the first days of 2025.
# Seen: the week is ISO's, which is 1 there, and the year the calendar's, which is 2024: the first "week" of 2024 has seven
# business days, five of January and two of twelve months later, and the return of 2024's last week is gone.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
# pytz: empyrical imports it and does not ask for it; pandas 3 no longer brings it along
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'empyrical-reloaded==0.5.12' 'pandas==3.1.1' 'numpy==2.2.6' 'pytz==2025.2'
"$work/venv/bin/python" -W ignore - <<'PY'
from math import log

import empyrical
import pandas as pd

daily = pd.Series(0.01, index=pd.date_range("2024-01-01", "2024-12-31", freq="B"))
weekly = empyrical.aggregate_returns(daily, "weekly")
days = (1 + weekly).map(lambda growth: round(log(growth) / log(1.01)))
print("weeks:", len(weekly), "days in the first:", days.iloc[0], "in the last:", days.iloc[-1], weekly.index[-1])
assert len(weekly) == 52 and days.iloc[0] == 7 and (days.iloc[1:] == 5).all()
PY
