#!/bin/sh
# CME's equity futures pause every day from 16:00 to 17:00 in Chicago (22:00Z to 23:00Z in winter).
# Versions: exchange_calendars 4.13.2 (CMES), pandas_market_calendars 5.5.0 (CME_Equity).
# Guess: both know the pause.
# Seen: CMES is open 24 hours from 23:00Z to 23:00Z, so 22:30Z counts as trading. CME_Equity closes at 22:00Z, and keeps the break of former years
# (15:15 to 15:30 in Chicago) as one of no length, 21:15Z to 21:15Z.
# exchange_calendars' "24/5" has no Sunday evening either: 2024-01-07 23:00Z, when the futures and FX trade, is closed.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'exchange_calendars==4.13.2' 'pandas_market_calendars==5.5.0' 'pandas==3.1.1' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import exchange_calendars
import pandas as pd
import pandas_market_calendars

cmes = exchange_calendars.get_calendar("CMES", start="2024-01-02", end="2024-01-20")
pause = cmes.is_open_on_minute(pd.Timestamp("2024-01-09 22:30", tz="UTC"))
length = cmes.session_close("2024-01-09") - cmes.session_open("2024-01-09")
print(f"CMES: a session of {length}, open in the pause: {pause}")
assert pause and length == pd.Timedelta(hours=24)
row = pandas_market_calendars.get_calendar("CME_Equity").schedule("2024-01-09", "2024-01-09").iloc[0]
print(f"CME_Equity: closes {row['market_close']:%H:%M}Z, break {row['break_start']:%H:%M}Z to {row['break_end']:%H:%M}Z")
assert row["break_start"] == row["break_end"] and f"{row['market_close']:%H:%M}" == "22:00"
week = exchange_calendars.get_calendar("24/5", start="2024-01-02", end="2024-01-20")
sunday = week.is_open_on_minute(pd.Timestamp("2024-01-07 23:00", tz="UTC"))
print(f"24/5: open on Sunday 23:00Z: {sunday}")
assert not sunday
PY
