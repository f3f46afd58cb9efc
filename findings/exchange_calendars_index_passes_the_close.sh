#!/bin/sh
# exchange_calendars 4.13.2: trading_index(..., intervals=True) of a half-day has an interval that ends half an hour after the close.
# Guess: the last interval ends at the close (13:00 New York, 17:00Z on 2024-07-03), as documented for sessions.
# Seen: [16:30Z, 17:30Z), and only force_close=True cuts it. pandas_market_calendars 5.5.0 cuts it, but stamps its bars at their end (10:30 ... 13:00).
# Why it matters: expected bars, gaps and "known at" times made from it are half an hour late on half-days.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'exchange_calendars==4.13.2' 'pandas_market_calendars==5.5.0' 'pandas==3.1.1' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import exchange_calendars
import pandas_market_calendars

calendar = exchange_calendars.get_calendar("XNYS", start="2024-07-01", end="2024-07-10")
close = calendar.session_close("2024-07-03")
last = calendar.trading_index("2024-07-03", "2024-07-03", "1h", intervals=True)[-1]
cut = calendar.trading_index("2024-07-03", "2024-07-03", "1h", intervals=True, force_close=True)[-1]
print(f"close {close:%H:%M}Z, last interval ends {last.right:%H:%M}Z, with force_close {cut.right:%H:%M}Z")
assert last.right > close and cut.right == close
other = pandas_market_calendars.date_range(pandas_market_calendars.get_calendar("NYSE").schedule("2024-07-03", "2024-07-03"), "1h")
stamps = [stamp.tz_convert("America/New_York").strftime("%H:%M") for stamp in other]
print("pandas_market_calendars:", stamps)
assert stamps == ["10:30", "11:30", "12:30", "13:00"]
PY
