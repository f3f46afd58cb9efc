#!/bin/sh
# financepy 1.1.2: holidays that were moved to another day, in the calendars UNITED_KINGDOM and UNITED_STATES.
# Guess: 2020-05-08 instead of 05-04 and 2022-06-02 instead of 05-30 are closed in London, one day each; New York keeps a New Year once, or not at all.
# Seen: both days are closed each time: the new one and the one it was moved from. The New Year of 2022, a Saturday, closes New York on Friday 2021-12-31
# and on Monday 2022-01-03, when bonds, shares and the Fed's payments were open on both. QuantLib 1.44 has none of the four.
# Why it matters: one business day after 2021-12-30 is 2022-01-04: a settlement, a coupon and an accrued interest of four days that did not exist.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'financepy==1.1.2' 'QuantLib==1.44'
"$work/venv/bin/python" -W ignore - <<'PY'
import QuantLib as ql
from financepy.utils import Calendar, CalendarTypes, Date

CASES = (
    ("UNITED_KINGDOM", ql.UnitedKingdom(), ((4, 5, 2020), (8, 5, 2020), (30, 5, 2022), (2, 6, 2022))),
    ("UNITED_STATES", ql.UnitedStates(ql.UnitedStates.GovernmentBond), ((31, 12, 2021), (3, 1, 2022))),
)
seen = {}
for name, quantlib, days in CASES:
    calendar = Calendar(getattr(CalendarTypes, name))
    for day, month, year in days:
        here, there = (not calendar.is_business_day(Date(day, month, year))), quantlib.isHoliday(ql.Date(day, month, year))
        seen[year, month, day] = (here, there)
        print(f"{name} {year}-{month:02d}-{day:02d}: financepy {'closed' if here else 'open'}, QuantLib {'closed' if there else 'open'}")
moved_from, moved_to, new_years = ((2020, 5, 4), (2022, 5, 30)), ((2020, 5, 8), (2022, 6, 2)), ((2021, 12, 31), (2022, 1, 3))
assert all(seen[day] == (True, False) for day in moved_from + new_years) and all(seen[day] == (True, True) for day in moved_to)

settled = Calendar(CalendarTypes.UNITED_STATES).add_business_days(Date(30, 12, 2021), 1)
right = CASES[1][1].advance(ql.Date(30, 12, 2021), 1, ql.Days)
print(f"one business day after 2021-12-30: financepy {settled}, QuantLib {right.ISO()}")
assert (settled.d, settled.m, settled.y) == (4, 1, 2022) and right == ql.Date(31, 12, 2021)
PY
