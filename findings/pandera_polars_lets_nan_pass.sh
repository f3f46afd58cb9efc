#!/bin/sh
# pandera 0.35.0 on polars 2.1.0: a check that a price is above 0 passes for NaN when the column is nullable, and coerce truncates.
# Guess: NaN > 0 is false in Python and numpy, so the check fails; 1.9 as Int64 is refused, as a value would be lost.
# Seen: NaN passes gt(0) and ge(0) in a nullable column (Polars orders NaN above every number; a column that is not nullable refuses it as null), and fails
# lt(10); a volume of 1.9 becomes 1 and -1.9 becomes -1 in silence.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'pandera[polars]==0.35.0' 'polars==2.1.0'
"$work/venv/bin/python" -W ignore - <<'PY'
import pandera.polars as pa
import polars as pl


def passes(check, nullable):
    schema = pa.DataFrameSchema({"price": pa.Column(pl.Float64, check, nullable=nullable)})
    try:
        schema.validate(pl.DataFrame({"price": [1.0, float("nan")]}))
    except pa.errors.SchemaError:
        return False
    return True


found = {"gt nullable": passes(pa.Check.gt(0), True), "ge nullable": passes(pa.Check.ge(0), True), "lt nullable": passes(pa.Check.lt(10), True), "gt": passes(pa.Check.gt(0), False)}
print("NaN passes:", found)
assert found == {"gt nullable": True, "ge nullable": True, "lt nullable": False, "gt": False}
whole = pa.DataFrameSchema({"volume": pa.Column(pl.Int64, coerce=True)}).validate(pl.DataFrame({"volume": [1.9, -1.9]}))
print("coerced:", whole["volume"].to_list())
assert whole["volume"].to_list() == [1, -1]
PY
