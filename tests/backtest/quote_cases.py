"""Tapes of several sessions for machines on quotes, a machine that does everything, and their ledger
once more in plain Python, from the rules of docs/matching.md and docs/trading-rule.md.
"""

from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import numpy as np
import polars as pl
from backtest.random_markets import rules as trading_rules
from execution.engine_cases import CALENDAR, FREE
from execution.tick_cases import random_tape

from harmony_pipeline.schemas import CORPORATE_ACTIONS
from harmony_pipeline.strategies.events import Enter, Leave, Post, SetTimer, Withdraw

DAYS = (date(2024, 7, 1), date(2024, 7, 2), date(2024, 7, 3), date(2024, 7, 5), date(2024, 7, 8))
WIDE = {
    "max_position": 50.0, "max_gross_exposure": 50.0, "max_net_exposure": 50.0,
    "max_daily_loss": 1.0, "max_drawdown": 1.0, "minimum_order_value": 0.0,
}  # fmt: skip
UNIT = Decimal("0.0001")


def rules(risk=None, cash=100_000.0, sectors=(), lives=None, own=None, **costs):
    chosen = trading_rules(
        {**WIDE, **(risk or {})}, {**FREE, "max_participation": 1.0, **costs}, cash=cash,
        sectors=sectors, own=own, **(lives or {}),
    )  # fmt: skip
    return replace(chosen, barriers=False)


def actions_of(*rows):
    """CORPORATE_ACTIONS from (symbol, date, kind, value)."""
    names = ("symbol", "date", "kind", "value")
    frame = pl.DataFrame(list(rows), schema=dict(zip(names, (pl.String, pl.Date, pl.String, pl.Float64), strict=True)), orient="row")  # fmt: skip
    return CORPORATE_ACTIONS.conform(frame)


def sessions_tape(seed, symbols=("AAA", "BBB"), days=4, actions=()):
    """Quotes and trades of several sessions; prices fall and rise with splits and dividends."""
    quotes, trades = [], []
    for number, symbol in enumerate(symbols):
        ratio = 1.0
        for place, day in enumerate(DAYS[:days]):
            for name, when, kind, value in actions:
                if (name, when, kind) == (symbol, day, "split"):
                    ratio *= value
            own = np.random.default_rng([seed, number, place])
            tape = random_tape(own, 60)
            later = timedelta(days=(day - DAYS[0]).days)
            shift = round(100.0 / ratio) - 100.0  # on the tick
            for frame, into, prices in ((tape[0], quotes, ("bid", "ask")), (tape[1], trades, ("price",))):  # fmt: skip
                into.append(
                    frame.with_columns(
                        pl.col("timestamp") + later,
                        *(pl.col(price) + shift for price in prices),
                        symbol=pl.lit(symbol),
                    )
                )
    return tuple(
        pl.concat(parts).sort("symbol", "timestamp", maintain_order=True)
        for parts in (quotes, trades)
    )


class Busy:
    """Posts, enters, withdraws and leaves by the numbers of what it hears."""

    leaves_each = 5  # a fill of so many shares, or a multiple of it, ends the position

    def __init__(self, seed=0, entering=True):
        self.heard, self.seed, self.entering = [], seed, entering

    def required_features(self):
        return ()

    def on_bar(self, bar):
        return ()

    def on_quote(self, quote):
        self.heard.append(quote)
        if not 0.0 < quote.bid < quote.ask:
            return ()
        symbol, draw = quote.symbol, (round(quote.bid * 4) + self.seed + len(self.heard)) % 11
        if draw == 0:
            return (Withdraw(symbol, 1),)
        if draw == 1:
            return (Leave(symbol),)
        if draw in (2, 3) and self.entering:
            return (Enter(symbol, 1 if draw == 2 else -1, 0.5),)
        if draw == 4:
            return (Post(symbol, 1, quote.bid), Post(symbol, -1, quote.ask))
        lots = 7.0 * (1 + draw)
        return (Post(symbol, 1, quote.bid, lots), Post(symbol, -1, quote.ask + 0.25, lots))

    def on_fill(self, fill):
        self.heard.append(fill)
        if round(fill.quantity) % self.leaves_each == 0:
            return (Leave(fill.symbol),)
        when = fill.timestamp + timedelta(seconds=1.5)
        return (Post(fill.symbol, -fill.side, fill.price, 20.0), SetTimer(when, fill.symbol))

    def on_timer(self, timer):
        self.heard.append(timer)
        return (Withdraw(timer.name, -1),)

    def on_adjusted(self, adjusted):
        self.heard.append(adjusted)
        return ()

    def of(self, kind):
        return [one for one in self.heard if isinstance(one, kind)]


def money(price, quantity):
    return (Decimal(price) * Decimal(quantity)).quantize(UNIT, ROUND_HALF_EVEN)


@dataclass
class Holding:
    shares: Decimal = Decimal(0)
    price: Decimal | None = None
    marked: date | None = None
    flow: Decimal = Decimal(0)
    entered: Decimal = Decimal(0)
    trades: list = field(default_factory=list)


