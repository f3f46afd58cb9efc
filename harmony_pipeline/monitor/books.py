"""A session as its events tell it so far: orders, fills, positions, what was notable.

The events of the ledger are read in their order and nowhere else is anything kept, so a running
session and a past one at any moment of it are shown by the same code.
"""

from collections.abc import Callable, Iterable
from typing import Any

from harmony_pipeline.errors import BrokerContradiction
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.events import Event
from harmony_pipeline.execution.lifecycle import Order, apply, start
from harmony_pipeline.instants import micros
from harmony_pipeline.monitor import changes as table
from harmony_pipeline.monitor.changes import Changes, Row, milliseconds
from harmony_pipeline.monitor.latency import Latency
from harmony_pipeline.monitor.notable import sentence_of
from harmony_pipeline.monitor.positions import Position
from harmony_pipeline.session.event_tail import StoredEvent
from harmony_pipeline.session.ledger_rows import public_status

_SPLIT, _CHANGE = "split", "symbol_change"


class Books:
    """Folds events. `opening`: rows of `positions` that the session began with. `known_order`:
    looks up an order of an earlier session by client order id.
    """

    def __init__(
        self, opening: Iterable[dict[str, Any]], known_order: Callable[[str], Order | None]
    ) -> None:
        self.positions: dict[str, Position] = {}  # by slot: `AAPL`, or `rsi_momentum/AAPL`
        self.orders: dict[str, Order] = {}
        self.latency = Latency()
        self.cursor = 0  # start of the last bars that the session has heard, microseconds
        self.symbols: tuple[str, ...] = ()
        self.risk_state = "ACTIVE"
        self.breakers: dict[str, float] = {}
        self.fills = 0
        self.limited: dict[str, str] = {}  # client order id -> limit that refused or shrank it
        self._known_order = known_order
        self._levels: dict[str, dict[str, float | None]] = {}
        self._changed: Changes = {}
        for row in opening:
            self._open(row)

    def _open(self, row: dict[str, Any]) -> None:
        whose = row.get("strategy") or None
        position = self._position(whose, row["symbol"])
        position.quantity = row["quantity"]
        position.entry_price, position.last_price = row["entry_price"], row["last_price"]
        slot = ev.slot_name(whose, row["symbol"])
        self._levels[slot] = {"stop": row["stop_price"], "take": row["take_profit_price"]}
        self._tell_position(slot)

    def _position(self, strategy: str | None, symbol: str) -> Position:
        slot = ev.slot_name(strategy, symbol)
        if slot not in self.positions:
            self.positions[slot] = Position(symbol, strategy=strategy)
        return self.positions[slot]

    def take_changes(self) -> Changes:
        """What changed since the last call."""
        changed, self._changed = self._changed, {}
        return changed

    def mark(self, symbol: str, price: float) -> None:
        """A new price of a symbol that may be held."""
        for slot, position in self.positions.items():
            if position.symbol == symbol:
                position.last_price = price
                self._tell_position(slot)

    def realized(self) -> float:
        """Profit of what was closed in this session, before fees."""
        return sum(position.realized for position in self.positions.values())

    def fees(self) -> float:
        """Paid in this session."""
        return sum(position.fees for position in self.positions.values())

    @property
    def held_symbols(self) -> set[str]:
        """Symbols that were held at some moment."""
        return {position.symbol for position in self.positions.values()}

    def held(self) -> list[Position]:
        """Positions that are not flat."""
        return [position for position in self.positions.values() if position.quantity]

    def see(self, stored: StoredEvent) -> None:
        """Take the next event into account."""
        event = stored.event
        if isinstance(event, ev.OrderFact):
            self._see_order(event, stored.sequence)
        else:
            self._see_session(event)
        told = sentence_of(event)
        if told is not None:
            level, text = told
            row = {"at": milliseconds(stored.known_at), "level": level, "text": text}
            self._tell(table.EVENTS, str(stored.sequence), row)

    # --- orders -----------------------------------------------------------------------------------

    def _see_order(self, event: Any, sequence: int) -> None:
        self.latency.see(event)
        name = event.client_order_id
        try:
            self._step(name, event)
        except BrokerContradiction as error:
            row = {"at": milliseconds(micros(event.known_at)), "level": "bad", "text": str(error)}
            self._tell(table.EVENTS, f"{sequence}!", row)
        if isinstance(event, ev.OrderPartiallyFilled):
            self._see_fill(event)
        order = self.orders.get(name)
        if order is not None:
            self._tell(table.ORDERS, name, order_row(order))
            self._set_level(order)

    def _step(self, name: str, event: Any) -> None:
        if isinstance(event, ev.OrderIntended | ev.OrderRefused):
            self.orders[name] = start(event)
            limit = event.reason if isinstance(event, ev.OrderRefused) else event.order.limit
            if limit is not None:
                self.limited[name] = limit
            return
        order = self.orders.get(name)
        if order is None:  # of an earlier session: the ledger has it as it stands by now
            found = self._known_order(name)
            if found is not None:
                self.orders[name] = found
            return
        self.orders[name] = apply(order, event)

    def _see_fill(self, event: ev.OrderPartiallyFilled) -> None:
        order = self.orders.get(event.client_order_id)
        self.fills += 1
        row = {
            "at": milliseconds(micros(event.happened_at)),
            "symbol": event.symbol,
            "side": event.side,
            "role": order.terms.role if order else None,
            "quantity": event.quantity,
            "price": event.price,
            "fee": event.fee,
            "slippage": event.slippage,
        }
        self._tell(table.FILLS, event.execution_id, row)
        whose = order.terms.strategy if order else None
        signed = event.received if event.side == "buy" else -event.received
        self._position(whose, event.symbol).fill(signed, event.price, event.fee)
        self._tell_position(ev.slot_name(whose, event.symbol))

    def _set_level(self, order: Order) -> None:
        """Remember where the legs of a bracket stand."""
        role = order.terms.role
        if role in {"stop", "take"}:
            price = order.terms.stop_price if role == "stop" else order.terms.limit_price
            levels = self._levels.setdefault(order.terms.slot, {"stop": None, "take": None})
            levels[role] = price if order.is_open else None
            self._tell_position(order.terms.slot)

    # --- session ----------------------------------------------------------------------------------

    def _see_session(self, event: Event) -> None:
        match event:
            case ev.SessionStarted():
                self.symbols = event.symbols
            case ev.BarsReceived():
                self.cursor = max(self.cursor, micros(event.happened_at))
            case ev.RiskStateChanged():
                self.risk_state = event.current
            case ev.BreakerTripped():
                self.breakers[event.breaker] = event.measure
            case ev.BreakerRearmed():
                self.breakers.pop(event.breaker, None)
            case ev.CorporateActionApplied():
                self._see_action(event)
            case ev.PositionAdopted():
                self._see_adopted(event)

    def _see_adopted(self, event: ev.PositionAdopted) -> None:
        position = self._position(event.strategy, event.symbol)
        position.fill(event.quantity_after - position.quantity, event.price, 0.0)
        self._tell_position(ev.slot_name(event.strategy, event.symbol))

    def _see_action(self, event: ev.CorporateActionApplied) -> None:
        position = self._position(event.strategy, event.symbol)
        slot = ev.slot_name(event.strategy, event.symbol)
        if event.action == _CHANGE and event.successor is not None:
            after = ev.slot_name(event.strategy, event.successor)
            moved = self.positions[after] = Position(
                event.successor, position.quantity, position.entry_price, position.last_price,
                strategy=event.strategy,
            )  # fmt: skip
            moved.rescale(event.quantity_after)
            position.quantity = 0.0
            self._levels[after] = self._levels.pop(slot, {})
            self._tell_position(after)
        elif event.action == _SPLIT:
            position.rescale(event.quantity_after)
        else:
            position.quantity = event.quantity_after
        self._tell_position(slot)

    # --- rows -------------------------------------------------------------------------------------

    def _tell(self, name: str, key: str, row: Row | None) -> None:
        self._changed.setdefault(name, {})[key] = row

    def _tell_position(self, slot: str) -> None:
        position = self.positions.get(slot)
        if position is None:
            return
        if not position.quantity:
            self._tell(table.POSITIONS, slot, None)
            return
        levels = self._levels.get(slot, {})
        self._tell(
            table.POSITIONS,
            slot,
            {
                "symbol": position.symbol,
                "strategy": position.strategy,
                "quantity": position.quantity,
                "entry": position.entry_price,
                "last": position.last_price,
                "value": position.value,
                "profit": position.unrealized,
                "stop": levels.get("stop"),
                "take": levels.get("take"),
            },
        )


def order_row(order: Order) -> Row:
    """An order as a page shows it: the words of `session_orders`, the verdict of the risk engine
    and the limit that made it smaller.
    """
    terms = order.terms
    return {
        "at": milliseconds(micros(terms.decided_at)),
        "symbol": terms.symbol,
        "strategy": terms.strategy,
        "role": terms.role,
        "side": terms.side,
        "kind": terms.kind,
        "quantity": order.quantity,
        "filled": order.filled_quantity,
        "price": order.average_price,
        "at_price": terms.limit_price if terms.limit_price is not None else terms.stop_price,
        "status": public_status(order),
        "open": order.is_open,
        "verdict": terms.verdict,
        "limit": terms.limit,
        "reason": order.reason if order.reason is not None else terms.reason,
    }
