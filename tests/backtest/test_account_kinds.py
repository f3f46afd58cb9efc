"""Cash and margin accounts against a ledger in plain Python, which knows the bars and the public
tables alone: what every entry was allowed, which exits a margin call made, and nothing else.
"""

import math
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from backtest.random_markets import Market, random_market, rules, run
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.backtest.simulator import BacktestResult
from harmony_pipeline.risk.account_settings import AccountSettings

SEEDS = st.integers(0, 10**6)
EXITS = st.sampled_from(["barriers", "signal"])
MONEY = 10_000
LOOSE = {
    "max_position": 50.0, "max_gross_exposure": 50.0, "max_net_exposure": 50.0,
    "max_open_positions": 100, "max_daily_loss": 1.0, "max_drawdown": 1.0,
    "minimum_order_value": 0.0, "sizing": "fixed_fraction",
}  # fmt: skip
ROLES = ("exit", "entry", "stop", "take")  # the order in which one bar fills them


class Ledger:
    """The account after every fill and mark, in money units."""

    def __init__(self, account: AccountSettings, cash: float, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.account, self.cash = account, round(cash * MONEY)
        self.shares: dict[str, float] = {}
        self.prices: dict[str, float] = {}
        self.opened: dict[str, int] = {}
        self.counted: set[str] = set()
        self.pending: dict[str, int] = {}
        self.names: dict[str, str] = {}  # of the entries that are pending
        self.session, self.day_equity = -1, self.cash
        self.unsettled: list[tuple[int, int]] = []  # session in which it can be spent, amount
        self.day_trades: list[int] = []  # sessions of them
        self.trades: list[int] = []
        self.is_pattern_trader = self.beyond_night = self.was_ruined = False

    @property
    def values(self) -> dict[str, int]:
        return {name: round(self.prices[name] * held * MONEY) for name, held in self.shares.items()}

    @property
    def equity(self) -> int:
        return self.cash + sum(self.values.values())

    @property
    def settled(self) -> int:
        return self.cash - sum(amount for since, amount in self.unsettled if since > self.session)

    def fill(self, row: dict) -> None:
        symbol, role = row["symbol"], row["order_id"].rsplit("-", 1)[1]
        sign = 1 if row["side"] == "buy" else -1
        value, fee = round(row["price"] * row["quantity"] * MONEY), round(row["fee"] * MONEY)
        if row["fill_id"].endswith("-1"):
            self.trades.append(self.session)
        if role == "entry":
            self.opened[symbol] = self.session
            self.counted.discard(symbol)
        elif self.opened[symbol] == self.session and symbol not in self.counted:
            self.counted.add(symbol)
            self.day_trades.append(self.session)
            self.is_pattern_trader |= self.counts() and self.makes_pattern(0, 0)
        if role != "entry" and sign < 0:
            days = self.account.settlement_days
            self.unsettled.append((self.session + (1 if days is None else days), value - fee))
        self.cash -= sign * value + fee
        held = self.shares.get(symbol, 0.0) + sign * row["quantity"]
        self.shares[symbol], self.prices[symbol] = held, row["price"]
        if held == 0.0:
            del self.shares[symbol]

    def counts(self) -> bool:
        return self.account.day_trading != "intraday_margin"

    def makes_pattern(self, more: int, more_trades: int) -> bool:
        recent = more + sum(at > self.session - 5 for at in self.day_trades)
        total = more_trades + sum(at > self.session - 5 for at in self.trades)
        return recent >= 4 and recent > 0.06 * total

    def refusal(self, side: int) -> str | None:
        """Why no entry of this side is allowed at all."""
        if self.account.kind == "cash":
            return "cash_account" if side < 0 else None
        if not self.counts() or self.day_equity >= self.account.day_trader_equity * MONEY:
            return None
        today = [
            name
            for name in self.shares
            if self.opened[name] == self.session and name not in self.counted
        ]
        waiting = len(self.pending)
        to_come = self.makes_pattern(1 + len(today) + waiting, 2 + len(today) + 2 * waiting)
        return "pattern_day_trading" if self.is_pattern_trader or to_come else None

    def room(self, symbol: str) -> tuple[int, str]:
        """Value that an entry may have, and the limit that says so."""
        others = {name: value for name, value in self.pending.items() if name != symbol}
        if self.account.kind == "cash":
            kept = 1.0 + self.account.price_reserve
            left = self.settled - sum(math.ceil(value * kept) for value in others.values())
            return math.floor(left / kept), "unsettled_cash"
        worst = {
            name: max(abs(self.values.get(name, 0)), abs(others.get(name, 0)))
            for name in {*self.values, *others} - {symbol}
        }
        return math.floor(self.power() - sum(worst.values())), "buying_power"

    def power(self) -> float:
        night = self.equity / self.account.initial_margin
        rich = self.day_equity >= self.account.day_trader_equity * MONEY
        if self.counts() and not (self.is_pattern_trader and rich):
            return night
        return max(night, min(self.equity, self.day_equity) * self.account.intraday_multiplier)

    def deficit(self, held: dict[str, int]) -> float:
        long = sum(value for value in held.values() if value > 0)
        short = -sum(value for value in held.values() if value < 0)
        needed = self.account.maintenance_long * long + self.account.maintenance_short * short
        if self.beyond_night:
            needed = max(needed, self.account.initial_margin * (long + short))
        return needed - self.equity

    def called(self, leaving: set[str]) -> list[str]:
        """The positions that a margin call closes."""
        held = {name: value for name, value in self.values.items() if name not in leaving}
        closed = []
        while held and self.account.kind == "margin" and self.deficit(held) > 0:
            closed.append(min(held, key=lambda name: (-abs(held[name]), name)))
            del held[closed[-1]]
        return closed

    def enter(self, order: dict, price: float) -> None:
        """Compare an entry's verdict with what this ledger allows."""
        side = 1 if order["side"] == "buy" else -1
        if order["verdict"] == "halt":
            assert self.was_ruined  # the widest breakers trip at nothing left
            return
        refused = self.refusal(side)
        if refused is not None:
            assert order["reason"] in (refused, "bad_input")
            assert order["quantity"] == 0.0
            return
        assert order["reason"] not in ("cash_account", "pattern_day_trading")
        wanted = order["wanted_quantity"]
        if wanted is None:
            return
        room, limit = self.room(order["symbol"])
        quantity = wanted
        if round(price * wanted * MONEY) > room:
            quantity = max(0.0, math.floor(room / MONEY / price + 1e-9))
            quantity -= quantity > 0 and round(price * quantity * MONEY) > room
            assert order["risk_limit"] == limit
        else:
            assert order["risk_limit"] is None
        if quantity < wanted and self.refuses:
            quantity = 0.0
        assert order["quantity"] == quantity
        if quantity > 0.0:
            value = round(price * quantity * MONEY)
            assert value <= room
            night = self.equity / self.account.initial_margin
            others = self.power() - self.room(order["symbol"])[0] if limit == "buying_power" else 0
            self.beyond_night |= limit == "buying_power" and others + value > night + 1
            self.pending[order["symbol"]] = value
            self.names[order["symbol"]] = order["order_id"]

    def drop(self, *symbols: str) -> None:
        """Entries that wait no more."""
        for symbol in symbols:
            self.pending.pop(symbol, None)
            self.names.pop(symbol, None)


def audited(
    market: Market,
    result: BacktestResult,
    account: AccountSettings,
    cash: float,
    lowest: list[int] | None = None,
) -> Ledger:
    """Follow the run through its tables, and compare at every moment."""
    refuses = result.orders.filter(pl.col("verdict") == "resize").is_empty()
    ledger = Ledger(account, cash, refuses=refuses)
    orders = result.orders.with_columns(role=pl.col("order_id").str.split("-").list.last())
    entries = orders.filter(pl.col("role") == "entry")
    exits = orders.filter(pl.col("role") == "exit")
    by_end = {key[0]: rows.to_dicts() for key, rows in entries.group_by("timestamp")}
    calls = exits.filter(pl.col("reason") == "margin_call")
    fills = {key: rows.to_dicts() for key, rows in result.fills.group_by("symbol", "timestamp")}
    curve = dict(result.equity.select("timestamp", "equity").rows())
    today = None
    for (at,), bars in market.bars.sort("timestamp", "symbol").group_by(
        "timestamp", maintain_order=True
    ):
        if at.date() != today:
            today, ledger.session = at.date(), ledger.session + 1
            made = calls.filter(pl.col("timestamp") == at).sort("symbol")["symbol"].to_list()
            assert made == sorted(ledger.called(leaving(exits, result.fills, at)))
            if made:
                waiting = orders.filter(pl.col("order_id").is_in(ledger.names.values()))
                assert set(waiting["status"]) <= {"canceled"}
                ledger.drop(*ledger.pending)
            ledger.beyond_night, ledger.day_equity = False, ledger.equity
        for bar in bars.iter_rows(named=True):
            symbol = bar["symbol"]
            done = fills.get((symbol, at), [])
            for row in sorted(done, key=lambda r: ROLES.index(r["order_id"].rsplit("-", 1)[1])):
                ledger.fill(row)
            ledger.drop(symbol)
            ledger.prices[symbol] = bar["close"]
        assert ledger.equity == round(curve[at] * MONEY)
        ledger.was_ruined |= ledger.equity < 0
        if lowest is not None:
            lowest.append(ledger.settled)
        closes = dict(bars.select("symbol", "close").rows())
        for order in sorted(by_end.get(at + timedelta(hours=1), []), key=lambda o: o["symbol"]):
            ledger.enter(order, closes[order["symbol"]])
    return ledger


def leaving(exits: pl.DataFrame, fills: pl.DataFrame, at: datetime) -> set[str]:
    """Symbols whose exit was decided before `at`, and is not done."""
    done = fills.filter(pl.col("timestamp") < at).group_by("order_id").agg(pl.col("quantity").sum())
    before = exits.filter(pl.col("timestamp") < at).join(
        done, on="order_id", how="left", suffix="_filled"
    )
    rest = before.filter(pl.col("quantity_filled").fill_null(0.0) < pl.col("quantity"))
    return set(rest["symbol"])


def plain(seed: int, **changes: Any) -> Market:
    """A random market without corporate actions."""
    market = random_market(seed, **changes)
    prices = pl.col("open", "high", "low", "close") * pl.col("adjustment_factor")
    bars = market.bars.with_columns(prices.round(2).clip(0.01)).with_columns(
        adjustment_factor=pl.lit(1.0)
    )
    return Market(bars, market.signals, market.actions.clear())


@settings(max_examples=15)
@given(
    seed=SEEDS,
    exits=EXITS,
    days=st.sampled_from([None, 0, 1, 2, 5]),
    size=st.sampled_from([0.3, 0.9]),
)
def test_a_cash_account_buys_with_settled_cash_alone(seed, exits, days, size):
    account = AccountSettings(kind="cash", settlement_days=days)
    market = plain(seed, volume=1e6)
    chosen = rules({**LOOSE, "size_fraction": size, "account": account}, exits=exits)
    ledger = audited(market, run(market, chosen), account, 100_000.0)
    assert all(held > 0.0 for held in ledger.shares.values())


@settings(max_examples=10)
@given(seed=SEEDS, exits=EXITS, days=st.sampled_from([1, 2]))
def test_settled_cash_is_never_below_zero_while_prices_move_less_than_the_reserve(
    seed, exits, days
):
    account = AccountSettings(kind="cash", settlement_days=days)
    market = plain(seed, volume=1e6, scale=0.004)
    chosen = rules({**LOOSE, "size_fraction": 0.6, "account": account}, exits=exits)
    lowest: list[int] = []
    audited(market, run(market, chosen), account, 100_000.0, lowest)
    assert min(lowest) >= 0


MARGIN = {
    "usual": AccountSettings(kind="margin"),
    "tight": AccountSettings(
        kind="margin", initial_margin=0.3, maintenance_long=0.28, maintenance_short=0.3
    ),
    "no count": AccountSettings(kind="margin", day_trading="intraday_margin"),
    "far": AccountSettings(
        kind="margin", day_trading="intraday_margin", intraday_multiplier=6.0,
        maintenance_long=0.16, maintenance_short=0.16,
    ),
}  # fmt: skip


@settings(max_examples=20)
@given(
    seed=SEEDS,
    exits=EXITS,
    account=st.sampled_from(list(MARGIN.values())),
    cash=st.sampled_from([20_000.0, 26_000.0, 100_000.0]),
    over=st.sampled_from(["resize", "refuse"]),
)
def test_a_margin_account_keeps_to_its_buying_power_its_day_trades_and_its_calls(
    seed, exits, account, cash, over
):
    market = plain(seed, volume=1e6, days=9)
    given_risk = {**LOOSE, "size_fraction": 0.9, "account": account, "over_limit": over}
    chosen = rules(given_risk, exits=exits, cash=cash, horizon=12)
    audited(market, run(market, chosen), account, cash)


def test_the_random_markets_meet_every_rule_of_the_accounts():
    seen: set[str] = set()
    for seed in range(4):
        for account in (AccountSettings(kind="cash", settlement_days=2), *MARGIN.values()):
            given_risk = {**LOOSE, "size_fraction": 0.9, "account": account}
            for cash in (20_000.0, 26_000.0):
                chosen = rules(given_risk, exits="signal", cash=cash)
                orders = run(plain(seed, volume=1e6), chosen).orders
                seen |= {*orders["reason"], *orders["risk_limit"]}
    assert seen >= {
        "buying_power", "unsettled_cash", "cash_account", "pattern_day_trading", "margin_call"
    }  # fmt: skip
