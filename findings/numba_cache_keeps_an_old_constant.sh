#!/bin/sh
# numba 0.68.1: a function with cache=True goes on with the old value of a constant that it imports from another file.
# Guess: the next process sees that units.py has changed and compiles again.
# Seen: only the function's own file is looked at (time and size), so the new process answers with the old constant: 60000 instead of 600000.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'numba==0.68.1' 'numpy==2.4.6'
cd "$work"
cat > notional.py <<'PY'
import numba

from units import MONEY


@numba.njit(cache=True)
def notional(price, quantity):
    return price * quantity * MONEY
PY
echo 'MONEY = 10_000.0' > units.py
answer() { PYTHONDONTWRITEBYTECODE=1 "$work/venv/bin/python" -c 'from notional import notional; print(notional(3.0, 2.0))'; }
test "$(answer)" = 60000.0
echo 'MONEY = 100_000.0' > units.py
found=$(answer)
echo "$found"
test "$found" = 60000.0
rm -rf __pycache__
test "$(answer)" = 600000.0
