"""The books of a backtest, kept a second time: a naive ledger in decimals, one event after the
other.

It takes what was ordered and filled as given and follows shares and money from there: cash at the
start, fills with their fees, corporate actions, the nights' financing. It shares no code with
backtest/, portfolio/ and analytics/, and it checks what they say of each step:

    fill       its order exists, is of its side and no later; the price before costs lies within the
               bar; the slippage is the distance from there to the price; the fee is that of the
               settings, to half its unit (where they name rates, and no venue or regulator)
    action     shares before and after it, and the cash that it paid, from the declared split,
               dividend or price; no declared split or dividend of a held symbol is left out
    round trip every column of `trades`

Strategies that share an account have a position of their own each in a symbol, which is followed by
itself (`Slot`); cash is the account's.

Money is a whole number of 1/10000 of the currency, where the value of a fill or a position is
rounded half to even.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from typing import Any, NamedTuple

Row = Mapping[str, Any]
Slot = tuple[str, str]
"""Whose position it is, empty where one strategy has the account, and of which symbol."""
UNIT = Decimal("0.0001")
# what ends a listing, and from when on its actions are no longer the position's: that day or after
_BEFORE = {
    "delisting": timedelta(0),
    "symbol_change": timedelta(days=1),
    "presumed_delisted": timedelta(0),
}
_ENDINGS = tuple(_BEFORE)
_ENDED = ("renamed", "delisted")  # why an order was canceled, not why a trade ended
_DAYS_A_YEAR = 360


@dataclass(frozen=True)
class Terms:
    """What a symbol is traded by: value of a unit at a price of 1, step of quantities, step of
    fees.
    """

    multiplier: Decimal
    lot_size: Decimal
    fee_unit: Decimal


@dataclass(frozen=True)
class Financing:
    """Interest a year: on borrowed shares by symbol, on cash, on cash below zero."""

    borrow: Mapping[str, Decimal]
    borrow_else: Decimal
    cash: Decimal
    debt: Decimal

    def of(self, symbol: str) -> Decimal:
        """The rate of the symbol's borrowed shares."""
        return self.borrow.get(symbol, self.borrow_else)


@dataclass(frozen=True)
class Fees:
    """Rates of the settings: basis points of a taker's and a maker's value, and of sales besides;
    currency a share.
    """

    taker_bps: Decimal
    maker_bps: Decimal
    sale_bps: Decimal
    share: Decimal

    def of(self, fill: Row, value: Decimal) -> Decimal:
        """What a fill of this value costs, before it is rounded."""
        bps = self.maker_bps if fill["liquidity"] == "maker" else self.taker_bps
        bps += self.sale_bps if fill["side"] == "sell" else 0
        return value * bps / 10_000 + self.share * decimal_of(fill["quantity"])


class Bar(NamedTuple):
    """A regular bar: its session and prices."""

    session: date
    open: float
    high: float
    low: float
    close: float


@dataclass(frozen=True)
class Inputs:
    """What one backtest is recomputed from.

    bars: by moment, then symbol. fills, actions: by moment, in their order. declared: date, kind
    and value of each symbol's splits and dividends. terms: of a symbol in a session. recoveries:
    what delistings of a symbol state as cash per share. fees: None where they are no plain rates.
    """

    cash: Decimal
    bars: Mapping[datetime, Mapping[str, Bar]]
    orders: Mapping[str, Row]
    fills: Mapping[datetime, list[Row]]
    actions: Mapping[datetime, list[Row]]
    declared: Mapping[str, list[tuple[date, str, Decimal]]]
    terms: Callable[[str, date], Terms]
    financing: Financing
    fees: Fees | None
    recoveries: Mapping[str, set[Decimal]]
    delisting_recovery: Decimal


@dataclass
class RoundTrip:
    """An open or closed trade. Values are in money units, prices are averages."""

    entry: Row
    symbol: str
    side: int
    entered: Decimal = Decimal(0)
    entry_value: int = 0
    entry_cost: Decimal = Decimal(0)
    entry_timestamp: datetime | None = None
    left: Decimal = Decimal(0)
    exit_cost: Decimal = Decimal(0)
    exit_timestamp: datetime | None = None
    reason: str | None = None
    fees: int = 0
    slippage: Decimal = Decimal(0)
    cash_flow: int = 0


@dataclass
class Moment:
    """The account at the end of a moment, in money units."""

    at: datetime
    equity: int
    cash: int
    gross: int
    net: int
    peak: int


