"""One million random operations on an order book, in batch, against a book in Python on heapq.

    python benchmarks/order_book.py [--operations 1000000] [--rounds 5]

Half of the operations are limit orders, a third of which cross; 30 % are cancels and 10 %
modifications of one of the last 2,000 orders, also of such as have gone; 10 % are market orders.
The rival keeps a heap of prices for each side, emptied prices dropped when they come to the top, a
dictionary of orders for each price and one by id; it was the faster of two (the other has a heap of
orders with lazy deletion: 1.4 to 1.5 times as long). Both get the operations in the form that suits
them, arrays or lists. Results must be the same: statuses, remaining quantities, fills and the
orders that rest. In each round the rival runs once and Harmony twenty times, each time on a new
book, so that both are disturbed alike by other work on the machine; its mean time counts. The
target is the median of the rounds' ratios in time of the processor. Ends with a line for the target
and exits 1 on a miss.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import TypeVar

import numpy as np
from side_by_side import judge

from harmony_pipeline.execution.order_book import (
    ADD,
    BUY,
    CANCEL,
    MARKET,
    MODIFY,
    SELL,
    OrderBook,
    operations,
)
from harmony_pipeline.execution.order_book_kernels import Operations

T = TypeVar("T")
WANTED = 20.0  # times as fast
REPEATS = 20
NO_LIMIT = {BUY: 1 << 62, SELL: -(1 << 62)}


def random_operations(count: int, seed: int = 7) -> Operations:
    """Orders around a mid price that walks at random."""
    random = np.random.default_rng(seed)
    kind = random.choice([ADD, MODIFY, CANCEL, MARKET], count, p=[0.5, 0.1, 0.3, 0.1])
    kind[:100] = ADD
    side = np.where(random.random(count) < 0.5, BUY, SELL)
    middle = 100_000 + np.cumsum(random.choice([-1, 0, 1], count, p=[0.05, 0.9, 0.05]))
    price = middle - side * (random.geometric(0.1, count) - 3)
    order_id = np.arange(count)
    added, later = np.flatnonzero(kind == ADD), np.flatnonzero((kind == MODIFY) | (kind == CANCEL))
    known = np.searchsorted(added, later)
    order_id[later] = added[known - random.integers(1, np.minimum(known, 2_000) + 1)]
    modified = np.flatnonzero(kind == MODIFY)  # half of them at the price of the order
    same = modified[random.random(modified.size) < 0.5]
    side[modified] = side[order_id[modified]]
    price[same] = price[order_id[same]]
    quantity = random.integers(1, 500, count)
    return operations(kind.astype(np.int8), order_id, side.astype(np.int8), price, quantity)


class HeapBook:
    """The rival: prices in heaps (those of bids negative), orders as [side, price, quantity]."""

    def __init__(self) -> None:
        self.heaps = {BUY: [], SELL: []}
        self.levels = {BUY: {}, SELL: {}}  # price -> {order id: order}, in order of arrival
        self.orders = {}
        self.fills = []

    def run(self, rows: Iterable[tuple[int, ...]]) -> list[int]:
        """Remaining quantity of each operation, -1 for an unknown order."""
        orders, levels, heaps, match = self.orders, self.levels, self.heaps, self.match
        left = []
        for number, (kind, side, order_id, price, quantity) in enumerate(rows):
            if kind == CANCEL:
                order = orders.pop(order_id, None)
                if order is None:
                    left.append(-1)
                else:
                    del levels[order[0]][order[1]][order_id]
                    left.append(order[2])
                continue
            if kind == MARKET:
                left.append(match(number, side, NO_LIMIT[side], quantity))
                continue
            if kind == MODIFY:
                order = orders.get(order_id)
                if order is None:
                    left.append(-1)
                    continue
                side, former, open_quantity = order  # noqa: PLW2901 - a modification names none
                if price == former and quantity <= open_quantity:
                    order[2] = quantity
                    left.append(quantity)
                    continue
                del levels[side][former][order_id]
                del orders[order_id]
            rest = match(number, side, price, quantity)
            left.append(rest)
            if rest:
                orders[order_id] = order = [side, price, rest]
                level = levels[side].get(price)
                if level is None:
                    levels[side][price] = {order_id: order}
                    heappush(heaps[side], -side * price)
                else:
                    level[order_id] = order
        return left

    def match(self, number: int, side: int, limit: int, quantity: int) -> int:
        """Match an incoming order and return what is left of it."""
        heap, levels, fills = self.heaps[-side], self.levels[-side], self.fills
        while quantity and heap:
            price = side * heap[0]
            level = levels[price]
            if not level:
                heappop(heap)
                del levels[price]
                continue
            if side * price > side * limit:
                break
            ended = []
            for order_id, order in level.items():
                open_quantity = order[2]
                if open_quantity > quantity:
                    order[2] = open_quantity - quantity
                    fills.append((number, order_id, price, quantity, order[2]))
                    quantity = 0
                    break
                fills.append((number, order_id, price, open_quantity, 0))
                ended.append(order_id)
                quantity -= open_quantity
                if not quantity:
                    break
            for order_id in ended:
                del level[order_id], self.orders[order_id]
        return quantity


def timed(work: Callable[[], T]) -> tuple[tuple[float, float], T]:
    """Seconds of the processor and by the clock, and what the work gave."""
    processor, clock = time.process_time(), time.perf_counter()
    answer = work()
    return (time.process_time() - processor, time.perf_counter() - clock), answer


def repeated(asked: Operations):
    """The batch on one new book after the other; the last one and its answer."""
    for _ in range(REPEATS):
        book = OrderBook()
        batch = book.run(asked)
    return book, batch


def check(book: OrderBook, batch, heap: HeapBook, left: list[int]) -> None:
    """Both did the same."""
    remaining = np.where(batch.status < 0, -1, batch.remaining)
    assert np.array_equal(remaining, np.array(left))
    assert batch.fills.tolist() == heap.fills
    assert len(book) == len(heap.orders)
    for order_id, (side, price, quantity) in heap.orders.items():
        assert book.order(order_id)[:3] == (side, price, quantity)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    count = chosen.operations
    asked = random_operations(count)
    lists = [column.tolist() for column in asked]
    OrderBook().run(random_operations(1_000))  # compiles
    ours, theirs = [], []
    for _ in range(chosen.rounds):
        seconds, (book, batch) = timed(lambda: repeated(asked))
        ours.append(tuple(one / REPEATS for one in seconds))
        heap = HeapBook()
        seconds, left = timed(lambda heap=heap: heap.run(zip(*lists, strict=True)))
        theirs.append(seconds)
        check(book, batch, heap, left)
    print(
        f"{count:,} operations, {batch.fills.size:,} fills, {len(book):,} orders rest,"
        f" {batch.refused().size:,} for orders that had gone; results are the same"
    )
    ratios = []
    for which, name in enumerate(("of the processor", "by the clock")):
        mine, rivals = [one[which] for one in ours], [one[which] for one in theirs]
        ratios.append(
            statistics.median(slow / fast for slow, fast in zip(rivals, mine, strict=True))
        )
        print(
            f"{name:16s} Harmony {min(mine) / count * 1e9:5.0f} ns an operation   heapq"
            f" {min(rivals) / count * 1e9:5.0f} ns   median of rounds {ratios[-1]:5.1f}"
        )
    met = judge("order book: times as fast as a heapq book", ratios[0], WANTED)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
