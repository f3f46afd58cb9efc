"""A broker whose exchange is execution/exchange.py: paper trading against replayed or simulated
bars, in this process.

It holds no trading rule of its own. Every fill is made by the compiled functions that the backtest
loops over, so the same orders meet the same bars at the same prices. Whoever replays the bars
drives it through `BarDriven`; a session on top sees nothing but a broker. It keeps books of its own
(cash and shares, from its own fills), so that reconciliation compares two independent accounts.

>>> exchange = ExchangeState.empty(["AAPL"])
>>> broker = SimulatedBroker(exchange, rules.records(["AAPL"]), cash=1_000_000_000)
>>> broker.submit(SubmitOrder(terms)); broker.match_open(bar); broker.updates()
[OrderAccepted(...), OrderFilled(...)]
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from harmony_pipeline.arrays import BoolArray
from harmony_pipeline.errors import BrokerRejected
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.brokers.base import BrokerAccount, BrokerOrder, BrokerPosition
from harmony_pipeline.execution.costs import notional
from harmony_pipeline.execution.events import (
    AnyOrderFact,
    CancelOrder,
    OrderTerms,
    ReplaceOrder,
    SubmitOrder,
    slot_name,
)
from harmony_pipeline.execution.exchange import (
    MAX_REPORTS,
    ExchangeState,
    dividend_orders,
    match_close,
    match_open,
    match_range,
    split_orders,
    submit,
)
from harmony_pipeline.execution.lifecycle import Order, apply
from harmony_pipeline.execution.random_draws import symbol_keys
from harmony_pipeline.instants import micros, moment
from harmony_pipeline.market.price_grid import floor_to_lot, snap_to_lot, whole_unit
from harmony_pipeline.portfolio.kernel_types import (
    CANCEL,
    CANCELED,
    ENTRY,
    EXPIRE,
    FILL,
    MONEY,
    NO_MODEL,
    NO_REASON,
    ORDER,
    ORDER_OPEN,
    REASON_NAMES,
    REJECT,
    REPORT,
    ROLE_NAMES,
    STOP,
    TAKE,
    VERDICT_NAMES,
    Record,
    Records,
    records,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SimulatedBroker:
    """`Broker` and `BarDriven` over one exchange state. One thread; no I/O; nothing waits.

    exchange: the orders that work at the start; rules: one RULES record for each of its symbols;
    `working` names them: (slot, role) -> the order as it stands. cash in money units and signed
    shares by slot open its own books.

    owners: where several strategies share the account, (strategy, symbol) of each row of
    `exchange`. Each row has its own orders, as in the backtest; their fills of one bar share its
    volume, and positions are shown by symbol.
    """

    name = "simulated"

    def __init__(
        self,
        exchange: ExchangeState,
        rules: Records,
        models: Sequence[str] = (),
        cash: int = 0,
        shares: Mapping[str, float] | None = None,
        working: Mapping[tuple[str, str], Order] | None = None,
        owners: Sequence[tuple[str | None, str]] | None = None,
    ) -> None:
        self._rules = rules
        self._models = tuple(models)
        self._owners = list(owners or ((None, symbol) for symbol in exchange.symbols))
        self._index = {slot_name(*owner): row for row, owner in enumerate(self._owners)}
        self._exchange = self._with_keys(exchange)
        self._cash = cash
        self._shares = np.zeros(len(exchange.symbols))
        for slot, quantity in (shares or {}).items():
            self._shares[self._index[slot]] = quantity
        # (row, side, quantity) of the fills of one moment, where strategies share a bar's volume
        self._traded: list[tuple[int, int, float]] = []
        self._traded_at = -1
        self._orders: dict[str, Order] = {}
        self._tickets: list[str] = []  # the exchange's ticket of an order is its place here
        self._facts: list[AnyOrderFact] = []
        self._now = _EPOCH
        self._intent = records(1, ORDER)
        self._reports = records(MAX_REPORTS, REPORT)
        for (slot, role), order in (working or {}).items():
            self._exchange.orders[self._index[slot], ROLE_NAMES.index(role)]["ticket"] = (
                self._register(order)
            )

    # --- Broker -----------------------------------------------------------------------------------

    def submit(self, command: SubmitOrder) -> BrokerOrder:
        """Place the order; see `Broker.submit`. A chance rejection of the exchange comes as a fact,
        not as an error.
        """
        both = [command.order, command.other] if command.other else [command.order]
        new = [terms for terms in both if terms.client_order_id not in self._orders]
        for terms in new:
            self._validate(terms)
        for terms in new:
            self._place(terms)
        return _seen(self._orders[command.order.client_order_id])

    def cancel(self, command: CancelOrder) -> None:
        """Take the order off the exchange, if it still works there."""
        order = self._known(command.client_order_id)
        if not order.is_open:
            return
        intent = self._blank(order.terms, CANCELED)
        self._take_reports(self._submit(intent), self._now, command.reason)

    def replace(self, command: ReplaceOrder) -> BrokerOrder:
        """Put an order with other terms in the same place of the exchange."""
        if command.new_client_order_id in self._orders:
            return _seen(self._orders[command.new_client_order_id])
        order = self._known(command.client_order_id)
        if not order.is_open:
            raise BrokerRejected(
                f"order {command.client_order_id} is {order.status} and cannot be replaced"
            )
        quantity = order.remaining if command.quantity is None else command.quantity
        terms = msgspec.structs.replace(
            order.terms,
            client_order_id=command.new_client_order_id,
            quantity=quantity,
            limit_price=(
                order.terms.limit_price if command.limit_price is None else command.limit_price
            ),
            stop_price=order.terms.stop_price if command.stop_price is None else command.stop_price,
        )
        self._validate(terms, instead_of=order)
        self._say(
            ev.OrderReplaced(
                **self._head(order.terms, self._now), replaced_by=terms.client_order_id
            )
        )
        self._place(terms)
        return _seen(self._orders[terms.client_order_id])

    def order(self, client_order_id: str) -> BrokerOrder | None:
        """The order, or None."""
        found = self._orders.get(client_order_id)
        return _seen(found) if found else None

    def orders(self, open_only: bool = True) -> list[BrokerOrder]:
        """Orders by client order id."""
        return [
            _seen(order)
            for _, order in sorted(self._orders.items())
            if order.is_open or not open_only
        ]

    def positions(self) -> list[BrokerPosition]:
        """Shares by its own count, of all strategies together."""
        held: dict[str, float] = {}
        for (_, symbol), shares in zip(self._owners, self._shares.tolist(), strict=True):
            if shares != 0.0:
                held[symbol] = held.get(symbol, 0.0) + shares
        return [BrokerPosition(symbol, shares) for symbol, shares in held.items()]

    def account(self) -> BrokerAccount:
        """Cash by its own count; it does not value positions."""
        return BrokerAccount(cash=self._cash / MONEY, equity=None)

    def updates(self) -> list[AnyOrderFact]:
        """Facts since the last call."""
        facts, self._facts = self._facts, []
        return facts

    def is_streaming(self) -> bool:
        """Always: it lives in this process."""
        return True

    def close(self) -> None:
        """Nothing is held."""

    # --- BarDriven --------------------------------------------------------------------------------

    def works(self) -> BoolArray:
        """By symbol, whether an order works at this moment."""
        return np.asarray((self._exchange.orders["status"] == ORDER_OPEN).any(axis=1))

    def match_open(self, bar: Record) -> None:
        """Market orders meet the open."""
        self._count_others(bar)
        self._match(match_open, bar)

    def match_range(self, bar: Record) -> None:
        """Bracket legs meet the bar."""
        self._match(match_range, bar)

    def awaits_close(self) -> BoolArray:
        """By symbol, whether an entry waits for the close of a bar."""
        entries = self._exchange.orders[:, ENTRY]
        return np.asarray((entries["status"] == ORDER_OPEN) & (entries["at_close"] == 1))

    def match_close(self, bar: Record) -> None:
        """An entry at the close that was there when the bar began meets it, after `match_open` and
        `match_range` of every symbol.
        """
        self._count_others(bar)
        self._match(match_close, bar)

    def _match(self, meets: Callable[..., int], bar: Record) -> None:
        """Have the orders of the bar's symbol meet it, and book what became of them."""
        exchange, rules = self._exchange, self._rules[bar["symbol"]]
        count = meets(exchange.orders, exchange.keys, rules, bar, self._reports, 0)
        self._take_reports(count, moment(bar["end"]))

    def split(self, ratio: float, bar: Record) -> None:
        """Working orders and shares become `ratio` times as many, in whole shares; what is left of
        a share is paid at the bar's open.
        """
        symbol, known = int(bar["symbol"]), moment(bar["end"])
        rules = self._rules[symbol]
        self._take_reports(
            split_orders(self._exchange.orders, rules, symbol, ratio, bar["at"], self._reports, 0),
            known,
        )
        for record in self._exchange.orders[symbol]:
            if record["status"] == ORDER_OPEN:
                order = self._orders[self._tickets[record["ticket"]]]
                self._now = known
                self._say(
                    ev.OrderAdjusted(
                        **self._head(order.terms, moment(bar["at"])),
                        quantity=order.filled_quantity + float(record["remaining"]),
                    )
                )
        held = float(self._shares[symbol])
        exact = abs(held) * ratio
        whole = floor_to_lot(exact, whole_unit(rules["lot_size"]))
        self._cash += (
            int(math.copysign(1, held))
            * notional(bar["open"] * rules["multiplier"], max(0.0, exact - whole))
            if held
            else 0
        )
        self._shares[symbol] = math.copysign(whole, held) if held else 0.0

    def dividend(self, symbol: int, value: float, share: float = 0.0) -> None:
        """Cash for each share held; a short position pays. Legs carried over a change of symbol
        move by `share` of the last price.
        """
        dividend_orders(self._exchange.orders, symbol, share)
        self._cash += notional(
            value * self._rules[symbol]["multiplier"], float(self._shares[symbol])
        )

    def finance(self, amount: int) -> None:
        """Cash for the nights since the last session; below 0 where they cost something."""
        self._cash += amount

    def pay_out(self, symbol: int, price: float) -> None:
        """Cash for the shares of a security that trades no longer; a short position pays."""
        self._cash += notional(
            price * self._rules[symbol]["multiplier"], float(self._shares[symbol])
        )
        self._shares[symbol] = 0.0

    def rename(self, old: int, new: int) -> None:
        """The shares under their new symbol."""
        self._shares[new] += self._shares[old]
        self._shares[old] = 0.0

    @property
    def exchange(self) -> ExchangeState:
        """A copy of the orders that work: what the next session opens with."""
        return self._exchange.copy()

    def checkpoint(self) -> dict[str, Any]:
        """Everything that this process holds and JSON can carry."""
        return {
            "exchange": self._exchange.to_dict(),
            "cash": self._cash,
            "shares": self._shares.tolist(),
            "tickets": list(self._tickets),
            "orders": [msgspec.to_builtins(order) for order in self._orders.values()],
            "facts": [msgspec.to_builtins(fact) for fact in self._facts],
            "now": micros(self._now),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Be what `checkpoint` saw."""
        self._exchange = self._with_keys(ExchangeState.from_dict(dict(saved["exchange"])))
        self._cash = int(saved["cash"])
        self._shares = np.asarray(saved["shares"], dtype=np.float64)
        self._tickets = list(saved["tickets"])
        orders = [msgspec.convert(order, Order) for order in saved["orders"]]
        self._orders = {order.client_order_id: order for order in orders}
        self._facts = [msgspec.convert(fact, AnyOrderFact) for fact in saved["facts"]]
        self._now = moment(saved["now"])

    # --- inside -----------------------------------------------------------------------------------

    def _with_keys(self, exchange: ExchangeState) -> ExchangeState:
        """A state of its own, whose chance is that of symbols: strategies have it in common."""
        keys = symbol_keys([symbol for _, symbol in self._owners])
        return ExchangeState(exchange.symbols, exchange.orders.copy(), keys)

    def _count_others(self, bar: Record) -> None:
        """Write into the bar what other strategies have traded of it, the latest first, as the
        backtest's loop does (`_count_others` there).
        """
        if bar["at"] != self._traded_at:
            self._traded, self._traded_at = [], int(bar["at"])
        row = int(bar["symbol"])
        bar["bought"] = bar["sold"] = 0.0
        for other, side, quantity in reversed(self._traded):
            if other != row and self._owners[other][1] == self._owners[row][1]:
                bar["bought" if side > 0 else "sold"] += quantity

    def _place(self, terms: OrderTerms) -> None:
        self._now = max(self._now, terms.decided_at)
        ticket = self._register(Order(terms))
        intent = self._blank(terms, ORDER_OPEN)
        intent["ticket"] = ticket
        self._say(ev.OrderAccepted(**self._head(terms, self._now), broker_order_id=f"sim-{ticket}"))
        self._take_reports(self._submit(intent), self._now)

    def _submit(self, intent: Record) -> int:
        return submit(
            self._exchange.orders,
            self._exchange.keys,
            self._rules[intent["symbol"]],
            intent,
            self._reports,
            0,
        )

    def _register(self, order: Order) -> int:
        self._orders[order.client_order_id] = order
        self._tickets.append(order.client_order_id)
        return len(self._tickets) - 1

    def _validate(self, terms: OrderTerms, instead_of: Order | None = None) -> None:
        if terms.slot not in self._index:
            raise BrokerRejected(
                f"{terms.slot} is not traded on this simulated exchange; it has"
                f" {', '.join(self._index) or 'no symbols'}"
            )
        if not 0.0 < terms.quantity < math.inf:
            raise BrokerRejected(
                f"order {terms.client_order_id}: quantity must be > 0, found {terms.quantity}"
            )
        level = {"stop": terms.stop_price, "limit": terms.limit_price}.get(terms.kind, 1.0)
        if level is None or not 0.0 <= level < math.inf:  # 0 is a level that nothing reaches
            raise BrokerRejected(
                f"order {terms.client_order_id}: a {terms.kind} order needs a price >= 0, found"
                f" {level}"
            )
        if (terms.kind != "market") != (terms.role in ("stop", "take")):
            raise BrokerRejected(
                f"order {terms.client_order_id}: this exchange takes market entries and exits, and"
                f" stops and limits as legs of a bracket; not a {terms.kind} {terms.role}"
            )
        slot = self._exchange.orders[self._index[terms.slot], ROLE_NAMES.index(terms.role)]
        holder = (
            self._orders.get(self._tickets[slot["ticket"]])
            if slot["status"] == ORDER_OPEN
            else None
        )
        if holder is not None and holder is not instead_of:
            raise BrokerRejected(
                f"order {terms.client_order_id}: {terms.slot} has a working {terms.role} order,"
                f" {holder.client_order_id}; cancel it first"
            )

    def _blank(self, terms: OrderTerms, status: int) -> Record:
        """The exchange's own record of an order."""
        self._intent[:] = np.zeros(1, ORDER)
        rules = self._rules[self._index[terms.slot]]
        put_order(self._intent[0], terms, status, self._index, self._models, rules)
        return self._intent[0]

    def _take_reports(self, count: int, known_at: datetime, reason: str | None = None) -> None:
        """Turn the exchange's reports into facts and book them."""
        self._now = known_at
        for report in self._reports[:count]:
            order = self._orders[self._tickets[report["ticket"]]]
            head = self._head(
                order.terms, moment(report["at"]) if report["kind"] in (FILL, EXPIRE) else known_at
            )
            if report["kind"] == FILL:
                self._say(self._fill(order, report, head))
            elif report["kind"] == CANCEL:
                self._say(ev.OrderCanceled(**head, reason=reason))
            elif report["kind"] == EXPIRE:
                self._say(
                    ev.OrderExpired(
                        **head,
                        reason=REASON_NAMES[report["reason"]] or "more than the bar could fill",
                    )
                )
            elif report["kind"] == REJECT:
                self._say(ev.OrderRejected(**head, reason="rejected by chance"))

    def _fill(self, order: Order, report: Record, head: dict[str, Any]) -> ev.OrderPartiallyFilled:
        quantity, price, fee = float(report["quantity"]), float(report["price"]), int(report["fee"])
        side = int(report["side"])
        row = self._index[order.terms.slot]
        self._traded.append((row, side, quantity))
        self._cash -= side * notional(price * self._rules[row]["multiplier"], quantity) + fee
        self._shares[row] = snap_to_lot(
            self._shares[row] + side * quantity, self._rules[row]["lot_size"]
        )
        total = order.quantity if report["closed"] == 1 else order.filled_quantity + quantity
        kind = ev.OrderFilled if report["closed"] == 1 else ev.OrderPartiallyFilled
        return kind(
            **head,
            execution_id=f"{order.client_order_id}#{report['number']}",
            side="buy" if side > 0 else "sell",
            quantity=quantity,
            price=price,
            cumulative_quantity=total,
            reference_price=float(report["reference"]),
            fee=fee / MONEY,
            slippage=float(report["slippage"]),
            liquidity="maker" if report["maker"] == 1 else "taker",
        )

    def _head(self, terms: OrderTerms, happened_at: datetime) -> dict[str, Any]:
        return {
            "happened_at": happened_at,
            "known_at": max(self._now, happened_at),
            "client_order_id": terms.client_order_id,
            "symbol": terms.symbol,
        }

    def _say(self, fact: AnyOrderFact) -> None:
        self._orders[fact.client_order_id] = apply(self._orders[fact.client_order_id], fact)
        self._facts.append(fact)

    def _known(self, client_order_id: str) -> Order:
        order = self._orders.get(client_order_id)
        if order is None:
            raise BrokerRejected(f"the simulated exchange has no order {client_order_id}")
        return order


def _seen(order: Order) -> BrokerOrder:
    terms = order.terms
    return BrokerOrder(
        order.client_order_id,
        terms.symbol,
        terms.side,
        order.quantity,
        order.filled_quantity,
        order.status,
        order.broker_order_id,
        order.average_price,
    )


def _micros(instant: datetime | None) -> int:
    return 0 if instant is None else micros(instant)


def put_order(
    into: Record,
    terms: OrderTerms,
    status: int,
    index: Mapping[str, int],
    models: Sequence[str],
    rules: Record,
) -> None:
    """Write an order into an empty ORDER record of an exchange driven by bars. index: rows by slot;
    rules: those of the order's row.
    """
    level = terms.stop_price if terms.kind == "stop" else terms.limit_price
    into["symbol"], into["entry_symbol"] = index[terms.slot], index[terms.entry_slot]
    into["role"] = ROLE_NAMES.index(terms.role)
    into["side"] = 1 if terms.side == "buy" else -1
    into["status"] = status
    into["quantity"] = into["remaining"] = terms.quantity
    into["level"] = level or 0.0
    into["factor"] = terms.entry_factor if into["role"] in (STOP, TAKE) else 0.0
    into["volatility"] = terms.volatility
    into["signal_at"] = _micros(terms.signal_timestamp)
    into["decided_at"] = _micros(terms.decided_at)
    into["entry_at"] = _micros(terms.entry_decided_at)
    into["since"] = _micros(terms.entry_bar)
    into["after_exit"] = int(terms.after_exit)
    into["at_close"] = int(_is_at_close(terms, rules))
    into["verdict"] = VERDICT_NAMES.index(terms.verdict or "")
    into["limit"] = REASON_NAMES.index(terms.limit or "")
    into["release_at"] = _micros(terms.release_at)
    into["wanted"] = terms.wanted_quantity or 0.0
    into["model"] = models.index(terms.model_id) if terms.model_id in models else NO_MODEL
    into["reason"] = REASON_NAMES.index(terms.reason) if terms.reason in REASON_NAMES else NO_REASON


def _is_at_close(terms: OrderTerms, rules: Record) -> bool:
    """Whether an order is an entry at a close, or a leg that follows such a fill."""
    if terms.role == "entry":
        return terms.is_at_close
    follows = terms.role in ("stop", "take") and terms.decided_at == terms.entry_decided_at
    return follows and bool(rules["entry_at_close"] == 1)