@dataclass
class Ledger:
    """The books as they go on. `faults` are sentences about what does not hold."""

    inputs: Inputs
    cash: int = 0
    peak: int = 0
    quantity: dict[Slot, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    price: dict[Slot, Decimal] = field(default_factory=dict)
    value: dict[Slot, int] = field(default_factory=dict)
    seen: dict[Slot, date] = field(default_factory=dict)
    open_trades: dict[Slot, RoundTrip] = field(default_factory=dict)
    trades: list[RoundTrip] = field(default_factory=list)
    session: date | None = None
    faults: list[str] = field(default_factory=list)

    def run(self) -> Iterator[Moment]:
        """The account at the end of every moment that has a bar or a corporate action."""
        given = self.inputs
        self.cash = self.peak = money(given.cash)
        for at in sorted({*given.bars, *given.actions}):
            bars = given.bars.get(at, {})
            self._begin(bars, at)
            self._act_all(given.actions.get(at, []), bars)
            self._fill_all(given.fills.get(at, []), bars)
            for slot, bar in self._met(bars):
                self.price[slot], self.seen[slot] = decimal_of(bar.close), bar.session
                self._mark(slot)
            yield self._moment(at)

    def _met(self, bars: Mapping[str, Bar]) -> list[tuple[Slot, Bar]]:
        """The positions that are held whose symbol has a bar, with it."""
        return [(slot, bars[slot[1]]) for slot in self.open_trades if slot[1] in bars]

    def _begin(self, bars: Mapping[str, Bar], at: datetime) -> None:
        """The nights before a session."""
        session = next(iter(bars.values())).session if bars else at.date()
        if self.session is not None and session > self.session:
            self._finance((session - self.session).days)
        self.session = session if self.session is None else max(session, self.session)

    def _finance(self, nights: int) -> None:
        rates = self.inputs.financing
        shorts = 0
        for slot, value in self.value.items():
            if value < 0:
                shorts -= value
                fee = _interest(-value, rates.of(slot[1]), nights)
                self.cash -= fee
                self.open_trades[slot].cash_flow -= fee
        own = self.cash - shorts
        self.cash += _interest(own, rates.cash if own > 0 else rates.debt, nights)

    # --- corporate actions ------------------------------------------------------------------------

    def _act_all(self, actions: list[Row], bars: Mapping[str, Bar]) -> None:
        """The actions of one moment: the ends of listings, with what no bar of them has met, come
        before what the bars are the first to meet.
        """
        ends = [place for place, row in enumerate(actions) if row["kind"] in _ENDINGS]
        cut = ends[-1] + 1 if ends else 0
        due = {
            key
            for row in actions[:cut]
            if row["kind"] in _ENDINGS
            for key in self._due(_slot(row), row["date"] - _BEFORE[row["kind"]])
        }
        for row in actions[:cut]:
            self._act(row, None)
        for slot, bar in self._met(bars):
            due |= self._due(slot, bar.session)
        for row in actions[cut:]:
            self._act(row, bars[row["symbol"]])
        due -= {(_slot(row), row["date"], row["kind"]) for row in actions}
        self.faults += [
            f"{kind} of {day} of {_name(slot)}, which was held, is not booked"
            for slot, day, kind in sorted(due)
        ]

    def _due(self, slot: Slot, until: date) -> set[tuple[Slot, date, str]]:
        """Declared splits and dividends since the last bar that the position has seen."""
        return {
            (slot, day, kind)
            for day, kind, _ in self.inputs.declared.get(slot[1], ())
            if slot in self.seen and self.seen[slot] < day <= until
        }

    def _act(self, action: Row, bar: Bar | None) -> None:
        """bar: that which meets the action; None where it had none any more."""
        slot, kind = _slot(action), action["kind"]
        before = self.quantity[slot]
        cash, after = self._effect(action, bar)
        self.cash += cash
        trade = self.open_trades[slot]
        trade.cash_flow += cash
        self._expect(action, before, after, cash)
        if kind == "symbol_change":
            self._rename(slot, action["successor"], action["date"])
        elif not after:
            self.quantity[slot] = Decimal(0)
            left = abs(before) * (decimal_of(action["value"]) if kind == "split" else 1)
            trade.reason = "cash_in_lieu" if kind == "split" else kind
            trade.exit_cost += left * self._paid(action, bar)
            trade.left += left
            self._close(slot, action["timestamp"])
        else:
            self.quantity[slot] = after
        self._mark(slot)

    def _effect(self, action: Row, bar: Bar | None) -> tuple[int, Decimal]:
        """Cash in money units and shares after the action."""
        slot, kind = _slot(action), action["kind"]
        before, terms = self.quantity[slot], self.inputs.terms(slot[1], self._today)
        if kind == "symbol_change":
            return 0, before
        value = decimal_of(action["value"])
        if kind == "split":
            self._expect_declared(action)
            exact = abs(before) * value
            whole = _whole_steps(exact, min(terms.lot_size, Decimal(1)))
            sign = 1 if before > 0 else -1
            price = self._paid(action, bar)
            if bar is None:
                self.price[slot] = price
            return sign * money(price * terms.multiplier * (exact - whole)), sign * whole
        if kind == "dividend":
            self._expect_declared(action)
            if bar is None and value < self.price[slot]:
                self.price[slot] -= value
            return money(value * terms.multiplier * before), before
        self._expect_price(action, value)
        return money(value * terms.multiplier * before), Decimal(0)

    def _paid(self, action: Row, bar: Bar | None) -> Decimal:
        """What a share, or its fraction, is paid."""
        value = decimal_of(action["value"])
        if action["kind"] != "split":
            return value
        return self.price[_slot(action)] / value if bar is None else decimal_of(bar.open)

    def _rename(self, slot: Slot, successor: str, day: date) -> None:
        trade, after = self.open_trades.pop(slot), (slot[0], successor)
        trade.symbol = successor
        self.open_trades[after] = trade
        self.quantity[after], self.quantity[slot] = self.quantity[slot], Decimal(0)
        self.price[after] = self.price[slot]
        self.seen[after] = day - timedelta(days=1)
        self._mark(after)

    def _expect(self, action: Row, before: Decimal, after: Decimal, cash: int) -> None:
        """The row of `position_actions` against the ledger."""
        of = f"{action['kind']} of {action['date']} of {_name(_slot(action))}"
        for name, own in (("quantity_before", before), ("quantity_after", after)):
            if abs(decimal_of(action[name]) - own) > abs(own) * Decimal("1e-12"):
                self.faults.append(f"{of}: {name} is {action[name]}, recomputed {own}")
        if abs(money(decimal_of(action["cash"])) - cash) > 1:
            self.faults.append(f"{of}: cash is {action['cash']}, recomputed {currency(cash)}")

    def _expect_declared(self, action: Row) -> None:
        known = self.inputs.declared.get(action["symbol"], ())
        found = [
            value for day, kind, value in known if (day, kind) == (action["date"], action["kind"])
        ]
        if decimal_of(action["value"]) not in found:
            self.faults.append(
                f"{action['kind']} of {action['date']} of {action['symbol']}: {action['value']} is"
                " not among the corporate actions"
            )

    def _expect_price(self, action: Row, paid: Decimal) -> None:
        """A delisting that states no price pays the set part of the last one."""
        last = self.price[_slot(action)] * self.inputs.delisting_recovery
        stated = self.inputs.recoveries.get(action["symbol"], set())
        if abs(paid - last) > last * Decimal("1e-12") and paid not in stated:
            self.faults.append(
                f"{action['kind']} of {action['symbol']} paid {paid} a share, not {last}"
            )

    # --- fills ------------------------------------------------------------------------------------

    def _fill_all(self, fills: list[Row], bars: Mapping[str, Bar]) -> None:
        """The fills of one moment: an exit belongs to the trade whose entry is its order's parent,
        so exits of open trades come before entries, and their own exits after them.
        """
        waiting = list(fills)
        while waiting:
            ready = [fill for fill in waiting if self._belongs(fill)]
            entries = [fill for fill in waiting if self._order(fill)["parent_id"] is None]
            batch = ready or entries[:1]
            if not batch:
                self.faults.append(f"fill {waiting[0]['fill_id']}: no trade is open that it leaves")
                return
            for fill in batch:
                waiting.remove(fill)
                self._check_fill(fill, bars[fill["symbol"]])
                self._fill(fill)

    def _order(self, fill: Row) -> Row:
        return self.inputs.orders[fill["order_id"]]

    def _belongs(self, fill: Row) -> bool:
        trade = self.open_trades.get(_slot(fill))
        order = self._order(fill)
        parent = order["parent_id"] or order["order_id"]
        return trade is not None and trade.entry["order_id"] == parent

    def _fill(self, fill: Row) -> None:
        slot, order = _slot(fill), self._order(fill)
        quantity, price, fee = (decimal_of(fill[name]) for name in ("quantity", "price", "fee"))
        side = 1 if fill["side"] == "buy" else -1
        multiplier = self.inputs.terms(slot[1], self._today).multiplier
        value = money(price * multiplier * quantity)
        paid = -side * value - money(fee)
        if slot not in self.open_trades:
            self.open_trades[slot] = RoundTrip(order, slot[1], side)
        trade = self.open_trades[slot]
        self.cash += paid
        trade.cash_flow += paid
        trade.fees += money(fee)
        trade.slippage += decimal_of(fill["slippage"]) * multiplier * quantity
        self.quantity[slot] += side * quantity
        if order["parent_id"] is None:
            trade.entered += quantity
            trade.entry_cost += quantity * price
            trade.entry_value += value
            trade.entry_timestamp = trade.entry_timestamp or fill["timestamp"]
        else:
            trade.left += quantity
            trade.exit_cost += quantity * price
            if order["reason"] not in _ENDED:
                trade.reason = trade.reason or order["reason"]
        if not self.quantity[slot]:
            self._close(slot, fill["timestamp"])

    def _close(self, slot: Slot, at: datetime) -> None:
        trade = self.open_trades.pop(slot)
        trade.exit_timestamp = at
        self.trades.append(trade)
        self.value.pop(slot, None)

    def _check_fill(self, fill: Row, bar: Bar) -> None:
        order, reference = self._order(fill), decimal_of(fill["reference_price"])
        side = 1 if fill["side"] == "buy" else -1
        slipped = side * (decimal_of(fill["price"]) - reference)
        holds = {
            "its side is that of its order": fill["side"] == order["side"],
            "its order was decided before": order["timestamp"] <= fill["timestamp"],
            "its order was not refused": order["status"] != "refused",
            "its reference price lies within the bar": bar.low
            <= fill["reference_price"]
            <= bar.high,
            "its slippage leads to its price": abs(
                max(slipped, Decimal(0)) - decimal_of(fill["slippage"])
            )
            <= reference * Decimal("1e-9"),
        }
        if (fees := self.inputs.fees) is not None:
            terms = self.inputs.terms(fill["symbol"], self._today)
            value = decimal_of(fill["price"]) * terms.multiplier * decimal_of(fill["quantity"])
            rounded = abs(decimal_of(fill["fee"]) - fees.of(fill, value))
            # a millionth more for the binary numbers that it was made of
            holds["its fee is that of the settings"] = rounded <= terms.fee_unit * Decimal(
                "0.500001"
            )
        self.faults += [
            f"fill {fill['fill_id']}: not so: {what}" for what, so in holds.items() if not so
        ]

    # --- values -----------------------------------------------------------------------------------

    @property
    def _today(self) -> date:
        assert self.session is not None
        return self.session

    def _mark(self, slot: Slot) -> None:
        """Value what is held there at its last price."""
        if quantity := self.quantity[slot]:
            multiplier = self.inputs.terms(slot[1], self._today).multiplier
            self.value[slot] = money(self.price[slot] * multiplier * quantity)
        else:
            self.value.pop(slot, None)

    def _moment(self, at: datetime) -> Moment:
        net, gross = sum(self.value.values()), sum(map(abs, self.value.values()))
        equity = self.cash + net
        self.peak = max(self.peak, equity)
        return Moment(at, equity, self.cash, gross, net, self.peak)


def _slot(row: Row) -> Slot:
    """Where a fill or a corporate action belongs."""
    return row["strategy"] or "", row["symbol"]


def _name(slot: Slot) -> str:
    return "/".join(filter(None, slot))


def money(amount: Decimal) -> int:
    """Money units, half to even."""
    return int((amount / UNIT).quantize(Decimal(1), ROUND_HALF_EVEN))


def currency(units: int) -> float:
    """Money units in the currency."""
    return float(units * UNIT)


def decimal_of(value: float) -> Decimal:
    """The shortest decimal that reads as this number: the one that was written."""
    return Decimal(repr(float(value)))


def _whole_steps(quantity: Decimal, step: Decimal) -> Decimal:
    """The whole steps in `quantity`; a billionth of a step is taken for error of the ratio."""
    return ((quantity / step) + Decimal("1e-9")).to_integral_value(ROUND_DOWN) * step


def _interest(units: int, rate: Decimal, nights: int) -> int:
    """Simple interest in money units, half up."""
    exact = units * rate * nights / _DAYS_A_YEAR
    return int((exact + Decimal("0.5")).to_integral_value("ROUND_FLOOR"))