class Ledger:
    """Cash and shares by the fills that a run shows, the tape and the corporate actions."""

    def __init__(self, cash, *, fee_per_share=0.0, sell_fee_bps=0.0, fee_unit=None, borrow_rate=0.0,
                 interest_rate=0.0, debit_rate=0.0):  # fmt: skip
        self.cash, self.day = Decimal(cash), None
        self.terms = (Decimal(str(fee_per_share)), Decimal(str(sell_fee_bps)), fee_unit or UNIT)
        self.rates = [Decimal(str(rate)) for rate in (borrow_rate, interest_rate, debit_rate)]
        self.held = {}

    def of(self, symbol):
        return self.held.setdefault(symbol, Holding())

    def value(self, one):
        return money(one.price, one.shares) if one.shares else Decimal(0)

    @property
    def equity(self):
        return self.cash + sum(map(self.value, self.held.values()))

    def fee(self, side, price, quantity, shown):
        """Half up; of a tie in decimals, which doubles may miss, what the run shows."""
        per_share, bps, unit = self.terms
        total = per_share * quantity
        total += Decimal(price) * quantity * (bps if side < 0 else 0) / 10_000
        if abs(total / unit % 1 - Decimal("0.5")) < Decimal("1e-9"):
            assert abs(shown - total) < unit
            return shown
        return (total / unit).quantize(Decimal(1), ROUND_HALF_UP) * unit

    def session(self, day, actions):
        if self.day is not None:
            self.nights((day - self.day).days)
        self.day = day
        for symbol, _, kind, number in sorted(
            (one for one in actions if one[1] == day), key=lambda one: (one[0], one[2])
        ):
            one, value = self.of(symbol), Decimal(str(number))
            if not one.shares:
                continue
            if kind == "dividend":
                paid = money(value, one.shares)
                one.price -= value if value < one.price else 0
            else:
                exact, one.price = one.shares * value, one.price / value
                whole = Decimal(int(abs(exact))).copy_sign(exact)
                paid = money(one.price, exact - whole)
                one.shares = whole
            self.cash += paid
            one.flow += paid
            if not one.shares:
                self.close(symbol, one)

    def nights(self, count):
        def interest(amount, rate):
            return (amount * rate * count / 360).quantize(UNIT, ROUND_HALF_UP)

        borrow, earn, owe = self.rates
        shorts = -sum(min(self.value(one), 0) for one in self.held.values())
        paid = Decimal(0)
        for one in self.held.values():
            if one.shares < 0:
                fee = interest(-self.value(one), borrow)
                one.flow -= fee
                paid -= fee
        self.cash += paid
        own = self.cash - shorts
        amount = own * (earn if own > 0 else owe) * count / 360
        self.cash += (amount / UNIT + Decimal("0.5")).to_integral_value("ROUND_FLOOR") * UNIT

    def quote(self, symbol, bid, ask):
        one = self.of(symbol)
        one.price, one.marked = (Decimal(bid) + Decimal(ask)) / 2, self.day

    def fill(self, symbol, side, quantity, price, shown):
        one, quantity, price = self.of(symbol), Decimal(quantity), Decimal(price)
        fee = self.fee(side, price, quantity, shown)
        closing = min(quantity, abs(one.shares)) if one.shares * side < 0 else Decimal(0)
        opening = quantity - closing
        first = fee
        if closing and opening:
            first = (fee * closing / quantity).quantize(UNIT, ROUND_HALF_EVEN)
        for part, cost in ((closing, first), (opening, fee - first if closing else fee)):
            if not part:
                continue
            if not one.shares:
                one.entered = Decimal(0)
            if one.shares * side >= 0:
                one.entered += part
            amount = -side * money(price, part) - cost
            self.cash += amount
            one.flow += amount
            one.shares += side * part
            if not one.shares:
                self.close(symbol, one)
        if one.marked != self.day:
            one.price, one.marked = price, self.day
        return fee

    def close(self, symbol, one):
        one.trades.append((symbol, float(one.entered), float(one.flow)))
        one.flow, one.entered = Decimal(0), Decimal(0)


def ledger_events(result, quotes, codes=()):
    """(moment, rank, event) of fills and of the quotes with two sides in regular hours."""
    marks = quotes.filter((pl.col("bid") > 0) & (pl.col("bid") <= pl.col("ask")))
    marks = marks.with_columns(CALENDAR.parts(marks["timestamp"])["session"])
    found = [
        (row["timestamp"], 1, ("quote", row["symbol"], row["bid"], row["ask"]))
        for row in marks.filter(pl.col("session") == "regular").iter_rows(named=True)
    ]
    names = ("symbol", "side", "quantity", "price", "fee")
    for at, symbol, side, *rest in result.fills.select("timestamp", *names).iter_rows():
        found.append((at, 0, ("fill", symbol, 1 if side == "buy" else -1, *rest)))
    return sorted(found, key=lambda one: one[:2])


def recompute(result, quotes, actions, days, cash=100_000, **terms):
    """(ledger at the end, cash after each moment with fills, (cash, equity) of each minute)."""
    ledger, after_fills, rows = Ledger(cash, **terms), {}, {}
    events, place = ledger_events(result, quotes), 0
    for day in days:
        ledger.session(day, actions)
        while place < len(events) and events[place][0].date() == day:
            at, _, (kind, *rest) = events[place]
            place += 1
            if kind == "quote":
                ledger.quote(*rest)
            else:
                fee = Decimal(str(rest[-1]))
                assert ledger.fill(*rest[:-1], fee) == fee
                after_fills[at] = ledger.cash
            minute = at.replace(second=0, microsecond=0)
            rows[minute] = (ledger.cash, ledger.equity)
    assert place == len(events)
    return ledger, after_fills, rows
