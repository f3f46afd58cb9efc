#!/bin/sh
# QuantLib 1.44: an option that is 10 in the money is worth 0 on the day on which it ends, in every engine.
# Guess: 10, what it pays today.
# Seen: 0 with a delta of 0 on the day itself, 10 the day before: it counts as expired on its last day from the first second on. With
# Settings.includeReferenceDateEvents the analytic engine says 10, and the engines of trees and finite differences raise errors.
# vollib 1.0.11 says 10 with a theta of NaN, mibian 0.1.3 divides by zero, blackscholes 0.2.2 refuses.
# Why it matters: time is counted in days, so all options that end today are worth nothing in a book that is valued in the morning.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'QuantLib==1.44' 'vollib==1.0.11' 'mibian==0.1.3' 'blackscholes==0.2.2'
"$work/venv/bin/python" -W ignore - <<'PY'
import math

import blackscholes
import mibian
import QuantLib
import vollib.black_scholes
from vollib.black_scholes.greeks import analytical

today = QuantLib.Date(15, 3, 2024)
QuantLib.Settings.instance().evaluationDate = today
count = QuantLib.Actual365Fixed()
process = QuantLib.BlackScholesProcess(
    QuantLib.QuoteHandle(QuantLib.SimpleQuote(110.0)),
    QuantLib.YieldTermStructureHandle(QuantLib.FlatForward(today, 0.0, count)),
    QuantLib.BlackVolTermStructureHandle(QuantLib.BlackConstantVol(today, QuantLib.NullCalendar(), 0.2, count)),
)
ENGINES = {
    "analytic": QuantLib.AnalyticEuropeanEngine(process),
    "tree": QuantLib.BinomialCRRVanillaEngine(process, 100),
    "finite differences": QuantLib.FdBlackScholesVanillaEngine(process),
}


def value(engine, days):
    option = QuantLib.VanillaOption(QuantLib.PlainVanillaPayoff(QuantLib.Option.Call, 100.0), QuantLib.EuropeanExercise(today + days))
    option.setPricingEngine(ENGINES[engine])
    try:
        return round(option.NPV(), 6)
    except RuntimeError as error:
        return str(error)


for name in ENGINES:
    print(f"{name}: today {value(name, 0)}, tomorrow {value(name, 1)}")
    assert value(name, 0) == 0.0 and round(value(name, 1), 4) == 10.0
QuantLib.Settings.instance().includeReferenceDateEvents = True
print("with includeReferenceDateEvents:", {name: value(name, 0) for name in ENGINES})
assert value("analytic", 0) == 10.0 and isinstance(value("tree", 0), str) and isinstance(value("finite differences", 0), str)
price, theta = vollib.black_scholes.black_scholes("c", 110, 100, 0, 0.0, 0.2), analytical.theta("c", 110, 100, 0, 0.0, 0.2)
print("vollib:", price, "theta", theta)
assert price == 10.0 and math.isnan(theta)
for name, asked, kind in (
    ("mibian", lambda: mibian.BS([110, 100, 0, 0], volatility=20), ZeroDivisionError),
    ("blackscholes", lambda: blackscholes.BlackScholesCall(S=110, K=100, T=0, r=0.0, sigma=0.2), AssertionError),
):
    try:
        asked()
    except kind as error:
        print(f"{name}: {kind.__name__}: {error}")
    else:
        raise AssertionError(name)
PY
