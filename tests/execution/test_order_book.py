"""The compiled order book against one in plain Python, operation by operation."""

import itertools

import numba
import numpy as np
import pytest
from execution.naive_order_book import NaiveBook
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from harmony_pipeline.errors import DataError
from harmony_pipeline.execution.level_bitmap import (
    LevelBitmap,
    clear_level,
    next_above,
    next_below,
    set_level,
)
from harmony_pipeline.execution.order_book import (
    ADD,
    BUY,
    CANCEL,
    DUPLICATE_ORDER,
    EXPIRED,
    FILL_OR_KILL,
    FILLED,
    IMMEDIATE_OR_CANCEL,
    INVALID_KIND,
    INVALID_QUANTITY,
    INVALID_SIDE,
    MARKET,
    MODIFY,
    PRICE_OUT_OF_RANGE,
    RESTING,
    SELL,
    UNKNOWN_ORDER,
    OrderBook,
    OrderBookError,
    operations,
    prices_of,
    ticks_of,
)
from harmony_pipeline.kernel import kernel_without_allocation

KINDS = [ADD, MODIFY, CANCEL, MARKET, IMMEDIATE_OR_CANCEL, FILL_OR_KILL]


def random_columns(count, seed, shares=(0.5, 0.12, 0.2, 0.06, 0.06, 0.06), ids=400, spread=8.0):
    """Operations on few ids, so that they often rest, and prices that drift and cross; a few of
    everything that is refused.
    """
    random = np.random.default_rng(seed)
    kind = random.choice(KINDS, count, p=shares)
    side = random.choice([BUY, SELL], count)
    middle = 1_000 + np.cumsum(random.integers(-1, 2, count))
    price = middle - side * np.rint(random.normal(spread / 2, spread, count)).astype(np.int64)
    quantity = random.integers(1, 50, count)
    order_id = random.integers(0, ids, count) * 2**40 - 2**47  # all in the lowest bits the same
    odd = random.random(count)
    kind[odd < 0.001] = 9
    side[(odd > 0.01) & (odd < 0.011)] = 0
    quantity[(odd > 0.02) & (odd < 0.022)] = random.integers(-5, 1)
    return kind, order_id, side, price, quantity


def fills_by_operation(batch):
    """The fills of each operation that has any, as the naive book writes them."""
    found = {}
    for number, *fill in batch.fills.tolist():
        found.setdefault(number, []).append(tuple(fill))
    return found


def resting(book):
    """Prices and queues of both sides, as a naive book holds them."""
    queues = {}
    for side in (BUY, SELL):
        depth = book.depth(side, len(book) + 1)
        queues[side] = {price: book.queue(price).tolist() for price in depth["price"].tolist()}
        prices = depth["price"] * side
        assert np.all(np.diff(prices) < 0)  # best first
        for price, quantity, orders in depth.tolist():
            ids = queues[side][price]
            assert len(ids) == orders
            found = [book.order(order_id) for order_id in ids]
            assert sum(one.quantity for one in found) == quantity
            ahead = np.cumsum([0] + [one.quantity for one in found])[:-1].tolist()
            assert [one.ahead for one in found] == ahead
            assert {(one.side, one.price) for one in found} == {(side, price)}
    return queues


def assert_same_book(book, naive):
    assert resting(book) == naive.queues
    assert len(book) == len(naive.orders)
    for order_id, order in naive.orders.items():
        assert list(book.order(order_id))[:3] == order
    assert (book.best_bid, book.best_ask) == (naive.best(BUY), naive.best(SELL))
    if book.best_bid is not None and book.best_ask is not None:
        assert book.best_bid < book.best_ask


def run_both(columns, book, naive):
    """Run a batch in the compiled book, the same one by one in the naive one, and compare."""
    batch = book.run(operations(*columns))
    fills = fills_by_operation(batch)
    kind, order_id, side, price, quantity = (column.tolist() for column in columns)
    for number, (status, remaining) in enumerate(
        zip(batch.status.tolist(), batch.remaining.tolist(), strict=True)
    ):
        expected = naive.apply(
            kind[number], side[number], order_id[number], price[number], quantity[number]
        )
        assert (status, remaining, fills.get(number, [])) == expected, number
    assert_same_book(book, naive)
    return batch


