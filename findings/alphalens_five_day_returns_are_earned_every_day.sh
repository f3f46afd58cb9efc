#!/bin/sh
# alphalens-reloaded 0.5.1, factor_cumulative_returns and create_pyfolio_input with period="5D" and a factor of every day.
# Guess: returns of five days that overlap are not strung together: each is held by a fifth of the money, or every fifth is taken.
# Seen: they are: every day earns the five days to come. A year of a long and short portfolio that grows to 1.46 with "1D", to 1.46 by every fifth of the
# returns and to 1.47 by five portfolios of a fifth each, grows to 6.74; the returns that are handed to pyfolio make 6.69 of it.
# Why it matters: the longer the horizon of a factor, the better it looks: the logarithm of its growth is multiplied by the number of days.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'alphalens-reloaded==0.5.1' 'pandas==2.3.3' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pandas as pd
from alphalens.performance import create_pyfolio_input, factor_cumulative_returns, factor_returns
from alphalens.utils import get_clean_factor_and_forward_returns

rng = np.random.default_rng(0)
days = pd.bdate_range("2023-01-02", periods=260)
names = [f"S{number:02d}" for number in range(20)]
returns = rng.normal(0, 0.01, (260, 20)) + np.linspace(-0.002, 0.002, 20)
prices = pd.DataFrame(100 * np.cumprod(1 + returns, axis=0), index=days, columns=names)
wide = pd.DataFrame(np.tile(np.arange(20.0), (260, 1)) + rng.normal(0, 0.001, (260, 20)), index=days, columns=names)
factor = wide.stack()
factor.index.names = ["date", "asset"]
table = get_clean_factor_and_forward_returns(factor, prices, quantiles=5, periods=(1, 5))

weights = wide.sub(wide.mean(axis=1), axis=0)
weights = weights.div(weights.abs().sum(axis=1), axis=0)
growth = {
    "1D": factor_cumulative_returns(table, "1D").iloc[-1],
    "5D": factor_cumulative_returns(table, "5D").iloc[-1],
    "5D, handed to pyfolio": (1 + create_pyfolio_input(table, "5D")[0]).prod(),
    "every fifth return of 5D": (1 + factor_returns(table)["5D"].iloc[::5]).prod(),
    "five portfolios of a fifth": (1 + (weights.rolling(5).mean().shift(1) * prices.pct_change()).sum(axis=1)).prod(),
}
for name, value in growth.items():
    print(f"1 grows to {value:.2f}: {name}")
honest = [growth[name] for name in ("1D", "every fifth return of 5D", "five portfolios of a fifth")]
assert max(honest) / min(honest) < 1.03
assert growth["5D"] > 4 * max(honest) and growth["5D, handed to pyfolio"] > 4 * max(honest)
assert abs(np.log(growth["5D"]) / np.log(growth["1D"]) - 5) < 0.3
PY
