#!/bin/sh
# nautilus_trader 1.221.0: Instrument.make_price rounds to the instrument's decimals, not to its price increment.
# Guess: make_price(4790.13) of the E-mini future, whose increment is 0.25, gives 4790.25 or is refused.
# Seen: 4790.13, a price at which that future cannot trade.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'nautilus_trader==1.221.0' 'pandas==2.3.3' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
from decimal import Decimal

from nautilus_trader.test_kit.providers import TestInstrumentProvider

future = TestInstrumentProvider.es_future(2024, 3)
price = future.make_price(4790.13)
print(f"increment {future.price_increment}, make_price(4790.13) = {price}")
assert str(price) == "4790.13" and price.as_decimal() % future.price_increment.as_decimal() != Decimal(0)
PY
