"""The simulated exchange without its network: orders, matching, books, clock. Synchronous and
deterministic: the same bars, requests and seed give the same orders, ids and fills.

    venue = Venue(ReplayMarket(bars, calendar), rules)
    order = venue.submit({"symbol": "AAPL", "qty": "10", "side": "buy", "type": "market", ...})
    venue.advance()             # the next event: bars open, or bars end
    venue.updates, venue.books.to_dict()

Requests that are refused raise `refusals.Refused` and change nothing. Whatever happens to an order
is appended to `updates`, as the stream `trade_updates` tells it. Every public method that changes
something leaves the change on disk (`store.py`) before it returns.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

from harmony_pipeline.exchange import admission
from harmony_pipeline.exchange.bar_matcher import BarMatcher, End, Fill
from harmony_pipeline.exchange.books import Books
from harmony_pipeline.exchange.market import ENDS, MarketBar, ReplayMarket
from harmony_pipeline.exchange.order_requests import OrderRequest, read_order, read_replacement
from harmony_pipeline.exchange.orders import Json, VenueOrder, order_json, plain, stamp
from harmony_pipeline.exchange.refusals import Refused, invalid, order_not_found
from harmony_pipeline.exchange.store import Store
from harmony_pipeline.exchange.venue_state import VenueState
from harmony_pipeline.execution.costs import notional
from harmony_pipeline.instants import micros, moment
from harmony_pipeline.portfolio.kernel_types import MONEY
from harmony_pipeline.portfolio.parameters import TradingRules

NO_MOMENT = -1
Trick = Literal["reject", "partial_then_cancel"]
_NANOS = 1000
_ENDS = {"day": "expired", "cls": "canceled"}


class Venue(VenueState):
    """One account at an exchange over one replayed market. `seed` names its ids."""

    def __init__(
        self,
        market: ReplayMarket,
        rules: TradingRules,
        *,
        cash: float | None = None,
        multiplier: int = 4,
        seed: int = 0,
        store: Store | None = None,
    ) -> None:
        super().__init__(market, multiplier, seed)
        self.matcher = BarMatcher(
            market.symbols, rules.records(market.symbols, moment(market.start).date())
        )
        self.updates: list[Json] = []
        self.tricks: list[Trick] = []
        self.next_event = 0
        self.open_moment = NO_MOMENT  # bars that have opened and not ended
        self._stamp = 0
        self._ended_with: datetime | None = None  # the last close whose orders were ended
        self._made = 0
        self._names: dict[str, str] = {}
        self._dirty: set[str] = set()
        self._store = store or Store(None)
        kept = self._store.load()
        if kept is not None:
            self.books = Books(kept.postings)
            self._restore(kept.orders, kept.updates, kept.state)
        else:
            opening = round((rules.initial_cash if cash is None else cash) * MONEY)
            self.books.post(self._time, "cash", "equity", "money", Decimal(opening))
            self.commit()

    # --- time -------------------------------------------------------------------------------------

    def set_time(self, microseconds: int) -> None:
        """Move the clock on, but not to the next event; it never goes back."""
        event = self.market.event(self.next_event)
        limit = microseconds if event is None else min(microseconds, event.time - 1)
        self._time = max(self._time, limit)

    @property
    def is_over(self) -> bool:
        """Whether every bar has ended."""
        return self.next_event >= self.market.events

    def is_open(self) -> bool:
        """Whether the regular session is under way: its open is in it, its close is not."""
        return admission.in_session(self.market.calendar, self.now)

    def advance(self) -> list[MarketBar]:
        """Let the next event happen; returns the bars that ended with it."""
        event = self.market.event(self.next_event)
        if event is None:
            return []
        self._time, self.next_event = max(self._time, event.time), event.number + 1
        place = event.number // 2
        bars = list(self.market.bars_of(event.number))
        self._end_orders_of_the_day()
        if event.kind != ENDS:
            self.open_moment = place
            for bar in bars:
                self._mark(bar.symbol, bar.open, bar.at)
                self._meet(bar, at_open=True)
            self.commit()
            return []
        for bar in bars:
            self._meet(bar, at_open=False)
            self._mark(bar.symbol, bar.close, bar.end)
            self.volatility[bar.symbol] = bar.volatility
        self.open_moment = NO_MOMENT
        self._end_orders_of_the_day(with_this_close=True)
        self.commit()
        return bars

    def _mark(self, symbol: str, price: float, at: int) -> None:
        self.marks[symbol], self.marked_at[symbol] = price, at

    def _meet(self, bar: MarketBar, *, at_open: bool) -> None:
        orders = self._open[bar.symbol]
        if not orders or bar.symbol in self.halted:
            return
        found = list(orders.values())
        outcomes = (
            self.matcher.at_open(bar, found)
            if at_open
            else self.matcher.in_range(bar, found, self.open_moment)
        )
        for outcome in outcomes:
            self._dirty.add(outcome.order.id)
            if isinstance(outcome, Fill):
                at_close = outcome.order.time_in_force == "cls"
                self._fill(outcome, bar.end if at_close else bar.at)
            elif isinstance(outcome, End):
                self._end(outcome.order, outcome.status)
        self._dirty.update(order.id for order in found)

    def _end_orders_of_the_day(self, *, with_this_close: bool = False) -> None:
        """End what lives until a close that is over: day orders expire, and those for its auction
        are canceled. `with_this_close`: the bars that end now have met their orders.
        """
        close = admission.last_close(self.market.calendar, self.now)
        if close is None or close == self._ended_with:
            return
        if micros(close) == self._time and not with_this_close:
            return
        self._ended_with, until = close, micros(close) * _NANOS
        for order in list(self._working()):
            ending = _ENDS.get(order.time_in_force)
            if ending is not None and order.created_at < until and order.is_open:
                self._end(order, ending)

    # --- orders -----------------------------------------------------------------------------------

    def submit(self, body: Any) -> Json:
        """Place what a body asks for; the order as POST answers it. Raises Refused."""
        if isinstance(body, dict) and isinstance(body.get("symbol"), str):
            body = {**body, "symbol": self.market.symbol_of(body["symbol"])}
        request = read_order(body)
        if request.client_order_id is not None and request.client_order_id in self._names:
            raise Refused(422, 40010001, "client_order_id must be unique")
        admission.check(self, request, self.matcher.coin_terms)
        order = self._order_of(request)
        legs = self._legs_of(request, order)
        for each in (order, *legs):
            self._keep(each)
        answer = order_json(order, legs)
        self._accept(order)
        self.commit()
        return answer

    def cancel(self, order_id: str) -> None:
        """Take an order back, and the others of its group. Raises Refused."""
        order = self.find(order_id)
        if not order.is_open:
            raise invalid(f'order is already in "{order.status}" state')
        self._end(order, "canceled")
        self.commit()

    def cancel_all(self) -> list[Json]:
        """Every open order: {id, status} of each."""
        answers = []
        for order in list(self._working()):
            if order.is_open:
                self._end(order, "canceled")
            answers.append({"id": order.id, "status": 200})
        self.commit()
        return answers

    def replace(self, order_id: str, body: Any) -> Json:
        """Exchange an open order for one with other terms; the new order. Raises Refused."""
        old = self.find(order_id)
        changes = read_replacement(body)
        if old.status == "pending_cancel":
            raise invalid("order pending cancel")
        if not old.is_open:
            raise invalid("unable to replace order, order is not open")
        if old.notional is not None:
            raise invalid("notional orders cannot be replaced")
        name = changes.client_order_id
        if name is not None and name in self._names:
            raise Refused(422, 40010001, "client_order_id must be unique")
        quantity = old.remaining if changes.qty is None else changes.qty
        new = self._new_order(
            client_order_id=name, symbol=old.symbol, side=old.side, type=old.type,
            time_in_force=changes.time_in_force or old.time_in_force, qty=quantity,
            limit_price=changes.limit_price or old.limit_price,
            stop_price=changes.stop_price or old.stop_price,
            trail_price=changes.trail if old.trail_price is not None else None,
            trail_percent=changes.trail if old.trail_percent is not None else None,
            hwm=old.hwm, extended_hours=old.extended_hours, order_class=old.order_class,
            replaces=old.id, parent=old.parent, siblings=old.siblings, children=old.children,
            reduces=old.reduces, volatility=old.volatility, since=self.open_moment,
        )  # fmt: skip
        if new.type == "trailing_stop" and changes.trail is None:
            new.trail_price, new.trail_percent = old.trail_price, old.trail_percent
        for other in self._siblings_of(old):
            other.siblings = tuple(new.id if each == old.id else each for each in other.siblings)
            self._dirty.add(other.id)
        for child in (self.orders[each] for each in old.children):
            child.parent = new.id
            self._dirty.add(child.id)
        was_held = old.status == "held"
        old.siblings = old.children = ()
        old.replaced_by, old.replaced_at = new.id, self.next_stamp()
        self._close(old, "replaced")
        self._keep(new)
        answer = order_json(new)
        if was_held:
            new.status = "held"
        else:
            self._accept(new)
        self.commit()
        return answer

    def find(self, order_id: str) -> VenueOrder:
        """The order of an id. Raises Refused."""
        order = self.orders.get(order_id)
        if order is None:
            raise order_not_found(order_id)
        return order

    def named(self, client_order_id: str) -> VenueOrder:
        """The order of a client order id. Raises Refused."""
        found = self._names.get(client_order_id)
        if found is None:
            raise order_not_found(client_order_id)
        return self.orders[found]

    def legs(self, order: VenueOrder) -> list[VenueOrder]:
        """The orders that are shown under this one."""
        return [each for each in self.orders.values() if each.parent == order.id]

    def _working(self) -> Iterator[VenueOrder]:
        for orders in self._open.values():
            yield from list(orders.values())

    # --- what an operator does --------------------------------------------------------------------

    def pay(self, activity: str, symbol: str, amount: Decimal) -> None:
        """Credit dollars of a corporate action (below zero: take them), as an activity of that type
        (`DIV`, `DIVNRA`, `CIL` ...).
        """
        units = int((amount * int(MONEY)).to_integral_value())
        account = f"actions:{symbol}"
        self.books.post(self._time, "cash", account, "money", Decimal(units), note=activity)

    def trade_by_hand(self, symbol: str, side: str, quantity: Decimal) -> Json:
        """A market order that somebody else sends (the dashboard), filled at once at the last
        price. Raises Refused where there is none.
        """
        symbol = self.market.symbol_of(symbol)
        price = self.marks.get(symbol)
        if price is None or side not in {"buy", "sell"} or quantity <= 0:
            raise invalid(f"{symbol} cannot be traded by hand: no price yet, or no such order")
        order = self._new_order(
            client_order_id=None, symbol=symbol, side=side, type="market", time_in_force="day",
            qty=quantity, foreign=True, reduces=admission.reduces(self, symbol, side),
        )  # fmt: skip
        self._keep(order)
        self._accept(order, tricks=False)
        self._fill(self.matcher.at_last(order, quantity, price), self._time)
        self.commit()
        return order_json(order)

    def halt(self, symbol: str, *, halted: bool) -> None:
        """Stop or resume trading of a symbol."""
        (self.halted.add if halted else self.halted.discard)(symbol)
        self.commit()

    # --- inside -----------------------------------------------------------------------------------

    def _order_of(self, request: OrderRequest) -> VenueOrder:
        reduces = admission.reduces(self, request.symbol, request.side)
        return self._new_order(
            client_order_id=request.client_order_id, symbol=request.symbol, side=request.side,
            type=request.type, time_in_force=request.time_in_force,
            qty=admission.quantity_of(self, request), notional=request.notional,
            limit_price=request.limit_price, stop_price=request.stop_price,
            trail_price=request.trail_price, trail_percent=request.trail_percent,
            extended_hours=request.extended_hours, order_class=request.order_class,
            reduces=reduces, since=self.open_moment,
            volatility=(self.entry_volatility if reduces else self.volatility).get(
                request.symbol, 0.0
            ),
        )  # fmt: skip

    def _legs_of(self, request: OrderRequest, order: VenueOrder) -> list[VenueOrder]:
        """The exits of a bracket or OTO, which wait for their entry; the stop of an OCO."""
        if not request.order_class:
            return []
        is_oco = request.order_class == "oco"
        side = order.side if is_oco else {"buy": "sell", "sell": "buy"}[order.side]
        shared: dict[str, Any] = {
            "client_order_id": None, "symbol": order.symbol, "side": side, "qty": order.qty,
            "time_in_force": order.time_in_force, "order_class": request.order_class,
            "parent": order.id, "reduces": True, "since": self.open_moment, "status": "held",
            "volatility": order.volatility,
        }  # fmt: skip
        legs = []
        if request.take_profit is not None and not is_oco:
            legs.append(self._new_order(type="limit", limit_price=request.take_profit, **shared))
        if request.stop_loss is not None:
            kind = "stop" if request.stop_loss_limit is None else "stop_limit"
            legs.append(
                self._new_order(
                    type=kind, stop_price=request.stop_loss, limit_price=request.stop_loss_limit,
                    **shared,
                )
            )  # fmt: skip
        if is_oco:
            order.siblings, legs[0].siblings = (legs[0].id,), (order.id,)
        else:
            order.children = tuple(leg.id for leg in legs)
            if len(legs) == 2:
                legs[0].siblings, legs[1].siblings = (legs[1].id,), (legs[0].id,)
        return legs

    def _new_order(self, *, client_order_id: str | None, **fields: Any) -> VenueOrder:
        self._made += 1
        order_id = str(uuid5(NAMESPACE_URL, f"harmony exchange {self.seed} order {self._made}"))
        at = self.next_stamp()
        name = client_order_id or str(uuid5(NAMESPACE_URL, f"{order_id} client"))
        return VenueOrder(id=order_id, client_order_id=name, created_at=at, updated_at=at, **fields)

    def next_stamp(self) -> int:
        """The clock in nanoseconds; never the same twice."""
        self._stamp = max(self._stamp + 1, self._time * _NANOS)
        return self._stamp

    def _keep(self, order: VenueOrder) -> None:
        self.orders[order.id] = order
        self._names[order.client_order_id] = order.id
        self._dirty.add(order.id)
        if order.is_open:
            self._open[order.symbol][order.id] = order

    def _accept(self, order: VenueOrder, *, tricks: bool = True) -> None:
        """The exchange takes the order, or chance or a fault rejects it."""
        order.status = "new" if self.is_open() or order.extended_hours else "accepted"
        self._touch(order)
        self._say(order.status, order)
        trick = self.tricks[0] if tricks and self.tricks else None
        if trick == "reject" or self.matcher.is_rejected_by_chance(order):
            self.tricks = self.tricks[trick == "reject" :]
            order.failed_at = self.next_stamp()
            self._close(order, "rejected")
            self._end_group(order)
        elif trick == "partial_then_cancel" and self._half(order) and order.symbol in self.marks:
            self.tricks.pop(0)
            part = self._half(order)
            self._fill(self.matcher.at_last(order, part, self.marks[order.symbol]), self._time)
            self._end(order, "canceled")

    def _half(self, order: VenueOrder) -> Decimal:
        """Half of an order, in whole shares or in the steps of a pair."""
        crypto = self.market.is_crypto
        step = self.matcher.coin_terms(order.symbol).quantity_step if crypto else Decimal(1)
        return order.qty / 2 // step * step

    def _fill(self, fill: Fill, at: int) -> None:
        """Book one execution, and do what follows for its group."""
        order = fill.order
        order.fills += 1
        execution = str(uuid5(NAMESPACE_URL, f"{order.id} fill {order.fills}"))
        signed = order.sign * fill.quantity
        value = order.sign * int(notional(float(fill.price), float(fill.quantity)))
        held = self.books.shares(order.symbol)
        self.books.trade(
            at, order.symbol, signed, value, fill.fee, fill.withheld, order_id=order.id,
            execution_id=execution,
        )  # fmt: skip
        admission.set_entry(self, order, held, signed - fill.withheld, fill.price)
        order.filled_qty += fill.quantity
        order.filled_value += fill.price * fill.quantity
        order.filled_at = at * _NANOS
        done = order.remaining <= 0
        numbers = {
            "execution_id": execution, "timestamp": stamp(at * _NANOS),
            "price": plain(fill.price), "qty": plain(fill.quantity),
            "position_qty": plain(self.books.shares(order.symbol)),
        }  # fmt: skip
        if done:
            self._close(order, "filled", event="fill", **numbers)
            self._release_children(order)
            self._end_siblings(order)
        else:
            order.status = "partially_filled"
            self._touch(order)
            self._say("partial_fill", order, **numbers)
            for other in self._siblings_of(order):
                other.qty = order.remaining
                self._dirty.add(other.id)

    def _release_children(self, order: VenueOrder) -> None:
        """A filled entry sets its exits free: the profit works, the stop stays `held`."""
        children = [self.orders[each] for each in order.children]
        for child in children:
            child.since = self.open_moment
            if child.type == "limit" or len(children) == 1:
                self._accept(child, tricks=False)

    def _end(self, order: VenueOrder, status: str) -> None:
        """An order ends unfilled or in part, and its group with it."""
        at = self.next_stamp()
        if status == "canceled":
            order.canceled_at = at
        else:
            order.expired_at = at
        self._close(order, status)
        self._end_group(order)

    def _end_group(self, order: VenueOrder) -> None:
        for child in (self.orders[each] for each in order.children):
            if child.is_open:
                self._end(child, "canceled")
        self._end_siblings(order)

    def _end_siblings(self, order: VenueOrder) -> None:
        for other in self._siblings_of(order):
            if other.is_open:
                other.canceled_at = self.next_stamp()
                self._close(other, "canceled")

    def _siblings_of(self, order: VenueOrder) -> list[VenueOrder]:
        return [self.orders[each] for each in order.siblings]

    def _close(self, order: VenueOrder, status: str, event: str | None = None, **of: Any) -> None:
        order.status = status
        self._touch(order)
        self._open[order.symbol].pop(order.id, None)
        self._say(event or status, order, **of)

    def _touch(self, order: VenueOrder) -> None:
        order.updated_at = self.next_stamp()
        self._dirty.add(order.id)

    def _say(self, event: str, order: VenueOrder, **of: Any) -> None:
        execution = str(uuid5(NAMESPACE_URL, f"{order.id} {event} {len(self.updates)}"))
        self.updates.append(
            {
                "event": event,
                "execution_id": execution,
                "timestamp": stamp(order.updated_at),
                "order": order_json(order),
                **of,
            }
        )

    # --- keeping ----------------------------------------------------------------------------------

    def commit(self) -> None:
        """Write what changed since the last time."""
        state = {
            "next_event": self.next_event, "open_moment": self.open_moment, "time": self._time,
            "stamp": self._stamp, "made": self._made, "marks": self.marks,
            "marked_at": self.marked_at, "volatility": self.volatility,
            "entry_prices": {name: str(price) for name, price in self.entry_prices.items()},
            "entry_volatility": self.entry_volatility, "configurations": self.configurations,
            "blocked": self.blocked, "halted": sorted(self.halted), "tricks": self.tricks,
        }  # fmt: skip
        changed = [self.orders[each] for each in self._dirty]
        self._store.save(changed, self.books.postings, self.updates, state)
        self._dirty.clear()

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def _restore(self, orders: list[VenueOrder], updates: list[Json], state: Json) -> None:
        for order in orders:
            self._keep(order)
        self.updates = updates
        self.next_event, self.open_moment = state["next_event"], state["open_moment"]
        self._time, self._stamp, self._made = state["time"], state["stamp"], state["made"]
        self.marks, self.marked_at = state["marks"], state["marked_at"]
        self.volatility, self.entry_volatility = state["volatility"], state["entry_volatility"]
        self.entry_prices = {name: Decimal(text) for name, text in state["entry_prices"].items()}
        self.configurations, self.blocked = state["configurations"], state["blocked"]
        self.halted, self.tricks = set(state["halted"]), state["tricks"]
        self._dirty.clear()
