#!/bin/sh
# polars 2.1.0, duckdb 2.0.0 and pyarrow 26.0.1: products of decimal columns of one Parquet file, prices and rates of coins.
# Guess: the places of a product are those of its factors added up (8 and 5 make 13), in all three.
# Seen: in duckdb and pyarrow. Polars keeps the larger number of places, 8, and rounds: 0.00003402 a coin at a fee of 0.00075 is 3E-8 where
# the exact fee is 2.5515E-8, 18 % more; a price divided by a quantity of 12,345 is 0. No error, no warning, and precision 38 has room for all of it.
# Why it matters: decimals are chosen so that money is exact. A fee per coin, a rate per second or a price in another coin is not; multiply by the
# quantity first, or widen a factor before (cast to more places).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'polars==2.1.0' 'duckdb==2.0.0' 'pyarrow==26.0.1'
"$work/venv/bin/python" - "$work/trades.parquet" <<'PY'
import sys
from decimal import Decimal

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

price, quantity, rate = Decimal("0.00003402"), Decimal("12345.678901"), Decimal("0.00075")
table = pa.table({
    "price": pa.array([price], pa.decimal128(18, 8)),
    "quantity": pa.array([quantity], pa.decimal128(18, 6)),
    "rate": pa.array([rate], pa.decimal128(9, 5)),
})
pq.write_table(table, sys.argv[1])
frame = pl.read_parquet(sys.argv[1])
exact = price * rate

by_polars = frame.select(pl.col("price") * pl.col("rate")).item()
by_duckdb = duckdb.sql(f"select price * rate from '{sys.argv[1]}'").fetchall()[0][0]
by_arrow = pc.multiply(table["price"], table["rate"])[0].as_py()
print(f"price * rate: exact {exact}, polars {by_polars}, duckdb {by_duckdb}, pyarrow {by_arrow}")
assert by_duckdb == by_arrow == exact == Decimal("2.5515E-8") and by_polars == Decimal("3E-8")

whole = price * rate * quantity
late = frame.select(pl.col("price") * pl.col("rate") * pl.col("quantity")).item()
widened = frame.select(pl.col("price").cast(pl.Decimal(38, 19)) * pl.col("rate") * pl.col("quantity")).item()
print(f"fee of the trade: exact {whole}, polars {late}, with 19 places {widened}")
assert abs(late / whole - 1) > Decimal("0.17") and widened == whole

quotient = frame.select(pl.col("price") / pl.col("quantity")).item()
print(f"price / quantity: {price / quantity:.6e}, polars {quotient}")
assert quotient == 0
PY
