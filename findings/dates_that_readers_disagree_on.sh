#!/bin/sh
# polars 2.1.0, duckdb 2.0.0, pandas 3.1.1: 03/08/2024 in a file of the first twelve days of a month is March to one reader and August to two.
# Guess: an American file (Kibot, TradeStation) is read month first, or left as text, by all three.
# Seen: polars (try_parse_dates) and duckdb read 3 August, 3 November and 3 December without a word, pandas 8, 11 and 12 March. With one row of the
# 13th beneath them the same rows are March to duckdb and text to polars. So monthly files of one vendor are read in two ways by one reader.
# With a time of day duckdb leaves text, polars goes on reading August.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'polars==2.1.0' 'duckdb==2.0.0' 'pandas==3.1.1' 'numpy==2.4.6'
cd "$work"
printf 'date,close\n03/08/2024,1\n03/11/2024,2\n03/12/2024,3\n' > early.csv
printf 'date,close\n03/08/2024,1\n03/11/2024,2\n03/12/2024,3\n03/13/2024,4\n' > with_the_13th.csv
"$work/venv/bin/python" -W ignore - <<'PY'
from datetime import date

import duckdb
import pandas as pd
import polars as pl

march, august = [date(2024, 3, day) for day in (8, 11, 12)], [date(2024, month, 3) for month in (8, 11, 12)]
seen = {}
for name in ("early.csv", "with_the_13th.csv"):
    seen[name] = {
        "pandas": [stamp.date() for stamp in pd.read_csv(name, parse_dates=["date"])["date"]][:3],
        "polars": pl.read_csv(name, try_parse_dates=True)["date"].to_list()[:3],
        "duckdb": [row[0] for row in duckdb.sql(f"select date from read_csv('{name}')").fetchall()][:3],
    }
    for reader, dates in seen[name].items():
        print(name, reader, *dates)
assert seen["early.csv"] == {"pandas": march, "polars": august, "duckdb": august}
assert seen["with_the_13th.csv"] == {"pandas": march, "polars": ["03/08/2024", "03/11/2024", "03/12/2024"], "duckdb": march}
PY
