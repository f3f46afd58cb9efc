"""The arrays of an order book, made and made larger: levels where prices leave the row, records
where all are in use.

A row of levels is made twice as long as the stretch of prices that rest, and that stretch is put
into its middle, so a market that drifts moves the row rarely. Zeroed memory costs nothing
until a level is used, so a row over a wide stretch is cheap.
"""

import numpy as np

from harmony_pipeline.execution.level_bitmap import LevelBitmap, next_above, set_level
from harmony_pipeline.execution.order_book_kernels import (
    BASE,
    BEST_ASK,
    BEST_BID,
    COUNT,
    LEVEL,
    ORDER,
    SHIFT,
    TOP_SIZE,
    UNUSED,
    BookArrays,
    file_record,
)
from harmony_pipeline.kernel import kernel_without_allocation

FEWEST_LEVELS, FEWEST_ORDERS = 1 << 12, 1 << 10
MOST_LEVELS, MOST_ORDERS = 1 << 26, 1 << 30


def empty_book() -> BookArrays:
    """A book without orders, anchored at price 0."""
    top = np.zeros(TOP_SIZE, np.int64)
    top[BEST_BID], top[BEST_ASK], top[UNUSED] = -1, FEWEST_LEVELS, 1
    top[SHIFT] = _shift(FEWEST_ORDERS)
    return BookArrays(
        top,
        np.zeros(FEWEST_LEVELS, LEVEL),
        np.zeros(FEWEST_ORDERS, ORDER),
        np.zeros(FEWEST_ORDERS, np.uint32),
        LevelBitmap.of(FEWEST_LEVELS),
    )


def price_range(book: BookArrays) -> tuple[int, int] | None:
    """The lowest and the highest price at which an order rests, None for an empty book."""
    if not book.top[COUNT]:
        return None
    base = int(book.top[BASE])
    lowest, highest = _used_levels(book)
    return base + int(lowest), base + int(highest)


def with_price(book: BookArrays, price: int) -> BookArrays | None:
    """The same book with `price` on its row of levels; None where the row would be longer than
    MOST_LEVELS.
    """
    rests = price_range(book) or (price, price)
    lowest, highest = min(rests[0], price), max(rests[1], price)
    stretch = highest - lowest + 1
    if stretch > MOST_LEVELS or not -(1 << 62) < price < 1 << 62:
        return None
    levels = max(FEWEST_LEVELS, min(2 * stretch, MOST_LEVELS))
    top = book.top.copy()
    top[BASE] = lowest - (levels - stretch) // 2
    top[BEST_BID], top[BEST_ASK] = -1, levels
    moved = book._replace(top=top, levels=np.zeros(levels, LEVEL), bitmap=LevelBitmap.of(levels))
    _move_levels(book, moved)
    return moved


def with_more_orders(book: BookArrays) -> BookArrays:
    """The same book with twice as many order records."""
    records = 2 * book.orders.size
    if records > MOST_ORDERS:
        raise MemoryError(f"an order book holds at most {MOST_ORDERS:,} orders")
    orders = np.zeros(records, ORDER)
    orders[: book.orders.size] = book.orders
    top = book.top.copy()
    top[SHIFT] = _shift(records)
    larger = book._replace(top=top, orders=orders, buckets=np.zeros(records, np.uint32))
    _file_all(larger)
    return larger


def _shift(buckets: int) -> int:
    """How far a hash of 64 bits is shifted, so that it numbers `buckets`, a power of two."""
    return 65 - buckets.bit_length()


@kernel_without_allocation
def _used_levels(book: BookArrays) -> tuple[int, int]:
    """The lowest and the highest position that has orders; some has."""
    size = book.levels.size
    lowest = 0 if book.levels[0]["first"] != 0 else next_above(book.bitmap, 0, size)
    highest = lowest
    position = lowest
    while position < size:
        highest = position
        position = next_above(book.bitmap, position, size)
    return lowest, highest


@kernel_without_allocation
def _move_levels(old: BookArrays, new: BookArrays) -> None:
    """Copy the levels of `old` to their positions on the empty row of `new`."""
    shift = old.top[BASE] - new.top[BASE]
    size = old.levels.size
    position = 0 if old.levels[0]["first"] != 0 else next_above(old.bitmap, 0, size)
    while position < size:
        level, moved = old.levels[position], new.levels[position + shift]
        moved["quantity"], moved["first"] = level["quantity"], level["first"]
        moved["last"] = level["last"]
        set_level(new.bitmap, position + shift)
        slot = level["first"]
        while slot != 0:
            new.orders[slot]["position"] = position + shift
            slot = new.orders[slot]["next"]
        if position == old.top[BEST_BID]:
            new.top[BEST_BID] = position + shift
        elif position == old.top[BEST_ASK]:
            new.top[BEST_ASK] = position + shift
        position = next_above(old.bitmap, position, size)


@kernel_without_allocation
def _file_all(book: BookArrays) -> None:
    """File every resting order in empty buckets."""
    size = book.levels.size
    position = 0 if book.levels[0]["first"] != 0 else next_above(book.bitmap, 0, size)
    while position < size:
        slot = book.levels[position]["first"]
        while slot != 0:
            file_record(book, slot)
            slot = book.orders[slot]["next"]
        position = next_above(book.bitmap, position, size)
