#!/bin/sh
# Hong Kong's exchange was shut for whole days by typhoons and black rain. Three calendars, no two of which agree on all of them.
# Versions: exchange_calendars 4.13.2, pandas_market_calendars 5.5.0, QuantLib 1.44. The days: HKEX news of 2023-07-17 (Talim), 2023-09-01 (Saola), 2023-09-08
# (black rain), 2024-09-06 (Yagi).
# Guess: the two calendar packages know all four, QuantLib none.
# Seen: exchange_calendars calls 2023-09-01 and 2023-09-08 sessions, pandas_market_calendars calls 2024-09-06 one, QuantLib all four.
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

first = exchange_calendars.get_calendar("XHKG", start="2023-01-03", end="2024-12-30")
second = pandas_market_calendars.get_calendar("HKEX")
third = QuantLib.HongKong(QuantLib.HongKong.HKEx)
found = {}
for text in ("2023-07-17", "2023-09-01", "2023-09-08", "2024-09-06"):
    day = datetime.date.fromisoformat(text)
    found[text] = (first.is_session(text), len(second.schedule(text, text)) == 1, third.isBusinessDay(QuantLib.Date(day.day, day.month, day.year)))
    print(text, dict(zip(("exchange_calendars", "pandas_market_calendars", "QuantLib"), found[text])))
assert found == {
    "2023-07-17": (False, False, True), "2023-09-01": (True, False, True), "2023-09-08": (True, False, True), "2024-09-06": (False, True, True),
}
PY
