"""Where a resting limit order of ours stands in its queue, and when it is filled, as far as quotes
and trades can tell.

The best bid and offer with their sizes and the trades are known; the orders behind them are not. So
every doubt is decided against us:

- The order joins the back of the queue: all that is quoted at its price is ahead of it. Behind the
  best price nothing is known of its queue; what is quoted when the best price first comes to it is
  all ahead. Inside the spread nothing is ahead.
- A trade at a worse price than ours (below a bid, above an offer) went through us: nothing is ahead
  any more, and we are filled, by no more than the size of that trade.
- A trade at our price takes from what is ahead, and fills us by no more than what exceeds it. It
  counts if it hit our side, that is if it lies on our side of the middle of the quote before it
  (Lee and Ready, 1991). A trade at the middle does not count.
- Quotes alone never fill. Orders ahead of us that are canceled move us forward by one of three
  rules: `none` of them (default), `quoted` (no more can be ahead than is quoted at our price) or
  `pro_rata` (what the quote lost beyond the trades was canceled evenly ahead of us and behind us,
  and no more can be ahead than is quoted).

So each fill has a trade at our price or through it as its witness, and the fills of an order never
exceed the volume of those trades in its life. What `none` fills, `quoted` fills too, and so on.

Orders do not see each other: two of ours at one price may both be filled by one trade. Quotes are
those of all venues together, so a trade through us may have happened where our order is not.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation

NO_CANCELS, QUOTED, PRO_RATA = range(3)
# of an order, at the end of its life or of the data
MARKETABLE, UNFILLED, PARTLY_FILLED, FILLED = -1, 0, 1, 2

QUEUE_FILL = np.dtype(
    [("order", "i8"), ("timestamp", "i8"), ("trade", "i8"), ("quantity", "f8"), ("through", "?")]
)
"""One fill: the number of the order, the time and number of the trade that is its witness, our
quantity, and whether that trade went through our price.
"""


class QuoteColumns(NamedTuple):
    """Quotes of one symbol in the order of the tape. Epoch microseconds; NaN for no side."""

    timestamp: IntArray
    bid: FloatArray
    bid_size: FloatArray
    ask: FloatArray
    ask_size: FloatArray


class TradeColumns(NamedTuple):
    """Trades of one symbol in the order of the tape. `hit` is the side that was hit: 1 the bid, -1
    the offer, 0 unknown.
    """

    timestamp: IntArray
    price: FloatArray
    size: FloatArray
    hit: npt.NDArray[np.int8]


class LimitOrders(NamedTuple):
    """Limit orders: the time at which each is at the venue, the time from which on it is not, side
    (1 buy, -1 sell), limit price on the tick, quantity.
    """

    arrival: IntArray
    until: IntArray
    side: npt.NDArray[np.int8]
    price: FloatArray
    quantity: FloatArray


class QueueOutcomes(NamedTuple):
    """Of each order: status, what was ahead at arrival (inf: unknown), what is ahead at the end,
    and what was filled.
    """

    status: npt.NDArray[np.int8]
    ahead_at_arrival: FloatArray
    ahead: FloatArray
    filled: FloatArray


class QueueState(NamedTuple):
    """An order in its queue. `quoted`: what was last quoted at its price, less what traded since;
    NaN when its price is not the best.
    """

    ahead: float
    remaining: float
    quoted: float


@inlined_kernel
def is_marketable(side: int, price: float, other_best: float) -> bool:
    """Whether an order would trade at once with the other side's best price (NaN: none)."""
    return side * price >= side * other_best


@inlined_kernel
def queue_at_arrival(
    side: int, price: float, quantity: float, best: float, size: float
) -> QueueState:
    """The place of an order that joins. `best` and `size` are its own side's (NaN: nobody)."""
    if side * best > side * price:
        return QueueState(np.inf, quantity, np.nan)
    if best == price:
        return QueueState(size, quantity, size)
    return QueueState(0.0, quantity, 0.0)


@inlined_kernel
def queue_after_quote(
    rule: int, state: QueueState, side: int, price: float, best: float, size: float
) -> QueueState:
    """The place after a quote of its own side (NaN: nobody)."""
    if side * best > side * price:
        return QueueState(state.ahead, state.remaining, np.nan)
    quoted = size if best == price else 0.0
    ahead = state.ahead
    if np.isinf(ahead) and quoted > 0.0:  # the best price comes to us for the first time
        return QueueState(quoted, state.remaining, quoted)
    if rule != NO_CANCELS:
        if rule == PRO_RATA and quoted < state.quoted and not np.isinf(ahead):
            ahead *= quoted / state.quoted
        ahead = min(ahead, quoted)
    return QueueState(ahead, state.remaining, quoted)


