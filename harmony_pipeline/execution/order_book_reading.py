"""What stands in an order book: one order and its place, the depth of a side, the queue of a
price.
"""

from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.execution.level_bitmap import next_above, next_below
from harmony_pipeline.execution.order_book_kernels import (
    BASE,
    BEST_ASK,
    BEST_BID,
    BUY,
    SELL,
    BookArrays,
    Records,
    find_order,
)
from harmony_pipeline.kernel import kernel_without_allocation

DEPTH = np.dtype([("price", "i8"), ("quantity", "i8"), ("orders", "i8")])


class RestingOrder(NamedTuple):
    """An order in the book: `quantity` is what it has open, `ahead` what is matched before it at
    its price.
    """

    side: int
    price: int
    quantity: int
    ahead: int


@kernel_without_allocation
def read_order(book: BookArrays, order_id: int) -> tuple[int, int, int, int]:
    """The fields of RestingOrder; side 0 where no order of that id rests."""
    slot = find_order(book, order_id)
    if slot == 0:
        return 0, 0, 0, 0
    order = book.orders[slot]
    side = BUY if order["position"] <= book.top[BEST_BID] else SELL
    ahead = 0
    before = order["previous"]
    while before != 0:
        ahead += book.orders[before]["quantity"]
        before = book.orders[before]["previous"]
    return side, book.top[BASE] + order["position"], order["quantity"], ahead


@kernel_without_allocation
def read_depth(book: BookArrays, side: int, found: Records) -> int:
    """Write the best prices of a side as DEPTH records, best first, and return how many."""
    size = book.levels.size
    position = book.top[BEST_BID] if side == BUY else book.top[BEST_ASK]
    count = 0
    while count < found.size and 0 <= position < size:
        orders = 0
        slot = book.levels[position]["first"]
        while slot != 0:
            orders += 1
            slot = book.orders[slot]["next"]
        found[count]["price"] = book.top[BASE] + position
        found[count]["quantity"] = book.levels[position]["quantity"]
        found[count]["orders"] = orders
        count += 1
        if side == BUY:
            position = next_below(book.bitmap, position, -1)
        else:
            position = next_above(book.bitmap, position, size)
    return count


@kernel_without_allocation
def read_queue(book: BookArrays, price: int, found: IntArray) -> int:
    """Write the ids of the orders at a price, first come first, and return how many."""
    position = price - book.top[BASE]
    if position < 0 or position >= book.levels.size:
        return 0
    count = 0
    slot = book.levels[position]["first"]
    while slot != 0:
        found[count] = book.orders[slot]["id"]
        count += 1
        slot = book.orders[slot]["next"]
    return count
