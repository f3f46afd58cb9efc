"""The log of round trips that were made in one go (backtest/round_trips.py): one record each.

Everything that the loop would have logged of such a trade follows from its record: an entry that
fills whole, the two legs of its bracket, one of which may fill, and the exit at the end of its
horizon. The tables are written from it (backtest/log_columns.py), and so are the events of its
orders, where they are asked for.
"""

import math
from typing import NamedTuple

import numpy as np

from harmony_pipeline.backtest.books import Books
from harmony_pipeline.backtest.input_arrays import MarketBars
from harmony_pipeline.backtest.logs import FILLS, ORDERS, TRADES, TRIPS
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.portfolio.decisions import write_entry
from harmony_pipeline.portfolio.kernel_types import (
    BY_STOP,
    BY_VERTICAL,
    CANCEL,
    CANCELED,
    ENTRY,
    EXIT,
    FILL,
    FILLED,
    ORDER,
    ORDER_EVENT,
    REPORT,
    STOP,
    TAKE,
    Record,
    Records,
)
from harmony_pipeline.risk.limits import Verdict

ROUND_TRIP = np.dtype(
    [
        ("orders", "i8"), ("fills", "i8"), ("trades", "i8"),
        ("signal_at", "i8"), ("decided_at", "i8"), ("entry_bar", "i8"), ("exit_bar", "i8"),
        ("ended", "i8"), ("side", "i8"), ("reason", "i8"), ("model", "i8"), ("verdict", "i8"),
        ("limit", "i8"), ("wanted", "f8"), ("size", "f8"), ("quantity", "f8"), ("stop", "f8"),
        ("take", "f8"), ("entry_reference", "f8"), ("entry_price", "f8"), ("exit_reference", "f8"),
        ("exit_price", "f8"), ("entry_value", "i8"), ("entry_fee", "i8"), ("exit_fee", "i8"),
        ("slippage", "f8"), ("made", "i8"),
    ],
    align=True,
)  # fmt: skip
"""A round trip of the symbol 0. `orders`, `fills` and `trades` are the rows of those logs that come
before its own. `reason` is BY_STOP, BY_TAKE or BY_VERTICAL; the exit is known at `ended`. `size` is
what the entry bought or sold, `quantity` what was held then, both without a sign. `entry_value`,
`entry_fee`, `exit_fee` and `made` are money units; `slippage` is in the currency.
"""


class Entry(NamedTuple):
    """An entry of `size` that is filled at the open of the bar `row`; -1: it is not. `quantity` is
    what is held then, signed; `value` and `fee` are money units.
    """

    row: int
    side: int
    size: float
    quantity: float
    reference: float
    price: float
    value: int
    fee: int
    stop: float
    take: float


class Leave(NamedTuple):
    """How a position is left at the bar `row`; `reason` NO_REASON: in a way that is not known here.

    It is known at `ended`, the end of that bar, or of the bar before it where the horizon ends the
    trade. `end` is the first row that is not of the bar's session; `peak` the highest equity after
    it.
    """

    reason: int
    row: int
    end: int
    ended: int
    reference: float
    price: float
    value: int
    fee: int
    peak: int


@inlined_kernel
def log_refusal(books: Books, bar: Record, verdict: Verdict) -> None:
    """The order row of an entry that was refused."""
    ticket = books.at[ORDERS]
    write_entry(books.order_log[ticket], books.rules[0], bar, verdict, 0)
    books.order_log[ticket]["ticket"] = ticket
    books.at[ORDERS] += 1


