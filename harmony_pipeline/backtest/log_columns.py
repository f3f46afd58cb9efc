"""The logs of a run as columns, in the order of the tables: the rows of the loop, and those of the
round trips that were made in one go (backtest/round_trip_log.py).

Each kernel passes once over its log and writes every column. Of a run on one symbol, which alone
has such trips, all that was logged before a trip was also decided, filled and entered before it; so
a trip's rows stand where it says how many rows of the log come first.
"""

import math
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
from harmony_pipeline.kernel import inlined_kernel, kernel, kernel_without_allocation
from harmony_pipeline.lent_memory import ArrayRoom
from harmony_pipeline.portfolio.kernel_types import (
    AT_CLOSE,
    BY_SIGNAL,
    BY_STOP,
    BY_TAKE,
    BY_VERTICAL,
    CANCELED,
    ENTRY,
    EXIT,
    FILLED,
    MONEY,
    ROLES,
    STOP,
    TAKE,
    Record,
    Records,
)

Codes = NDArray[np.int8]
Numbers = NDArray[np.int32]


class OrderColumns(NamedTuple):
    """Of each order. `symbol`, `entry_symbol` and `model` number names, `role` to `limit` those of
    portfolio/kernel_types.py; `buys` is 0 or 1; `force` is an index of TIMES_IN_FORCE.
    """

    symbol: Numbers
    entry_symbol: Numbers
    model: Numbers
    role: Codes
    buys: Codes
    status: Codes
    reason: Codes
    verdict: Codes
    limit: Codes
    force: Codes
    decided_at: IntArray
    signal_at: IntArray
    entry_at: IntArray
    quantity: FloatArray
    level: FloatArray
    wanted: FloatArray


class FillColumns(NamedTuple):
    """Of each fill; `fee` is in the currency."""

    symbol: Numbers
    role: Codes
    buys: Codes
    maker: Codes
    at: IntArray
    decided_at: IntArray
    number: IntArray
    quantity: FloatArray
    price: FloatArray
    reference: FloatArray
    slippage: FloatArray
    fee: FloatArray


class TradeColumns(NamedTuple):
    """Of each round trip; what is not known of one that is not `closed` is anything, but its
    `reason` is -1. Money is in the currency.
    """

    symbol: Numbers
    entry_symbol: Numbers
    model: Numbers
    is_long: Codes
    reason: Codes
    closed: BoolArray
    entry_at: IntArray
    entry_bar: IntArray
    exit_bar: IntArray
    quantity: FloatArray
    entry_price: FloatArray
    exit_price: FloatArray
    fees: FloatArray
    slippage: FloatArray
    pnl: FloatArray
    part: FloatArray
    """pnl / entry value"""


Columns = TypeVar("Columns", OrderColumns, FillColumns, TradeColumns)
_TYPES = {
    Numbers: np.int32, Codes: np.int8, BoolArray: np.bool_, IntArray: np.int64,
    FloatArray: np.float64,
}  # fmt: skip


def count_of_orders(orders: int, trips: Records) -> int:
    """The orders of so many rows of the log and of `trips`."""
    return orders + 3 * len(trips) + int(np.count_nonzero(trips["reason"] == BY_VERTICAL))


def order_columns(rows: int, room: ArrayRoom) -> OrderColumns:
    """Columns that are not written yet."""
    return _empty(OrderColumns, rows, room)


def write_order_columns(
    log: Records,
    orders: int,
    trips: Records,
    first: int,
    symbols: int,
    columns: OrderColumns,
    place: int,
) -> int:
    """Write the rows of the log from `orders` on, and of the trips from `first` on, from the row
    `place` on by (symbol, decision, role). Returns the row after them. Trips are of the symbol 0.
    """
    new = log[orders:]
    rows = _rows_by_symbol(new["symbol"], new["decided_at"], new["role"], symbols)
    return _write_orders(new, rows, orders, trips, first, columns, place)


def fill_columns(log: Records, trips: Records, symbols: int, room: ArrayRoom) -> FillColumns:
    """By (symbol, bar, decision, role): an order is filled once at most in one bar."""
    decided = log["decided_at"] * ROLES + log["role"]
    rows = _rows_by_symbol(log["symbol"], log["at"], decided, symbols)
    columns = _empty(FillColumns, len(log) + 2 * len(trips), room)
    _write_fills(log, rows, trips, columns)
    return columns


def trade_columns(
    log: Records, trips: Records, still_open: Records, symbols: int, room: ArrayRoom
) -> TradeColumns:
    """By (symbol, entry bar, decision)."""
    both = joined(log, still_open)
    rows = _rows_by_symbol(both["symbol"], both["entry_bar"], both["entry_at"], symbols)
    columns = _empty(TradeColumns, len(both) + len(trips), room)
    _write_trades(both, rows, len(log), trips, columns)
    return columns


