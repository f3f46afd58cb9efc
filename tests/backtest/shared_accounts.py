"""Several strategies on one account in the random market, and a plain book of what they did."""

from collections import defaultdict

import numpy as np
import polars as pl
from backtest.random_markets import CALENDAR, FIRST, TIMEFRAME, Market, rules

from harmony_pipeline.backtest.shared_account import Member, run_shared_backtest
from harmony_pipeline.portfolio.state import TradingState

NAMES = ("trend", "reversal", "noise")
TABLES = ("orders", "fills", "trades", "position_actions")
CHANCE = {"reject_probability": 0.1, "partial_fill_probability": 0.2}
THIRDS = ((FIRST, (1 / 3, 1 / 3, 1 / 3)),)


def shared(market, members, weights=THIRDS, state=None, **other):
    return run_shared_backtest(
        members, market.bars, market.actions, weights, CALENDAR, TIMEFRAME, state,
        backtest_id="b", strategy="p", lives=market.lives, **other,
    )  # fmt: skip


def signals_of(market, number):
    """What another strategy says of the same bars: other sides, in another order of rows."""
    own = np.random.default_rng(number)
    side = own.choice([-1, 0, 1], market.signals.height, p=[0.4, 0.2, 0.4]).astype(np.int8)
    return market.signals.with_columns(side=pl.Series(side)).sample(
        fraction=1.0, shuffle=True, seed=number
    )


def three(market, chosen, exits=("signal", "barriers", "signal")):
    """Three strategies that differ in what they say and in how they leave."""
    own = [rules(**{**chosen, "exits": one}) for one in exits]
    return {
        name: Member(signals_of(market, number), own[number]) for number, name in enumerate(NAMES)
    }


def cut_in_two(market, members, weights, moment):
    """The run before a moment, and the one that goes on from its saved state."""

    def part(inside, state):
        piece = Market(market.bars.filter(inside), market.signals, market.actions, market.lives)
        some = {
            name: Member(one.signals.filter(inside), one.rules) for name, one in members.items()
        }
        return shared(piece, some, weights, state)

    before = part(pl.col("timestamp") < moment, None)
    saved = TradingState.from_dict(before.state.to_dict())
    return before, part(pl.col("timestamp") >= moment, saved)


def ids_dropped(frame):
    return frame.drop(
        [name for name in ("order_id", "parent_id", "fill_id", "trade_id") if name in frame.columns]
    )


HOSTILE = {
    "sizing": "fixed_fraction", "size_fraction": 5.0, "max_position": 0.3,
    "max_gross_exposure": 0.9, "max_net_exposure": 0.5, "max_daily_loss": 1.0,
    "max_drawdown": 1.0, "minimum_order_value": 0.0, "max_sector_exposure": 0.6,
    "max_open_positions": 3,
}  # fmt: skip
SECTORS = (("AAA", FIRST, "one"), ("BBB", FIRST, "one"))


class NaiveBook:
    """Shares held and being entered by (strategy, symbol), replayed from orders and fills alone."""

    def __init__(self, market, result):
        self.held, self.pending, self.price = defaultdict(float), {}, {}
        entries = pl.col("parent_id").is_null() & (pl.col("status") != "refused")
        self.orders, self.fills, self.bars = (
            defaultdict(list), defaultdict(list), defaultdict(dict)
        )  # fmt: skip
        for row in result.orders.filter(entries).iter_rows(named=True):
            self.orders[row["signal_timestamp"]].append(row)
        for row in result.fills.iter_rows(named=True):
            self.fills[row["timestamp"]].append(row)
        for row in market.bars.iter_rows(named=True):
            self.bars[row["timestamp"]][row["symbol"]] = row["close"]

    def moments(self):
        """(start of the bars, (strategy, symbol, signed shares) that are entered at their ends)."""
        for at in sorted(self.bars):
            self.price |= self.bars[at]
            for row in self.fills[at]:
                self.held[row["strategy"], row["symbol"]] += signed(row)
            self.pending = {
                key: n for key, n in self.pending.items() if key[1] not in self.bars[at]
            }
            ranked = sorted(
                self.orders[at], key=lambda row: (NAMES.index(row["strategy"]), row["symbol"])
            )
            for row in ranked:
                key = (row["strategy"], row["symbol"])
                self.pending[key] = signed(row)
                yield at, *key, signed(row)

    def worst(self, entering):
        """By (strategy, symbol): the least and the greatest value that its entry may lead to. What
        is being entered comes in the stead of what it reverses. That a position may be left, too,
        is not known here: what is held counts in full on its side.
        """
        found = {}
        for key in {*self.held, *self.pending}:
            ends = [self.held[key], self.pending.get(key, self.held[key])]
            ends = [self.pending[key], 0.0] if key == entering else ends
            values = [n * self.price[key[1]] for n in ends]
            found[key] = (min(values), max(values))
        return found

    def sides(self, symbol):
        """Strategy -> the sides that it holds or enters."""
        return {
            name: {
                np.sign(n)
                for n in (self.held[name, symbol], self.pending.get((name, symbol), 0.0))
                if n
            }
            for name in NAMES
        }


def signed(row):
    return row["quantity"] if row["side"] == "buy" else -row["quantity"]
