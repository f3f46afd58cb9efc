"""The trading rule in plain Python, from its text and not from the kernels: slow, obvious, and the
judge of backtest/loop.py.

One dict a bar, one object an order, a loop over everything. Nothing of the code under test is
imported.
"""

import hashlib
import math
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal

from market.naive_grid import barriers
from scipy.optimize import brentq
from scipy.stats import norm

MASK = 2**64 - 1
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - microseconds in, text out
BOOK = "b"  # what ids begin with
ROLE_NUMBER = {"entry": 0, "exit": 1, "stop": 2, "take": 3}


def splitmix(z):
    z = (z + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def luck(seed, symbol, time_us, role, draw):
    key = int.from_bytes(hashlib.blake2b(symbol.encode(), digest_size=8).digest(), "little")
    state = splitmix(seed & MASK)
    for part in (key, time_us & MASK, (ROLE_NUMBER[role] << 32) ^ draw):
        state = splitmix(state ^ part)
    return (state >> 11) / 2**53


def stamp(us):
    return (EPOCH + timedelta(microseconds=us)).strftime("%Y%m%dT%H%M%S")


def tick(price):
    return 100 if price >= 1 else 10000


def cents_up(amount):
    return amount.quantize(Decimal("0.01"), ROUND_CEILING)


def minutes(number):
    return round(number * 60_000_000)


def utility(p, won, lost, aversion):
    """The bet of greatest expected power utility, where its derivative is 0."""
    if won <= 0 or p * won <= (1 - p) * lost:
        return 0.0
    if p == 1:
        return 1 / lost

    def slope(v):
        return p * won * (1 + v * won) ** -aversion - (1 - p) * lost * (1 - v * lost) ** -aversion

    return brentq(slope, 0.0, (1 - 1e-12) / lost, xtol=1e-15, rtol=1e-14)


def money(price, quantity):
    return round(price * quantity * 10000)


@dataclass
class Order:
    id: str
    parent: str | None
    symbol: str
    role: str
    side: int
    quantity: float
    decided: int
    signal: int
    volatility: float
    reason: str
    model: str | None
    status: str = "open"
    left: float = 0.0
    level: float = 0.0
    factor: float = 0.0
    waits_for_exit: bool = False
    fills: int = 0
    missed: int = 0  # bars on the way to the exchange
    shown: float | None = None  # the level as it was placed
    leaves: int = 0  # when a queued entry leaves
    limit: str = ""  # what made it smaller


@dataclass
class Trade:
    symbol: str
    side: int
    entry: Order
    reference: float
    factor: float
    entry_bar: int
    held: float = 0.0
    bars: int = 0
    wish: str = ""
    days: set = field(default_factory=set)
    levels: dict = field(default_factory=dict)  # role -> [level, factor], where closes touch
    fills_in: list = field(default_factory=list)
    fills_out: list = field(default_factory=list)
    flow: int = 0
    fees: int = 0
    slippage: float = 0.0


class Naive:
    """rules: a flat dict of every setting. bars: dicts sorted by (at, symbol). actions: (symbol,
    date, kind, value). Times in microseconds, money in 1/10000.
    """

    def __init__(self, rules, symbols, cash):
        self.r, self.symbols = rules, sorted(symbols)
        self.cash = self.equity = self.peak = self.day_equity = round(cash * 10000)
        self.day, self.stopped, self.halted = date.min, False, False
        self.trades, self.working, self.last = {}, {}, {}
        self.last_date = dict.fromkeys(self.symbols, date.min)
        self.orders, self.fills, self.done, self.curve = [], [], [], []
        self.pending = {}  # symbol -> signed money of a working entry at its decision price
        self.factor, self.gone, self.silent = {}, {}, {}
        self.lives, self.actions = [], []
        # (moment, symbol, kind, successor, price or ratio, shares before, shares after)
        self.applied = []
        self.week, self.week_equity, self.week_stopped = None, self.equity, False
        self.halted_on, self.rested, self.armed_peak = None, 0, None
        self.losses, self.lost_at, self.variance = 0, 0, 0.0
        self.paused, self.intents, self.prior, self.seen = {}, {}, {}, {}
        self.left, self.data, self.session_from = [], "active", 0
        self.left_at_open = {}  # symbol -> shares that its exit took of this bar

    def run(self, bars, actions, lives=()):
        """lives: (date, kind, symbol, successor, cash per share or None), in the order in which
        they happen.
        """
        self.lives, self.actions = list(lives), actions
        start = 0
        while start < len(bars):
            stop = start
            while stop < len(bars) and bars[stop]["at"] == bars[start]["at"]:
                stop += 1
            self.moment(bars[start:stop], actions)
            start = stop
        return self

    def moment(self, bars, actions):
        if bars[0]["date"] > self.day:
            self.finance(bars[0]["date"])
            self.open_session(bars[0])
            self.live(bars[0]["at"], counted=True)
        for bar in bars:
            self.act(bar, actions)
            self.meet_open(bar)
            self.meet_range(bar)
            symbol = bar["symbol"]
            self.prior[symbol] = (
                self.last[symbol] * (self.factor[symbol] / bar["factor"])
                if self.last_date[symbol] == bar["date"]
                else bar["open"]
            )
            self.seen[symbol] = bar["end"]
            self.last[bar["symbol"]] = bar["close"]
            self.last_date[bar["symbol"]] = bar["date"]
            self.factor[bar["symbol"]] = bar["factor"]
            self.silent[bar["symbol"]] = 0
            if bar["symbol"] in self.trades:
                trade = self.trades[bar["symbol"]]
                trade.bars += 1
                trade.days.add(bar["date"])
                for level in trade.levels.values():
                    level[1] = bar["factor"] if level[1] is None else level[1]
        for bar in bars if self.r["entry_at_close"] else ():
            self.meet_entry(bar, bar["close"])
            trade = self.trades.get(bar["symbol"])
            if trade and trade.entry_bar == bar["at"]:
                trade.days.add(bar["date"])
        values = self.values()
        self.equity = self.cash + sum(values.values())
        self.peak = max(self.peak, self.equity)
        tripped = False
        if not self.stopped and self.equity < self.day_equity * (1 - self.r["max_daily_loss"]):
            self.stopped = tripped = True
        week = self.r["max_weekly_loss"]
        if week and not self.week_stopped and self.equity < self.week_equity * (1 - week):
            self.week_stopped = tripped = True
        if self.halted and self.equity > 0 and self.may_go_on():
            self.halted, self.armed_peak = False, self.equity
        if self.armed_peak is not None:
            self.armed_peak = max(self.armed_peak, self.equity)
        high = self.peak if self.armed_peak is None else self.armed_peak
        if not self.halted and self.equity < high * (1 - self.r["max_drawdown"]):
            self.halted = tripped = True
            self.halted_on, self.rested = self.day, 0
        gross = sum(abs(value) for value in values.values())
        self.curve.append(
            (
                bars[0]["at"],
                self.equity,
                self.cash,
                gross,
                sum(values.values()),
                self.equity / self.peak - 1,
            )
        )
        self.decide(bars, tripped)

    def finance(self, day):
        """Borrowed shares and cash over the nights since the last session: actual/360, each amount
        half up to the ten-thousandth.
        """
        if self.day == date.min:
            return
        nights, shorts = (day - self.day).days, 0
        for symbol, value in self.values().items():
            if value < 0:
                shorts -= value
                self.book(self.trades[symbol], -self.accrued(-value, "borrow_rate", nights))
        own = self.cash - shorts
        self.cash += self.accrued(own, "interest_rate" if own > 0 else "debit_rate", nights)

    def accrued(self, money_units, rate, nights):
        return math.floor(money_units * self.r[rate] * nights / 360 + 0.5)

    def open_session(self, bar):
        if self.day_equity > 0 and self.equity > 0:
            square = (self.equity / self.day_equity - 1) ** 2
            self.variance = 0.94 * self.variance + 0.06 * square if self.variance else square
        self.day, self.day_equity, self.stopped = bar["date"], self.equity, False
        self.session_from = bar["at"]
        if bar["date"].isocalendar()[:2] != self.week:
            self.week = bar["date"].isocalendar()[:2]
            self.week_equity, self.week_stopped = self.equity, False
        self.rested += 1

    def may_go_on(self):
        rest = self.r["drawdown_cooldown_sessions"]
        by_hand = any(self.halted_on < day <= self.day for day in self.r["rearm_on"])
        return by_hand or (rest and self.rested > rest)

    def values(self):
        return {
            symbol: money(self.last[symbol], trade.held) for symbol, trade in self.trades.items()
        }

    # --- the lives of securities ------------------------------------------------------------------

    def live(self, at, counted):
        """The first moment of a session: who ended since the last one, then who has been silent too
        long.
        """
        while self.lives and self.lives[0][0] <= self.day:
            day, kind, symbol, successor, value = self.lives.pop(0)
            if kind == "symbol_change":
                self.gone[symbol], self.gone[successor] = "renamed", None
                self.rename(symbol, successor, day, at)
            else:
                self.gone[symbol] = "delisted" if kind == "delisting" else None
                self.delist(
                    symbol,
                    value,
                    "delisting",
                    day if kind == "delisting" else day - timedelta(days=1),
                    at,
                )
        limit = self.r["presume_delisted_after_sessions"]
        for symbol in self.symbols if counted else ():
            if symbol in self.trades or (symbol, "entry") in self.working:
                self.silent[symbol] = self.silent.get(symbol, 0) + 1
                if limit and self.silent[symbol] > limit:
                    self.delist(symbol, None, "presumed_delisted", self.day - timedelta(days=1), at)
        self.equity = self.cash + sum(self.values().values())

    def cancel(self, symbol, reason):
        for role in ("entry", "exit", "stop", "take"):
            if (symbol, role) in self.working:
                order = self.working[symbol, role]
                self.end(order, canceled=True)
                order.reason = reason

    def delist(self, symbol, value, reason, day, at):
        self.cancel(symbol, "delisted")
        self.act_unseen(symbol, day, at)
        trade = self.trades.get(symbol)
        if trade:
            price = self.last[symbol] * self.r["delisting_recovery"] if value is None else value
            self.applied.append((at, symbol, reason, None, price, trade.held, 0.0))
            self.book(trade, money(price, trade.held))
            trade.fills_out.append((price, abs(trade.held)))
            trade.wish = reason
            self.close(trade, at)

    def rename(self, old, new, day, at):
        self.delist(new, None, "delisting", day - timedelta(days=1), at)
        exit_order = self.working.get((old, "exit"))
        legs = {
            role: self.working[old, role]
            for role in ("stop", "take")
            if (old, role) in self.working
        }
        self.cancel(old, "renamed")
        self.act_unseen(old, day - timedelta(days=1), at)
        trade = self.trades.pop(old, None)
        if not trade:
            return
        self.applied.append((at, old, "symbol_change", new, None, trade.held, trade.held))
        trade.symbol = new
        self.trades[new] = trade
        for kept in (self.paused, self.intents, self.seen):
            kept.pop(new, None)
            if old in kept:
                kept[new] = kept[old]
        self.last[new], self.factor[new] = self.last[old], self.factor[old]
        self.last_date[new], self.silent[new] = day - timedelta(days=1), self.silent[old]
        entry = trade.entry
        for level in trade.levels.values():
            factor = self.factor[old]
            level[:] = [level[0] if level[1] is None else level[0] * (level[1] / factor), None]
        for role, leg in legs.items():
            level = leg.level if leg.factor is None else leg.level * (leg.factor / self.factor[old])
            order = Order(
                f"{BOOK}-{new}-{stamp(at)}-{role}",
                entry.id,
                new,
                role,
                -trade.side,
                abs(trade.held),
                at,
                entry.signal,
                entry.volatility,
                role,
                entry.model,
            )
            # the new symbol's first bar tells the factor
            order.left, order.level, order.factor = order.quantity, level, None
            self.orders.append(order)
            order.shown = level
            self.working[new, role] = order
        if exit_order:
            order = Order(
                f"{BOOK}-{new}-{stamp(at)}-exit",
                entry.id,
                new,
                "exit",
                -trade.side,
                abs(trade.held),
                at,
                entry.signal,
                entry.volatility,
                trade.wish,
                entry.model,
            )
            self.working[new, "exit"] = order
            self.submit(order)

    def act_unseen(self, symbol, day, at):
        """Splits and dividends up to `day` that no bar of the symbol has shown."""
        due = [a for a in self.actions if a[0] == symbol and self.last_date[symbol] < a[1] <= day]
        for _, _, kind, value in sorted(due, key=lambda a: (a[1], a[2])):
            trade = self.trades.get(symbol)
            if not trade:
                return
            before = trade.held
            if kind == "dividend":
                self.book(trade, money(value, trade.held))
                self.lower_levels(symbol, value)
                left = 1.0 - self.share(symbol, value)
                self.last[symbol] *= left
                self.factor[symbol] /= left
            else:
                self.last[symbol] /= value
                self.factor[symbol] *= value
                self.split(trade, value, self.last[symbol], at)
            self.applied.append((at, symbol, kind, None, value, before, trade.held))

    def share(self, symbol, value):
        return value / self.last[symbol] if value < self.last[symbol] else 0.0

    def lower_levels(self, symbol, value):
        for role in ("stop", "take"):
            if (symbol, role) in self.working and self.working[symbol, role].factor is None:
                self.working[symbol, role].level *= 1.0 - self.share(symbol, value)
        trade = self.trades.get(symbol)
        for level in trade.levels.values() if trade else ():
            if level[1] is None:
                level[0] *= 1.0 - self.share(symbol, value)

    # --- corporate actions ------------------------------------------------------------------------

    def act(self, bar, actions):
        symbol = bar["symbol"]
        due = [
            a for a in actions if a[0] == symbol and self.last_date[symbol] < a[1] <= bar["date"]
        ]
        for _, _, kind, value in sorted(due, key=lambda a: (a[1], a[2])):  # dividend before split
            trade = self.trades.get(symbol)
            if kind == "dividend":
                if trade:
                    self.book(trade, money(value, trade.held))
                    self.lower_levels(symbol, value)
                    self.applied.append(
                        (bar["at"], symbol, kind, None, value, trade.held, trade.held)
                    )
                continue
            for role in ROLE_NUMBER:
                order = self.working.get((symbol, role))
                if order:
                    order.left = self.shares(order.left * value)
                    if order.factor is None:
                        order.level /= value
                    if order.left == 0:
                        self.end(order, canceled=True)
            if trade:
                before = trade.held
                self.split(trade, value, bar["open"], bar["at"])
                self.applied.append((bar["at"], symbol, kind, None, value, before, trade.held))

    def split(self, trade, ratio, price, at):
        exact = abs(trade.held) * ratio
        whole = self.shares(exact)
        for level in trade.levels.values():
            if level[1] is None:
                level[0] /= ratio
        self.book(trade, trade.side * money(price, max(0.0, exact - whole)))
        trade.held = trade.side * whole
        if whole == 0:
            trade.wish = "cash_in_lieu"
            trade.fills_out.append((price, exact))
            self.close(trade, at)

    def lots(self, quantity):
        return self.of_lots(math.floor(quantity / self.r["lot_size"] + 1e-9))

    def of_lots(self, count):
        lot = self.r["lot_size"]
        return count / round(1 / lot) if lot < 1 else count * lot

    def clean(self, quantity):
        """Without float error; an odd rest of a split stays."""
        count = quantity / self.r["lot_size"]
        return self.of_lots(round(count)) if abs(count - round(count)) < 1e-6 else quantity

    def shares(self, quantity):
        return math.floor(quantity + 1e-9) if self.r["lot_size"] >= 1 else self.lots(quantity)

    def unfilled(self, order, bar, taken=0.0):
        """An order that this bar gave nothing says so."""
        if order.fills == 0 and bar["volume"] == 0:
            order.reason = "no_volume"
        elif (
            order.fills == 0
            and self.lots(max(self.r["max_participation"] * bar["volume"] - taken, 0.0)) == 0
        ):
            order.reason = "max_participation"

    def book(self, trade, amount):
        self.cash += amount
        trade.flow += amount

    # --- the exchange -----------------------------------------------------------------------------

    def meet_open(self, bar):
        symbol = bar["symbol"]
        leaving = self.working.get((symbol, "exit"))
        left_before = leaving.left if leaving else 0.0
        if leaving and self.arrived(leaving, bar):
            self.fill(leaving, bar, bar["open"])
        self.left_at_open[symbol] = left_before - leaving.left if leaving else 0.0
        if not self.r["entry_at_close"]:
            self.meet_entry(bar, bar["open"])

    def meet_entry(self, bar, price):
        symbol, taken = bar["symbol"], self.left_at_open[bar["symbol"]]
        entry = self.working.get((symbol, "entry"))
        if entry and self.arrived(entry, bar):
            if not (entry.waits_for_exit and (symbol, "exit") in self.working):
                self.fill(entry, bar, price, taken)
                self.unfilled(entry, bar, taken)
            if entry.left > 0:
                self.end(entry, canceled=True)
            if symbol in self.trades and self.trades[symbol].entry is entry and self.r["barriers"]:
                self.bracket(self.trades[symbol])

    def bracket(self, trade):
        r, entry = self.r, trade.entry
        gain, loss = (
            max(
                r[name] * entry.volatility * math.sqrt(r["horizon"]), r["minimum_barrier_bps"] / 1e4
            )
            for name in ("profit_take", "stop_loss")
        )
        above, below = (gain, loss) if trade.side > 0 else (loss, gain)
        upper, lower = barriers(
            trade.reference, trade.reference * (1 + above), trade.reference * (1 - below)
        )
        levels = (
            {"stop": lower, "take": upper} if trade.side > 0 else {"stop": upper, "take": lower}
        )
        if r["close_touch"]:
            trade.levels = {role: [level, trade.factor] for role, level in levels.items()}
            return
        for role, level in levels.items():
            leg = Order(
                f"{entry.id[: -len('entry')]}{role}",
                entry.id,
                trade.symbol,
                role,
                -trade.side,
                abs(trade.held),
                entry.decided,
                entry.signal,
                entry.volatility,
                role,
                entry.model,
            )
            leg.left, leg.level, leg.factor = leg.quantity, level, trade.factor
            self.orders.append(leg)
            self.working[trade.symbol, role] = leg

    def meet_range(self, bar):
        symbol = bar["symbol"]
        if (symbol, "stop") not in self.working:
            return
        trade = self.trades[symbol]
        stop, take = self.working[symbol, "stop"], self.working[symbol, "take"]
        for leg in (stop, take):
            leg.factor = bar["factor"] if leg.factor is None else leg.factor
        s = trade.side  # prices times side: then "worse" is lower for both directions
        down, up = (s * leg.level * (leg.factor / bar["factor"]) for leg in (stop, take))
        worst, best = min(s * bar["low"], s * bar["high"]), max(s * bar["low"], s * bar["high"])
        first = bar["at"] == trade.entry_bar  # of an entry at a close, no leg meets that bar
        if not first and s * bar["open"] <= down:
            leg, price = stop, bar["open"]
        elif not first and s * bar["open"] >= up:
            leg, price = take, bar["open"]
        elif worst <= down:
            leg, price = stop, s * down
        elif best >= up:
            leg, price = take, s * up
        else:
            return
        other = take if leg is stop else stop
        trade.wish = leg.role
        self.end(other, canceled=True)
        self.fill(leg, bar, price)
        if leg.left > 0:
            self.unfilled(leg, bar)
            self.end(leg, canceled=True)

    def fill(self, order, bar, reference, taken=0.0):
        r = self.r
        most = self.lots(max(r["max_participation"] * bar["volume"] - taken, 0.0))
        quantity = min(order.left, most)
        if (
            r["partial_fill_probability"] > 0
            and luck(r["seed"], order.symbol, bar["at"], order.role, 1)
            < r["partial_fill_probability"]
        ):
            quantity = self.lots(quantity * luck(r["seed"], order.symbol, bar["at"], order.role, 2))
        if quantity <= 0:
            return
        raw = reference
        if order.role != "take":
            move = r["half_spread_bps"] / 1e4 + r[
                "impact_coefficient"
            ] * order.volatility * math.sqrt(quantity / bar["volume"])
            raw = (
                reference * (1 + order.side * move)
                if order.side > 0
                else reference * max(1 - move, 0)
            )
        price = (
            math.ceil(raw * tick(raw) - 1e-6) / tick(raw)
            if order.side > 0
            else max(math.floor(raw * tick(raw) + 1e-6) / tick(raw), 0.0001)
        )
        fee = self.fee(order, price, quantity)
        order.left = self.clean(order.left - quantity)
        order.fills += 1
        self.fills.append(
            (
                f"{order.id}-{order.fills}",
                order.id,
                bar["at"],
                order.side,
                quantity,
                price,
                reference,
                fee,
                abs(price - reference),
                "maker" if order.role == "take" else "taker",
            )
        )
        if order.role == "entry":
            trade = self.trades[order.symbol] = Trade(
                order.symbol, order.side, order, reference, bar["factor"], bar["at"]
            )
            trade.fills_in.append((price, quantity))
        else:
            trade = self.trades[order.symbol]
            trade.fills_out.append((price, quantity))
        trade.held = self.clean(trade.held + order.side * quantity)
        self.book(trade, -order.side * money(price, quantity) - fee)
        trade.fees += fee
        trade.slippage += abs(price - reference) * quantity
        if order.left == 0:
            self.end(order)
        else:
            order.status = "partially_filled"
        if trade.held == 0:
            self.close(trade, bar["at"])

    def fee(self, order, price, quantity):
        """Half up to the cent; and what the regulators took of a sale in the summer of 2024 (27.80
        dollars a million to the SEC, 0.000166 a share up to 8.30 to FINRA), each up to the cent.
        """
        r = self.r
        if r["preset"] == "alpaca":
            if order.side > 0:
                return 0
            proceeds = Decimal(price * quantity) * Decimal("0.0000278")
            shares = Decimal(quantity) * Decimal("0.000166")
            shares = min(cents_up(shares), Decimal("8.30"))
            return int((cents_up(proceeds) + shares) * 10000)
        maker = r["fee_bps"] if r["maker_fee_bps"] is None else r["maker_fee_bps"]
        bps = maker if order.role == "take" else r["fee_bps"]
        bps += r["sell_fee_bps"] if order.side < 0 else 0
        own = price * quantity * bps / 1e4 + r["fee_per_share"] * quantity
        return math.floor(own * 100 + 0.5) * 100

    def arrived(self, order, bar):
        """Whether a market order is at the exchange by the bar's open; counts the bars missed."""
        r = self.r
        leaves = max(order.decided, order.leaves)
        if leaves + round(r["latency_milliseconds"] * 1000) > bar["at"]:
            return False
        misses = r["latency_bars"]
        if (
            r["late_bar_probability"] > 0
            and luck(r["seed"], order.symbol, order.decided, "entry", 3) < r["late_bar_probability"]
        ):
            misses += r["late_bars"]
        order.missed += 1
        return order.missed > misses

    def end(self, order, canceled=False):
        order.status = ("partially_filled" if order.fills else "canceled") if canceled else "filled"
        del self.working[order.symbol, order.role]
        if order.role == "entry":
            del self.pending[order.symbol]

    def close(self, trade, at):
        del self.trades[trade.symbol]
        self.silent[trade.symbol] = 0
        self.losses = self.losses + 1 if trade.flow < 0 else 0
        if trade.flow < 0:
            self.lost_at = at
            if self.r["symbol_cooldown_minutes"]:
                self.paused[trade.symbol] = at + minutes(self.r["symbol_cooldown_minutes"])
        entry_value = sum(money(price, quantity) for price, quantity in trade.fills_in)
        out = sum(quantity for _, quantity in trade.fills_out)
        self.done.append(
            {
                "id": f"{BOOK}-{trade.entry.symbol}-{stamp(trade.entry.decided)}",
                "symbol": trade.symbol, "side": trade.side,
                "quantity": sum(q for _, q in trade.fills_in),
                "entry_bar": trade.entry_bar, "entry_price": trade.fills_in[0][0], "exit_bar": at,
                "exit_price": sum(p * q for p, q in trade.fills_out) / out,
                "reason": trade.wish, "fees": trade.fees, "slippage": trade.slippage,
                "pnl": trade.flow, "return": trade.flow / entry_value, "model": trade.entry.model,
            }
        )  # fmt: skip

    # --- decisions --------------------------------------------------------------------------------

    def decide(self, bars, tripped):
        end = bars[0]["end"]
        self.look_at_data(end)
        canceled = set()  # one that was queued until now: nothing in its place at this moment
        if tripped or "halted" in (self.data, self.r["state"]):
            for symbol in self.symbols:
                if (symbol, "entry") in self.working:
                    self.end(self.working[symbol, "entry"], canceled=True)
                    canceled.add(symbol)
        leaving = []
        if self.halted:
            leaving = [(symbol, None) for symbol in self.symbols]
        else:
            leaving = [(bar["symbol"], bar) for bar in bars]
        sent = [self.leave(symbol, bar, end) for symbol, bar in leaving]
        decided = {order.symbol for order in sent if order}
        entries = [
            self.enter(bar, decided)
            for bar in bars
            if bar["signal"] in (-1, 1) and bar["symbol"] not in canceled
        ]
        for order in [*sent, *entries]:
            if order:
                self.submit(order)

    def look_at_data(self, end):
        allowed, values = self.r["stale_after_minutes"], self.values()
        if not allowed:
            return
        stale = sum(
            abs(values[symbol])
            for symbol in self.trades
            if end - max(self.seen[symbol], self.session_from) > minutes(allowed)
        )
        mostly = 2 * stale > sum(map(abs, values.values()))
        self.data = "active" if stale == 0 else "halted" if mostly else "reducing"

    def leave(self, symbol, bar, end):
        trade = self.trades.get(symbol)
        if not trade or (symbol, "exit") in self.working:
            return None
        signal_at = trade.entry.signal
        if not trade.wish:
            if self.halted:
                trade.wish = "drawdown_breaker"
            elif self.r["barriers"]:
                trade.wish = self.reached(trade, bar)
            elif bar["signal"] is not None and bar["signal"] != trade.side:
                trade.wish, signal_at = "signal", bar["at"]
        if not trade.wish:
            return None
        for role in ("stop", "take"):
            if (symbol, role) in self.working:
                self.end(self.working[symbol, role], canceled=True)
        entry = trade.entry
        order = Order(
            f"{BOOK}-{symbol}-{stamp(end)}-exit",
            entry.id,
            symbol,
            "exit",
            -trade.side,
            abs(trade.held),
            end,
            signal_at,
            entry.volatility,
            trade.wish,
            entry.model,
        )
        self.working[symbol, "exit"] = order
        return order

    def reached(self, trade, bar):
        """The barrier that the close of the bar has reached; a bracket's legs are not asked."""
        if trade.levels:
            stop, take = (
                level * (factor / bar["factor"]) for level, factor in trade.levels.values()
            )
            if (bar["close"] - stop) * trade.side <= 0:
                return "stop"
            if (bar["close"] - take) * trade.side >= 0:
                return "take"
        sessions = self.r["vertical_sessions"]
        over = len(trade.days) > sessions if sessions else trade.bars >= self.r["horizon"]
        return "vertical" if over else ""

    def enter(self, bar, leaving):
        symbol, side = bar["symbol"], bar["signal"]
        trade = self.trades.get(symbol)
        if (symbol, "entry") in self.working or (
            trade and not (symbol in leaving and trade.wish == "signal")
        ):
            return None
        quantity, reason = (
            (0.0, self.gone[symbol]) if self.gone.get(symbol) else self.size(bar, symbol, side)
        )
        limit = reason if quantity else ""
        leaves = self.release(bar["end"]) if quantity else 0
        if leaves is None:
            quantity, reason, leaves, limit = 0.0, "order_rate", 0, ""
        elif quantity:
            reason = "signal"
        order = Order(
            f"{BOOK}-{symbol}-{stamp(bar['end'])}-entry",
            None,
            symbol,
            "entry",
            side,
            quantity,
            bar["end"],
            bar["at"],
            bar["volatility"],
            reason,
            bar["model"],
        )
        order.waits_for_exit = trade is not None
        order.leaves, order.limit = leaves, limit
        if quantity == 0:
            order.status = "refused"
        else:
            self.working[symbol, "entry"] = order
            self.silent[symbol] = 0
            self.pending[symbol] = side * money(bar["close"], quantity)
            if self.r["duplicate_window_minutes"]:
                until = bar["end"] + minutes(self.r["duplicate_window_minutes"])
                self.intents[symbol] = (side, until)
        return order

    def release(self, now):
        """When an entry leaves: the first moment, not before those decided earlier, at which fewer
        than n left in the minute up to it; 0 at once, None never.
        """
        most, minute = self.r["max_orders_per_minute"], minutes(1)
        if not most:
            return 0
        at = max([now, *self.left])
        while sum(at - minute < other <= at for other in self.left) >= most:
            at = min(other for other in self.left if at - minute < other) + minute
            at = max([at, *self.left])
        if at > now and (
            self.r["over_rate"] == "refuse" or at - now > minutes(self.r["max_queue_minutes"])
        ):
            return None
        self.left.append(at)
        return at if at > now else 0

    def size(self, bar, symbol, side):
        """(shares, limit that made them less), or (0, why)."""
        r, equity, price = self.r, self.equity / 10000, bar["close"]
        strength, volatility, p = bar["strength"], bar["volatility"], bar["probability"]
        stops = {
            "max_drawdown": self.halted,
            "max_daily_loss": self.stopped,
            "max_weekly_loss": self.week_stopped,
            "kill_switch": r["state"] != "active",
            "stale_data": self.data != "active",
        }
        for reason, stopped in stops.items():
            if stopped:
                return 0.0, reason
        if not (
            0 < volatility <= 10
            and 0 < strength <= 1
            and 0 < price < math.inf
            and equity > 0
            and (p is None or 0 <= p <= 1)
        ):
            return 0.0, "bad_input"
        if side < 0 and not r["allow_short"]:
            return 0.0, "allow_short"
        if (
            symbol not in self.trades
            and len(set(self.trades) | set(self.pending)) >= r["max_open_positions"]
        ):
            return 0.0, "max_open_positions"
        waits = self.waits(bar, symbol, side)
        if waits:
            return 0.0, waits
        size = self.wanted(equity, price, strength, volatility, p)
        if size <= 0:
            reached = r["sizing"] == "target_utility" and equity >= r["target_wealth"]
            return 0.0, "target_reached" if reached else "no_edge"
        wanted = self.lots(size / price)
        if wanted == 0:
            return 0.0, "lot_size"
        if price * wanted < r["minimum_order_value"]:
            return 0.0, "minimum_order_value"
        room, limit = min(self.rooms(symbol, side), key=lambda pair: pair[0])
        if money(price, wanted) <= room:
            return wanted, ""
        quantity = max(0.0, self.lots(room / 10000 / price))
        if quantity and money(price, quantity) > room:
            quantity = self.lots(quantity - r["lot_size"])
        if r["over_limit"] == "refuse" or quantity <= 0:
            return 0.0, limit
        return (quantity if price * quantity >= r["minimum_order_value"] else 0.0), limit

    def waits(self, bar, symbol, side):
        r, end = self.r, bar["end"]
        if end < self.paused.get(symbol, 0):
            return "symbol_cooldown"
        many = r["max_consecutive_losses"] and self.losses >= r["max_consecutive_losses"]
        if many and end < self.lost_at + minutes(r["consecutive_loss_cooldown_minutes"]):
            return "consecutive_losses"
        last_side, until = self.intents.get(symbol, (0, 0))
        if side == last_side and end < until:
            return "duplicate_intent"
        last = self.prior[symbol]
        if r["price_collar"] and not abs(bar["close"] - last) <= r["price_collar"] * last:
            return "price_collar"
        return ""

    def wanted(self, equity, price, strength, volatility, p):
        """Currency value by the settings' rule of size; formulas as docs/risk.md has them."""
        r, how = self.r, self.r["sizing"]
        deviation = volatility * math.sqrt(r["horizon"])
        gain, loss = (
            max(r[name] * deviation, r["minimum_barrier_bps"] / 1e4)
            for name in ("profit_take", "stop_loss")
        )
        model = p if p is not None else r["assumed_probability"] or 0.0
        odds = gain / loss
        kelly = max(0.0, model - (1 - model) / odds) / loss
        fixed = {
            "fixed_fraction": r["size_fraction"] * equity,
            "fixed_shares": r["size_shares"] * price,
            "fixed_value": r["size_value"],
            "stop_distance": equity * r["risk_per_trade"] / loss * strength,
            "sharpe_kelly": equity * r["kelly_fraction"] * strength
            * (r["assumed_sharpe"] / math.sqrt(r["trades_per_year"])) / deviation,
            "kelly": equity * r["kelly_fraction"] * kelly,
        }  # fmt: skip
        if how in fixed:
            return fixed[how]
        if how == "kelly_ruin":
            return equity * min(r["kelly_fraction"] * kelly, self.ruin(model, gain, loss, kelly))
        if how == "log_utility":
            cost = (2 * (r["half_spread_bps"] + r["fee_bps"]) + r["sell_fee_bps"]) / 1e4
            cost += 2 * r["fee_per_share"] / price
            return equity * utility(model, gain - cost, loss + cost, r["risk_aversion"])
        if how == "target_utility":
            share = equity / r["target_wealth"]
            if share >= 1:
                return 0.0
            slope = norm.pdf(norm.ppf(share)) / share
            return equity * strength * slope / (deviation * math.sqrt(r["target_trades"]))
        size = equity * r["target_trade_volatility"] / deviation * strength
        if p is not None:
            edge = max(0.0, p - (1 - p) * r["stop_loss"] / r["profit_take"])
            size = min(size, r["kelly_fraction"] * edge * equity / (r["stop_loss"] * deviation))
        if how == "regime_adaptive" and self.variance:
            size *= min(1.0, r["target_session_volatility"] / math.sqrt(self.variance))
        if how == "performance_adaptive":
            high, floor = (
                self.peak if self.armed_peak is None else self.armed_peak,
                1 - r["max_drawdown"],
            )
            cushion = (self.equity - floor * high) / self.equity
            size *= max(0.0, cushion / r["max_drawdown"])
        return size

    def ruin(self, p, gain, loss, kelly):
        power = math.log(self.r["ruin_probability"]) / math.log(self.r["ruin_wealth"])

        def excess(v):
            return p * (1 + v * gain) ** -power + (1 - p) * (1 - v * loss) ** -power - 1

        if kelly == 0:
            return 0.0
        most = kelly if kelly * loss < 1 else (1 - 1e-12) / loss
        if excess(most) <= 0:
            return kelly
        return brentq(excess, kelly * 1e-9, most, xtol=1e-15, rtol=1e-14)

    def rooms(self, symbol, side):
        r = self.r
        worst = self.worst(symbol)
        gross = sum(max(map(abs, outcomes)) for outcomes in worst.values())
        high = sum(max(outcomes) for outcomes in worst.values())
        low = sum(min(outcomes) for outcomes in worst.values())
        rooms = [
            (math.floor(r["max_position"] * self.equity), "max_position"),
            (math.floor(r["max_gross_exposure"] * self.equity) - gross, "max_gross_exposure"),
            (
                math.floor(r["max_net_exposure"] * self.equity) + (low if side < 0 else -high),
                "max_net_exposure",
            ),
        ]
        if r["cash_buffer"] is not None and side > 0:
            bought = sum(max(0, *outcomes) for outcomes in worst.values())
            rooms.append((math.floor((1 - r["cash_buffer"]) * self.equity) - bought, "cash_buffer"))
        if r["max_sector_exposure"]:
            kin = [
                max(map(abs, outcomes))
                for other, outcomes in worst.items()
                if self.sector(other) == self.sector(symbol)
            ]
            most = math.floor(r["max_sector_exposure"] * self.equity)
            rooms.append((most - sum(kin), "max_sector_exposure"))
        return rooms

    def sector(self, symbol):
        known = [row for row in self.r["sectors"] if row[0] == symbol and row[1] <= self.day]
        return max(known, key=lambda row: row[1])[2] if known else None

    def worst(self, excluded):
        """Other symbol -> values that its working orders may make of it."""
        found, values = {}, self.values()
        for symbol in set(self.trades) | set(self.pending):
            if symbol != excluded:
                found[symbol] = [values.get(symbol, 0)]
                if (symbol, "exit") in self.working:
                    found[symbol].append(0)
                if symbol in self.pending:
                    found[symbol].append(self.pending[symbol])
        return found

    def submit(self, order):
        order.left = order.quantity
        self.orders.append(order)
        if order.status == "refused":
            return
        r = self.r
        if (
            r["reject_probability"] > 0
            and luck(r["seed"], order.symbol, order.decided, order.role, 0)
            < r["reject_probability"]
        ):
            self.end(order, canceled=True)
            order.status = "rejected"
        elif order.waits_for_exit and (order.symbol, "exit") not in self.working:
            self.end(order, canceled=True)
