#!/bin/sh
# duckdb 2.0.0 and polars 2.1.0: the close of a bar whose last trades have one timestamp (an order that sweeps three prices), by the usual expressions.
# Guess: the last of them in the file's order.
# Seen: the first. arg_max(price, t), max_by and last(price order by t) of duckdb, and sort_by("t").last() and get(arg_max) of polars, all give 100.00 of
# trades at 100.00, 100.01 and 100.02. last(price order by t, sequence), and sort_by with maintain_order=True, give 100.02.
# Why it matters: closes are the wrong end of each sweep, against the direction of the market: on a tape of sweeps the return from open to close lacks
# the last one. A number of sequence belongs in every file of trades.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'duckdb==2.0.0' 'polars==2.1.0' 'pyarrow==26.0.1'
"$work/venv/bin/python" - "$work/trades.parquet" <<'PY'
import sys
from datetime import datetime, timedelta

import duckdb
import polars as pl

start = datetime(2024, 1, 2, 14, 30)
prices = [99.98, 99.99, 100.00, 100.01, 100.02]
seconds = [0, 20, 59, 59, 59]
trades = pl.DataFrame({"t": [start + timedelta(seconds=second) for second in seconds], "price": prices, "sequence": range(5)})
trades.write_parquet(sys.argv[1])

by_duckdb = {
    name: duckdb.sql(f"select {name} from '{sys.argv[1]}'").fetchall()[0][0]
    for name in ("arg_max(price, t)", "max_by(price, t)", "last(price order by t)", "last(price order by t, sequence)")
}
price, t = pl.col("price"), pl.col("t")
by_polars = {
    'sort_by("t").last()': price.sort_by("t").last(),
    "get(arg_max)": price.get(t.arg_max()),
    'sort_by("t", maintain_order=True).last()': price.sort_by("t", maintain_order=True).last(),
    "last()": price.last(),
}
closes = by_duckdb | {name: trades.select(expression).item() for name, expression in by_polars.items()}
for name, close in closes.items():
    print(f"{close:.2f}  {name}")
true = [row[1] for row in sorted(zip(seconds, prices, range(5), strict=True), key=lambda row: (row[0], row[2]))][-1]
assert true == 100.02
right = {"last(price order by t, sequence)", 'sort_by("t", maintain_order=True).last()', "last()"}
assert {name for name, close in closes.items() if close == true} == right
assert {close for name, close in closes.items() if name not in right} == {100.00}
PY