def joined(log: Records, more: Records) -> Records:
    """The rows of both. They are copied as bytes: NumPy copies records field by field."""
    both: Records = np.concatenate([log.view(np.uint8), more.view(np.uint8)]).view(log.dtype)
    return both


def _empty(kind: type[Columns], rows: int, room: ArrayRoom) -> Columns:
    fields: Any = kind.__annotations__
    made: Any = kind
    found: Columns = made(*(room.empty(rows, _TYPES[of]) for of in fields.values()))
    return found


@kernel
def _rows_by_symbol(symbol: IntArray, first: IntArray, second: IntArray, symbols: int) -> IntArray:
    """Rows in order of (symbol, first, second), where `first` and `second` mostly rise already."""
    place = np.zeros(symbols + 1, np.int64)
    for row in range(len(symbol)):
        place[symbol[row] + 1] += 1
    for number in range(symbols):
        place[number + 1] += place[number]
    begin = place.copy()
    found = np.empty(len(symbol), np.int64)
    for row in range(len(symbol)):
        k = place[symbol[row]]
        place[symbol[row]] = k + 1
        while k > begin[symbol[row]]:
            before = found[k - 1]
            if first[before] < first[row]:
                break
            if first[before] == first[row] and second[before] <= second[row]:
                break
            found[k] = before
            k -= 1
        found[k] = row
    return found


# --- orders ---------------------------------------------------------------------------------------


@kernel_without_allocation
def _write_orders(
    log: Records,
    rows: IntArray,
    before: int,
    trips: Records,
    trip: int,
    columns: OrderColumns,
    place: int,
) -> int:
    """`before` rows of the log come before those of `log`, and the rows of `trip` trips."""
    for number in range(len(rows) + 1):
        while trip < len(trips) and trips[trip]["orders"] == before + number:
            place = _write_orders_of_trip(trips[trip], columns, place)
            trip += 1
        if number < len(rows):
            order = log[rows[number]]
            _write_order(
                columns, place, order["role"], order["side"], order["status"], order["reason"],
                order["decided_at"], order["quantity"], order["level"],
            )  # fmt: skip
            columns.symbol[place], columns.model[place] = order["symbol"], order["model"]
            columns.signal_at[place] = order["signal_at"]
            columns.entry_symbol[place] = order["entry_symbol"]
            columns.entry_at[place] = order["entry_at"]
            columns.verdict[place], columns.limit[place] = order["verdict"], order["limit"]
            columns.wanted[place] = order["wanted"]
            if order["at_close"] == 1 and order["role"] == ENTRY:
                columns.force[place] = AT_CLOSE
            place += 1
    return place


@inlined_kernel
def _write_orders_of_trip(trip: Record, columns: OrderColumns, place: int) -> int:
    """The entry, its legs and the exit from `place` on; where the next order's place is."""
    reason, side, decided_at = trip["reason"], trip["side"], trip["decided_at"]
    quantity, count = trip["quantity"], 4 if reason == BY_VERTICAL else 3
    stopped = FILLED if reason == BY_STOP else CANCELED
    taken = FILLED if reason == BY_TAKE else CANCELED
    _write_order(
        columns, place, ENTRY, side, FILLED, BY_SIGNAL, decided_at, trip["size"], 0.0
    )  # fmt: skip
    _write_order(
        columns, place + 1, STOP, -side, stopped, BY_STOP, decided_at, quantity, trip["stop"]
    )
    _write_order(
        columns, place + 2, TAKE, -side, taken, BY_TAKE, decided_at, quantity, trip["take"]
    )
    if count == 4:
        _write_order(
            columns, place + 3, EXIT, -side, FILLED, BY_VERTICAL, trip["ended"], quantity, 0.0
        )
    for row in range(place, place + count):
        columns.symbol[row] = columns.entry_symbol[row] = 0
        columns.model[row], columns.signal_at[row] = trip["model"], trip["signal_at"]
        columns.entry_at[row] = decided_at
        columns.verdict[row] = columns.limit[row] = 0
        columns.wanted[row] = 0.0
    columns.verdict[place], columns.limit[place] = trip["verdict"], trip["limit"]
    columns.wanted[place] = trip["wanted"]
    return place + count


@inlined_kernel
def _write_order(
    columns: OrderColumns,
    row: int,
    role: int,
    side: int,
    status: int,
    reason: int,
    decided_at: int,
    quantity: float,
    level: float,
) -> None:
    columns.role[row], columns.force[row], columns.buys[row] = role, role, side > 0
    columns.status[row], columns.reason[row] = status, reason
    columns.decided_at[row] = decided_at
    columns.quantity[row], columns.level[row] = quantity, level


# --- fills ----------------------------------------------------------------------------------------


