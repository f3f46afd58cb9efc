"""What the end of a symbol does to a position: a delisting pays it out, a change of symbol carries
it on. Backtest and session call these kernels.

The law: a position is held under one symbol at a time, and each end is booked once, on the first
session of its day or after it. Nothing of it is used before: the price is the last regular close
that was known.

    delisting      working orders are canceled (reason delisted); the shares are paid `value` each, else delisting_recovery of the last close; the trade
                   ends with exit_reason delisting
    symbol change  an entry that works is canceled (reason renamed); shares, trade, bars held and bracket go on under the new symbol, where exits and legs are
                   placed again
    listing        another security takes the symbol: whatever is still held of the one before is paid out like a delisted one
    silence        after presume_delisted_after_sessions sessions without a bar: paid out, exit_reason presumed_delisted

Splits and dividends since the symbol's last bar come first; they change shares and the last price
as the bar would have shown it.
"""

import math

from harmony_pipeline.execution.costs import notional
from harmony_pipeline.kernel import kernel
from harmony_pipeline.portfolio.decisions import apply_dividend, apply_split, cancel_order, close_position, dividend_share, place_legs
from harmony_pipeline.portfolio.exit_rules import level_now
from harmony_pipeline.portfolio.kernel_types import (
    CHANGE,
    DELISTED,
    DELISTING,
    ENTRY,
    EXIT,
    NO_REASON,
    RENAMED,
    STOP,
    TAKE,
    Record,
    Records,
)
from harmony_pipeline.portfolio.position_accounting import average_exit, close_trade, forget_trade, restate, revalue


@kernel
def end_symbol(positions: Records, life: Record) -> None:
    """From now on nothing is entered under a symbol that ended, and something may be under one that
    began.
    """
    if life["kind"] == DELISTING:
        positions[life["symbol"]]["gone"] = DELISTED
    elif life["kind"] == CHANGE:
        positions[life["symbol"]]["gone"] = RENAMED
        positions[life["successor"]]["gone"] = NO_REASON
    else:
        positions[life["symbol"]]["gone"] = NO_REASON


@kernel
def cancel_working(position: Record, symbol: int, reason: int, at: int, intents: Records, n: int) -> int:
    """Intents to cancel whatever works for the symbol."""
    if position["entry_working"] == 1:
        n = cancel_order(symbol, ENTRY, reason, at, intents, n)
    if position["exit_working"] == 1:
        n = cancel_order(symbol, EXIT, reason, at, intents, n)
    if position["legs_working"] == 1:
        n = cancel_order(symbol, STOP, reason, at, intents, n)
        n = cancel_order(symbol, TAKE, reason, at, intents, n)
    return n


@kernel
def split_unseen(position: Record, account: Record, rules: Record, ratio: float, symbol: int, at: int, trades: Records, n_trades: int) -> int:
    """A split of a symbol that has had no bar since: shares, and the last price and factor as the
    bar would have shown them. Cash in lieu at that price.
    """
    position["last_price"] /= ratio
    position["last_factor"] *= ratio
    return apply_split(position, account, rules, ratio, position["last_price"], symbol, at, trades, n_trades)


@kernel
def dividend_unseen(position: Record, account: Record, rules: Record, value: float) -> None:
    """A dividend of a symbol that has had no bar since: it is paid, and taken off the last price."""
    apply_dividend(position, account, rules, value)
    left = 1.0 - dividend_share(position, value)
    position["last_price"] *= left
    position["last_factor"] /= left
    revalue(position, account, rules, position["last_price"])
    restate(position, account)


@kernel
def delisting_price(position: Record, rules: Record, stated: float) -> float:
    """What a share is paid: as the delisting states it, else the set part of the last price."""
    return position["last_price"] * rules["delisting_recovery"] if math.isnan(stated) else stated


@kernel
def pay_out(position: Record, account: Record, rules: Record, price: float, reason: int, symbol: int, at: int, trades: Records, n_trades: int) -> int:
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
    return close_trade(position, account, symbol, at, trades, n_trades)


@kernel
def carry_over(
    positions: Records, account: Record, old: int, new: int, date: int, at: int, exit_worked: int, legs_worked: int, intents: Records, n: int
) -> int:
    """Hold under `new` what was held under `old`, with an intent for each order that worked; `new`
    holds nothing. `date` is the day of the change.

    The levels of the legs are brought to the prices of the last bar; which factor those have under
    the new symbol is seen at its first bar.
    """
    source, target = positions[old], positions[new]
    positions[new] = source
    target["last_date"] = date - 1
    target["gone"] = NO_REASON
    target["exit_working"] = target["legs_working"] = target["entry_working"] = 0
    source["value"] = source["gross"] = source["lowest"] = source["highest"] = source["counted"] = 0
    source["exit_working"] = source["legs_working"] = 0
    source["quantity"] = 0.0
    forget_trade(source)
    if legs_worked == 1:
        if target["entry_factor"] != 0.0:
            target["stop_level"] = level_now(target["stop_level"], target["entry_factor"], target["last_factor"])
            target["take_level"] = level_now(target["take_level"], target["entry_factor"], target["last_factor"])
        target["entry_factor"] = 0.0
        n = place_legs(target, new, at, intents, n)
    if exit_worked == 1:
        n = close_position(target, account, new, target["exit_reason"], target["entry_signal_at"], at, intents, n)
    restate(target, account)
    return n


@kernel
def is_presumed_gone(position: Record, rules: Record) -> bool:
    """Count one more session that begins without a bar of the symbol since its last; whether that
    is too many. Call it at the start of each session.
    """
    if position["quantity"] == 0.0 and position["entry_working"] == 0:
        return False
    position["silent"] += 1
    return bool(rules["presume_delisted_after_sessions"] > 0 and position["silent"] > rules["presume_delisted_after_sessions"])
