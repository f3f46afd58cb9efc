#!/bin/sh
# Hours that follow another clock: São Paulo and Seoul in exchange_calendars 4.13.2 and pandas_market_calendars 5.5.0.
# B3 keeps its close to New York's: 17:00 in São Paulo while the United States have summer time, else 18:00 with the closing auction (its
# notices for 2022-03-14, 2024-03-11, 2024-11-04, 2025-03-10). Korea's exchange opens and closes an hour late on the day of the college entrance exam.
# Guess: both know both.
# Seen: exchange_calendars closes São Paulo at 18:00 on every day, pandas_market_calendars at 17:00 on every day; each is an hour off for
# months of each year. The exam days are in exchange_calendars to 2020, not from 2021 on, and in pandas_market_calendars never.
# Why it matters: a rule that trades at the close, or counts the bars of a day, is an hour off for four or for eight months of a year.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'exchange_calendars==4.13.2' 'pandas_market_calendars==5.5.0' 'pandas==3.1.1' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import exchange_calendars
import pandas_market_calendars


def hours(names, day):
    one = exchange_calendars.get_calendar(names[0], start="2017-01-02", end="2025-12-01")
    row = pandas_market_calendars.get_calendar(names[1]).schedule(day, day).iloc[0]
    pairs = (one.session_open(day), one.session_close(day)), (row["market_open"], row["market_close"])
    return tuple("-".join(f"{stamp.tz_convert(one.tz):%H:%M}" for stamp in pair) for pair in pairs)


for day, right in (("2024-02-08", "10:00-18:00"), ("2024-07-12", "10:00-17:00"), ("2024-12-03", "10:00-18:00"), ("2025-05-06", "10:00-17:00")):
    seen = hours(("BVMF", "BMF"), day)
    print("São Paulo", day, "exchange", right, "exchange_calendars", seen[0], "pandas_market_calendars", seen[1])
    assert seen == ("10:00-18:00", "10:00-17:00")
for day in ("2019-11-14", "2020-12-03", "2021-11-18", "2022-11-17", "2023-11-16", "2024-11-14"):
    seen = hours(("XKRX", "XKRX"), day)
    print("Seoul", day, "exchange 10:00-16:30 exchange_calendars", seen[0], "pandas_market_calendars", seen[1])
    assert seen == ("10:00-16:30" if day < "2021" else "09:00-15:30", "09:00-15:30")
PY
