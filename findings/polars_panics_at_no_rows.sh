#!/bin/sh
# Polars 2.1.0: two columns of one name in an Arrow stream are an error where there are rows, and a panic where there are none.
# Guess: both are refused by the same DuplicateError, which is an Exception, since the names stand in the stream's schema.
# Seen: one row: DuplicateError. No row: PanicException, a BaseException, after a stack trace on standard error. DuckDB's own way, relation.pl(), gives a second name in both cases.
# Why it matters: a join without a match, asked with `select *`, passes every `except Exception` of the program.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'polars==2.1.0' 'duckdb==2.0.0' 'pyarrow==26.0.1'
"$work/venv/bin/python" - 2>/dev/null <<'PY'
import duckdb
import polars as pl

seen = {}
for rows, text in ((1, "select 1 as v, 2 as v"), (0, "select 1 as v, 2 as v where false")):
    try:
        pl.DataFrame(duckdb.sql(text))
    except BaseException as error:
        seen[rows] = (type(error).__name__, isinstance(error, Exception))
    assert duckdb.sql(text).pl().shape == (rows, 2)
print("rows: error, is it an Exception:", seen)
assert seen == {1: ("DuplicateError", True), 0: ("PanicException", False)}, seen
PY
