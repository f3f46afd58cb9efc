#!/bin/sh
# lib-pybroker 2.0.2: a stop of 5 % below an entry at 100, and a day that opens at 80 and trades between 78 and 82.
# Guess: the stop is filled at the open, 80, which is the first price at which anybody could sell; or, too well, at 95.
# Seen: at 82, the day's highest price: the level is cut to the range of the bar, which brings it to the better end. A short's stop is bought back at
# the day's lowest price, and a target that is jumped over is sold at the day's lowest too (118 of 118 ... 125, opened at 120).
# Why it matters: each overnight gap through a stop is a sale at a price nobody can know to ask for. Gaps are what a stop's losses are made of.
# stop_loss_exit_price=PriceType.OPEN gives the 80.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'lib-pybroker==2.0.2' 'pandas==3.1.1' 'numpy==2.4.6'
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import contextlib
import io

import pandas as pd
from pybroker import PriceType, Strategy, StrategyConfig

DAYS = pd.bdate_range("2024-01-01", periods=6)
FALL = pd.DataFrame({"open": [100.0, 100, 100, 80, 80, 80], "high": [101.0, 101, 101, 82, 81, 81], "low": [99.0, 99, 99, 78, 79, 79]})
RISE = pd.DataFrame({"open": [100.0, 100, 100, 120, 120, 120], "high": [101.0, 101, 101, 125, 121, 121], "low": [99.0, 99, 99, 118, 119, 119]})


def exit_price(bars, **orders):
    """Set the attributes of the context on the first bar, so that the second is the entry; return the price of the only exit."""

    def rule(context):
        if context.bars == 1:
            for name, value in orders.items():
                setattr(context, name, value)

    frame = bars.assign(close=bars["open"], volume=1e6, symbol="A", date=DAYS)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        strategy = Strategy(frame, DAYS[0], DAYS[-1], StrategyConfig(initial_cash=10_000))
        strategy.add_execution(rule, ["A"])
        trades = strategy.backtest(calc_bootstrap=False).trades
    assert len(trades) == 1 and trades["entry"].iloc[0] == 100 and trades["exit_date"].iloc[0] == DAYS[3]
    return float(trades["exit"].iloc[0])


seen = {
    "long, stop 95, opens at 80, 78 to 82": exit_price(FALL, buy_shares=10, buy_fill_price=PriceType.OPEN, stop_loss_pct=5),
    "the same with exit price OPEN": exit_price(
        FALL, buy_shares=10, buy_fill_price=PriceType.OPEN, stop_loss_pct=5, stop_loss_exit_price=PriceType.OPEN
    ),
    "short, stop 105, opens at 120, 118 to 125": exit_price(RISE, sell_shares=10, sell_fill_price=PriceType.OPEN, stop_loss_pct=5),
    "long, target 105, opens at 120, 118 to 125": exit_price(RISE, buy_shares=10, buy_fill_price=PriceType.OPEN, stop_profit_pct=5),
}
for case, price in seen.items():
    print(f"{case}: {price:.0f}")
assert list(seen.values()) == [82.0, 80.0, 118.0, 118.0]
PY
