#!/bin/sh
# pandas-market-calendars 5.5.0, date_range(schedule, "1h", closed="left") for two days of New York, the second of which closes at 13:00.
# Guess: the stamps of bars that are named by their beginning: 09:30, 10:30, ... 15:30, and to 12:30 on the half-day; seven and four.
# Seen: eight and five: 16:00 and 13:00 are among them, since force_close=True, the default, adds the close whichever side is closed. closed="left" and closed=None are the
# same, and for bars named by their end (closed="right", the default) the count is right. force_close=None with closed="left" gives the seven and four.
# Why it matters: bars that are laid on these stamps have an empty one after each close, which is filled with the close, or counted as a gap, every day.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'pandas-market-calendars==5.5.0' 'exchange_calendars==4.13.2' 'pandas==2.3.3' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import pandas_market_calendars

schedule = pandas_market_calendars.get_calendar("NYSE").schedule("2024-07-02", "2024-07-03")


def stamps(**sides):
    index = pandas_market_calendars.date_range(schedule, "1h", **sides).tz_convert("America/New_York")
    return [[f"{time:%H:%M}" for time in index if time.day == day] for day in (2, 3)]


seen = {"right": stamps(), "left": stamps(closed="left"), "left, force_close=None": stamps(closed="left", force_close=None)}
for name, days in seen.items():
    print(name, *days)
assert [len(day) for day in seen["right"]] == [7, 4] and seen["right"][0][-2:] == ["15:30", "16:00"]
assert [len(day) for day in seen["left"]] == [8, 5] and [day[-1] for day in seen["left"]] == ["16:00", "13:00"]
assert [len(day) for day in seen["left, force_close=None"]] == [7, 4]
assert stamps(closed=None) == seen["left"]
PY
