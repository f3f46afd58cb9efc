#!/bin/sh
# polars 2.1.0: group_by_dynamic(every="4h") in a zone with summer time begins its bars an hour later from the change of the clock on, to the end of the data;
# dt.truncate("4h") does not.
# Guess: both cut the day at 00:00, 04:00, 08:00 of New York's clock, on every day.
# Seen: rows from Saturday, 9 March 2024, on have bars at 01:00, 05:00, 09:00 on Tuesday; the same Tuesday has 00:00, 04:00, 08:00 if the rows
# begin on Monday. truncate says 00:00, 04:00, 08:00 always. And a tolerance of "1d" in join_asof is 24 hours over the autumn change, where a rolling "1d" is 25.
# Why it matters: bars of one day depend on how much history was loaded, and do not join with bars made in the other way.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'polars==2.1.0' 'tzdata==2025.2'
"$work/venv/bin/python" -W ignore - <<'PY'
from datetime import datetime

import polars as pl

ZONE = "America/New_York"


def hours(first, last):
    return pl.DataFrame({"time": pl.datetime_range(first, last, "1h", time_zone=ZONE, eager=True)}).with_columns(volume=1)


def of_tuesday(stamps):
    return sorted({stamp.hour for stamp in stamps if (stamp.month, stamp.day) == (3, 12)})


long, short = (hours(datetime(2024, 3, day), datetime(2024, 3, 12, 23)) for day in (9, 11))
dynamic = [of_tuesday(rows.group_by_dynamic("time", every="4h").agg(pl.col("volume").sum())["time"]) for rows in (long, short)]
truncated = of_tuesday(long["time"].dt.truncate("4h"))
print("bars of Tuesday: rows from Saturday", dynamic[0], "rows from Monday", dynamic[1], "truncate", truncated)
assert dynamic == [[1, 5, 9, 13, 17, 21], [0, 4, 8, 12, 16, 20]] and truncated == dynamic[1]

sunday, saturday = (pl.DataFrame({"time": [datetime(2024, 11, day, 9, 30)]}).with_columns(pl.col("time").dt.replace_time_zone(ZONE)) for day in (3, 2))
joined = sunday.join_asof(saturday.with_columns(price=1.0), on="time", tolerance="1d")["price"].item()
autumn = hours(datetime(2024, 11, 1), datetime(2024, 11, 5))
rolled = autumn.select(pl.col("volume").rolling_sum_by("time", "1d")).to_series().max()
print("09:30 of the day before within \"1d\":", joined, "; hours in a rolling \"1d\" at most:", rolled)
assert joined is None and rolled == 25
PY
