#!/bin/sh
# polars 2.1.0: a column of nanoseconds compared with a moment of whole microseconds (a Python datetime, or a column of another file).
# Guess: the coarser side is made finer, so that 14:30:00.000000500 is later than 14:30:00; or the comparison is refused, as join_asof refuses it.
# Seen: the finer side is cut to microseconds. `t <= 14:30:00` keeps what came up to 999 ns later, `t == 14:30:00` holds for it, `t > 14:30:00` loses it. The
# same comparison of a Series says False. duckdb 2.0.0 compares exactly.
# Why it matters: "known at or before the decision" lets pass what came just after it: between two computers of one exchange's building,
# 999 ns are the whole race. Cast the literal to nanoseconds.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'polars==2.1.0' 'duckdb==2.0.0' 'pyarrow==26.0.1'
"$work/venv/bin/python" - "$work/quotes.parquet" <<'PY'
import sys
from datetime import datetime

import duckdb
import polars as pl

decision = datetime(2024, 1, 2, 14, 30)
whole = pl.Series("t", [decision]).dt.epoch("ns").item()
quotes = pl.DataFrame({"t": pl.Series([whole - 1, whole, whole + 500, whole + 1000], dtype=pl.Int64).cast(pl.Datetime("ns"))})
quotes.write_parquet(sys.argv[1])
t, fine = pl.col("t"), pl.lit(decision).cast(pl.Datetime("ns"))


def kept(condition):
    """Return which quotes pass, in nanoseconds from the decision."""
    return (quotes.lazy().filter(condition).collect()["t"].dt.epoch("ns") - whole).to_list()


def kept_by_duckdb(operator):
    rows = duckdb.sql(f"select epoch_ns(t) from '{sys.argv[1]}' where t {operator} timestamp '2024-01-02 14:30:00' order by t").fetchall()
    return [row[0] - whole for row in rows]


seen = {"<=": kept(t <= decision), "==": kept(t == decision), ">": kept(t > decision)}
exact = {"<=": [-1, 0], "==": [0], ">": [500, 1000]}
for operator, passed in seen.items():
    print(f"t {operator} 14:30: polars keeps {passed}, exactly {exact[operator]}")
    assert kept_by_duckdb("=" if operator == "==" else operator) == exact[operator]
assert seen == {"<=": [-1, 0, 500], "==": [0, 500], ">": [1000]}
column = quotes.with_columns(coarse=fine.cast(pl.Datetime("us"))).select(t <= pl.col("coarse")).to_series().to_list()
series = (quotes["t"] <= decision).to_list()
print(f"with a column of microseconds {column}, a Series and a datetime {series}")
assert column == [True, True, True, False] and series == [True, True, False, False]
assert kept(t <= fine) == [-1, 0]
PY
