#!/bin/sh
# nautilus_trader 1.221.0: the returns of a backtest are those of its positions, whatever part of the account they are.
# Guess: a share bought for 100 in an account of a million and sold for 110 is a return of 0.001 %, and the statistics are those of the account.
# Seen: +10 % on that day. One share that wins 10 and 9,000 shares that lose 81,000 leave 919,010, and the run says an average return of
# +0.83 %, a Sharpe ratio of +1.02, a profit factor of 1.2 and a volatility of 206 %: the same as with one share in both trades.
# Why it matters: rules of size do not show in any of these figures, and a losing account has a winning ratio.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'nautilus_trader==1.221.0' 'pandas==2.3.3' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import pandas as pd
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.objects import Money
from nautilus_trader.persistence.wranglers import BarDataWrangler
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

PRICES = [100.0, 100, 102, 105, 110, 110, 110, 108, 108, 99, 99, 99, 104, 104]
VENUE, BARS = Venue("XNAS"), BarType.from_str("AAPL.XNAS-1-DAY-LAST-EXTERNAL")
SHARE = TestInstrumentProvider.equity("AAPL", "XNAS")


class Twice(Strategy):
    sizes = (1, 1)
    seen = 0

    def on_start(self):
        self.subscribe_bars(BARS)

    def on_bar(self, bar):
        self.seen += 1
        for trade, (bought, sold) in enumerate(((2, 5), (8, 10))):
            if self.seen in (bought, sold):
                side = OrderSide.BUY if self.seen == bought else OrderSide.SELL
                self.submit_order(self.order_factory.market(SHARE.id, side, SHARE.make_qty(self.sizes[trade])))


def run(*sizes):
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(VENUE, OmsType.NETTING, AccountType.CASH, [Money(1_000_000, USD)], base_currency=USD)
    engine.add_instrument(SHARE)
    days = pd.date_range("2024-01-02", periods=len(PRICES), freq="D", tz="UTC")
    engine.add_data(BarDataWrangler(BARS, SHARE).process(pd.DataFrame({**dict.fromkeys(("open", "high", "low", "close"), PRICES), "volume": 1e6}, index=days)))
    strategy = Twice()
    strategy.sizes = sizes
    engine.add_strategy(strategy)
    engine.run()
    account = float(engine.portfolio.account(VENUE).balance_total(USD).as_decimal())
    told = {name: round(value, 4) for name, value in engine.get_result().stats_returns.items()}
    returns = sorted(round(each, 4) for each in engine.portfolio.analyzer.returns())
    engine.dispose()
    print("shares", sizes, "account", account, "returns", returns, told)
    return account, returns, told


small, uneven = run(1, 1), run(1, 9_000)
assert small[0] == 1_000_001.0 and uneven[0] == 919_010.0
assert small[1:] == uneven[1:] and small[1] == [-0.0833, 0.1]
assert round(uneven[2]["Sharpe Ratio (252 days)"], 2) == 1.02 and uneven[2]["Average (Return)"] > 0.008
PY