@pytest.mark.parametrize(
    ("seed", "shape"),
    [
        (1, {}),
        (2, {"ids": 12, "spread": 2.0}),  # mostly empty, often crossed
        (3, {"ids": 1_200, "spread": 40.0}),  # deep
        (4, {"shares": (0.3, 0.5, 0.1, 0.04, 0.03, 0.03)}),  # mostly modifications
        (5, {"shares": (0.34, 0.05, 0.01, 0.2, 0.2, 0.2)}),  # mostly taking
    ],
)
def test_half_a_million_random_operations_do_what_the_naive_book_does(seed, shape):
    book, naive = OrderBook(), NaiveBook()
    for part in range(4):
        run_both(random_columns(25_000, 10 * seed + part, **shape), book, naive)


def test_prices_that_drift_and_jump_move_the_row_of_levels():
    random = np.random.default_rng(11)
    kind, order_id, side, price, quantity = random_columns(60_000, 12)
    drift = np.cumsum(random.integers(0, 3, price.size)) * 10 - 200_000
    anywhere = random.integers(-(2**24), 2**24, price.size)
    jumps = np.where(random.random(price.size) < 0.002, anywhere, 0)
    book, naive = OrderBook(), NaiveBook()
    batch = run_both((kind, order_id, side, price + drift + jumps, quantity), book, naive)
    assert batch.fills.size > 10_000
    assert batch.fills["price"].max() - batch.fills["price"].min() > 500_000
    far = np.where(random.random(price.size) < 0.02, 4 * anywhere, 0)
    batch = run_both((kind, order_id, side, price + far, quantity), OrderBook(), NaiveBook())
    assert (batch.status == PRICE_OUT_OF_RANGE).sum() > 100  # in the midst of others


def test_a_batch_does_the_same_however_it_is_cut():
    count = 20_000
    columns = random_columns(count, 21)
    whole_book = OrderBook()
    whole = whole_book.run(operations(*columns))
    cuts = [0, *np.sort(np.random.default_rng(1).integers(0, count, 300)).tolist(), count]
    book, parts, fills = OrderBook(), [], []
    for start, end in itertools.pairwise(cuts):
        part = book.run(operations(*(column[start:end] for column in columns)))
        parts.append(part)
        moved = part.fills.copy()
        moved["operation"] += start
        fills.append(moved)
    assert np.array_equal(np.concatenate([part.status for part in parts]), whole.status)
    assert np.array_equal(np.concatenate([part.remaining for part in parts]), whole.remaining)
    assert np.array_equal(np.concatenate(fills), whole.fills)
    assert resting(book) == resting(whole_book)


def test_operations_one_by_one_do_the_same_as_in_one_batch():
    count = 4_000
    columns = random_columns(count, 22)
    batch = OrderBook().run(operations(*columns))
    expected = fills_by_operation(batch)
    book = OrderBook()
    call = {
        ADD: book.add,
        MODIFY: lambda order_id, _, price, quantity: book.modify(order_id, price, quantity),
        CANCEL: lambda order_id, *_: book.cancel(order_id),
        MARKET: lambda order_id, side, _, quantity: book.market(order_id, side, quantity),
        IMMEDIATE_OR_CANCEL: book.immediate_or_cancel,
        FILL_OR_KILL: book.fill_or_kill,
    }
    refused = 0
    for number, (kind, *asked) in enumerate(zip(*(one.tolist() for one in columns), strict=True)):
        if kind not in call:
            assert batch.status[number] == INVALID_KIND
            continue
        try:
            result = call[kind](*asked)
        except OrderBookError as error:
            refused += 1
            assert error.status == batch.status[number]
            continue
        assert result.status == batch.status[number]
        assert result.remaining == batch.remaining[number]
        assert [tuple(fill)[1:] for fill in result.fills.tolist()] == expected.get(number, [])
    assert refused > 100


def test_no_lot_is_made_or_lost():
    kind, order_id, side, price, quantity = random_columns(
        200_000, 31, shares=(0.6, 0, 0.2, 0.1, 0.05, 0.05)
    )
    book = OrderBook()
    batch = book.run(operations(kind, order_id, side, price, quantity))
    entered = (kind != CANCEL) & (batch.status > 0)
    asked = quantity[entered].sum()
    expired = batch.remaining[batch.status == EXPIRED].sum()
    canceled = batch.remaining[(kind == CANCEL) & (batch.status > 0)].sum()
    rests = sum(int(book.depth(one, 10_000)["quantity"].sum()) for one in (BUY, SELL))
    traded = int(batch.fills["quantity"].sum())
    assert asked == 2 * traded + expired + canceled + rests  # each fill ends a lot of two orders
    assert traded > 100_000
    assert (batch.fills["quantity"] > 0).all()
    assert (batch.fills["maker_remaining"] >= 0).all()


