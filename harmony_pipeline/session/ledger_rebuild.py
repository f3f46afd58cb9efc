"""Every book of a ledger made again from its events alone, and compared with what is kept.

Events are the original; `sessions`, `orders`, `fills`, `positions` and `equity` are what follows
from them. Orders go through the same lifecycle as they did in the session.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.events import Event
from harmony_pipeline.execution.lifecycle import Order, apply, start
from harmony_pipeline.instants import micros
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.ledger_rows import execution_of, order_columns, position_columns
from harmony_pipeline.session.ledger_tables import BOOKS

Rows = dict[str, list[dict[str, Any]]]


@dataclass
class _Books:
    """The books as far as the events were read, by key."""

    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)  # client order id -> session
    closing: dict[str, str] = field(default_factory=dict)  # as its own session last saw it
    fills: dict[str, dict[str, Any]] = field(default_factory=dict)
    positions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    equity: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)

    def take(self, session_id: str, number: int, event: Event) -> None:
        """One event of that session, the `number`-th that was opened."""
        match event:
            case ev.SessionOpened():
                row = {
                    name: value
                    for name, value in msgspec.structs.asdict(event).items()
                    if name not in ("happened_at", "known_at")
                }
                state = {"state": "running", "reason": None}
                # a migrated ledger tells it last
                self.sessions[session_id] = row | state | {"number": number}
            case ev.SessionStateSet(state=state, reason=reason):
                self.sessions[session_id] |= {"state": state, "reason": reason}
            case ev.EquityMarked():
                row = msgspec.structs.asdict(event)
                at = micros(row.pop("happened_at"))
                del row["known_at"]
                self.equity.setdefault(
                    (session_id, at), {"session_id": session_id, "timestamp": at, **row}
                )
            case ev.PositionsKept(positions=held):
                self.positions[session_id] = [
                    {"session_id": session_id, **position_columns(row)} for row in held
                ]
            case ev.OrderAdopted(state=state):
                self._keep(session_id, msgspec.json.decode(state, type=Order))
            case ev.OrderFact():
                self._follow(session_id, event)

    def _follow(self, session_id: str, fact: ev.AnyOrderFact) -> None:
        before = self.orders.get(fact.client_order_id)
        if before is not None:
            after = apply(before, fact)
        elif isinstance(fact, ev.OrderIntended | ev.OrderRefused):
            after = start(fact)
        else:
            return  # of an order that is adopted later: its state is known there
        if isinstance(fact, ev.OrderPartiallyFilled):
            fill = execution_of(fact, after)
            row = {**vars(fill), "session_id": session_id, "timestamp": micros(fill.timestamp)}
            self.fills.setdefault(fill.execution_id, row)
        self._keep(session_id, after)

    def _keep(self, session_id: str, order: Order) -> None:
        name = order.client_order_id
        self.orders[name] = order
        self.owners.setdefault(name, session_id)
        if self.owners[name] == session_id:
            self.closing[name] = order_columns(order)["closing_status"]

    def rows(self) -> Rows:
        """As the tables hold them, by key."""
        placed = [
            {
                "session_id": self.owners[name],
                **order_columns(order),
                "closing_status": self.closing[name],
            }
            for name, order in self.orders.items()
        ]
        held = [row for rows in self.positions.values() for row in rows]
        found = {
            "sessions": list(self.sessions.values()),
            "orders": placed,
            "fills": list(self.fills.values()),
            "positions": held,
            "equity": list(self.equity.values()),
        }
        for table in BOOKS:
            key = [column.name for column in table.primary_key]
            found[table.name].sort(key=lambda row, key=key: [row[name] for name in key])  # type: ignore[misc]
        return found


def books_from_events(ledger: Ledger) -> Rows:
    """Table -> its rows, made from the events of every session in the order of opening."""
    books = _Books()
    for session_id, number in ledger.session_ids():
        for _, event in ledger.events(session_id):
            books.take(session_id, number, event)
    return books.rows()


def differing_rows(ledger: Ledger, made: Mapping[str, list[dict[str, Any]]]) -> dict[str, int]:
    """Table -> how many of its rows are not what the events say, missing and surplus ones
    included.
    """
    counts = {}
    for table in BOOKS:
        names = [column.name for column in table.columns]
        kept = {*ledger.rows(table.name)}
        wanted = {tuple(row[name] for name in names) for row in made[table.name]}
        keys = [names.index(column.name) for column in table.primary_key]
        counts[table.name] = len({tuple(row[at] for at in keys) for row in kept ^ wanted})
    return counts


def rebuild(ledger: Ledger) -> dict[str, int]:
    """Write every book anew from the events, all or nothing; how many rows of each changed."""
    with ledger.transaction():
        made = books_from_events(ledger)
        counts = differing_rows(ledger, made)
        ledger.restore("sessions", made["sessions"])  # events refer to it: it is never emptied
        for table in reversed(BOOKS[1:]):
            ledger.empty(table.name)
        for table in BOOKS[1:]:
            ledger.restore(table.name, made[table.name])
    return counts


def copy_earlier(ledger: Ledger, session_id: str, copy: Ledger) -> None:
    """The sessions that the account had when this one was opened, into an empty ledger: their
    events as they are, and their books made from them.
    """
    own = ledger.session(session_id)
    before = []
    for name, _ in ledger.session_ids():
        if name == session_id:
            break
        row = ledger.session(name)
        if own is not None and row is not None and row.account == own.account:
            before.append(row)
    with copy.transaction():
        for row in before:
            copy.open_session(row)
            for number, event in ledger.events(row.session_id):
                if isinstance(event, ev.Fact) and not isinstance(event, ev.SessionOpened):
                    copy.record(
                        row.session_id, f"{number}", event, event.happened_at, event.known_at
                    )
        rebuild(copy)
