#!/bin/sh
# pandas 3.1.1: microseconds read as milliseconds are the year 56971, without an error.
# Guess: OutOfBoundsDatetime, as with every pandas before 3 (dates end in 2262).
# Seen: to_datetime(..., unit="ms") has the unit us and gives 56971-10-25; only printing it with a zone fails (strftime).
# Why it matters: Binance's dumps of spot count microseconds from 2025-01-01, before that milliseconds. Readers of both years that were saved by
# the exception now hold a bar 54,946 years ahead, and a resample to hours asks for 481,653,866 rows.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'pandas==3.1.1' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import pandas as pd

opened = pd.Series([1735689540000, 1735689600000000])  # the last minute of 2024 and the first of 2025, as the dumps have them
read = pd.to_datetime(opened, unit="ms")
print(read.dtype, [str(stamp) for stamp in read])
hours = (read[1] - read[0]).total_seconds() / 3600
print(f"{hours:,.0f} hours apart")
assert read.dt.year.tolist() == [2024, 56971]
assert 481_653_000 < hours < 481_654_000
PY
