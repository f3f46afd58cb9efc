#!/bin/sh
# NSE and BSE trade on some days that look closed: an hour on the evening of Diwali (muhurat), and Saturdays of budgets and disaster drills.
# Versions: exchange_calendars 4.13.2 (XBOM), pandas_market_calendars 5.5.0 (NSE), QuantLib 1.44. The days are from the exchanges' circulars.
# Guess: the calendars know them, at least in years past.
# Seen: exchange_calendars has none of them; pandas_market_calendars has the Diwali hours of 2022, 2024 and 2025 but not Sunday 2023-11-12, and no Saturday;
# QuantLib calls two of the Diwali days ordinary days. Bars of those hours belong to no session anywhere.
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

first = exchange_calendars.get_calendar("XBOM", start="2020-01-02", end="2025-12-30")
second = pandas_market_calendars.get_calendar("NSE")
third = QuantLib.India(QuantLib.India.NSE)
found = {}
for text in ("2022-10-24", "2023-11-12", "2024-11-01", "2025-10-21", "2020-02-01", "2024-01-20", "2024-03-02", "2024-05-18", "2025-02-01"):
    day = datetime.date.fromisoformat(text)
    found[text] = (first.is_session(text), len(second.schedule(text, text)) == 1, third.isBusinessDay(QuantLib.Date(day.day, day.month, day.year)))
    print(text, f"{day:%A}", dict(zip(("exchange_calendars", "pandas_market_calendars", "QuantLib"), found[text])))
assert not any(one for one, _, _ in found.values())
assert [text for text, (_, two, _) in found.items() if two] == ["2022-10-24", "2024-11-01", "2025-10-21"]
assert [text for text, (_, _, three) in found.items() if three] == ["2022-10-24", "2025-10-21"]
PY
