#!/bin/sh
# databento 0.88.0 (databento-dbn 0.70.0): DBNStore.to_df() turns a missing price into NaN and a missing quantity into 9223372036854775807.
# Guess: both are missing in the frame: DBN has a constant for either, UNDEF_PRICE and UNDEF_STAT_QUANTITY.
# Seen: a settlement price of the schema statistics, which has no quantity, has one of 9.2e18 contracts in the frame, and two of them sum to -2 (int64); a
# time that is missing is NaT, a price NaN.
# Why it matters: open interest and cleared volume stand in the same column; a sum or a maximum over it is settled by rows that have none.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'databento==0.88.0' 'databento-dbn==0.70.0' 'pandas==2.3.3' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import databento
import databento_dbn as dbn

AT = 1_704_205_800_000_000_000
header = dbn.Metadata(
    dataset="GLBX.MDP3", start=AT, end=AT + 1, stype_in=dbn.SType.RAW_SYMBOL, stype_out=dbn.SType.INSTRUMENT_ID, schema=dbn.Schema.STATISTICS,
    symbols=["ESH4"], partial=[], not_found=[], mappings=[], limit=None, ts_out=False,
)
rows = [
    dbn.StatMsg(1, instrument, AT, AT, dbn.UNDEF_TIMESTAMP, price, quantity, kind)
    for instrument, price, quantity, kind in (
        (1, 4_790_250_000_000, dbn.UNDEF_STAT_QUANTITY, dbn.StatType.SETTLEMENT_PRICE),
        (2, 16_900_750_000_000, dbn.UNDEF_STAT_QUANTITY, dbn.StatType.SETTLEMENT_PRICE),
        (1, dbn.UNDEF_PRICE, 2_100_000, dbn.StatType.OPEN_INTEREST),
    )
]
frame = databento.DBNStore.from_bytes(header.encode() + b"".join(bytes(row) for row in rows)).to_df()
print(frame[["price", "quantity", "stat_type", "ts_ref"]].to_string())
settled = frame[frame["stat_type"] == int(dbn.StatType.SETTLEMENT_PRICE)]["quantity"]
print("sum of the quantities of two settlement prices:", settled.sum())
assert settled.tolist() == [dbn.UNDEF_STAT_QUANTITY] * 2 and settled.sum() == -2
assert frame["price"].isna().tolist() == [False, False, True] and frame["ts_ref"].isna().all()
PY
