"""The rows that the kernels work on, for one symbol: made from tickets, grown as orders come."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.execution.bar_columns import BarColumns
from harmony_pipeline.execution.order_timing import refresh
from harmony_pipeline.execution.order_types import KINDS, TIMES_IN_FORCE, OrderTicket
from harmony_pipeline.execution.random_draws import symbol_key
from harmony_pipeline.execution.session_times import SessionTimes
from harmony_pipeline.execution.working_orders import (
    FILLED,
    NEVER,
    NO_ROW,
    SYMBOL_STATE,
    TRANSITION,
    UNBORN,
    WORKING_ORDER,
    SymbolOrders,
)
from harmony_pipeline.instants import micros
from harmony_pipeline.portfolio.kernel_types import Record, Records, records

_FIRST_ROOM = 64


class OrderStore:
    """All orders of one symbol that there ever were. `group` is what the kernels take."""

    def __init__(
        self,
        symbol: str,
        rules: Record,
        position: float,
        refuse_halted: bool,
        latency: timedelta | None,
    ) -> None:
        self.symbol = symbol
        own = timedelta(microseconds=int(rules["latency_us"]))
        self.latency = own if latency is None else latency
        self.tickets: list[OrderTicket] = []
        self.clock = 0  # what was matched ended here
        self.on_ticks = False  # a quote may stand
        self._queued = True  # whether the kernels know all rows
        self._halted: bool | None = None
        self._lower, self._upper, self._next_time = -np.inf, np.inf, NEVER
        self._unborn: list[int] = []
        own_rules = np.array([rules], dtype=rules.dtype)
        state = records(1, SYMBOL_STATE)
        state["position"], state["refuse_halted"] = position, int(refuse_halted)
        state["next_time"], state["lower"], state["upper"] = NEVER, -np.inf, np.inf
        state["bid"], state["ask"], state["last"] = np.nan, np.nan, np.nan
        self.group = SymbolOrders(
            records(_FIRST_ROOM, WORKING_ORDER),
            np.zeros(_FIRST_ROOM, np.int64),
            np.zeros(0, np.int64),
            state,
            own_rules,
            np.array([symbol_key(symbol)], np.uint64),
            records(16 * _FIRST_ROOM, TRANSITION),
        )

    @property
    def state(self) -> Record:
        """Where the symbol stands."""
        return self.group.state[0]

    @property
    def log(self) -> Records:
        """The transitions so far, in order."""
        return self.group.log[: int(self.state["log_rows"])]

    def open_rows(self) -> IntArray:
        """Rows of orders that have been submitted and have not ended."""
        status = self.group.orders["status"][: len(self.tickets)]
        return np.flatnonzero((status != UNBORN) & (status < FILLED))

    def is_final(self, row: int) -> bool:
        """Whether the order of a row has ended."""
        return bool(self.group.orders[row]["status"] >= FILLED)

    def add(
        self,
        ticket: OrderTicket,
        sessions: SessionTimes,
        parent: int = NO_ROW,
        replaces: int = NO_ROW,
    ) -> int:
        """The row of a ticket that was judged sound."""
        row = len(self.tickets)
        self._make_room(row + 1)
        self.tickets.append(ticket)
        self.group.orders[row] = _row_of(ticket, sessions, self.latency)
        self.group.orders[row]["replaces"] = replaces
        self.group.orders[row]["parent"] = parent
        if parent != NO_ROW:
            self._adopt(parent, row)
        self._unborn.append(row)
        self._queued, self._next_time = False, -1
        return row

    def link_oco(self, rows: list[int]) -> None:
        """Make the rows one ring of orders of which one cancels the others."""
        for row, following in zip(rows, [*rows[1:], rows[0]], strict=True):
            self.group.orders[row]["next_in_oco"] = following

    def cancel(self, row: int, asked_at: datetime) -> None:
        """Ask for a cancel, which arrives `latency` later."""
        order, at = self.group.orders[row], micros(asked_at)
        order["cancel_asked_at"] = at
        order["cancel_at"] = at + self.latency // timedelta(microseconds=1)
        refresh(self.group)
        self.remember()

    def queue(self) -> None:
        """Hand new rows to the kernels, in order of submission; call it before they run."""
        if self._halted is not None:
            self.state["halted"], self._halted = self._halted, None
        if self._queued:
            return
        self._queued = True
        started = int(self.state["pending_at"])
        if started:
            gone = set(self.group.pending[:started].tolist())
            self._unborn = [row for row in self._unborn if row not in gone]
        rows = np.array(self._unborn, np.int64)
        order = np.argsort(self.group.orders["submitted_at"][rows], kind="stable")
        self.state["pending_at"] = 0
        self.group = self.group._replace(pending=rows[order])
        refresh(self.group)

    def is_untouched(self, bars: BarColumns, first: int, stop: int) -> bool:
        """Whether a single bar meets no order, found out without a kernel: what a driver that goes
        bar by bar asks most of the time.
        """
        return bool(
            stop == first + 1
            and bars.high[first] < self._upper
            and bars.low[first] > self._lower
            and bars.end[first] < self._next_time
        )

    def passed(self, bars: BarColumns, last: int) -> None:
        """The bars up to `last` are over."""
        self.clock = max(self.clock, int(bars.end[last]))
        self._halted = bool(bars.halted[last])

    def remember(self) -> None:
        """Note which bars meet no order; call it after kernels ran."""
        state = self.state
        self._lower, self._upper = float(state["lower"]), float(state["upper"])
        self._next_time = int(state["next_time"]) if self._queued else -1

    def grow_log(self) -> None:
        """Twice the room for transitions."""
        log = self.group.log
        self.group = self.group._replace(log=np.concatenate([log, np.zeros_like(log)]))

    def _adopt(self, parent: int, row: int) -> None:
        """Put a row at the end of its parent's children."""
        orders = self.group.orders
        last = int(orders[parent]["first_child"])
        if last == NO_ROW:
            orders[parent]["first_child"] = row
            return
        while int(orders[last]["next_child"]) != NO_ROW:
            last = int(orders[last]["next_child"])
        orders[last]["next_child"] = row

    def _make_room(self, rows: int) -> None:
        orders, active = self.group.orders, self.group.active
        if rows > len(orders):
            self.group = self.group._replace(
                orders=np.concatenate([orders, np.zeros_like(orders)]),
                active=np.concatenate([active, np.zeros_like(active)]),
            )


