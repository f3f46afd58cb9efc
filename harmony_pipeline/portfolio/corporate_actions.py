"""Corporate actions on positions: splits, dividends, delistings, changes of symbol. Backtest and
session call these kernels, and no position is changed by a corporate action anywhere else.

A position is held under one symbol at a time. Each action is booked once: at the first bar of the
symbol on its date or after it, or, where the symbol has had no bar since, at the end of its
listing.

    delisting      working orders are canceled (reason delisted); the shares are paid `value` each,
    else
                   delisting_recovery of the last close; the trade ends with exit_reason delisting
    symbol change  an entry that works is canceled (reason renamed); shares, trade, bars held and
    bracket
                   go on under the new symbol, where exits and legs are placed again
    listing        another security takes the symbol: whatever is still held of the one before is
    paid
                   out like a delisted one
    silence        after presume_delisted_after_sessions sessions without a bar: paid out,
    exit_reason
                   presumed_delisted

A driver does, for each bar, while `next_due` names an action: the exchange's part, then
`apply_action`. When a session begins, for each ENDING of `endings_of` and `presumed_ending`: send
the intents of `cancel_working`; the actions up to `until` by `apply_unseen_action`; `settle_ending`
of what is held; send its intents.
"""

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.execution.costs import notional
from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.market import listings, lives
from harmony_pipeline.portfolio.decisions import close_position
from harmony_pipeline.portfolio.exit_rules import level_now
from harmony_pipeline.portfolio.intents import cancel_order, place_legs
from harmony_pipeline.portfolio.kernel_types import (
    ACTION,
    BY_DELISTING,
    BY_PRESUMED,
    CHANGE,
    DELISTED,
    DELISTING,
    DIVIDEND,
    ENTRY,
    EXIT,
    LIFE,
    LISTING,
    NO_REASON,
    PRESUMED,
    RENAMED,
    SPLIT,
    STOP,
    TAKE,
    Record,
    Records,
    records,
)
from harmony_pipeline.portfolio.position_accounting import (
    apply_dividend,
    apply_split,
    average_exit,
    close_trade,
    dividend_share,
    forget_trade,
    remember_trade,
    restate,
    revalue,
)

# --- splits and dividends -------------------------------------------------------------------------


def packed_actions(actions: pl.DataFrame, symbols: Sequence[str]) -> Records:
    """ACTION records of the splits and dividends of these symbols, in order."""
    if actions.is_empty():
        return records(0, ACTION)
    kinds = {"split": SPLIT, "dividend": DIVIDEND}
    known = (
        actions.filter(pl.col("symbol").is_in(list(symbols)) & pl.col("kind").is_in(list(kinds)))
        .select(
            symbol=pl.col("symbol").cast(pl.Enum(list(symbols))).to_physical(),
            date=pl.col("date").to_physical(),
            kind=pl.col("kind").replace_strict(kinds, return_dtype=pl.Int64),
            value="value",
        )
        .sort("symbol", "date", -pl.col("kind"), maintain_order=True)
    )
    return _packed(known, ACTION)


def first_actions(actions: Records, symbols: int) -> IntArray:
    """Index of each symbol's first action."""
    return np.searchsorted(actions["symbol"], np.arange(symbols)).astype(np.int64)


@kernel_without_allocation
def next_due(
    actions: Records, next_action: IntArray, position: Record, symbol: int, until: int
) -> int:
    """Index of the symbol's next action up to the date `until`, -1 where there is none.

    `next_action` is moved past it, and past those of dates that the position has already traded.
    """
    k: int = next_action[symbol]
    while k < len(actions) and actions[k]["symbol"] == symbol and actions[k]["date"] <= until:
        next_action[symbol] = k + 1
        if actions[k]["date"] > position["last_date"]:
            return k
        k += 1
    return -1


@kernel_without_allocation
def apply_action(
    position: Record,
    account: Record,
    rules: Record,
    action: Record,
    price: float,
    at: int,
    applied: Record,
    trades: Records,
    n_trades: int,
) -> int:
    """Apply a split or a dividend before the first trade of its day, at `price`. `applied` says
    what it did.

    Returns the new number of trades: a position may vanish by a split.
    """
    symbol, cash = action["symbol"], account["cash"]
    applied["at"], applied["date"], applied["symbol"], applied["kind"] = (
        at,
        action["date"],
        symbol,
        action["kind"],
    )
    applied["successor"], applied["value"], applied["before"] = (
        symbol,
        action["value"],
        position["quantity"],
    )
    if action["kind"] == SPLIT:
        n_trades = apply_split(
            position, account, rules, action["value"], price, symbol, at, trades, n_trades
        )
    else:
        apply_dividend(position, account, rules, action["value"])
    applied["after"] = position["quantity"]
    applied["cash"] = account["cash"] - cash
    return n_trades


