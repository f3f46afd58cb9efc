#!/bin/sh
# QuantLib 1.44, calendars Singapore (SGX) and India (NSE), whose feasts follow the moon and are kept as tables of years.
# Guess: the tables of all such calendars reach 2026. That they do; that years in their middle are missing was not thought of.
# Seen: Singapore has no lunar feast in 2011 and from 2015 to 2018, so that it works on 2016-02-08 and 09, the
# Chinese New Year; India has none from 2015 to 2018, Diwali among them. Each year there are 5 to 11 business days too many by exchange_calendars 4.13.2,
# beside at most 3 in the years around. No error: only Russia (MOEX) refuses years that it does not know. The years behind the table fail alike.
# Why it matters: schedules, day counts and returns per business day of a backtest are right in the years that one looks at, at its end.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'QuantLib==1.44' 'exchange_calendars==4.13.2' 'pandas==3.1.1' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import exchange_calendars
import pandas as pd
import QuantLib

HOLES = {"XSES": (2011, 2015, 2016, 2017, 2018), "XBOM": (2015, 2016, 2017, 2018)}
CALENDARS = {"XSES": QuantLib.Singapore(), "XBOM": QuantLib.India()}


def date(day):
    return QuantLib.Date(day.day, day.month, day.year)


for name, calendar in CALENDARS.items():
    exchange = exchange_calendars.get_calendar(name, start="2010-01-04", end="2024-12-31")
    closed = [day for day in pd.bdate_range("2010-01-04", "2024-12-31") if day not in exchange.sessions]
    extra = {year: sum(day.year == year and calendar.isBusinessDay(date(day)) for day in closed) for year in range(2010, 2025)}
    print(calendar.name(), "days on which the exchange was closed and QuantLib is open:", extra)
    assert all(extra[year] >= 5 for year in HOLES[name])
    assert all(extra[year] <= 3 for year in extra if year not in HOLES[name])

for year, eve in ((2012, "2012-01-20"), (2016, "2016-02-05"), (2019, "2019-02-04")):
    days = [day.strftime("%d %b") for day in pd.bdate_range(eve, periods=5) if CALENDARS["XSES"].isBusinessDay(date(day))]
    print("Singapore, five weekdays around the New Year of", year, "- business days:", days)
    assert len(days) == (5 if year == 2016 else 3)
diwali = {day: CALENDARS["XBOM"].isBusinessDay(QuantLib.DateParser.parseISO(day)) for day in ("2014-10-24", "2015-11-12", "2016-10-31", "2019-10-28")}
print("India, business days at Diwali:", diwali)
assert list(diwali.values()) == [False, True, True, False]
try:
    QuantLib.Russia(QuantLib.Russia.MOEX).isBusinessDay(QuantLib.Date(10, 1, 2011))
except RuntimeError as error:
    print("Moscow:", error)
else:
    raise AssertionError("Moscow answers for 2011")
PY
