#!/bin/sh
# beancount 3.2.3: a purchase whose two sides differ by four cents, as a broker's export writes it, with 1234.5 for 1234.50.
# Guess: sides that differ by more than half a cent do not balance, since the other amount and the whole file are in cents.
# Seen: they do. The tolerance of a transaction is half of the last place of its coarsest amount that has decimals, here 0.05. Written as 1234.50 the same
# two numbers are an error of 0.04. So a fee of four cents that is missing is found or not by whether the total ends in a zero.
# Why it matters: exports made by programs (Python's str, a spreadsheet) drop such zeros; one amount in ten is checked ten times less closely.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'beancount==3.2.3'
"$work/venv/bin/python" - <<'PY'
from beancount import loader

LEDGER = """
2024-01-01 open Assets:Shares
2024-01-01 open Assets:Cash
2024-01-02 * "ten shares"
  Assets:Shares   10 ABC @@ 1234.46 USD
  Assets:Cash    -{paid} USD
2024-01-03 * "another day, in cents"
  Assets:Shares   1 ABC @@ 123.45 USD
  Assets:Cash    -123.45 USD
"""


def errors(paid):
    _, found, _ = loader.load_string(LEDGER.format(paid=paid))
    return [error.message for error in found]


for paid in ("1234.5", "1234.50", "1234.5100", "1234.6"):
    print(f"1234.46 bought, {paid} paid:", errors(paid) or "balances")
assert errors("1234.5") == [] and len(errors("1234.50")) == 1
assert len(errors("1234.6")) == 1
PY