@kernel_without_allocation
def apply_unseen_action(
    position: Record,
    account: Record,
    rules: Record,
    action: Record,
    at: int,
    applied: Record,
    trades: Records,
    n_trades: int,
) -> int:
    """Apply an action of a symbol that has had no bar since, and change the last price and factor
    as the bar would have shown them.
    """
    value = action["value"]
    applied["before"] = position["quantity"]
    if position["quantity"] == 0.0:
        return n_trades
    if action["kind"] == SPLIT:
        position["last_price"] /= value
        position["last_factor"] *= value
        return apply_action(
            position, account, rules, action, position["last_price"], at, applied, trades, n_trades
        )
    n_trades = apply_action(
        position, account, rules, action, position["last_price"], at, applied, trades, n_trades
    )
    left = 1.0 - dividend_share(position, value)
    position["last_price"] *= left
    position["last_factor"] /= left
    revalue(position, account, rules, position["last_price"])
    restate(position, account)
    return n_trades


# --- ends of listings -----------------------------------------------------------------------------


def packed_lives(events: pl.DataFrame, symbols: Sequence[str]) -> Records:
    """LIFE records of LIFE_EVENTS, whose symbols are all known, in the same order."""
    if events.is_empty():
        return records(0, LIFE)
    kinds = {listings.DELISTING: DELISTING, listings.CHANGE: CHANGE, lives.LISTING: LISTING}
    names = pl.Enum(list(symbols))
    numbers = events.select(
        symbol=pl.col("symbol").cast(names).to_physical(),
        date=pl.col("date").to_physical(),
        kind=pl.col("kind").replace_strict(kinds, return_dtype=pl.Int64),
        successor=pl.coalesce("successor", "symbol").cast(names).to_physical(),
        value=pl.col("recovery").fill_null(float("nan")),
    )
    return _packed(numbers, LIFE)


def _packed(numbers: pl.DataFrame, dtype: np.dtype[np.void]) -> Records:
    packed = records(numbers.height, dtype)
    for name in dtype.names or ():
        packed[name] = numbers[name].to_numpy()
    return packed


@kernel_without_allocation
def endings_of(positions: Records, life: Record, endings: Records) -> int:
    """Write the endings that an event brings, in order; returns how many (at most 2).

    From now on nothing is entered under a symbol that ended, and something may be under one that
    began.
    """
    symbol, day = life["symbol"], life["date"]
    if life["kind"] == CHANGE:
        successor = life["successor"]
        positions[symbol]["gone"] = RENAMED
        positions[successor]["gone"] = NO_REASON
        # what another security left there
        _paid_out(endings[0], successor, BY_DELISTING, DELISTING, day - 1, np.nan)
        _paid_out(endings[1], symbol, NO_REASON, CHANGE, day - 1, np.nan)
        endings[1]["canceled"], endings[1]["successor"], endings[1]["date"] = (
            RENAMED,
            successor,
            day,
        )
        return 2
    positions[symbol]["gone"] = DELISTED if life["kind"] == DELISTING else NO_REASON
    _paid_out(
        endings[0],
        symbol,
        BY_DELISTING,
        DELISTING,
        day if life["kind"] == DELISTING else day - 1,
        life["value"],
    )
    return 1


@kernel_without_allocation
def presumed_ending(
    position: Record, rules: Record, symbol: int, date: int, ending: Record
) -> bool:
    """Count one more session, that of `date`, which begins without a bar of the symbol since its
    last; whether that is too many.

    Call it at the start of each session; it writes the ending then.
    """
    if position["quantity"] == 0.0 and position["entry_working"] == 0:
        return False
    position["silent"] += 1
    _paid_out(ending, symbol, BY_PRESUMED, PRESUMED, date - 1, np.nan)
    return bool(
        rules["presume_delisted_after_sessions"] > 0
        and position["silent"] > rules["presume_delisted_after_sessions"]
    )


@kernel_without_allocation
def _paid_out(
    ending: Record, symbol: int, reason: int, kind: int, until: int, value: float
) -> None:
    ending["symbol"] = ending["successor"] = symbol
    ending["kind"], ending["reason"], ending["canceled"] = kind, reason, DELISTED
    ending["until"] = ending["date"] = until
    ending["value"] = value


