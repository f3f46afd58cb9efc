#!/bin/sh
# holidays 0.109, financial_holidays("XPAR") and others: the holidays of exchanges in the years before their table begins.
# Guess: Paris was closed on every Christmas and New Year's Day since 2015; where a year is not known, that is an error.
# Seen: Amsterdam, Brussels, Dublin, Lisbon, Milan, Oslo and Paris have no holiday before 2019, Frankfurt none before 2016 and Buenos Aires none before
# 2026: 2017-12-25 is no holiday of Paris, without a word. exchange_calendars 4.13.2 has 20 to 39 closed weekdays from 2015 to 2018. New York's begin in 1863.
# The year is the attribute start_year of each, which nothing looks at when one asks.
# Why it matters: a download that fills gaps, or a check that every working day has a bar, works on the years that one tries first and fails for older ones.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'holidays==0.109' 'exchange_calendars==4.13.2' 'pandas==3.1.1' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
from datetime import date

import exchange_calendars
import holidays
import pandas as pd

EURONEXT = ("XAMS", "XBRU", "XDUB", "XLIS", "XMIL", "XOSL", "XPAR")
FIRST = dict.fromkeys(EURONEXT, 2019) | {"XETR": 2016, "XBUE": 2026}
for market, year in FIRST.items():
    table = holidays.financial_holidays(market, years=range(1990, 2027))
    print(market, "first holiday", min(table), "start_year", table.start_year)
    assert min(table).year == table.start_year == year
paris = holidays.financial_holidays("XPAR")
print("2017-12-25 a holiday of Paris:", date(2017, 12, 25) in paris, "2019-12-25:", date(2019, 12, 25) in paris)
assert date(2017, 12, 25) not in paris and date(2019, 12, 25) in paris
for market in EURONEXT:
    calendar = exchange_calendars.get_calendar(market, start="2014-12-01", end="2018-12-31")
    closed = [day.date() for day in pd.bdate_range("2015-01-01", "2018-12-31") if day not in calendar.sessions]
    print(market, "closed weekdays from 2015 to 2018:", len(closed), "known to holidays:", sum(day in holidays.financial_holidays(market) for day in closed))
    assert len(closed) >= 19 and not any(day in holidays.financial_holidays(market) for day in closed)
print("New York:", min(holidays.financial_holidays("XNYS", years=range(1860, 2027))))
assert date(1990, 12, 25) in holidays.financial_holidays("XNYS")
PY
