#!/bin/sh
# mt-940 5.1.1: the reversal of a credit is read as money received.
# SWIFT's MT940 marks a line of field 61 with C, D, RC (a credit taken back) or RD (a debit taken back).
# Guess: RC lowers the balance, so its amount is negative as D's is.
# Seen: RC10,00 is +10.00; only the mark D has a minus. The statement opens with 1,000.00, takes 10.00 back, closes with 990.00 by its own
# field 62F, and the sum of its lines is +10.00.
# Why it matters: a bounced deposit counts twice the wrong way when statements of a broker's cash account are reconciled.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'mt-940==5.1.1'
"$work/venv/bin/python" -W ignore - <<'PY'
import mt940

MARKS = {"C": 10, "D": -10, "RC": -10, "RD": 10}
found = {}
for mark, effect in MARKS.items():
    text = "\n".join((
        ":20:1", ":25:NL00BANK0000000001", ":28C:1/1", ":60F:C240102EUR1000,00",
        f":61:2401020102{mark}10,00NTRFNONREF", f":62F:C240102EUR{1000 + effect},00", "-",
    ))
    statement = mt940.parse(text)
    line, = statement
    found[mark] = float(line.data["amount"].amount)
    closing = statement.data["final_closing_balance"].amount.amount
    print(f"{mark}: line {found[mark]:+.2f}, closing balance {closing}, 1000 and the line make {1000 + found[mark]:.2f}")
assert found == {"C": 10.0, "D": -10.0, "RC": 10.0, "RD": 10.0}
PY