@inlined_kernel
def queue_after_trade(
    state: QueueState, side: int, price: float, trade_price: float, trade_size: float, hit: int
) -> tuple[QueueState, float]:
    """The place after a trade, and what it filled of the order."""
    if side * trade_price < side * price:
        filled = min(state.remaining, trade_size)
        return QueueState(0.0, state.remaining - filled, state.quoted), filled
    if trade_price != price or hit != side:
        return state, 0.0
    taken = min(state.ahead, trade_size)
    filled = min(state.remaining, trade_size - taken)
    quoted = max(state.quoted - taken, 0.0) if state.quoted >= 0.0 else state.quoted
    return QueueState(state.ahead - taken, state.remaining - filled, quoted), filled


@kernel_without_allocation
def find_hit_sides(
    quotes: QuoteColumns, stamps: IntArray, prices: FloatArray, hit: npt.NDArray[np.int8]
) -> None:
    """Which side each trade hit, by the quote strictly before it: 1 below the middle, -1 above it,
    0 at the middle or without a two-sided quote.
    """
    following = 0
    for number in range(stamps.size):
        while following < quotes.timestamp.size and quotes.timestamp[following] < stamps[number]:
            following += 1
        hit[number] = 0
        if following > 0:
            middle = 0.5 * (quotes.bid[following - 1] + quotes.ask[following - 1])
            if prices[number] < middle:
                hit[number] = 1
            elif prices[number] > middle:
                hit[number] = -1


@kernel_without_allocation
def rest_orders(
    rule: int,
    orders: LimitOrders,
    quotes: QuoteColumns,
    trades: TradeColumns,
    outcomes: QueueOutcomes,
    fills: npt.NDArray[np.void],
    start: int,
) -> tuple[int, int]:
    """Let each order from `start` on rest through the tape.

    Returns the number of the first order that was not done because `fills` was full (the number of
    orders when all were), and how many fills were written. An order sees quotes strictly before its
    arrival at once, and what happens after its arrival and before `until`. Of a quote and a trade
    at one time the trade comes first.
    """
    count = 0
    for number in range(start, orders.arrival.size):
        begun = count
        count = _rest_order(rule, orders, number, quotes, trades, outcomes, fills, count)
        if count < 0:
            return number, begun
    return orders.arrival.size, count


@inlined_kernel
def _rest_order(
    rule: int,
    orders: LimitOrders,
    number: int,
    quotes: QuoteColumns,
    trades: TradeColumns,
    outcomes: QueueOutcomes,
    fills: npt.NDArray[np.void],
    count: int,
) -> int:
    """One order through the tape. Returns the number of fills written so far, -1 when there is no
    room for one more.
    """
    side, price, quantity = orders.side[number], orders.price[number], orders.quantity[number]
    arrival, until = orders.arrival[number], orders.until[number]
    best, size = (quotes.bid, quotes.bid_size) if side > 0 else (quotes.ask, quotes.ask_size)
    other = quotes.ask if side > 0 else quotes.bid
    quote = np.searchsorted(quotes.timestamp, arrival)  # the first that is not before it
    trade = np.searchsorted(trades.timestamp, arrival, side="right")
    state = QueueState(np.inf, quantity, np.nan)
    outcomes.filled[number] = 0.0
    if quote > 0:
        if is_marketable(side, price, other[quote - 1]):
            outcomes.status[number] = MARKETABLE
            outcomes.ahead_at_arrival[number] = outcomes.ahead[number] = np.nan
            return count
        state = queue_at_arrival(side, price, quantity, best[quote - 1], size[quote - 1])
    outcomes.ahead_at_arrival[number] = state.ahead
    while state.remaining > 0.0 and trade < trades.timestamp.size:
        now = trades.timestamp[trade]
        if now >= until:
            break
        while quote < quotes.timestamp.size and quotes.timestamp[quote] < now:
            state = queue_after_quote(rule, state, side, price, best[quote], size[quote])
            quote += 1
        state, filled = queue_after_trade(
            state, side, price, trades.price[trade], trades.size[trade], trades.hit[trade]
        )
        if filled > 0.0:
            if count == fills.size:
                return -1
            fill = fills[count]
            fill["order"], fill["timestamp"], fill["trade"] = number, now, trade
            fill["quantity"] = filled
            fill["through"] = trades.price[trade] != price
            count += 1
        trade += 1
    while state.remaining > 0.0 and quote < quotes.timestamp.size:
        if quotes.timestamp[quote] >= until:
            break
        state = queue_after_quote(rule, state, side, price, best[quote], size[quote])
        quote += 1
    outcomes.ahead[number] = state.ahead
    outcomes.filled[number] = quantity - state.remaining
    if state.remaining == 0.0:
        outcomes.status[number] = FILLED
    else:
        outcomes.status[number] = PARTLY_FILLED if state.remaining < quantity else UNFILLED
    return count
