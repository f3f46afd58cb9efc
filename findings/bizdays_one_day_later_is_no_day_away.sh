#!/bin/sh
# bizdays 1.0.19, its own calendar ANBIMA (Brazil): counting from Monday of carnival, 2024-02-12, on which and on the next day nobody trades.
# Guess: bizdays(day, offset(day, n)) is n from any day, a holiday too, since both count business days.
# Seen: offset(day, 1) is Wednesday, the next business day, and bizdays from the holiday to that Wednesday is 0: the one starts where it stands, the other first
# moves to the next business day. From a holiday or a Saturday the count is one short for every n; from a business day they agree. And
# offset(day, 0) is the holiday itself.
# Why it matters: rates in Brazil accrue by business days over 252. A maturity that was made with offset on a weekend has one day of interest less.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'bizdays==1.0.19'
"$work/venv/bin/python" -W ignore - <<'PY'
from bizdays import Calendar

calendar = Calendar.load("ANBIMA")
for day, kind in (("2024-02-12", "holiday"), ("2024-02-10", "Saturday"), ("2024-02-09", "business day")):
    seen = {n: (str(calendar.offset(day, n)), calendar.bizdays(day, calendar.offset(day, n))) for n in (1, 2, 10, 252)}
    print(f"from {day}, a {kind}: days asked for, the day, days counted to it:", [(n, *pair) for n, pair in seen.items()])
    short = 0 if kind == "business day" else 1
    assert calendar.isbizday(day) is (short == 0)
    assert all(count == n - short for n, (_, count) in seen.items())
assert str(calendar.offset("2024-02-12", 1)) == "2024-02-14"
assert str(calendar.offset("2024-02-12", 0)) == "2024-02-12"
PY
