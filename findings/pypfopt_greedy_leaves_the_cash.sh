#!/bin/sh
# PyPortfolioOpt 1.6.0: DiscreteAllocation.greedy_portfolio with one asset that is too dear for the account leaves most of it in cash.
# Guess: half of 10,000 in ETH at 3,000 and half in BTC at 60,000 buys one or, with what is left, three ETH.
# Seen: one ETH and 7,000 of cash: weights are compared within what was bought, so the one ETH counts as 100 % and nothing more is bought.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'pyportfolioopt==1.6.0' 'packaging==25.0' 'pandas==3.1.1' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import pandas as pd
from pypfopt import DiscreteAllocation

allocation, left = DiscreteAllocation({"BTC": 0.5, "ETH": 0.5}, pd.Series({"BTC": 60_000.0, "ETH": 3_000.0}), total_portfolio_value=10_000).greedy_portfolio()
print(allocation, left)
assert allocation == {"ETH": 1} and left == 7_000
PY
