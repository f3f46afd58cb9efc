"""A price-time limit order book: the front of the compiled one in order_book_kernels.py.

Prices are whole ticks and quantities whole lots; `ticks_of` and `prices_of` go between prices and
ticks. An order is known by an id, any whole number of 64 bits, which is unique among the orders
that rest. `run` carries out a batch of operations in one call and answers with values, also where
it refuses. The other methods carry out one and raise OrderBookError where it is refused. A batch
and the same operations one by one do the same. The rules are in docs/order-book.md.

>>> book = OrderBook()
>>> book.add(1, SELL, 10_001, 300).status == RESTING
True
>>> result = book.add(2, BUY, 10_002, 500)
>>> result.remaining, result.fills["price"].tolist(), book.best_bid
(200, [10001], 10002)
"""

import operator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.execution.order_book_kernels import (
    ADD,
    BASE,
    BEST_ASK,
    BEST_BID,
    BUY,
    CANCEL,
    CANCELED,
    COUNT,
    DUPLICATE_ORDER,
    EXPIRED,
    FILL,
    FILL_OR_KILL,
    FILLED,
    FILLS,
    IMMEDIATE_OR_CANCEL,
    INVALID_KIND,
    INVALID_QUANTITY,
    INVALID_SIDE,
    MARKET,
    MODIFY,
    NEEDS_ORDERS,
    PRICE_OUT_OF_RANGE,
    RESTING,
    SELL,
    UNKNOWN_ORDER,
    Operations,
    Outcomes,
    Records,
    SmallIntArray,
    run_operations,
)
from harmony_pipeline.execution.order_book_reading import (
    DEPTH,
    RestingOrder,
    read_depth,
    read_order,
    read_queue,
)
from harmony_pipeline.execution.order_book_room import (
    MOST_LEVELS,
    empty_book,
    price_range,
    with_more_orders,
    with_price,
)
from harmony_pipeline.market.steps import tick_fraction

__all__ = [
    "ADD", "BUY", "CANCEL", "CANCELED", "DUPLICATE_ORDER", "EXPIRED", "FILLED", "FILL_OR_KILL",
    "IMMEDIATE_OR_CANCEL", "INVALID_KIND", "INVALID_QUANTITY", "INVALID_SIDE", "MARKET", "MODIFY",
    "PRICE_OUT_OF_RANGE", "RESTING", "SELL", "UNKNOWN_ORDER",
    "Batch", "OrderBook", "OrderBookError", "RestingOrder", "Result",
    "operations", "prices_of", "ticks_of",
]  # fmt: skip

_SMALL = ("kind", "side")
_NO_FILLS = np.empty(0, FILL)
_OFF_GRID = 1e-6  # of a tick: what a price may have lost as a double


class OrderBookError(DataError):
    """The book refused an operation and is as it was. `status` is the reason as a number."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Batch(NamedTuple):
    """What became of each operation (order_book_kernels.Outcomes), and every fill in order.

    `fills` has the fields of order_book_kernels.FILL. The taker of a fill is the order of its
    operation.
    """

    status: SmallIntArray
    remaining: IntArray
    fills: Records

    def refused(self) -> IntArray:
        """The numbers of the operations that were refused."""
        return np.flatnonzero(self.status < 0)


class Result(NamedTuple):
    """The same of one operation."""

    status: int
    remaining: int
    fills: Records


def operations(
    kind: npt.ArrayLike,
    order_id: npt.ArrayLike,
    side: npt.ArrayLike = 0,
    price: npt.ArrayLike = 0,
    quantity: npt.ArrayLike = 0,
) -> Operations:
    """Columns of whole numbers as operations; a single number stands for a whole column.

    Columns that have the type already are not copied. Raises DataError where they are of different
    lengths or hold anything but whole numbers.
    """
    given = {
        "kind": kind, "side": side, "order_id": order_id, "price": price, "quantity": quantity,
    }  # fmt: skip
    count = np.size(kind)
    return Operations(
        *(
            _column(name, values, count, np.int8 if name in _SMALL else np.int64)
            for name, values in given.items()
        )
    )


def _column(name: str, values: npt.ArrayLike, count: int, dtype: type[Any]) -> npt.NDArray[Any]:
    """A read-only contiguous column of `count` values. One type for all: a kernel is compiled for
    each that it meets.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iub":
        fix = "; ticks_of makes ticks of prices" if name == "price" else ""
        raise DataError(f"{name} of the operations is {array.dtype}: give whole numbers{fix}")
    if array.dtype.itemsize > np.dtype(dtype).itemsize or array.dtype.kind == "u":
        info = np.iinfo(dtype)
        wrong = np.flatnonzero((array < info.min) | (array > info.max))
        if wrong.size:
            raise DataError(
                f"{name} of operation {wrong[0]} is {array.ravel()[wrong[0]]}: it does not fit"
                f" {np.dtype(dtype)}"
            )
    if array.ndim == 0:
        array = np.full(count, array, dtype)
    if array.shape != (count,):
        raise DataError(
            f"{name} has the shape {array.shape} where kind has {count} operations: give every"
            " column one value an operation"
        )
    column = np.ascontiguousarray(array, dtype).view()
    column.flags.writeable = False
    return column


