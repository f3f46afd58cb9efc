#!/bin/sh
# lib-pybroker 2.0.2: a fee of 1 % an order, and three trades that each gain 0.5 % before it.
# Guess: a trade's pnl, and with it win rate and average trade, is what is left after its two fees.
# Seen: trades and the figures made of them are before fees, the figures made of equity after them, in one table: win rate 100 %, average trade +0.5 %,
# total return +0.15 %, profit factor 0.0, Sharpe ratio -1.85, and an account that lost 45 of 10,000. (The docstring of total_pnl says "gross of fees".)
# Why it matters: a search over win_rate, total_pnl or avg_return_pct turns to the rule that trades most.
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
from pybroker import FeeMode, PriceType, Strategy, StrategyConfig

days = pd.bdate_range("2024-01-01", periods=8)
price = pd.Series([100, 100, 100.5, 100, 100.5, 100, 100.5, 100.5])
bars = pd.DataFrame({"date": days, "symbol": "A", "open": price, "high": price + 1, "low": price - 1, "close": price, "volume": 1e6})


def rule(context):
    """Buy at the open of bars 2, 4 and 6 at 100, sell at the next open at 100.5."""
    if context.bars in (1, 3, 5):
        context.buy_shares, context.hold_bars = 10, 1
        context.buy_fill_price = context.sell_fill_price = PriceType.OPEN


with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    strategy = Strategy(bars, days[0], days[-1], StrategyConfig(initial_cash=10_000, fee_mode=FeeMode.ORDER_PERCENT, fee_amount=1))
    strategy.add_execution(rule, ["A"])
    result = strategy.backtest(calc_bootstrap=False)
figures = result.metrics
ended = float(result.portfolio["equity"].iloc[-1])
by_hand = 10_000 + 3 * (10 * 0.5 - 0.01 * 10 * (100 + 100.5))
print(f"account {ended:.2f}, by hand {by_hand:.2f}")
print(f"trades {figures.trade_count}, win rate {figures.win_rate} %, average trade {figures.avg_return_pct} %, total return {figures.total_return_pct:.2f} %,")
print(f"profit factor {figures.profit_factor:.1f}, Sharpe ratio {figures.sharpe:.2f}, fees {figures.total_fees:.2f}")
assert abs(ended - by_hand) < 1e-6 and ended < 9_960
assert (figures.trade_count, figures.win_rate) == (3, 100.0)
assert abs(figures.avg_return_pct - 0.5) < 1e-9 and abs(figures.total_return_pct - 0.15) < 1e-9
assert figures.profit_factor < 1e-6 and figures.sharpe < -1
PY
