#!/bin/sh
# polars 2.1.0: rows without a null that were filtered from a column with one are equal to the same rows without that history, and are written as other bytes.
# Guess (our own hash of training rows was built on it): equal series give equal Arrow IPC bytes, so a hash of those bytes is a hash of the rows.
# Seen: where the null lay between the kept rows, the result keeps a mask in which every bit is set, and write_ipc writes it (256 bytes more for 1,999 rows); where
# it lay at an end, the mask is gone. null_count is 0 and equals() is true in both. So an id made of the bytes depended on whether a later outcome was still open.
# A series made anew from to_numpy() has no mask.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'polars==2.1.0' 'numpy==2.4.6'
cat > "$work/mask.py" <<'PY'
import polars as pl


def written(series: pl.Series) -> bytes:
    return series.to_frame().write_ipc(None, compression="uncompressed").getvalue()


rows = [number % 2 for number in range(1_999)]
plain = pl.Series("label", rows, dtype=pl.Int8)
for where in (0, 1_000, 1_999):
    with_null = pl.Series("label", [*rows[:where], None, *rows[where:]], dtype=pl.Int8)
    kept = with_null.filter(with_null.is_not_null())
    anew = pl.Series("label", kept.to_numpy(), dtype=pl.Int8)
    assert kept.equals(plain) and kept.null_count() == 0
    assert written(anew) == written(plain)
    print("null at", where, "bytes more:", len(written(kept)) - len(written(plain)))
    assert (written(kept) == written(plain)) == (where != 1_000)
PY
"$work/venv/bin/python" "$work/mask.py"