def _whole(name: str, value: int) -> int:
    """`value` as an integer that fits its column."""
    try:
        number = operator.index(value)
    except TypeError:
        fix = ": ticks_of makes ticks of prices" if name == "price" else ""
        raise DataError(f"{name} {value!r} is not a whole number{fix}") from None
    bits = 8 if name in _SMALL else 64
    if not -(1 << (bits - 1)) <= number < 1 << (bits - 1):
        raise DataError(f"{name} {number} does not fit into {bits} bits: use a smaller number")
    return number


def ticks_of(prices: npt.ArrayLike, tick_size: float) -> IntArray:
    """Prices as whole numbers of ticks. Raises DataError for a price that is off the grid."""
    tick = tick_fraction(tick_size)
    given = np.atleast_1d(np.asarray(prices, np.float64))
    exact = given * tick.denominator / tick.numerator
    whole = np.rint(exact)
    wrong = np.flatnonzero(~(np.abs(exact - whole) <= _OFF_GRID) | (np.abs(whole) >= 2.0**53))
    if wrong.size:
        price = float(given[wrong[0]])
        below = np.floor(exact[wrong[0]])
        near = [float(count * tick.numerator / tick.denominator) for count in (below, below + 1)]
        raise DataError(
            f"price {price} (number {wrong[0]}) is not on the grid of tick {tick_size}: use"
            f" {near[0]} or {near[1]}, or another tick"
        )
    return whole.astype(np.int64)


def prices_of(ticks: npt.ArrayLike, tick_size: float) -> FloatArray:
    """Whole numbers of ticks as prices: the doubles nearest to the decimal numbers."""
    tick = tick_fraction(tick_size)
    return np.atleast_1d(np.asarray(ticks, np.int64)) * tick.numerator / tick.denominator


