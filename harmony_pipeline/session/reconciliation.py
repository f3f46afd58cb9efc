"""A running session held against its broker: every minute of the venue's time, after each
reconnection and at the end. What differs is written down, its symbol is halted, and it is settled
by a rule.

    order     open in the ledger, ended at the broker: the broker's word is taken
    unknown   working at the broker, not open in the ledger: it is canceled
    fill      the broker counts more shares than the ledger: executions are asked for by REST
    position  shares that no order explains: they are adopted at the broker's price; where
              strategies share the account, the one that is listed last gives first, and what nobody
              holds is the first one's
    cash      a difference that nothing explains: reported, and no entry leaves while it stands

Cash that a corporate action owes is no difference until it is paid, and a payment is none either
(session/receivables.py). What is not paid within `unpaid_days` is written off. Nor are fees that it
books later than we do.

A difference must be seen twice, with everything that the broker has to say read by REST in between:
a message on its way is no difference. Orders that are on their way, and their symbols, are left for
the next time. A halted symbol is not entered again in this session; exits leave.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from harmony_pipeline.errors import BrokerRejected, BrokerUnavailable
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.brokers.base import (
    BarDriven,
    BrokerOrder,
    BrokerPosition,
    CashActivity,
    Rereads,
    TellsCashActivities,
)
from harmony_pipeline.execution.coins import is_pair
from harmony_pipeline.execution.events import CancelOrder, ReconciliationRule, slot_name
from harmony_pipeline.execution.lifecycle import FINAL, Order, Status
from harmony_pipeline.instants import micros
from harmony_pipeline.portfolio.kernel_types import MONEY
from harmony_pipeline.session.order_events import (
    ENDED_AT_BROKER,
    CashDoubted,
    OrderReported,
    SymbolHalted,
    fact_head,
)
from harmony_pipeline.session.receivables import READ_BACK, Settlement
from harmony_pipeline.session.trader import Trader

SHARES, CASH = 0.001, 0.01
"""Larger differences count: shares, and currency; of coins, those worth more than that."""
_PRICE_MOVES = 0.01  # from the last price to that of shares that somebody else traded
_ON_THEIR_WAY = frozenset({Status.INTENDED, Status.SUBMITTED, Status.UNKNOWN})


@dataclass(frozen=True)
class Found:
    """One difference: `key` is an order, a symbol or "cash"; figures as both sides have them."""

    kind: str
    key: str
    symbol: str | None
    ledger: float
    broker: float
    rule: ReconciliationRule
    sentence: str


class Reconciler:
    """Compares a session with its broker when it is due. An exchange in this process has its books
    from us, and is never compared.
    """

    def __init__(self, trader: Trader, every: timedelta, unpaid_days: int = 60) -> None:
        self._trader, self._unpaid_days = trader, unpaid_days
        self._in_this_process = isinstance(trader.broker, BarDriven)
        self._every = every
        self._due: datetime | None = None
        self._was_streaming = True
        self._number = 0
        self._keeps_cash = False  # whether the broker has ever told its cash
        self._more: int | None = None  # cash of the broker above ours, when it was no difference
        self._books_fees_later = True  # as it showed last
        self._was_told = False  # of the fees of the days before

    def look(self, now: datetime) -> list[Found]:
        """Compare if a minute is over or the stream came back; what was found and settled."""
        streams = self._trader.broker.is_streaming()
        reconnected, self._was_streaming = streams and not self._was_streaming, streams
        if self._due is None:
            self._due = now + self._every  # the start was compared by the trader
        if not streams or (now < self._due and not reconnected):
            return []
        self._due = now + self._every
        return self.compare(now)

    def compare(self, now: datetime) -> list[Found]:
        """Compare now. Nothing is said while the broker does not answer or refuses to, or before
        the day's first bar, which may bring a change of symbol.
        """
        trader = self._trader
        if self._in_this_process or trader.cursor is None:
            return []
        with trader.telemetry.reconciliation() as span:
            try:
                first, second = self._looked_twice(now)
                found = self._settled(first, second, now)
            except (BrokerUnavailable, BrokerRejected) as error:  # what differs is found again
                span.set("error.type", type(error).__name__)
                return []
            self._write_off(now)
            self._close_fees(now)
            span.set("harmony.reconciliation.differences", len(found))
            return found

    def _looked_twice(self, now: datetime) -> tuple[list[Found], list[Found]]:
        """What differs, and what still does when everything that the broker has to say was read."""
        trader = self._trader
        if not self._was_told and trader.receivables.are_fees_due(trader.plan.date):
            self._take_payments(now, by_cash=False)
        first = self._differences()
        if not first:
            return [], []
        if isinstance(trader.broker, Rereads):
            trader.broker.reread()
        trader.gateway.receive_reports()
        second = self._differences()
        kinds = {each.kind for each in second}
        # the price of shares that are adopted is what cash tells, so payments are taken out first
        if kinds & {"cash", "position"} and self._take_payments(now, by_cash="cash" in kinds):
            second = self._differences()
        if not isinstance(trader.broker, TellsCashActivities):
            adopted = [each for each in second if each in first and each.rule == "adopt"]
            self._take_payments_beside(adopted, now)
        return first, second

    def _settled(self, first: list[Found], second: list[Found], now: datetime) -> list[Found]:
        """Settle what differed twice; that, and the executions that were asked for."""
        found = [each for each in second if each in first]
        for each in found:
            self._settle(each, now)
        lost = [each for each in first if each not in second and each.kind == "fill"]
        for each in lost:  # asked for, and told
            self._write(each, now)
        if self._more is not None:  # cash was compared: not while an order is on its way
            self._trust_cash()
        return [*found, *lost]

    # --- what differs -----------------------------------------------------------------------------

    def _differences(self) -> list[Found]:
        broker, manager = self._trader.broker, self._trader.manager
        asking = self._trader.gateway.asking
        ours = {order.client_order_id: order for order in manager.working()}
        with asking("orders"):
            theirs = {order.client_order_id: order for order in broker.orders(open_only=True)}
        moving = {
            order.terms.symbol
            for name, order in ours.items()
            if order.status in _ON_THEIR_WAY and name not in manager.waiting
        } | self._trader.portfolio.in_transit
        known = {name: order for name, order in ours.items() if name not in manager.waiting}
        found = [
            *self._unknown_orders(known, theirs, moving),
            *self._ended_orders(known, theirs, moving),
        ]
        moving |= {each.symbol or "" for each in found if each.kind == "fill"}
        with asking("positions"):
            positions = {position.symbol: position for position in broker.positions()}
        shifted = self._positions(positions, moving)
        with asking("account"):
            cash = broker.account().cash
        self._keeps_cash |= cash is not None
        self._more = None
        if cash is not None and not moving and not shifted:
            found += self._cash(cash)
        return [*found, *shifted]

    def _cash(self, cash: float) -> list[Found]:
        """Of a broker that may book fees later, cash may be higher by those that it has not."""
        trader = self._trader
        mine = trader.broker_cash
        more, fees = round(cash * MONEY) - mine, trader.receivables.uncharged
        if -CASH * MONEY <= more <= fees + CASH * MONEY:
            self._more = more
            if fees > 2 * CASH * MONEY:
                self._books_fees_later = more > fees / 2
            return []
        sentence = f"cash: ledger {mine / MONEY:.2f}{self._unpaid()}, broker {cash:.2f}"
        return [Found("cash", "cash", None, mine / MONEY, cash, "report", sentence)]

    def _unpaid(self) -> str:
        owed = self._trader.receivables
        pending, fees = owed.pending / MONEY, owed.uncharged / MONEY
        unpaid = f" without {pending:.2f} of corporate actions that is not paid" if pending else ""
        return f"{unpaid} after {fees:.2f} of fees that may be booked later" if fees else unpaid

    def _expected_cash(self) -> int:
        """What the broker should have now, in money units, as it has booked fees so far."""
        trader = self._trader
        mine = trader.broker_cash
        return mine + trader.receivables.uncharged if self._books_fees_later else mine

    @staticmethod
    def _unknown_orders(
        ours: Mapping[str, Order], theirs: Mapping[str, BrokerOrder], moving: set[str]
    ) -> list[Found]:
        return [
            Found(
                "unknown", name, order.symbol, 0.0, order.quantity, "cancel",
                f"order {name} ({order.side} {order.quantity:g} {order.symbol}) works at the"
                " broker and is not open in the ledger: it is canceled",
            )
            for name, order in theirs.items()
            if name not in ours and order.symbol not in moving
        ]  # fmt: skip

    def _ended_orders(
        self, ours: Mapping[str, Order], theirs: Mapping[str, BrokerOrder], moving: set[str]
    ) -> list[Found]:
        """Orders that ended at the broker, and those of which it has filled more."""
        found = []
        for name, order in ours.items():
            if order.terms.symbol in moving:
                continue
            there = theirs.get(name) or self._trader.broker.order(name)
            filled = 0.0 if there is None else there.filled_quantity
            head = (name, order.terms.symbol, order.filled_quantity, filled)
            if filled - order.filled_quantity > SHARES:
                sentence = (
                    f"order {name}: ledger has {head[2]:g} shares filled, the broker {filled:g}:"
                    " its executions are asked for"
                )
                found.append(Found("fill", *head, "ask", sentence))
            elif there is None or there.status in FINAL:
                word = "is unknown" if there is None else f"is {there.status}"
                sentence = (
                    f"order {name}: open in the ledger, at the broker it {word}: it is ended here"
                )
                found.append(Found("order", *head, "take", sentence))
        return found

    def _positions(self, theirs: Mapping[str, BrokerPosition], moving: set[str]) -> list[Found]:
        ours = self._trader.portfolio.shares()
        found = []
        for symbol in sorted({*ours, *theirs} - moving):
            mine = ours.get(symbol, 0.0)
            there = theirs[symbol].quantity if symbol in theirs else 0.0
            if abs(mine - there) <= self._tolerance(symbol) + 1e-12:
                continue
            traded = symbol in self._trader.plan.symbols
            what = "adopted" if traded else "not traded in this session, so it is only reported"
            sentence = f"{symbol}: ledger {mine:g}, broker {there:g} shares: {what}"
            rule: ReconciliationRule = "adopt" if traded else "report"
            found.append(Found("position", symbol, symbol, mine, there, rule, sentence))
        return found

    def _tolerance(self, symbol: str) -> float:
        """The largest difference that does not count: of coins, one that is worth a cent."""
        if not is_pair(symbol):
            return SHARES
        portfolio = self._trader.portfolio
        prices = [
            portfolio.last_price(row)
            for row, (_, owned) in enumerate(portfolio.owners)
            if owned == symbol
        ]
        return min(SHARES, CASH / max(prices)) if prices and max(prices) > 0.0 else SHARES

    # --- rules ------------------------------------------------------------------------------------

    def _settle(self, found: Found, now: datetime) -> None:
        trader = self._trader
        self._write(found, now)
        if found.symbol is not None:
            trader.gateway.handle(SymbolHalted(found.symbol, "its books were corrected"))
        match found.kind:
            case "unknown":
                try:
                    with trader.gateway.asking("cancel"):
                        trader.broker.cancel(CancelOrder(found.key, "unknown to the ledger"))
                except (BrokerUnavailable, BrokerRejected):
                    return  # it is found again
            case "order":
                terms = trader.manager.orders[found.key].terms
                fact = ev.OrderCanceled(**fact_head(terms, now), reason=ENDED_AT_BROKER)
                trader.gateway.handle(OrderReported(fact))
                trader.gateway.receive_reports()
            case "position" if found.rule == "adopt":
                self._adopt(found, now)
            case "cash":
                trader.gateway.handle(CashDoubted(doubted=True))
        trader.keep()

    def _adopt(self, found: Found, now: datetime) -> None:
        """Take the shares in at the price that the broker's cash implies, else its average, else
        the last price; working orders of the symbol are taken back.
        """
        trader, symbol, price = (
            self._trader,
            str(found.symbol),
            self._price(found, str(found.symbol)),
        )
        for order in trader.manager.working():
            if order.terms.symbol == symbol:
                trader.gateway.cancel(order, "its position was changed at the broker")
        with trader.ledger.transaction():
            for strategy, before, after in self._shared_out(found):
                fact = ev.PositionAdopted(
                    happened_at=now,
                    known_at=now,
                    symbol=symbol,
                    quantity_before=before,
                    quantity_after=after,
                    price=price,
                    strategy=strategy,
                )
                slot = slot_name(strategy, symbol)
                trader.gateway.record(f"adopted_position:{slot}:{micros(now)}", fact, now)
                trader.portfolio.adopt(fact)
            trader.keep()

    def _shared_out(self, found: Found) -> list[tuple[str | None, float, float]]:
        """(strategy, shares before, shares after) of each position that a change of the account's
        shares of a symbol is taken out of or put into; every strategy has that symbol on one side.
        """
        symbol = str(found.symbol)
        portfolio = self._trader.portfolio
        if not self._trader.plan.members:
            return [(None, found.ledger, found.broker)]
        change = found.broker - found.ledger
        held = {
            name: portfolio.held_in(slot_name(name, symbol))
            for name in self._trader.plan.by_strategy
        }
        first, parts = next(iter(held)), {}
        for name, shares in reversed(held.items()):
            if shares * change < 0.0:
                taken = math.copysign(min(abs(shares), abs(change)), change)
                parts[name] = (shares, shares + taken)
                change -= taken
        if abs(change) > 0.0:
            before, after = parts.get(first, (held[first], held[first]))
            parts[first] = (before, after + change)
        return [(name, *figures) for name, figures in parts.items()]

    def _price(self, found: Found, symbol: str) -> float:
        trader, asking = self._trader, self._trader.gateway.asking
        with asking("positions"):
            shown = {each.symbol: each for each in trader.broker.positions()}
        last = self._last_price(symbol)
        average = shown[symbol].average_price if symbol in shown else None
        usual = average or last
        with asking("account"):
            cash = trader.broker.account().cash
        if cash is not None:
            implied = (self._expected_cash() / MONEY - cash) / (found.broker - found.ledger)
            if usual <= 0.0 or 0.8 < implied / usual < 1.25:
                return round(implied, 6) if implied > 0.0 else usual
        return usual

    # --- cash of corporate actions ----------------------------------------------------------------

    def _take_payments(self, now: datetime, *, by_cash: bool) -> bool:
        """What the broker has paid since, as its activities tell and, with `by_cash`, its cash
        shows; whether that was anything.
        """
        trader, owed, broker = self._trader, self._trader.receivables, self._trader.broker
        today, told = trader.plan.date, list[CashActivity]()
        if isinstance(broker, TellsCashActivities):
            try:
                with trader.gateway.asking("cash_activities"):
                    told += broker.cash_activities(owed.since or today - READ_BACK)
                self._was_told = True
            except BrokerRejected:  # it tells none now: its cash shows what it does, or is doubted
                today = owed.since or today
        with trader.gateway.asking("account"):
            cash = broker.account().cash
        settled = owed.settle_told(told)
        owed.read_until(today)
        difference = 0 if cash is None else round(cash * MONEY) - self._expected_cash()
        if by_cash and abs(difference) > CASH * MONEY:
            settled += owed.settle_shown(difference)
        self._keep_settled(settled, now)
        return bool(settled)

    def _take_payments_beside(self, shares: list[Found], now: datetime) -> None:
        """What a broker that tells no activities has paid beside shares that are adopted: cash that
        is clearly no part of their price, which is about the last one.
        """
        trader = self._trader
        cash = trader.broker.account().cash if shares and trader.receivables.pending else None
        if cash is None:
            return
        values = [
            (each.broker - each.ledger) * self._last_price(str(each.symbol)) for each in shares
        ]
        shown = round((cash + sum(values)) * MONEY) - trader.broker_cash
        uncertain = round(sum(map(abs, values)) * MONEY * _PRICE_MOVES)
        self._keep_settled(trader.receivables.settle_beside(shown, uncertain), now)

    def _last_price(self, symbol: str) -> float:
        trader = self._trader
        slot = slot_name(next(iter(trader.plan.by_strategy)), symbol)
        return trader.portfolio.last_price(trader.portfolio.index[slot])

    def _keep_settled(self, settled: list[Settlement], now: datetime) -> None:
        """Write payments and the receivables without them, in one step."""
        if not settled:
            return
        with self._trader.ledger.transaction():
            for each in settled:
                self._write_settlement(each, now)
            self._trader.keep()

    def _write_settlement(self, settled: Settlement, now: datetime) -> None:
        owed, told = settled.receivable, settled.activity
        fact = ev.ActionSettled(
            happened_at=now,
            known_at=now,
            symbol=(owed.symbol or None) if owed is not None else told.symbol if told else None,
            action=owed.action if owed is not None else told.name if told is not None else "",
            date=None if owed is None else owed.date.isoformat(),
            booked=0.0 if owed is None else owed.booked / MONEY,
            paid=settled.paid / MONEY,
            activity=None if told is None else f"{told.name} {told.activity_id}",
        )
        what = told.activity_id if told is not None else owed.key if owed is not None else ""
        self._trader.gateway.record(f"action_settled:{what}", fact, now)

    def _write_off(self, now: datetime) -> None:
        """Give up what the broker has not paid for so long."""
        trader = self._trader
        overdue = trader.receivables.overdue(trader.plan.date, self._unpaid_days)
        if not overdue or not self._keeps_cash:
            return
        with trader.ledger.transaction():
            for each in overdue:
                fact = ev.ActionWrittenOff(
                    happened_at=now,
                    known_at=now,
                    symbol=each.symbol,
                    action=each.action,
                    date=each.date.isoformat(),
                    amount=each.amount / MONEY,
                    days=self._unpaid_days,
                )
                trader.gateway.record(f"action_written_off:{each.key}", fact, now)
                trader.receivables.write_off(each)
            trader.keep()

    def _close_fees(self, now: datetime) -> None:
        """Wait no longer for fees of days long ago, once the broker has told of them: one that was
        closed unheard would be booked twice.
        """
        trader = self._trader
        if self._more is None or not self._was_told:
            return
        self._keep_settled(trader.receivables.close_fees(trader.plan.date, self._more), now)

    def _trust_cash(self) -> None:
        if self._trader.manager.gate.cash_doubted:
            self._trader.gateway.handle(CashDoubted(doubted=False))

    def _write(self, found: Found, now: datetime) -> None:
        """Write the difference down, once while its figures stand."""
        fact = ev.BooksDiffered(
            happened_at=now,
            known_at=now,
            subject=found.kind,
            key=found.key,
            symbol=found.symbol,
            ledger=found.ledger,
            broker=found.broker,
            rule=found.rule,
            sentence=found.sentence,
        )
        key = f"differed:{found.kind}:{found.key}:{found.ledger:g}:{found.broker:g}"
        self._trader.gateway.record(key, fact, now)
