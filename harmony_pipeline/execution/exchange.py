"""The simulated exchange: it holds working orders and matches them against bars.

An order can only meet a bar that starts at or after its decision (later still, where the rules say
that orders need time), and all that the exchange knows of the future is the bar it is shown. It
never decides anything; the portfolio (portfolio/decisions.py) does, and the two speak only in
intents and reports (portfolio/kernel_types.py).

For every regular bar of a symbol the driver calls, in this order,

    split_orders   for each split whose ex-date has come (before anything else)
    match_open     market orders at the open: the exit first, then the entry
    match_range    bracket legs against open, high, low; legs of an entry filled at this very open
    included
    match_close    an entry that waits for the bar's close; its legs meet the next bar

and hands every report to the portfolio before the next call. After the portfolio has decided, each
intent goes to `submit`. A kernel writes reports into `reports[n:]` and returns the new n; one call
writes at most MAX_REPORTS. `rules` is the RULES record of the symbol, `bar` one BAR record.

A backtest of one symbol whose rules are plain makes whole trades without these calls, by the same
prices, fees and levels (backtest/round_trips.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harmony_pipeline.execution.matching import (
    close_order,
    fill_order,
    fillable,
    has_arrived,
    is_rejected,
    taken_by_others,
    why_unfilled,
)
from harmony_pipeline.execution.random_draws import symbol_keys
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.market.price_grid import floor_to_lot, whole_unit
from harmony_pipeline.portfolio.exit_rules import NOTHING, exit_at_bar, level_now
from harmony_pipeline.portfolio.exit_rules import STOP as TOUCHED_STOP
from harmony_pipeline.portfolio.kernel_types import (
    CANCEL,
    CANCELED,
    ENTRY,
    EXIT,
    EXPIRE,
    FILLED,
    NO_REASON,
    ORDER,
    ORDER_ADDED,
    ORDER_OPEN,
    PARTIALLY_FILLED,
    REFUSED,
    REJECT,
    REJECTED,
    ROLES,
    STOP,
    TAKE,
    Record,
    Records,
    copy_records,
    records,
    records_from_lists,
    records_to_lists,
)

MAX_REPORTS = 8


@dataclass(frozen=True)
class ExchangeState:
    """`orders[symbol, role]` is the one order of that role that works (status OPEN) or an empty
    slot; `keys` are the symbols' keys of random draws.
    """

    symbols: tuple[str, ...]
    orders: Records
    keys: NDArray[np.uint64]

    @staticmethod
    def empty(symbols: Sequence[str]) -> "ExchangeState":
        """No order works."""
        return ExchangeState(
            tuple(symbols),
            records(len(symbols) * ROLES, ORDER).reshape(len(symbols), ROLES),
            symbol_keys(symbols),
        )

    def copy(self) -> "ExchangeState":
        """A state of its own."""
        return ExchangeState(self.symbols, copy_records(self.orders), self.keys)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as lists that JSON carries exactly; only slots in use. That orders are for a
        close shows where one is, so that other states keep their text.
        """
        used = np.flatnonzero(self.orders["status"].reshape(-1) == ORDER_OPEN)
        orders = records_to_lists(self.orders.reshape(-1)[used])
        if not any(orders["at_close"]):
            del orders["at_close"]
        return {"symbols": list(self.symbols), "slots": used.tolist(), "orders": orders}

    @staticmethod
    def from_dict(saved: dict[str, Any]) -> "ExchangeState":
        """The inverse of `to_dict`."""
        state = ExchangeState.empty(saved["symbols"])
        slots = np.asarray(saved["slots"], dtype=np.int64)
        state.orders.reshape(-1)[slots] = records_from_lists(
            saved["orders"], ORDER, (len(slots),), {"entry_symbol": slots // ROLES, **ORDER_ADDED}
        )
        return state


@kernel_without_allocation
def submit(
    orders: Records,
    keys: NDArray[np.uint64],
    rules: Record,
    intent: Record,
    reports: Records,
    n: int,
) -> int:
    """Take one intent. OPEN: it works, or is rejected by chance (REJECT). CANCELED: that role's
    working order, if any, is canceled (CANCEL). REFUSED: nothing.

    Legs come with a filled entry and are never rejected. A reversing entry (`after_exit`) whose
    exit does not work is canceled at once.
    """
    slot = orders[intent["symbol"], intent["role"]]
    if intent["status"] == REFUSED:
        return n
    if intent["status"] == CANCELED:
        if slot["status"] == ORDER_OPEN:
            n = close_order(slot, CANCEL, intent["decided_at"], reports, n, NO_REASON)
            reports[n - 1]["reason"] = intent["reason"]
        return n
    orders[intent["symbol"], intent["role"]] = intent
    if intent["role"] == ENTRY or intent["role"] == EXIT:
        if is_rejected(rules, keys[intent["symbol"]], intent):
            return close_order(slot, REJECT, intent["decided_at"], reports, n, NO_REASON)
        if intent["after_exit"] == 1 and orders[intent["symbol"], EXIT]["status"] != ORDER_OPEN:
            return close_order(slot, CANCEL, intent["decided_at"], reports, n, NO_REASON)
    return n


@kernel_without_allocation
def match_open(
    orders: Records, keys: NDArray[np.uint64], rules: Record, bar: Record, reports: Records, n: int
) -> int:
    """Market orders that have arrived meet the open of `bar`: the exit fills as far as it can and
    stays; then the entry fills as far as it can and its rest expires.
    """
    symbol = bar["symbol"]
    leaving = orders[symbol, EXIT]
    own = 0.0  # a reversal leaves and enters on the same side of the same bar
    if leaving["status"] == ORDER_OPEN and has_arrived(rules, keys[symbol], leaving, bar):
        taken = taken_by_others(bar, leaving["side"])
        quantity = fillable(rules, keys[symbol], leaving, bar, taken)
        if quantity > 0.0:
            own = quantity
            n = fill_order(rules, leaving, bar, quantity, bar["open"], False, reports, n)
    if orders[symbol, ENTRY]["at_close"] == 1:
        bar["left"] = own
        return n
    return _match_entry(orders, keys, rules, bar, bar["open"], own, reports, n)


@kernel_without_allocation
def match_close(
    orders: Records, keys: NDArray[np.uint64], rules: Record, bar: Record, reports: Records, n: int
) -> int:
    """An entry on the close that was there when the bar began meets its close, after `match_open`:
    it fills as far as it can, and its rest expires.
    """
    if orders[bar["symbol"], ENTRY]["at_close"] == 0:
        return n
    return _match_entry(orders, keys, rules, bar, bar["close"], bar["left"], reports, n)


@inlined_kernel
def _match_entry(
    orders: Records,
    keys: NDArray[np.uint64],
    rules: Record,
    bar: Record,
    price: float,
    own: float,
    reports: Records,
    n: int,
) -> int:
    """The entry meets a price of the bar, of which the symbol's exit has taken `own` shares."""
    symbol = bar["symbol"]
    entry = orders[symbol, ENTRY]
    if entry["status"] == ORDER_OPEN and has_arrived(rules, keys[symbol], entry, bar):
        if entry["after_exit"] == 1 and orders[symbol, EXIT]["status"] == ORDER_OPEN:
            # the old position could not be closed at this open
            return close_order(entry, CANCEL, bar["at"], reports, n, NO_REASON)
        taken = taken_by_others(bar, entry["side"]) + own
        quantity = fillable(rules, keys[symbol], entry, bar, taken)
        if quantity > 0.0:
            n = fill_order(rules, entry, bar, quantity, price, False, reports, n)
        if entry["status"] == ORDER_OPEN:
            n = close_order(entry, EXPIRE, bar["at"], reports, n, why_unfilled(rules, bar, taken))
    return n


@kernel_without_allocation
def match_range(
    orders: Records, keys: NDArray[np.uint64], rules: Record, bar: Record, reports: Records, n: int
) -> int:
    """The bracket of the bar's symbol meets `bar`. A touched leg fills as far as it can and its
    rest expires; the other leg is canceled.
    """
    symbol = bar["symbol"]
    stop, take = orders[symbol, STOP], orders[symbol, TAKE]
    if stop["status"] != ORDER_OPEN:
        return n
    # carried over a change of symbol: the levels are in the prices of the new symbol's first bar
    if stop["factor"] == 0.0:
        stop["factor"] = take["factor"] = bar["factor"]
    stop_now = level_now(stop["level"], stop["factor"], bar["factor"])
    take_now = level_now(take["level"], take["factor"], bar["factor"])
    is_entry_bar = stop["since"] == bar["at"]
    touched, reference = exit_at_bar(
        -stop["side"], bar["open"], bar["high"], bar["low"], stop_now, take_now, is_entry_bar
    )
    if touched == NOTHING:
        return n
    stopped = touched == TOUCHED_STOP
    leg, other = (stop, take) if stopped else (take, stop)
    taken = taken_by_others(bar, leg["side"])
    quantity = fillable(rules, keys[symbol], leg, bar, taken)
    if quantity > 0.0:
        n = fill_order(rules, leg, bar, quantity, reference, not stopped, reports, n)
    if leg["status"] == ORDER_OPEN:
        n = close_order(leg, EXPIRE, bar["at"], reports, n, why_unfilled(rules, bar, taken))
    return close_order(other, CANCEL, bar["at"], reports, n, NO_REASON)


@inlined_kernel
def rests(orders: Records, symbol: int, high: float, low: float, factor: float) -> bool:
    """Whether no order of the symbol can meet a bar of this range: no market order works, and
    neither level of a bracket is reached. Then `match_open` and `match_range` need not be called.
    """
    if (
        orders[symbol, EXIT]["status"] == ORDER_OPEN
        or orders[symbol, ENTRY]["status"] == ORDER_OPEN
    ):
        return False
    stop, take = orders[symbol, STOP], orders[symbol, TAKE]
    if stop["status"] != ORDER_OPEN:
        return True
    if stop["factor"] == 0.0:
        return False
    stop_now = level_now(stop["level"], stop["factor"], factor)
    take_now = level_now(take["level"], take["factor"], factor)
    if stop["side"] < 0:
        return bool(low > stop_now and high < take_now)
    return bool(high < stop_now and low > take_now)


@kernel_without_allocation
def split_orders(
    orders: Records, rules: Record, symbol: int, ratio: float, at: int, reports: Records, n: int
) -> int:
    """A split before the open of the bar at `at`: what remains of each order becomes new shares,
    whole ones; an order with nothing left is canceled.
    """
    for role in range(ROLES):
        order = orders[symbol, role]
        if order["status"] == ORDER_OPEN:
            order["remaining"] = floor_to_lot(
                order["remaining"] * ratio, whole_unit(rules["lot_size"])
            )
            if order["factor"] == 0.0:
                order["level"] /= ratio  # no bar has told the factor that would do this
            if order["remaining"] <= 0.0:
                n = close_order(order, CANCEL, at, reports, n, NO_REASON)
    return n


@kernel_without_allocation
def dividend_orders(orders: Records, symbol: int, share: float) -> None:
    """A dividend of `share` of the last price lowers the levels of legs that no bar has told a
    factor; the others move with it.
    """
    for role in range(ROLES):
        order = orders[symbol, role]
        if order["status"] == ORDER_OPEN and order["factor"] == 0.0:
            order["level"] *= 1.0 - share


@kernel_without_allocation
def status_after(order_fills: int, kind: int, closed: int) -> int:
    """Status of an order after a report of `kind`, given its fills so far: what the orders table
    shows.
    """
    if kind == REJECT:
        return REJECTED
    if closed == 0:
        return PARTIALLY_FILLED if order_fills > 0 else ORDER_OPEN
    if kind in (CANCEL, EXPIRE):
        return PARTIALLY_FILLED if order_fills > 0 else CANCELED
    return FILLED
