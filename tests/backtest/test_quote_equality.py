"""On a rule that bars and quotes can run, and quotes that are nothing but the closes of bars, the
driver of quotes and that of bars agree to the cent.
"""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from backtest.quote_cases import CALENDAR, actions_of, rules
from execution.tick_cases import QUOTE_SCHEMA, trades_of

from harmony_pipeline.backtest.event_driver import run_machine_backtest
from harmony_pipeline.backtest.quote_driver import run_quote_backtest
from harmony_pipeline.execution.matching_engine import EngineSettings
from harmony_pipeline.schemas import METRICS
from harmony_pipeline.strategies.events import Enter, Leave

DAYS = (date(2024, 6, 27), date(2024, 6, 28), date(2024, 7, 1), date(2024, 7, 2))
BARS = 40  # a day, of a minute
COSTS = {
    "fee_per_share": 0.0035, "sell_fee_bps": 0.3, "borrow_rate": 0.05, "interest_rate": 0.03,
    "debit_rate": 0.08,
}  # fmt: skip


def minute_bars(seed, symbols, actions):
    """Minute bars whose open is the close before it; the close of the last minute is a price of its
    day.
    """
    rows = []
    for number, symbol in enumerate(symbols):
        own = np.random.default_rng([seed, number])
        price = 100.0 + 10.0 * number
        for day in DAYS:
            for name, when, kind, value in actions:
                if (name, when) == (symbol, day):
                    price = round(price / value if kind == "split" else price - value, 2)
            begin = datetime(day.year, day.month, day.day, 13, 30, tzinfo=UTC)
            opened = price
            for minute in range(BARS):
                close = round(opened + 0.01 * int(own.integers(-60, 61)), 2)
                stamp = begin + timedelta(minutes=minute)
                low, high = min(opened, close), max(opened, close)
                rows.append((symbol, stamp, opened, high, low, close))
                opened = price = close
    names = ("symbol", "timestamp", "open", "high", "low", "close")
    stamped = pl.Datetime("us", "UTC")
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Float64) | {"symbol": pl.String, "timestamp": stamped}, orient="row")  # fmt: skip
    return frame.with_columns(
        timeframe=pl.lit("1Min"), session=pl.lit("regular"), volume=pl.lit(1e8),
        trade_count=pl.lit(None, pl.Int64), vwap=pl.lit(None, pl.Float64),
        adjustment_factor=pl.lit(1.0),
    )  # fmt: skip


def quotes_of_bars(bars):
    """The close of each bar as a quote of both sides, a moment before the bar ends."""
    return bars.select(
        "symbol", pl.col("timestamp") + timedelta(minutes=1) - timedelta(microseconds=1),
        bid="close", bid_size=pl.lit(1e7), ask="close", ask_size=pl.lit(1e7),
    ).cast(QUOTE_SCHEMA)  # fmt: skip


