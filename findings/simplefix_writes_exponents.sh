#!/bin/sh
# simplefix 1.0.17: a price or quantity given as a float is written as Python prints it.
# FIX's float type is digits with an optional point (FIX 4.4 specification, volume 1, "float": no exponent).
# Guess: 44=0.0000001 and 38=100000000.
# Seen: 44=1e-07 (no FIX float), 38=1e+16 from 16 digits on, and 44=0.30000000000000004 for a sum of two prices. A Decimal of 1E-7 is written so too.
# A time of 14:30:00.9996 is written .999, while .1239999 is written .124: rounded up, but never over the second.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'simplefix==1.0.17'
"$work/venv/bin/python" -W ignore - <<'PY'
from decimal import Decimal

import simplefix

message = simplefix.FixMessage()
message.append_pair(8, "FIX.4.4")
message.append_pair(35, "D")
message.append_pair(38, 1e16)
message.append_pair(44, 1e-7)
message.append_pair(44, 0.1 + 0.2)
message.append_pair(44, Decimal("0.0000001"))
message.append_utc_timestamp(52, timestamp=1704205800.1239999, precision=3)
message.append_utc_timestamp(60, timestamp=1704205800.9996, precision=3)
fields = message.encode().decode().split("\x01")
print(fields)
for field in ("38=1e+16", "44=1e-07", "44=0.30000000000000004", "44=1E-7", "52=20240102-14:30:00.124", "60=20240102-14:30:00.999"):
    assert field in fields, field
PY
