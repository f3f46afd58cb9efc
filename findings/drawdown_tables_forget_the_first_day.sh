#!/bin/sh
# pyfolio-reloaded 0.10.1, quantstats 0.0.86: a fall that begins on the first day is missing from the tables of drawdowns.
# Guess: the worst drawdown of -30 % on the first day is 30 %, from the start on, in both.
# Seen: pyfolio's table says 10 %, a later and smaller fall, though its own max_drawdown says -30 %. quantstats' drawdown_details has the fall where
# the account recovers, and where it never does it has no row at all, though its own max_drawdown says -30 %: a start is a day after one without a loss.
# Why it matters: the table under the picture of the account, with its days and its recovery, is about another fall, or says that there was none.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'pyfolio-reloaded==0.10.1' 'quantstats==0.0.86' 'empyrical-reloaded==0.7.1' 'pandas==2.3.3' 'numpy==2.2.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import pandas as pd
import pyfolio
import quantstats

returns = pd.Series([-0.3, 0.01, 0.01, 0.01, 0.5, -0.1, 0.2], index=pd.bdate_range("2024-01-01", periods=7))
table = pyfolio.timeseries.gen_drawdown_table(returns, 3)
worst = float(table["Net drawdown in %"].max())
print(f"pyfolio: max_drawdown {pyfolio.timeseries.max_drawdown(returns):.0%}, worst of its table {worst:.0f} % from {table['Peak date'].iloc[0]:%Y-%m-%d}")
assert round(pyfolio.timeseries.max_drawdown(returns), 6) == -0.3 and round(worst, 6) == 10
for name, part, rows in (("recovers", returns, 2), ("does not recover", returns.iloc[:4], 0)):
    details = quantstats.stats.drawdown_details(quantstats.stats.to_drawdown_series(part))
    print(f"quantstats, where it {name}: max_drawdown {quantstats.stats.max_drawdown(part):.0%}, rows of its table: {len(details)}")
    assert round(quantstats.stats.max_drawdown(part), 6) == -0.3 and len(details) == rows
PY
