#!/bin/sh
# gym-trading-env 0.3.5: borrow_interest_rate is documented as a rate per step.
# Guess: a position of 2 (as much borrowed as owned) at 1 % a step and a price that stands still loses 1 % of the debt at every step.
# Seen: it loses 10 of 1,000 at the first step and nothing at the next nineteen. The interest of a step replaces that of the step before instead
# of being added to it. The same for a short position.
# Why it matters: leverage and short selling cost next to nothing, so that a learned policy holds both for as long as it can.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'gym-trading-env==0.3.5' 'gymnasium==1.2.3' 'pandas==2.3.3' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pandas as pd
from gym_trading_env.environments import TradingEnv

STEPS, RATE = 20, 0.01
price = np.full(STEPS + 2, 100.0)
bars = pd.DataFrame(
    {name: price for name in ("open", "high", "low", "close", "feature_close")} | {"volume": 1.0},
    index=pd.date_range("2024-01-01", periods=len(price), freq="D"),
)
for position, owed in ((2, 1000.0), (-1, 1000.0)):
    env = TradingEnv(
        df=bars, positions=[0, position], initial_position=0, portfolio_initial_value=1000.0,
        trading_fees=0.0, borrow_interest_rate=RATE, verbose=0,
    )
    env.reset(seed=0)
    values = [float(env.step(1)[4]["portfolio_valuation"]) for _ in range(STEPS)]
    by_hand = 1000.0 - owed * RATE * STEPS
    print(f"position {position}: {values[0]:.2f} after one step, {values[-1]:.2f} after {STEPS}; simple interest leaves {by_hand:.2f}")
    assert all(abs(value - 990.0) < 1e-9 for value in values)
    assert by_hand == 800.0
PY