class OrderBook:
    """One instrument's book. It grows by itself; nothing in it depends on the order ids' sizes."""

    def __init__(self) -> None:
        self._book = empty_book()
        self._fills = np.empty(64, FILL)
        # the columns of one operation: written here, seen read-only by the kernel
        self._one = [
            np.zeros(1, np.int8 if name in _SMALL else np.int64) for name in Operations._fields
        ]
        self._one_operation = operations(**dict(zip(Operations._fields, self._one, strict=True)))
        self._outcome = Outcomes(np.zeros(1, np.int8), np.zeros(1, np.int64))

    # --- operations -------------------------------------------------------------------------------

    def run(self, batch: Operations) -> Batch:
        """Carry out a batch in order. What is refused is a negative status; the rest goes on."""
        count = batch.kind.size
        outcomes = Outcomes(np.empty(count, np.int8), np.empty(count, np.int64))
        fills = np.empty(len(self) + count, FILL)
        written = self._run(batch, outcomes, fills)
        return Batch(outcomes.status, outcomes.remaining, fills[:written])

    def add(self, order_id: int, side: int, price: int, quantity: int) -> Result:
        """A limit order: match what crosses, and let the rest rest."""
        return self._run_one(ADD, order_id, side, price, quantity)

    def modify(self, order_id: int, price: int, quantity: int) -> Result:
        """Give a resting order this price and this open quantity. It keeps its place in the queue
        if the price is the same and the quantity not larger.
        """
        return self._run_one(MODIFY, order_id, 0, price, quantity)

    def cancel(self, order_id: int) -> Result:
        """Take a resting order out; `remaining` is what it had open."""
        return self._run_one(CANCEL, order_id, 0, 0, 0)

    def market(self, order_id: int, side: int, quantity: int) -> Result:
        """Match at any price; what finds nobody expires."""
        return self._run_one(MARKET, order_id, side, 0, quantity)

    def immediate_or_cancel(self, order_id: int, side: int, price: int, quantity: int) -> Result:
        """Match at `price` or better; the rest expires."""
        return self._run_one(IMMEDIATE_OR_CANCEL, order_id, side, price, quantity)

    def fill_or_kill(self, order_id: int, side: int, price: int, quantity: int) -> Result:
        """Match all of it at `price` or better, or nothing."""
        return self._run_one(FILL_OR_KILL, order_id, side, price, quantity)

    # --- reading ----------------------------------------------------------------------------------

    def __len__(self) -> int:
        """The number of resting orders."""
        return int(self._book.top[COUNT])

    def __contains__(self, order_id: int) -> bool:
        return self.order(order_id) is not None

    @property
    def best_bid(self) -> int | None:
        """The highest price that is bid."""
        position = int(self._book.top[BEST_BID])
        return None if position < 0 else int(self._book.top[BASE]) + position

    @property
    def best_ask(self) -> int | None:
        """The lowest price that is asked."""
        position = int(self._book.top[BEST_ASK])
        return None if position == self._book.levels.size else int(self._book.top[BASE]) + position

    def order(self, order_id: int) -> RestingOrder | None:
        """A resting order and what is ahead of it, None where it does not rest."""
        found = RestingOrder(*read_order(self._book, _whole("order_id", order_id)))
        return found if found.side else None

    def depth(self, side: int, levels: int = 10) -> Records:
        """The best `levels` prices of a side, best first: price, quantity, number of orders."""
        found = np.empty(levels, DEPTH)
        return found[: read_depth(self._book, side, found)]

    def queue(self, price: int) -> IntArray:
        """The ids of the orders at a price, in the order in which they will be matched."""
        found = np.empty(len(self), np.int64)
        return found[: read_queue(self._book, _whole("price", price), found)].copy()

    # --- machinery --------------------------------------------------------------------------------

    def _run_one(self, kind: int, order_id: int, side: int, price: int, quantity: int) -> Result:
        given = (kind, side, order_id, price, quantity)
        try:
            for column, value in zip(self._one, given, strict=True):
                column[0] = operator.index(value)
        except (TypeError, OverflowError):
            for name, value in zip(Operations._fields, given, strict=True):
                _whole(name, value)  # raises with the name and the fix
            raise
        if self._fills.size <= len(self):
            self._fills = np.empty(2 * len(self) + 64, FILL)
        written = self._run(self._one_operation, self._outcome, self._fills)
        status = int(self._outcome.status[0])
        if status < 0:
            raise OrderBookError(status, self._reason(status, order_id, side, price, quantity))
        fills = self._fills[:written].copy() if written else _NO_FILLS
        return Result(status, int(self._outcome.remaining[0]), fills)

    def _reason(self, status: int, order_id: int, side: int, price: int, quantity: int) -> str:
        """Why one operation was refused, and the fix."""
        if status == PRICE_OUT_OF_RANGE:
            lowest, highest = price_range(self._book) or (price, price)
            return (
                f"price {price} of order {order_id}: a book spans at most {MOST_LEVELS:,} ticks,"
                f" and its orders rest from {lowest} to {highest}; check the price, or count in a"
                " larger tick"
            )
        return {
            UNKNOWN_ORDER: f"order {order_id} does not rest in the book: it was filled, canceled or"
            " never added; add it first",
            DUPLICATE_ORDER: f"order {order_id} rests in the book already: modify it, or give the"
            " new order another id",
            INVALID_QUANTITY: f"quantity {quantity} of order {order_id}: use 1 to 2**62, also for"
            " all orders at one price together; cancel takes an order out",
            INVALID_SIDE: f"side {side} of order {order_id}: use BUY (1) or SELL (-1)",
        }[status]

    def _run(self, batch: Operations, outcomes: Outcomes, fills: Records) -> int:
        """Carry out a batch, making room where it stops, and return the number of fills."""
        self._book.top[FILLS] = 0
        number, needs = run_operations(self._book, batch, outcomes, fills, 0)
        while needs:
            if needs == NEEDS_ORDERS:
                self._book = with_more_orders(self._book)
            else:
                wider = with_price(self._book, int(batch.price[number]))
                if wider is None:
                    outcomes.status[number], outcomes.remaining[number] = PRICE_OUT_OF_RANGE, 0
                    number += 1
                else:
                    self._book = wider
            number, needs = run_operations(self._book, batch, outcomes, fills, number)
        return int(self._book.top[FILLS])
