#!/bin/sh
# exchange_calendars 4.13.2 against pandas_market_calendars 5.5.0: New York's hours differ on 33 sessions from 1985-09-30 on, and on every one before 1985.
# Guess: both transcribe the exchange's list of special closings, so they agree but for some moment of silence.
# Seen: the first lacks late opens and ad hoc early closes (1987, 2001-09-17, 2002-09-11, ...); the second says 16:00 on 1999-12-31, when the exchange
# closed at 13:00, and dates the 9:30 open to 1985-01-01 instead of 1985-09-30. Neither is right throughout.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'exchange_calendars==4.13.2' 'pandas_market_calendars==5.5.0'
"$work/venv/bin/python" -W ignore - <<'PY'
import exchange_calendars
import pandas_market_calendars

one = exchange_calendars.get_calendar("XNYS", start="1980-01-02", end="2025-12-31").schedule[["open", "close"]]
other = pandas_market_calendars.get_calendar("NYSE").schedule("1980-01-02", "2025-12-31")
assert len(one) == len(other)
both = one.join(other.set_axis(["open_other", "close_other"], axis=1))
odd = both[(both.open != both.open_other) | (both.close != both.close_other)].apply(lambda column: column.dt.tz_convert("America/New_York").dt.strftime("%H:%M"))
before, after = odd[odd.index < "1985-09-30"], odd[odd.index >= "1985-09-30"]
print(len(before), "sessions before 1985-09-30;", len(after), "after:")
print(after.to_string())
assert set(before.open) == {"09:30"} and set(before.open_other) == {"10:00"} and str(before.index[-1].date()) == "1984-12-31"
assert len(after) == 33
assert tuple(after.loc["2002-09-11"]) == ("09:30", "16:00", "12:00", "16:00")
assert tuple(after.loc["1999-12-31"]) == ("09:30", "13:00", "09:30", "16:00")
PY
