#!/bin/sh
# Days on which Hong Kong did not trade, and days on which India did: three calendar packages, no two of which agree.
# Versions: exchange_calendars 4.13.2 (XHKG, XBOM), pandas_market_calendars 5.5.0 (HKEX, NSE), QuantLib 1.44.
# Hong Kong was shut for whole days by typhoons and black rain: HKEX news of 2023-07-17, 2023-09-01, 2023-09-08, 2024-09-06.
# NSE and BSE trade for an hour at Diwali (muhurat) and on Saturdays of budgets and disaster drills: their circulars.
# Guess: both calendar packages know all of these, at least in years past; QuantLib, which is about settlement, none.
# Seen: exchange_calendars calls 2023-09-01 and 2023-09-08 sessions and has none of India's days; pandas_market_calendars calls 2024-09-06
# a session and has the Diwali hours of 2022, 2024 and 2025 but neither Sunday 2023-11-12 nor any Saturday; QuantLib opens all four days of
# Hong Kong, and calls two of the Diwali days ordinary ones. Bars of those hours belong to no session anywhere.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'exchange_calendars==4.13.2' 'pandas_market_calendars==5.5.0' 'QuantLib==1.44' 'pandas==3.1.1' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import datetime

import exchange_calendars
import pandas_market_calendars
import QuantLib

HONG_KONG = ("2023-07-17", "2023-09-01", "2023-09-08", "2024-09-06")
DIWALI = ("2022-10-24", "2023-11-12", "2024-11-01", "2025-10-21")
SATURDAYS = ("2020-02-01", "2024-01-20", "2024-03-02", "2024-05-18", "2025-02-01")


def sessions(days, ours, theirs, business):
    calendar = exchange_calendars.get_calendar(ours, start="2020-01-02", end="2025-12-30")
    other = pandas_market_calendars.get_calendar(theirs)
    found = ([], [], [])
    for text in days:
        day = datetime.date.fromisoformat(text)
        answers = (
            calendar.is_session(text),
            len(other.schedule(text, text)) == 1,
            business.isBusinessDay(QuantLib.Date(day.day, day.month, day.year)),
        )
        print(ours, text, f"{day:%A}", dict(zip(("exchange_calendars", "pandas_market_calendars", "QuantLib"), answers)))
        for known, answer in zip(found, answers):
            known.extend([text] if answer else [])
    return found


first, second, third = sessions(HONG_KONG, "XHKG", "HKEX", QuantLib.HongKong(QuantLib.HongKong.HKEx))
assert first == ["2023-09-01", "2023-09-08"] and second == ["2024-09-06"] and third == list(HONG_KONG)
first, second, third = sessions(DIWALI + SATURDAYS, "XBOM", "NSE", QuantLib.India(QuantLib.India.NSE))
assert first == [] and second == ["2022-10-24", "2024-11-01", "2025-10-21"] and third == ["2022-10-24", "2025-10-21"]
PY
