"""A price-time limit order book over arrays: add, modify, cancel and match, a batch in one call.

The rules are those of docs/order-book.md. Prices are whole ticks, quantities whole lots, both
int64. A price is a position on a row of levels, `price - base`. A level is the first and last order
of a queue that is linked through the order records, and the sum of what they have open. A bitmap
finds the next level that has orders (level_bitmap.py), so a new level costs O(log n) and the best
prices, kept in `top`, cost O(1). Since the book is never crossed, bids lie below asks and both
share one row and one bitmap. Orders are found by id in chains of hash buckets, so a cancel costs
O(1).

Indices are unsigned where they can be: for others numba tests whether they count from the end.
Nothing here allocates. A price outside the row, or an order where all records are in use, stops the
batch before that operation; order_book.py makes room and continues there.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.execution.level_bitmap import (
    LevelBitmap,
    clear_level,
    next_above,
    next_below,
    set_level,
)
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation

SmallIntArray = npt.NDArray[np.int8]
SlotArray = npt.NDArray[np.uint32]
Records = npt.NDArray[np.void]
Record = Any  # one element: a view that kernels read and write by field name

BUY, SELL = 1, -1
# what is asked
ADD, MODIFY, CANCEL, MARKET, IMMEDIATE_OR_CANCEL, FILL_OR_KILL = range(6)
# what became of it; below zero: refused, the book is as it was
RESTING, FILLED, EXPIRED, CANCELED = 1, 2, 3, 4
UNKNOWN_ORDER, DUPLICATE_ORDER, INVALID_QUANTITY, INVALID_SIDE, INVALID_KIND = -1, -2, -3, -4, -5
PRICE_OUT_OF_RANGE = -6
NEEDS_LEVELS, NEEDS_ORDERS = 101, 102  # never seen outside: order_book.py makes room

MAX_QUANTITY = 1 << 62  # of one order, and of all orders at one price

LEVEL = np.dtype([("quantity", "i8"), ("first", "u4"), ("last", "u4")])
ORDER = np.dtype(
    [("id", "i8"), ("quantity", "i8"), ("position", "u4"),
     ("previous", "u4"), ("next", "u4"), ("chain", "u4")]
)  # fmt: skip
FILL = np.dtype(
    [("operation", "i8"), ("maker_id", "i8"), ("price", "i8"),
     ("quantity", "i8"), ("maker_remaining", "i8")]
)  # fmt: skip
"""One execution: the operation that took, the resting order that it met, at whose price, and what
that order has open after it.
"""

# `top`: positions of the best prices (-1 and the number of levels where there is none), the price
# of position 0, the first free order record that was used before (0: none), the first that never
# was, how many orders rest, how many fills were written, and the shift of the hash.
BEST_BID, BEST_ASK, BASE, FREE, UNUSED, COUNT, FILLS, SHIFT = range(8)
TOP_SIZE = 8


class BookArrays(NamedTuple):
    """The whole book. Order records are numbered from 1; 0 is no order."""

    top: IntArray
    levels: Records
    orders: Records
    buckets: SlotArray
    bitmap: LevelBitmap


class Operations(NamedTuple):
    """What is asked, a row an operation, carried out in order. Prices in ticks.

    A market order has no price, a modification no side, a cancel neither nor a quantity: what
    stands there is not read.
    """

    kind: SmallIntArray
    side: SmallIntArray
    order_id: IntArray
    price: IntArray
    quantity: IntArray


class Outcomes(NamedTuple):
    """What became of each operation, and a quantity.

    RESTING: what the order has open. FILLED: 0. EXPIRED: what was not filled. CANCELED: what the
    order had open. Refused: 0.
    """

    status: SmallIntArray
    remaining: IntArray


@kernel_without_allocation
def run_operations(
    book: BookArrays, operations: Operations, outcomes: Outcomes, fills: Records, start: int
) -> tuple[int, int]:
    """Carry out the operations from `start` on.

    Returns (the number of operations, 0) at the end, or (operation, NEEDS_LEVELS or NEEDS_ORDERS)
    where it stopped before one that has no room. `fills` has room for as many as there are resting
    orders and operations together: each fill ends a resting order or an operation.
    """
    for number in range(start, operations.kind.size):
        row = np.uint64(number)
        kind = operations.kind[row]
        order_id = operations.order_id[row]
        if kind == CANCEL:
            status, remaining = _cancel(book, order_id)
        elif kind == MODIFY:
            status, remaining = _modify(
                book, fills, number, order_id, operations.price[row], operations.quantity[row]
            )
        else:
            status, remaining = _enter(book, operations, fills, number, kind, order_id)
        if status >= NEEDS_LEVELS:
            return number, status
        outcomes.status[row] = status
        outcomes.remaining[row] = remaining
    return operations.kind.size, 0


@inlined_kernel
def _enter(
    book: BookArrays,
    operations: Operations,
    fills: Records,
    number: int,
    kind: int,
    order_id: int,
) -> tuple[int, int]:
    """A new order: check it, match it, and let the rest of a limit order rest."""
    row = np.uint64(number)
    side, quantity = operations.side[row], operations.quantity[row]
    if kind < ADD or kind > FILL_OR_KILL:
        return INVALID_KIND, 0
    if side not in (BUY, SELL):
        return INVALID_SIDE, 0
    if quantity <= 0 or quantity > MAX_QUANTITY:
        return INVALID_QUANTITY, 0
    if find_order(book, order_id) != 0:
        return DUPLICATE_ORDER, 0
    if kind == ADD:
        status, limit = _place(book, operations.price[row], quantity)
        if status != 0:
            return status, 0
        if book.top[FREE] == 0 and book.top[UNUSED] == book.orders.size:
            return NEEDS_ORDERS, 0
    elif kind == MARKET:
        limit = book.levels.size - 1 if side == BUY else 0
    else:
        limit = _clamped(book, operations.price[row])
        if kind == FILL_OR_KILL and not _can_fill(book, side, limit, quantity):
            return EXPIRED, quantity
    quantity = _take(book, fills, number, side, limit, quantity)
    if quantity == 0:
        return FILLED, 0
    if kind != ADD:
        return EXPIRED, quantity
    _append(book, _new_record(book, order_id), limit, quantity, side)
    return RESTING, quantity


@inlined_kernel
def _modify(
    book: BookArrays, fills: Records, number: int, order_id: int, price: int, quantity: int
) -> tuple[int, int]:
    """Give a resting order another price or open quantity.

    Less at the same price keeps its place. More, or another price, goes to the back of the queue;
    another price may match.
    """
    slot = find_order(book, order_id)
    if slot == 0:
        return UNKNOWN_ORDER, 0
    if quantity <= 0 or quantity > MAX_QUANTITY:
        return INVALID_QUANTITY, 0
    order = book.orders[slot]
    position = order["position"]
    if price - book.top[BASE] == position and quantity <= order["quantity"]:
        _level(book, position)["quantity"] -= order["quantity"] - quantity
        order["quantity"] = quantity
        return RESTING, quantity
    status, limit = _place(book, price, quantity)
    if status != 0:
        return status, 0
    side = BUY if position <= book.top[BEST_BID] else SELL
    _unlink(book, slot)
    if limit != position:
        quantity = _take(book, fills, number, side, limit, quantity)
        if quantity == 0:
            _free_record(book, slot)
            return FILLED, 0
    _append(book, slot, limit, quantity, side)
    return RESTING, quantity


@inlined_kernel
def _cancel(book: BookArrays, order_id: int) -> tuple[int, int]:
    """Take a resting order out."""
    slot = find_order(book, order_id)
    if slot == 0:
        return UNKNOWN_ORDER, 0
    quantity = book.orders[slot]["quantity"]
    _unlink(book, slot)
    _free_record(book, slot)
    return CANCELED, quantity


@inlined_kernel
def _level(book: BookArrays, position: int) -> Record:
    return book.levels[np.uint64(position)]


@inlined_kernel
def _place(book: BookArrays, price: int, quantity: int) -> tuple[int, int]:
    """(0, the position of a price at which `quantity` may rest), or (why not, 0)."""
    position = price - book.top[BASE]
    if position < 0 or position >= book.levels.size:
        return NEEDS_LEVELS, 0
    if _level(book, position)["quantity"] > MAX_QUANTITY - quantity:
        return INVALID_QUANTITY, 0
    return 0, position


@inlined_kernel
def _clamped(book: BookArrays, price: int) -> int:
    """The position of the limit of an order that never rests: one beside the row where it lies
    outside, which meets all orders or none.
    """
    base = book.top[BASE]
    if price < base:
        return -1
    if price >= base + book.levels.size:
        return book.levels.size
    return int(price - base)


@inlined_kernel
def _take(
    book: BookArrays, fills: Records, number: int, side: int, limit: int, quantity: int
) -> int:
    """Match an incoming order against the other side, best price first, first come first served.

    Writes the fills and returns what is left of `quantity`. `limit` is a position.
    """
    best = BEST_ASK if side == BUY else BEST_BID
    while quantity > 0:
        position = book.top[best]
        if position < 0 or position >= book.levels.size or side * position > side * limit:
            break
        quantity = _take_level(book, fills, number, position, quantity)
    return quantity


@inlined_kernel
def _take_level(book: BookArrays, fills: Records, number: int, position: int, quantity: int) -> int:
    """Match against the queue of one level, and return what is left of `quantity`."""
    level = _level(book, position)
    price = book.top[BASE] + position
    count = book.top[FILLS]
    slot = level["first"]
    wanted = quantity
    while quantity > 0 and slot != 0:
        order = book.orders[slot]
        traded = min(quantity, order["quantity"])
        quantity -= traded
        remaining = order["quantity"] - traded
        fill = fills[np.uint64(count)]
        count += 1
        fill["operation"] = number
        fill["maker_id"] = order["id"]
        fill["price"] = price
        fill["quantity"] = traded
        fill["maker_remaining"] = remaining
        if remaining == 0:
            following = order["next"]
            _free_record(book, slot)
            slot = following
        else:
            order["quantity"] = remaining
    book.top[FILLS] = count
    level["quantity"] -= wanted - quantity
    level["first"] = slot
    if slot == 0:
        level["last"] = 0
        _end_level(book, position)
    else:
        book.orders[slot]["previous"] = 0
    return quantity


@inlined_kernel
def _can_fill(book: BookArrays, side: int, limit: int, quantity: int) -> bool:
    """Whether the other side has `quantity` at `limit` or better."""
    size = book.levels.size
    position = book.top[BEST_ASK] if side == BUY else book.top[BEST_BID]
    while 0 <= position < size and side * position <= side * limit:
        quantity -= _level(book, position)["quantity"]
        if quantity <= 0:
            return True
        if side == BUY:
            position = next_above(book.bitmap, position, size)
        else:
            position = next_below(book.bitmap, position, -1)
    return False


@inlined_kernel
def _append(book: BookArrays, slot: int, position: int, quantity: int, side: int) -> None:
    """Put an order record at the back of the queue of a level."""
    level, order = _level(book, position), book.orders[slot]
    last = level["last"]
    order["quantity"] = quantity
    order["position"] = position
    order["next"] = 0
    order["previous"] = last
    level["quantity"] += quantity
    level["last"] = slot
    if last != 0:
        book.orders[last]["next"] = slot
        return
    level["first"] = slot
    set_level(book.bitmap, position)
    if side == BUY:
        book.top[BEST_BID] = max(book.top[BEST_BID], position)
    else:
        book.top[BEST_ASK] = min(book.top[BEST_ASK], position)


@inlined_kernel
def _unlink(book: BookArrays, slot: int) -> None:
    """Take an order record out of its queue."""
    order = book.orders[slot]
    level = _level(book, order["position"])
    before, after = order["previous"], order["next"]
    level["quantity"] -= order["quantity"]
    if before != 0:
        book.orders[before]["next"] = after
    else:
        level["first"] = after
    if after != 0:
        book.orders[after]["previous"] = before
    else:
        level["last"] = before
    if before == 0 and after == 0:
        _end_level(book, order["position"])


@inlined_kernel
def _end_level(book: BookArrays, position: int) -> None:
    """The last order of a level has gone: the next level may be the best one."""
    clear_level(book.bitmap, position)
    if position == book.top[BEST_BID]:
        book.top[BEST_BID] = next_below(book.bitmap, position, -1)
    elif position == book.top[BEST_ASK]:
        book.top[BEST_ASK] = next_above(book.bitmap, position, book.levels.size)


@inlined_kernel
def _bucket(book: BookArrays, order_id: int) -> int:
    """Multiplicative hash by the golden ratio (Knuth, TAOCP 3, 6.4) of all but the last four bits.

    Those choose among 16 neighbours, so ids that follow each other share a cache line.
    """
    mixed = np.uint64(order_id >> 4) * np.uint64(0x9E3779B97F4A7C15)
    return int((mixed >> np.uint64(book.top[SHIFT])) ^ np.uint64(order_id & 15))


@inlined_kernel
def find_order(book: BookArrays, order_id: int) -> int:
    """The record of a resting order, 0 where there is none."""
    slot = book.buckets[_bucket(book, order_id)]
    while slot != 0 and book.orders[slot]["id"] != order_id:
        slot = book.orders[slot]["chain"]
    return int(slot)


@inlined_kernel
def _new_record(book: BookArrays, order_id: int) -> int:
    """Take a free record, the one that was used last, and file it under its id."""
    slot = book.top[FREE]
    if slot != 0:
        book.top[FREE] = book.orders[slot]["next"]
    else:
        slot = book.top[UNUSED]
        book.top[UNUSED] = slot + 1
    book.top[COUNT] += 1
    book.orders[slot]["id"] = order_id
    file_record(book, slot)
    return int(slot)


@inlined_kernel
def file_record(book: BookArrays, slot: int) -> None:
    """Put a record into the bucket of its id."""
    bucket = _bucket(book, book.orders[slot]["id"])
    book.orders[slot]["chain"] = book.buckets[bucket]
    book.buckets[bucket] = slot


@inlined_kernel
def _free_record(book: BookArrays, slot: int) -> None:
    """Forget an order that is in no queue any more."""
    bucket = _bucket(book, book.orders[slot]["id"])
    following = book.orders[slot]["chain"]
    at = book.buckets[bucket]
    if at == slot:
        book.buckets[bucket] = following
    else:
        while book.orders[at]["chain"] != slot:
            at = book.orders[at]["chain"]
        book.orders[at]["chain"] = following
    book.orders[slot]["next"] = book.top[FREE]
    book.top[FREE] = slot
    book.top[COUNT] -= 1
