#!/bin/sh
# duckdb 2.0.0: a trade 400 nanoseconds before the minute is full, in a Parquet file with nanoseconds (as ITCH feeds and tick vendors write them).
# Guess: date_trunc and time_bucket put it into the minute that it is in, 14:30, as polars 2.1.0 does.
# Seen: into 14:31. Both first make microseconds of it, by rounding; so do hour(), minute(), second() and a cast to TIME. A filter t < '14:31' keeps the
# row all the same, and at midnight the day is the next one: 23:59:59.999999999, a usual "end of the day", belongs to tomorrow.
# Why it matters: a bar holds a price from before its start, and one file has two answers to what was traded before 14:31.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'duckdb==2.0.0' 'polars==2.1.0' 'pyarrow==26.0.1'
"$work/venv/bin/python" - "$work/trades.parquet" <<'PY'
import sys
from datetime import UTC, datetime

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

MINUTE, DAY = 60 * 10**9, 86_400 * 10**9
noon = int(datetime(2024, 1, 2, 14, 31, tzinfo=UTC).timestamp()) * 10**9
midnight = int(datetime(2024, 1, 3, tzinfo=UTC).timestamp()) * 10**9
stamps = [noon - 600, noon - 400, midnight - 1]
pq.write_table(pa.table({"t": pa.array(stamps, pa.timestamp("ns"))}), sys.argv[1])
source = f"'{sys.argv[1]}'"


def starts(expression):
    return [row[0] for row in duckdb.sql(f"select epoch_ns({expression}) from {source}").fetchall()]


truth = [stamp // MINUTE * MINUTE for stamp in stamps]
truncated, bucketed = starts("date_trunc('minute', t)"), starts("time_bucket(interval '1 minute', t)")
by_polars = pl.read_parquet(sys.argv[1])["t"].dt.truncate("1m").dt.epoch("ns").to_list()
for stamp, right, seen in zip(stamps, truth, truncated, strict=True):
    print(f"{datetime.fromtimestamp(right // 10**9, UTC):%d %H:%M} + {stamp - right} ns is put at {datetime.fromtimestamp(seen // 10**9, UTC):%d %H:%M}")
assert by_polars == truth
assert truncated == bucketed == [truth[0], truth[1] + MINUTE, truth[2] + MINUTE]

before, minutes = duckdb.sql(f"select count(*) filter (t < '2024-01-02 14:31:00'), list(minute(t)) from {source}").fetchall()[0]
days = starts("date_trunc('day', t)")
print(f"rows before 14:31 by a filter: {before}; minute(t): {minutes}; day of the last: {datetime.fromtimestamp(days[2] // 10**9, UTC):%Y-%m-%d}")
assert before == 2 and minutes == [30, 31, 0] and days[2] == midnight and stamps[2] // DAY * DAY == midnight - DAY
PY