@inlined_kernel
def log_trip(
    books: Books,
    bars: MarketBars,
    bar: Record,
    verdict: Verdict,
    entry: Entry,
    leave: Leave,
    made: int,
) -> None:
    """Record a trip that was decided at the end of `bar` and made `made` money units."""
    at, unit = books.at, books.rules[0]["multiplier"]
    trip, quantity = books.trip_log[at[TRIPS]], math.fabs(entry.quantity)
    trip["orders"], trip["fills"], trip["trades"] = at[ORDERS], at[FILLS], at[TRADES]
    trip["signal_at"], trip["decided_at"], trip["ended"] = bar["at"], bar["end"], leave.ended
    trip["entry_bar"], trip["exit_bar"] = bars.at[entry.row], bars.at[leave.row]
    trip["side"], trip["reason"], trip["model"] = entry.side, leave.reason, bar["model"]
    trip["verdict"], trip["limit"] = verdict.answer, verdict.reason
    trip["wanted"], trip["size"], trip["quantity"] = verdict.wanted, entry.size, quantity
    trip["stop"], trip["take"] = entry.stop, entry.take
    trip["entry_reference"], trip["entry_price"] = entry.reference, entry.price
    trip["exit_reference"], trip["exit_price"] = leave.reference, leave.price
    trip["entry_value"], trip["made"] = entry.value, made
    trip["entry_fee"], trip["exit_fee"] = entry.fee, leave.fee
    slippage = math.fabs(entry.price - entry.reference) * unit * entry.size
    trip["slippage"] = slippage + math.fabs(leave.price - leave.reference) * unit * quantity
    at[TRIPS] += 1


def order_rows(trips: Records, ticket: int) -> tuple[Records, Records, Records]:
    """ORDER, REPORT and ORDER_EVENT records of the trips, whose tickets are `ticket` and so on:
    what the events of orders (backtest/order_events.py) are made from, and nothing else.
    """
    exits = int(np.count_nonzero(trips["reason"] == BY_VERTICAL))
    orders = np.zeros(3 * len(trips) + exits, ORDER)
    fills = np.zeros(2 * len(trips), REPORT)
    events = np.zeros(len(trips) + exits, ORDER_EVENT)
    _write_order_rows(trips, ticket, orders, fills, events)
    return orders, fills, events


@kernel_without_allocation
def _write_order_rows(
    trips: Records, ticket: int, orders: Records, fills: Records, events: Records
) -> None:
    order = event = 0
    for number in range(len(trips)):
        trip, first = trips[number], order
        moment, known_at = trip["exit_bar"], max(trip["exit_bar"], trip["ended"])
        exit_role = STOP if trip["reason"] == BY_STOP else TAKE
        if trip["reason"] == BY_VERTICAL:
            exit_role, moment, known_at = EXIT, trip["ended"], trip["ended"]
        for role in (ENTRY, STOP, TAKE, EXIT):
            if role == EXIT and exit_role != EXIT:
                continue
            row = orders[order]
            row["role"], row["status"] = role, FILLED if role in (ENTRY, exit_role) else CANCELED
            row["quantity"] = trip["size"] if role == ENTRY else trip["quantity"]
            row["decided_at"] = trip["ended"] if role == EXIT else trip["decided_at"]
            if role == ENTRY:
                row["verdict"], row["limit"] = trip["verdict"], trip["limit"]
                row["wanted"] = trip["wanted"]
            elif role != EXIT:
                row["since"] = trip["entry_bar"]
                row["level"] = trip["stop"] if role == STOP else trip["take"]
            if row["status"] == CANCELED:
                cancel = events[event]
                cancel["ticket"], cancel["kind"] = ticket + order, CANCEL
                cancel["at"], cancel["known_at"] = moment, known_at
                event += 1
            elif role != ENTRY:
                _write_fill(fills[2 * number + 1], ticket + order, row, trip["exit_bar"])
                fills[2 * number + 1]["price"] = trip["exit_price"]
                fills[2 * number + 1]["reference"] = trip["exit_reference"]
            order += 1
        _write_fill(fills[2 * number], ticket + first, orders[first], trip["entry_bar"])
        fills[2 * number]["price"] = trip["entry_price"]
        fills[2 * number]["reference"] = trip["entry_reference"]


@inlined_kernel
def _write_fill(fill: Record, ticket: int, order: Record, at: int) -> None:
    """The only fill of an order, which is done by it."""
    fill["kind"], fill["ticket"], fill["role"], fill["at"] = FILL, ticket, order["role"], at
    fill["quantity"], fill["number"], fill["closed"] = order["quantity"], 1, 1