_BLANK = dict.fromkeys(WORKING_ORDER.names or (), 0) | {
    "parent": NO_ROW,
    "first_child": NO_ROW,
    "next_child": NO_ROW,
    "next_in_oco": NO_ROW,
    "replaces": NO_ROW,
    "replaced_by": NO_ROW,
    "expires_at": NEVER,
    "auction_at": NEVER,
    "cancel_asked_at": NEVER,
    "cancel_at": NEVER,
    "activated_at": -1,
    "spent_at": -1,
    "queue_ahead": np.inf,
    "queue_quoted": np.nan,
}


def _row_of(ticket: OrderTicket, sessions: SessionTimes, latency: timedelta) -> tuple[Any, ...]:
    """A ticket as a WORKING_ORDER."""
    submitted_at = micros(ticket.submitted_at)
    force = ticket.time_in_force
    times = {}
    if force == "day":
        times["expires_at"] = sessions.day_end(submitted_at, ticket.extended_hours)
    elif force in ("opg", "cls"):
        auction_at = sessions.auction(submitted_at, force)
        # the bar that starts with the opening auction comes before the order ends
        times["auction_at"] = auction_at
        later = sessions.auction_wait + (1 if force == "opg" else 0)
        times["expires_at"] = auction_at + later
    values = (
        _BLANK
        | times
        | {
            "number": int(symbol_key(ticket.order_id)) & 0x7FFFFFFF,
            "side": ticket.side,
            "kind": KINDS.index(ticket.kind),
            "time_in_force": TIMES_IN_FORCE.index(force),
            "quantity": ticket.quantity,
            "remaining": ticket.quantity,
            "limit_price": ticket.limit_price or 0.0,
            "stop_price": ticket.stop_price or 0.0,
            "trail_amount": ticket.trail_amount or 0.0,
            "trail_fraction": (ticket.trail_percent or 0.0) / 100.0,
            "volatility": ticket.volatility,
            "reduce_only": int(ticket.reduce_only),
            "extended": int(ticket.extended_hours),
            "when_filled": int(ticket.after_parent == "filled"),
            "post_only": int(ticket.post_only),
            "submitted_at": submitted_at,
            "active_from": submitted_at + latency // timedelta(microseconds=1),
        }
    )
    return tuple(values.values())
