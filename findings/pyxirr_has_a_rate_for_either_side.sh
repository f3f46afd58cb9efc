#!/bin/sh
# pyxirr 0.10.8: irr of -100, 230, -132 is 20 %, of the same flows with all signs turned 10 %, and xirr of the same flows a year apart 10 %.
# Guess: who pays and who is paid see the same rate, and yearly dates change nothing.
# Seen: the flows have two rates, 10 and 20 %. irr takes one or the other by sign; xirr takes 10 % both ways, and so does numpy-financial 1.0.0.
# Why it matters: both sides of one deal, or one deal with and without dates, are ranked by different numbers, and nothing says that there were two
# (is_conventional_cash_flow does when it is asked).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'pyxirr==0.10.8' 'numpy-financial==1.0.0' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
from datetime import date

import numpy_financial
import pyxirr

flows = [-100, 230, -132]
turned = [-flow for flow in flows]
days = [date(2021, 1, 1), date(2022, 1, 1), date(2023, 1, 1)]
seen = {
    "irr": (pyxirr.irr(flows), pyxirr.irr(turned)),
    "xirr": (pyxirr.xirr(days, flows), pyxirr.xirr(days, turned)),
    "numpy-financial": (numpy_financial.irr(flows), numpy_financial.irr(turned)),
}
for name, rates in seen.items():
    print(name, [f"{rate:.4f}" for rate in rates])
assert [round(rate, 6) for rate in seen["irr"]] == [0.2, 0.1]
assert {round(rate, 6) for name in ("xirr", "numpy-financial") for rate in seen[name]} == {0.1}
assert not pyxirr.is_conventional_cash_flow(flows)
PY