class BookMachine(RuleBasedStateMachine):
    """Whatever is asked in whatever order, both books answer the same and stand the same."""

    @initialize(base=st.sampled_from([0, 100, -7, 2**40, -(2**61)]))
    def start(self, base):
        self.base, self.book, self.naive = base, OrderBook(), NaiveBook()

    ids = st.integers(0, 6)
    sides = st.sampled_from([BUY, BUY, SELL, SELL, 0])
    prices = st.one_of(st.integers(-5, 5), st.integers(-5, 5), st.integers(-(2**27), 2**27))
    quantities = st.integers(-1, 9)

    def both(self, kind, side, order_id, price, quantity):
        batch = self.book.run(operations([kind], [order_id], [side], [price], [quantity]))
        expected = self.naive.apply(kind, side, order_id, price, quantity)
        found = (
            int(batch.status[0]),
            int(batch.remaining[0]),
            fills_by_operation(batch).get(0, []),
        )
        assert found == expected

    @rule(kind=st.sampled_from(KINDS), side=sides, order_id=ids, price=prices, quantity=quantities)
    def operate(self, kind, side, order_id, price, quantity):
        self.both(kind, side, order_id, self.base + price, quantity)

    @rule(order_id=ids, quantity=quantities)
    def resize(self, order_id, quantity):
        known = self.naive.orders.get(order_id)
        self.both(MODIFY, 0, order_id, known[1] if known else 0, quantity)

    @invariant()
    def same(self):
        if hasattr(self, "book"):
            assert_same_book(self.book, self.naive)


TestBookMachine = BookMachine.TestCase
TestBookMachine.settings = settings(max_examples=30, stateful_step_count=40)


def test_a_smaller_size_keeps_the_place_and_a_larger_one_or_another_price_loses_it():
    book = OrderBook()
    for order_id in (1, 2, 3):
        book.add(order_id, BUY, 100, 10)
    book.modify(1, 100, 4)
    book.modify(1, 100, 4)
    assert book.queue(100).tolist() == [1, 2, 3]
    assert book.order(2).ahead == 4
    book.modify(1, 100, 5)
    assert book.queue(100).tolist() == [2, 3, 1]
    book.modify(2, 101, 10)
    book.modify(2, 100, 10)
    assert book.queue(100).tolist() == [3, 1, 2]


def test_a_modification_that_crosses_takes():
    book = OrderBook()
    book.add(1, SELL, 105, 7)
    book.add(2, BUY, 100, 10)
    result = book.modify(2, 105, 10)
    assert (result.status, result.remaining) == (RESTING, 3)
    assert result.fills["maker_id"].tolist() == [1]
    assert (book.best_bid, book.best_ask) == (105, None)
    book.add(3, SELL, 110, 3)
    assert book.modify(2, 110, 3).status == FILLED
    assert len(book) == 0


def test_a_market_order_walks_the_levels_and_what_finds_nobody_expires():
    book = OrderBook()
    book.add(1, SELL, 101, 5)
    book.add(2, SELL, 103, 5)
    result = book.market(9, BUY, 12)
    assert (result.status, result.remaining) == (EXPIRED, 2)
    assert result.fills[["maker_id", "price", "quantity", "maker_remaining"]].tolist() == [
        (1, 101, 5, 0), (2, 103, 5, 0),
    ]  # fmt: skip
    assert book.market(10, SELL, 3).status == EXPIRED
    assert 9 not in book
    assert 10 not in book


def test_immediate_or_cancel_takes_what_there_is_and_fill_or_kill_all_or_nothing():
    book = OrderBook()
    book.add(1, SELL, 101, 5)
    book.add(2, SELL, 102, 5)
    assert book.fill_or_kill(9, BUY, 101, 6)[:2] == (EXPIRED, 6)
    assert len(book) == 2
    assert book.fill_or_kill(9, BUY, 102, 6)[:2] == (FILLED, 0)
    assert book.immediate_or_cancel(9, BUY, 2**60, 6)[:2] == (EXPIRED, 2)
    assert book.immediate_or_cancel(9, BUY, -(2**63), 6)[:2] == (EXPIRED, 6)


