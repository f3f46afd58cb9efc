#!/bin/sh
# python-stdnum 2.2, stdnum.isin: which prefixes of an ISIN are known.
# Guess: every prefix that national agencies and ANNA's bureaus give out, among them EZ (swaps and other OTC derivatives, since 2017).
# Seen: EZ and XT (digital tokens) are refused with InvalidComponent, with a right check digit or a wrong one; XS (Euroclear and Clearstream) passes.
# Why it matters: where is_valid() cleans reference data or a report of trades under MiFIR, every swap in it is dropped.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'python-stdnum==2.2'
"$work/venv/bin/python" - <<'PY'
from stdnum import isin
from stdnum.exceptions import InvalidComponent


def check_digit(body):
    """Luhn over the digits of the code, letters as 10 ... 35 (ISO 6166)."""
    digits = [int(digit) for digit in "".join(str(int(letter, 36)) for letter in body)][::-1]
    total = sum(sum(divmod(2 * digit, 10)) if place % 2 == 0 else digit for place, digit in enumerate(digits))
    return str(-total % 10)


assert check_digit("US037833100") == "5"  # Apple
seen = {}
for prefix in ("US", "XS", "EU", "EZ", "XT"):
    body = prefix + "ABCDEF123"
    code = body + check_digit(body)
    try:
        seen[prefix] = isin.validate(code) == code
    except InvalidComponent:
        seen[prefix] = False
    print(prefix, code, "valid" if seen[prefix] else "InvalidComponent", "check digit", isin.calc_check_digit(body) == check_digit(body))
assert seen == {"US": True, "XS": True, "EU": True, "EZ": False, "XT": False}
PY