@kernel_without_allocation
def settle_ending(
    positions: Records,
    account: Record,
    rules: Records,
    ending: Record,
    at: int,
    exit_worked: int,
    legs_worked: int,
    applied: Record,
    intents: Records,
    n: int,
    trades: Records,
    n_trades: int,
) -> tuple[int, int]:
    """Pay out what is held under the ending's symbol, or hold it under its successor. `applied`
    says what was done.

    `exit_worked`, `legs_worked`: which orders worked before they were canceled. Returns (intents,
    trades) written so far.
    """
    symbol, cash = ending["symbol"], account["cash"]
    position = positions[symbol]
    applied["at"], applied["date"], applied["symbol"], applied["kind"] = (
        at,
        ending["date"],
        symbol,
        ending["kind"],
    )
    applied["successor"], applied["before"] = ending["successor"], position["quantity"]
    if ending["kind"] == CHANGE:
        applied["value"], applied["after"] = np.nan, position["quantity"]
        n = carry_over(
            positions,
            account,
            symbol,
            ending["successor"],
            ending["date"],
            at,
            exit_worked,
            legs_worked,
            intents,
            n,
        )
    else:
        price = delisting_price(position, rules[symbol], ending["value"])
        applied["value"], applied["after"] = price, 0.0
        n_trades = pay_out(
            position, account, rules[symbol], price, ending["reason"], symbol, at, trades, n_trades
        )
    applied["cash"] = account["cash"] - cash
    return n, n_trades


@kernel_without_allocation
def cancel_working(
    position: Record, symbol: int, reason: int, at: int, intents: Records, n: int
) -> int:
    """Intents to cancel whatever works for the symbol."""
    if position["entry_working"] == 1:
        n = cancel_order(symbol, ENTRY, reason, at, intents, n)
    if position["exit_working"] == 1:
        n = cancel_order(symbol, EXIT, reason, at, intents, n)
    if position["legs_working"] == 1:
        n = cancel_order(symbol, STOP, reason, at, intents, n)
        n = cancel_order(symbol, TAKE, reason, at, intents, n)
    return n


@kernel_without_allocation
def delisting_price(position: Record, rules: Record, stated: float) -> float:
    """What a share is paid: as the delisting states it, else the set part of the last price."""
    return position["last_price"] * rules["delisting_recovery"] if math.isnan(stated) else stated


@kernel_without_allocation
def pay_out(
    position: Record,
    account: Record,
    rules: Record,
    price: float,
    reason: int,
    symbol: int,
    at: int,
    trades: Records,
    n_trades: int,
) -> int:
    """Turn the shares into cash at `price` and end the trade; a short position pays. Returns the
    new number of trades.
    """
    if position["quantity"] == 0.0:
        return n_trades
    amount = notional(price * rules["multiplier"], position["quantity"])
    account["cash"] += amount
    position["cash_flow"] += amount
    position["exit_reason"] = reason
    average_exit(position, price, math.fabs(position["quantity"]))
    position["exit_working"] = position["legs_working"] = 0
    n_trades = close_trade(position, account, symbol, at, trades, n_trades)
    remember_trade(position, rules, trades[n_trades - 1])
    return n_trades


@kernel_without_allocation
def carry_over(
    positions: Records,
    account: Record,
    old: int,
    new: int,
    date: int,
    at: int,
    exit_worked: int,
    legs_worked: int,
    intents: Records,
    n: int,
) -> int:
    """Hold under `new` what was held under `old`, with an intent for each order that worked; `new`
    holds nothing. `date` is the day of the change.

    The levels of the barriers are brought to the prices of the last bar; which factor those have
    under the new symbol is seen at its first bar.
    """
    source, target = positions[old], positions[new]
    made = source["day_made"] + target["day_made"]
    positions[new] = source
    target["day_made"], source["day_made"] = made, 0
    target["last_date"] = date - 1
    target["gone"] = NO_REASON
    target["exit_working"] = target["legs_working"] = target["entry_working"] = 0
    source["value"] = source["gross"] = source["lowest"] = source["highest"] = source["counted"] = 0
    source["exit_working"] = source["legs_working"] = 0
    source["quantity"] = 0.0
    forget_trade(source)
    if legs_worked == 1 or target["stop_level"] != 0.0 or target["take_level"] != 0.0:
        if target["entry_factor"] != 0.0:
            target["stop_level"] = level_now(
                target["stop_level"], target["entry_factor"], target["last_factor"]
            )
            target["take_level"] = level_now(
                target["take_level"], target["entry_factor"], target["last_factor"]
            )
        target["entry_factor"] = 0.0
    if legs_worked == 1:
        n = place_legs(target, new, at, intents, n)
    if exit_worked == 1:
        n = close_position(
            target, account, new, target["exit_reason"], target["entry_signal_at"], at, intents, n
        )
    restate(target, account)
    return n