@kernel_without_allocation
def _write_fills(log: Records, rows: IntArray, trips: Records, columns: FillColumns) -> None:
    place = trip = 0
    for number in range(len(rows) + 1):
        while trip < len(trips) and trips[trip]["fills"] == number:
            _write_fills_of_trip(trips[trip], columns, place)
            place, trip = place + 2, trip + 1
        if number < len(rows):
            fill = log[rows[number]]
            _write_fill(
                columns, place, fill["role"], fill["side"], fill["at"], fill["decided_at"],
                fill["quantity"], fill["price"], fill["reference"], fill["fee"],
            )  # fmt: skip
            columns.symbol[place], columns.number[place] = fill["symbol"], fill["number"]
            columns.maker[place], columns.slippage[place] = fill["maker"], fill["slippage"]
            place += 1


@inlined_kernel
def _write_fills_of_trip(trip: Record, columns: FillColumns, place: int) -> None:
    """The fills of the entry and of what ended the trade, at `place` and after it."""
    role, decided_at = EXIT, trip["ended"]
    if trip["reason"] != BY_VERTICAL:
        role, decided_at = STOP if trip["reason"] == BY_STOP else TAKE, trip["decided_at"]
    _write_fill(
        columns, place, ENTRY, trip["side"], trip["entry_bar"], trip["decided_at"],
        trip["size"], trip["entry_price"], trip["entry_reference"], trip["entry_fee"],
    )  # fmt: skip
    _write_fill(
        columns, place + 1, role, -trip["side"], trip["exit_bar"], decided_at,
        trip["quantity"], trip["exit_price"], trip["exit_reference"], trip["exit_fee"],
    )  # fmt: skip
    for row in range(place, place + 2):
        columns.symbol[row], columns.number[row] = 0, 1
        columns.slippage[row] = math.fabs(columns.price[row] - columns.reference[row])
    columns.maker[place], columns.maker[place + 1] = 0, role == TAKE


@inlined_kernel
def _write_fill(
    columns: FillColumns,
    row: int,
    role: int,
    side: int,
    at: int,
    decided_at: int,
    quantity: float,
    price: float,
    reference: float,
    fee: int,
) -> None:
    columns.role[row], columns.buys[row] = role, side > 0
    columns.at[row], columns.decided_at[row] = at, decided_at
    columns.quantity[row], columns.price[row] = quantity, price
    columns.reference[row], columns.fee[row] = reference, fee / MONEY


# --- trades ---------------------------------------------------------------------------------------


@kernel_without_allocation
def _write_trades(
    log: Records, rows: IntArray, closed: int, trips: Records, columns: TradeColumns
) -> None:
    """The first `closed` rows of the log have ended."""
    place = trip = 0
    for number in range(len(rows) + 1):
        while trip < len(trips) and trips[trip]["trades"] == number:
            _write_trade_of_trip(trips[trip], columns, place)
            place, trip = place + 1, trip + 1
        if number < len(rows):
            trade, has_ended = log[rows[number]], rows[number] < closed
            columns.symbol[place], columns.model[place] = trade["symbol"], trade["model"]
            columns.entry_symbol[place] = trade["entry_symbol"]
            columns.is_long[place], columns.closed[place] = trade["side"] > 0, has_ended
            columns.reason[place] = trade["exit_reason"] if has_ended else -1
            columns.entry_at[place], columns.entry_bar[place] = (
                trade["entry_at"],
                trade["entry_bar"],
            )
            columns.exit_bar[place], columns.quantity[place] = trade["exit_bar"], trade["quantity"]
            columns.entry_price[place] = trade["entry_price"]
            columns.exit_price[place] = trade["exit_price"]
            columns.slippage[place], columns.fees[place] = trade["slippage"], trade["fees"] / MONEY
            _write_outcome(columns, place, trade["pnl"], trade["entry_value"])
            place += 1


@inlined_kernel
def _write_trade_of_trip(trip: Record, columns: TradeColumns, place: int) -> None:
    columns.symbol[place], columns.model[place] = 0, trip["model"]
    columns.entry_symbol[place] = 0
    columns.is_long[place], columns.closed[place] = trip["side"] > 0, True
    columns.reason[place] = trip["reason"]
    columns.entry_at[place], columns.entry_bar[place] = trip["decided_at"], trip["entry_bar"]
    columns.exit_bar[place], columns.quantity[place] = trip["exit_bar"], trip["size"]
    columns.entry_price[place], columns.exit_price[place] = trip["entry_price"], trip["exit_price"]
    columns.slippage[place] = trip["slippage"]
    columns.fees[place] = (trip["entry_fee"] + trip["exit_fee"]) / MONEY
    _write_outcome(columns, place, trip["made"], trip["entry_value"])


@inlined_kernel
def _write_outcome(columns: TradeColumns, row: int, pnl: int, entry_value: int) -> None:
    columns.pnl[row], columns.part[row] = pnl / MONEY, pnl / max(entry_value, 1)