def test_what_is_refused_says_why_and_how_to_mend_it():
    book = OrderBook()
    book.add(1, BUY, 100, 10)
    for call, status, text in [
        (lambda: book.add(1, BUY, 100, 10), DUPLICATE_ORDER, "order 1 rests in the book already"),
        (lambda: book.market(1, BUY, 10), DUPLICATE_ORDER, "another id"),
        (lambda: book.cancel(2), UNKNOWN_ORDER, "order 2 does not rest .* add it first"),
        (lambda: book.modify(2, 100, 1), UNKNOWN_ORDER, "order 2 does not rest"),
        (lambda: book.modify(1, 100, 0), INVALID_QUANTITY, "quantity 0 of order 1: use 1 to"),
        (lambda: book.add(2, BUY, 100, -3), INVALID_QUANTITY, "cancel takes an order out"),
        (lambda: book.add(2, BUY, 100, 2**62), INVALID_QUANTITY, "all orders at one price"),
        (lambda: book.add(2, 2, 100, 1), INVALID_SIDE, r"side 2 of order 2: use BUY \(1\)"),
        (lambda: book.add(2, SELL, 2**40, 1), PRICE_OUT_OF_RANGE, "rest from 100 to 100"),
        (lambda: book.add(2, SELL, -(2**63), 1), PRICE_OUT_OF_RANGE, "check the price"),
    ]:
        with pytest.raises(OrderBookError, match=text) as caught:
            call()
        assert caught.value.status == status
    for call, text in [
        (lambda: book.add(2, BUY, 100.5, 1), "price 100.5 is not a whole number: ticks_of"),
        (lambda: book.add(2, BUY, 100, 2**63), "does not fit into 64 bits"),
        (lambda: operations([ADD, ADD], [1, 2], [BUY], 3, 4), "shape"),
        (lambda: operations([ADD], [1], BUY, [3.0], 4), "price .* float64: give whole numbers"),
        (lambda: operations([ADD], [1], BUY, [2**63], 4), "does not fit int64"),
    ]:
        with pytest.raises(DataError, match=text):
            call()
    assert book.queue(100).tolist() == [1]
    assert book.order(1).quantity == 10


def test_prices_become_ticks_only_on_the_grid():
    prices = np.round(np.arange(1, 2_000_000, 37) * 0.01, 2)
    assert np.array_equal(ticks_of(prices, 0.01), np.arange(1, 2_000_000, 37))
    assert np.array_equal(prices_of(ticks_of(prices, 0.01), 0.01), prices)
    assert ticks_of(101.03125, 0.03125).tolist() == [3233]
    with pytest.raises(DataError, match=r"price 10.005 \(number 1\) .* use 10.0 or 10.01"):
        ticks_of([10.0, 10.005], 0.01)
    with pytest.raises(DataError, match="nan"):
        ticks_of([np.nan], 0.01)


@given(
    size=st.sampled_from([64, 128, 4096, 2**18, 2**20]),
    used=st.lists(st.floats(0, 1, exclude_max=True), max_size=40),
    dropped=st.lists(st.integers(0, 39), max_size=20),
    at=st.floats(0, 1, exclude_max=True),
)
def test_the_bitmap_finds_what_a_set_finds(size, used, dropped, at):
    bitmap, kept = LevelBitmap.of(size), set()
    positions = [int(one * size) for one in used]
    for position in positions:
        set_level(bitmap, position)
        kept.add(position)
    for number in dropped:
        if number < len(positions):
            clear_level(bitmap, positions[number])
            kept.discard(positions[number])
    for position in (int(at * size), 0, size - 1, *positions):
        above = min((one for one in kept if one > position), default=-5)
        below = max((one for one in kept if one < position), default=-5)
        assert next_above(bitmap, position, -5) == above
        assert next_below(bitmap, position, -5) == below
    if not kept:
        assert not bitmap.words.any()


def test_a_kernel_without_allocation_may_not_make_an_array():
    @kernel_without_allocation
    def makes_an_array(count):
        return np.zeros(count).sum()

    with pytest.raises(numba.TypingError, match="No implementation of function"):
        makes_an_array(3)
