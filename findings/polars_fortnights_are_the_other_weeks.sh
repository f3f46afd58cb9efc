#!/bin/sh
# polars 2.1.0, pyarrow 26.0.1, duckdb 2.0.0: into which two weeks, two days or five hours a bar of 15 May 2024, 13:00 falls.
# Guess: all three count from one day, 1970-01-01 or the Monday beside it, so that tables which one has resampled and another joined fit.
# Seen: all begin on a Monday, but polars' fortnight (dt.truncate("2w")) on 13 May, pyarrow's (floor_temporal(2, "week")) and duckdb's (time_bucket) on 6 May; of
# every 14 days the answers differ on all. Of three weeks likewise. For two days and five hours pyarrow goes with polars and duckdb is alone; three
# years begin for polars and duckdb in 2024, for pyarrow in 2022. Quarters agree.
# Why it matters: a fortnightly rebalancing, or bars of five hours, that research has in one of them and the live system in another, never meet.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'polars==2.1.0' 'pyarrow==26.0.1' 'duckdb==2.0.0'
"$work/venv/bin/python" -W ignore - <<'PY'
from datetime import datetime, timedelta

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

noon = datetime(2024, 5, 15, 13)
BARS = {
    "2 weeks": ("2w", 2, "week", "14 days"),
    "3 weeks": ("3w", 3, "week", "21 days"),
    "2 days": ("2d", 2, "day", "2 days"),
    "5 hours": ("5h", 5, "hour", "5 hours"),
    "3 years": ("3y", 3, "year", "3 years"),
    "3 months": ("3mo", 3, "month", "3 months"),
}


def floors(moment, bar):
    """The beginning of the moment's bar by polars, pyarrow and duckdb."""
    short, count, unit, interval = BARS[bar]
    return (
        pl.Series([moment]).dt.truncate(short).to_list()[0],
        pc.floor_temporal(pa.array([moment]), count, unit).to_pylist()[0],
        duckdb.execute(f"select time_bucket(interval '{interval}', ?::timestamp)", [moment]).fetchall()[0][0],
    )


for bar in BARS:
    print(bar, dict(zip(("polars", "pyarrow", "duckdb"), (f"{begin:%Y-%m-%d %H:%M}" for begin in floors(noon, bar)))))
seen = {bar: floors(noon, bar) for bar in BARS}
assert seen["2 weeks"] == (datetime(2024, 5, 13), datetime(2024, 5, 6), datetime(2024, 5, 6))
assert seen["3 weeks"] == (datetime(2024, 5, 6), datetime(2024, 4, 29), datetime(2024, 4, 29))
assert seen["2 days"] == (datetime(2024, 5, 15), datetime(2024, 5, 15), datetime(2024, 5, 14))
assert seen["5 hours"] == (noon, noon, noon - timedelta(hours=4))
assert seen["3 years"] == (datetime(2024, 1, 1), datetime(2022, 1, 1), datetime(2024, 1, 1))
assert len(set(seen["3 months"])) == 1
days = [noon + timedelta(days=n) for n in range(28)]
assert all(begin != other for begin, other, _ in (floors(day, "2 weeks") for day in days))
assert all({begin.weekday() for begin in floors(day, "2 weeks")} == {0} for day in days)
PY
