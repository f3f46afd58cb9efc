#!/bin/sh
# stockholm 0.5.7: two amounts of yen that are equal have 100 and 10,000 parts.
# Guess: Money(100, "JPY").sub_units is 100 and Money(1, "KWD").sub_units 1000, by ISO 4217.
# Seen: 10000 and 100. Money(100, JPY), with the package's own object for the currency, is equal to it and has 100; the dinar's has 1000. And
# from_sub_units(100, "JPY") is 1 yen, where the object's is 100.
# Why it matters: venues and banks that take amounts in the smallest unit are told a hundred times the yen, or a tenth of the dinars, depending on
# how one of two equal amounts was made.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'stockholm==0.5.7'
"$work/venv/bin/python" -W ignore - <<'PY'
import stockholm
from stockholm.currency import JPY, KWD

for name, currency, amount, right in (("JPY", JPY, 100, 100), ("KWD", KWD, 1, 1000)):
    named, known = stockholm.Money(amount, name), stockholm.Money(amount, currency)
    back = [stockholm.Money.from_sub_units(right, each) for each in (name, currency)]
    print(f"{named} == {known}: {named == known}; parts {named.sub_units} and {known.sub_units}; {right} parts are {back[0]} and {back[1]}")
    assert named == known and named.sub_units == amount * 100 and known.sub_units == right
    assert back[0] != back[1] == known
PY