class Chooser:
    """Says at each close what to hold, again and again; nothing at the last close of a day.
    `flat`: it holds nothing over night.
    """

    def __init__(self, seed, flat):
        self.seed, self.flat, self.count, self.wish = seed, flat, {}, {}

    def required_features(self):
        return ()

    def on_bar(self, bar):
        return self.choose(bar.symbol)

    def on_quote(self, quote):
        return self.choose(quote.symbol)

    def choose(self, symbol):
        number = self.count[symbol] = self.count.get(symbol, 0) + 1
        if number % BARS == 0:
            return ()
        own = np.random.default_rng([self.seed, ord(symbol[0]), number])
        draw = int(own.integers(12))
        if draw < 3 or (self.flat and number % BARS > BARS - 3):
            self.wish[symbol] = Leave(symbol)
        elif draw < 6:
            self.wish[symbol] = Enter(symbol, 1 if draw % 2 else -1, (0.5, 1.0)[draw // 5])
        return tuple(self.wish[symbol] for _ in range(symbol in self.wish))


def both(seed, symbols, risk, actions=(), *, flat=False):
    own = {name: value for name, value in risk.items() if name == "own"}
    chosen = rules({name: value for name, value in risk.items() if name != "own"}, **own, **COSTS)
    bars = minute_bars(seed, symbols, actions)
    features = bars.select("symbol", "timestamp", volatility=0.0008)
    of_bars = run_machine_backtest(
        Chooser(seed, flat), bars, features, actions_of(*actions), chosen, CALENDAR, "1Min",
        backtest_id="b",
    )  # fmt: skip
    known = bars.select("symbol", known_at="timestamp", volatility=0.0008)
    of_quotes = run_quote_backtest(
        Chooser(seed, flat), quotes_of_bars(bars), trades_of().clear(), chosen, CALENDAR,
        EngineSettings(latency=timedelta(microseconds=2)),
        actions=actions_of(*actions), volatilities=known, book="b",
    )  # fmt: skip
    return of_bars, of_quotes


def tradable(frame, *columns):
    return frame.with_columns(pl.col("timestamp").dt.truncate("1m")).select(columns).rows()


ONE = [
    {"sizing": "volatility_target", "max_position": 0.4},
    {"sizing": "fixed_fraction", "size_fraction": 0.3},
    {"sizing": "sharpe_kelly", "max_gross_exposure": 1.5},
    {"sizing": "stop_distance", "max_net_exposure": 0.6},
    {"sizing": "regime_adaptive", "max_position": 2.0, "max_daily_loss": 0.01},
    {"sizing": "fixed_value", "max_drawdown": 0.002, "drawdown_cooldown_sessions": 1},
    {"sizing": "fixed_shares", "allow_short": False, "cash_buffer": 0.92},
    {"sizing": "fixed_shares", "price_collar": 0.004, "duplicate_window_minutes": 4.5},
    {"sizing": "fixed_value", "symbol_cooldown_minutes": 3.5, "max_weekly_loss": 0.004},
    {"sizing": "fixed_value", "max_consecutive_losses": 2,
     "consecutive_loss_cooldown_minutes": 9.5},
    {"sizing": "fixed_value", "size_value": 90_000.0, "account": {"kind": "margin"}},
    {"sizing": "fixed_value", "size_value": 30_000.0, "account": {"kind": "cash"}},
    {"own": {"sizing": "fixed_fraction", "size_fraction": 0.3, "max_position": 0.2}},
    {"sizing": "fixed_value", "own": {"max_net_exposure": 0.05, "allow_short": False}},
]  # fmt: skip
ACTIONS = (("AAA", DAYS[1], "split", 2.0), ("AAA", DAYS[2], "dividend", 0.6))


def check(of_bars, of_quotes):
    names = ("symbol", "timestamp", "side", "quantity", "price", "fee")
    fills = of_quotes.frames()["fills"]
    assert sorted(tradable(of_bars.fills, *names)) == sorted(tradable(fills, *names))
    names = ("symbol", "timestamp", "side", "quantity", "verdict", "risk_limit", "wanted_quantity")
    entries = of_bars.orders.filter(pl.col("verdict").is_not_null()).with_columns(
        pl.col("timestamp") - timedelta(microseconds=1)
    )
    asked = of_quotes.orders.filter(pl.col("verdict").is_not_null())
    last = {f"{day} 14:09" for day in DAYS}  # a bar asks for what it holds then, a quote does not
    said = [row for row in tradable(entries, *names) if f"{row[1]:%Y-%m-%d %H:%M}" not in last]
    assert sorted(map(str, said)) == sorted(map(str, tradable(asked, *names)))
    names = ("symbol", "side", "quantity", "entry_price", "exit_price", "exit_reason", "fees", "pnl", "return")  # fmt: skip
    keys = [pl.col("entry_timestamp").dt.truncate("1m"), pl.col("exit_timestamp").dt.truncate("1m")]
    trades = [one.trades.select(*keys, *names).sort("entry_timestamp", "symbol") for one in (of_bars, of_quotes)]  # fmt: skip
    assert trades[0].equals(trades[1])
    names = ("timestamp", "equity", "cash", "gross_exposure", "net_exposure", "drawdown")
    assert of_bars.equity.select(names).equals(of_quotes.equity.select(names))
    names = ("symbol", "date", "kind", "value", "quantity_before", "quantity_after", "cash")
    assert of_bars.position_actions.select(names).equals(of_quotes.position_actions.select(names))
    for name in METRICS:
        one, other = of_bars.metrics[name], of_quotes.metrics[name]
        assert one == other or one == pytest.approx(other, rel=1e-12), name


@pytest.mark.parametrize("number", range(len(ONE)))
@pytest.mark.parametrize("seed", [1, 2])
def test_one_symbol_with_each_rule_of_size_and_each_limit(seed, number):
    of_bars, of_quotes = both(seed, ("AAA",), ONE[number], ACTIONS, flat=number > 4)
    assert of_bars.fills.height > 2
    check(of_bars, of_quotes)


def test_several_symbols_of_fixed_size():
    risk = {"sizing": "fixed_value", "size_value": 8_000.0}
    of_bars, of_quotes = both(3, ("AAA", "BBB", "CCC"), risk, ACTIONS)
    assert of_bars.fills.height > 100
    check(of_bars, of_quotes)
