"""The books of one position: what the report of an order, a split or a dividend does to shares,
cash and the open round trip.

Money and shares are conserved: `equity == cash + sum of values`, and every change is a fill, a
dividend, cash in lieu or what a delisting paid. Cash moves by exactly the money units that are
added to the round trip's `cash_flow`, so the profits of trades add up to the change of equity; and
the account's exposure sums are always those of its positions, kept by exact differences.
"""

import math

from harmony_pipeline.execution.costs import notional
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.market.price_grid import floor_to_lot, snap_to_lot, whole_unit
from harmony_pipeline.portfolio.exit_rules import barrier_levels
from harmony_pipeline.portfolio.intents import place_legs
from harmony_pipeline.portfolio.kernel_types import (
    BY_CASH_IN_LIEU,
    BY_STOP,
    BY_TAKE,
    BY_UNPROTECTED,
    ENTRY,
    EXIT,
    EXPIRE,
    FILL,
    NO_MODEL,
    NO_REASON,
    REJECT,
    STOP,
    TAKE,
    UNRESTRICTED,
    Record,
    Records,
)
from harmony_pipeline.risk.account_rules import note_fill

INTENTS_A_REPORT = 2  # the legs of a bracket


@kernel_without_allocation
def apply_report(
    positions: Records,
    account: Record,
    rules: Record,
    report: Record,
    intents: Records,
    n: int,
    trades: Records,
    n_trades: int,
) -> tuple[int, int]:
    """Take in what the exchange or the broker says about one order. Returns (intents, trades)
    written so far: bracket legs, a closed round trip.
    """
    position = positions[report["symbol"]]
    role = report["role"]
    if report["kind"] == FILL:
        if rules["account_kind"] != UNRESTRICTED:
            note_fill(position, account, rules, report)
        if role == ENTRY:
            enter(position, account, rules, report)
        else:
            if role != EXIT and position["exit_reason"] == NO_REASON:
                position["exit_reason"] = BY_STOP if role == STOP else BY_TAKE
            leave(position, account, rules, report)
    elif role in (STOP, TAKE):
        _leg_ended(position, report)
    if report["closed"] == 1:
        if role == ENTRY:
            position["entry_working"] = 0
            position["pending_side"] = position["pending_value"] = 0
            position["pending_model"] = NO_MODEL
            n = _bracket(position, rules, report, intents, n)
        elif role == EXIT:
            position["exit_working"] = 0
        else:
            position["legs_working"] = 0
    if position["side"] != 0 and position["quantity"] == 0.0:
        n_trades = close_trade(position, account, report["symbol"], report["at"], trades, n_trades)
        remember_trade(position, rules, trades[n_trades - 1])
    restate(position, account)
    return n, n_trades


@kernel_without_allocation
def _leg_ended(position: Record, report: Record) -> None:
    """A leg stopped working without a fill: touched but out of volume, refused by the broker, or
    canceled (by its twin or by us: nothing to do).
    """
    if report["kind"] == REJECT:
        position["exit_reason"] = BY_UNPROTECTED  # a position whose bracket was refused is closed
    elif report["kind"] == EXPIRE and position["exit_reason"] == NO_REASON:
        position["exit_reason"] = BY_STOP if report["role"] == STOP else BY_TAKE


@kernel_without_allocation
def _bracket(position: Record, rules: Record, report: Record, intents: Records, n: int) -> int:
    """The two legs of an entry that is done, for as much as was filled; where only closes touch,
    their levels alone.
    """
    if (
        rules["barriers"] == 0
        or position["quantity"] == 0.0
        or position["legs_working"] == 1
        or position["entry_at"] != report["decided_at"]
    ):
        return n
    side = position["side"]
    upper, lower = barrier_levels(
        rules, side, position["entry_reference"], position["volatility"], rules["horizon"],
        rules["profit_take"], rules["stop_loss"],
        rules["minimum_barrier_bps"],
    )  # fmt: skip
    position["take_level"] = upper if side > 0 else lower
    position["stop_level"] = lower if side > 0 else upper
    if rules["close_touch"] == 1:
        return n
    first, n = n, place_legs(position, report["symbol"], position["entry_at"], intents, n)
    intents[first]["at_close"] = intents[first + 1]["at_close"] = rules["entry_at_close"]
    return n


@kernel_without_allocation
def take_report(
    positions: Records,
    accounts: Records,
    rules: Records,
    reports: Records,
    intents: Records,
    trades: Records,
) -> tuple[int, int]:
    """`apply_report` of one report; the numbers of intents and of closed round trips."""
    symbol = reports[0]["symbol"]
    return apply_report(positions, accounts[0], rules[symbol], reports[0], intents, 0, trades, 0)


@kernel_without_allocation
def enter(position: Record, account: Record, rules: Record, report: Record) -> None:
    """Open the round trip, or add to it when a broker fills one entry in several parts."""
    value = notional(report["price"] * rules["multiplier"], report["quantity"])
    if position["side"] == 0:
        position["side"] = report["side"]
        position["entry_symbol"] = report["symbol"]
        position["entry_at"] = position["pending_at"]
        position["entry_bar"] = report["at"]
        position["entry_signal_at"] = position["pending_signal_at"]
        position["entry_reference"] = report["reference"]
        position["entry_factor"] = report["factor"]
        position["volatility"] = position["pending_volatility"]
        position["model"] = position["pending_model"]
        position["bars_held"] = position["sessions_held"] = position["held_on"] = 0
    total = position["entry_quantity"] + report["quantity"]
    position["entry_price"] += (report["price"] - position["entry_price"]) * (
        report["quantity"] / total
    )
    position["entry_quantity"] = total
    position["entry_value"] += value
    position["quantity"] = snap_to_lot(
        position["quantity"] + report["side"] * report["quantity"], rules["lot_size"]
    )
    _pay(position, account, rules, -report["side"] * value, report)


@kernel_without_allocation
def leave(position: Record, account: Record, rules: Record, report: Record) -> None:
    """Take the fill of an exit or a leg into the books; the trade is closed by `close_trade` when
    nothing is left.
    """
    position["quantity"] = snap_to_lot(
        position["quantity"] + report["side"] * report["quantity"], rules["lot_size"]
    )
    average_exit(position, report["price"], report["quantity"])
    _pay(
        position,
        account,
        rules,
        -report["side"] * notional(report["price"] * rules["multiplier"], report["quantity"]),
        report,
    )


@kernel_without_allocation
def _pay(position: Record, account: Record, rules: Record, amount: int, report: Record) -> None:
    account["cash"] += amount - report["fee"]
    position["cash_flow"] += amount - report["fee"]
    position["fees"] += report["fee"]
    position["slippage"] += report["slippage"] * rules["multiplier"] * report["quantity"]
    revalue(position, account, rules, report["price"])


@kernel_without_allocation
def average_exit(position: Record, price: float, quantity: float) -> None:
    """Take `quantity` shares sold or bought back at `price` into the average exit price."""
    position["exit_quantity"] += quantity
    if position["exit_quantity"] > 0.0:
        position["exit_price"] += (price - position["exit_price"]) * (
            quantity / position["exit_quantity"]
        )


@kernel_without_allocation
def close_trade(
    position: Record, account: Record, symbol: int, at: int, trades: Records, n_trades: int
) -> int:
    """Write the round trip down and forget it; the account counts it, and losses in a row."""
    count_trade(account, position["cash_flow"], at)
    trade = trades[n_trades]
    trade["symbol"] = symbol
    trade["side"] = position["side"]
    trade["quantity"] = position["entry_quantity"]
    trade["entry_at"] = position["entry_at"]
    trade["entry_bar"] = position["entry_bar"]
    trade["entry_price"] = position["entry_price"]
    trade["exit_bar"] = at
    trade["exit_price"] = position["exit_price"]
    trade["exit_reason"] = position["exit_reason"]
    trade["fees"] = position["fees"]
    trade["slippage"] = position["slippage"]
    trade["pnl"] = position["cash_flow"]
    trade["entry_value"] = position["entry_value"]
    trade["model"] = position["model"]
    trade["entry_symbol"] = position["entry_symbol"]
    _set_value(position, account, 0)
    forget_trade(position)
    restate(position, account)
    return n_trades + 1


@kernel_without_allocation
def apply_dividend(position: Record, account: Record, rules: Record, value: float) -> None:
    """Cash of `value` a share held before the ex-date's open; a short position pays it."""
    if position["quantity"] == 0.0:
        return
    amount = notional(value * rules["multiplier"], position["quantity"])
    account["cash"] += amount
    position["cash_flow"] += amount
    # carried over a change of symbol: no bar has told the factor that would do this
    if position["entry_factor"] == 0.0:
        position["stop_level"] *= 1.0 - dividend_share(position, value)
        position["take_level"] *= 1.0 - dividend_share(position, value)


@kernel_without_allocation
def dividend_share(position: Record, value: float) -> float:
    """A dividend as a part of the last price; 0 where it is no less than that, as the adjustment
    factor has it.
    """
    return value / position["last_price"] if value < position["last_price"] else 0.0


@kernel_without_allocation
def apply_split(
    position: Record,
    account: Record,
    rules: Record,
    ratio: float,
    price: float,
    symbol: int,
    at: int,
    trades: Records,
    n_trades: int,
) -> int:
    """`ratio` new shares for each old one; less than a share is paid in cash at `price`, the open
    in new shares.

    Returns the new number of trades: a position may vanish by this.
    """
    if position["quantity"] == 0.0:
        return n_trades
    exact = math.fabs(position["quantity"]) * ratio
    whole = floor_to_lot(exact, whole_unit(rules["lot_size"]))
    fraction = max(0.0, exact - whole)
    amount = position["side"] * notional(price * rules["multiplier"], fraction)
    account["cash"] += amount
    position["cash_flow"] += amount
    position["quantity"] = position["side"] * whole
    if position["entry_factor"] == 0.0:
        position["stop_level"] /= ratio
        position["take_level"] /= ratio
    revalue(position, account, rules, price)
    if whole > 0.0:
        restate(position, account)
        return n_trades
    position["exit_reason"] = BY_CASH_IN_LIEU
    average_exit(position, price, fraction)
    n_trades = close_trade(position, account, symbol, at, trades, n_trades)
    remember_trade(position, rules, trades[n_trades - 1])
    return n_trades


@inlined_kernel
def count_trade(account: Record, made: int, at: int) -> None:
    """One more round trip, which made so many money units; and losses in a row."""
    if made < 0:
        account["losses"] += 1
        account["lost_at"] = at
    else:
        account["losses"] = 0
    account["closed_trades"] += 1


@kernel_without_allocation
def remember_trade(position: Record, rules: Record, trade: Record) -> None:
    """What limits remember of a round trip that was closed: no entry into the symbol for a while
    after a loss, where the rules say so; and what it made for its strategy in this session.
    """
    if rules["symbol_pause"] > 0 and trade["pnl"] < 0:
        position["paused_until"] = trade["exit_bar"] + rules["symbol_pause"]
    if rules["own_symbol_pause"] > 0 and trade["pnl"] < 0:
        position["own_paused_until"] = trade["exit_bar"] + rules["own_symbol_pause"]
    if rules["watches_strategies"] == 1:
        position["day_made"] += trade["pnl"]


@kernel_without_allocation
def forget_trade(position: Record) -> None:
    """The position without its open round trip."""
    position["quantity"] = position["entry_price"] = position["entry_reference"] = position[
        "entry_factor"
    ] = position["entry_quantity"] = 0.0
    position["stop_level"] = position["take_level"] = position["volatility"] = position[
        "exit_quantity"
    ] = position["exit_price"] = position["slippage"] = 0.0
    position["side"] = position["entry_at"] = position["entry_bar"] = position[
        "entry_signal_at"
    ] = position["entry_value"] = position["exit_reason"] = 0
    position["cash_flow"] = position["fees"] = position["bars_held"] = position[
        "exit_at"
    ] = position["entry_symbol"] = position["silent"] = 0
    position["last_factor"] = 0.0
    position["sessions_held"] = position["held_on"] = 0
    position["model"] = NO_MODEL


@kernel_without_allocation
def revalue(position: Record, account: Record, rules: Record, price: float) -> None:
    """Value the position at `price`, and the account's net and gross with it."""
    _set_value(position, account, notional(price * rules["multiplier"], position["quantity"]))


@kernel_without_allocation
def _set_value(position: Record, account: Record, value: int) -> None:
    account["net_value"] += value - position["value"]
    account["gross_value"] += abs(value) - abs(position["value"])
    position["value"] = value


@kernel_without_allocation
def restate(position: Record, account: Record) -> None:
    """This symbol's part of the account's exposure, over every outcome that its working orders may
    lead to: integers, so exact in any order.
    """
    value = position["value"]
    lowest = highest = value
    gross = abs(value)
    if position["exit_working"] == 1:
        lowest, highest = min(lowest, 0), max(highest, 0)
    if position["entry_working"] == 1:
        pending = position["pending_value"]
        lowest, highest, gross = (
            min(lowest, pending),
            max(highest, pending),
            max(gross, abs(pending)),
        )
    _set_outcomes(position, account, lowest, highest, gross)


@kernel_without_allocation
def restate_orders(position: Record, account: Record, bought: int, sold: int) -> None:
    """`restate` where several orders of the symbol work: purchases of `bought` money units and
    sales of `sold`, any of which may be filled, beside an order that closes it (`exit_working`).
    """
    value = position["value"]
    lowest = highest = value
    if position["exit_working"] == 1:
        lowest, highest = min(value, 0), max(value, 0)
    lowest, highest = lowest - sold, highest + bought
    adds = lowest < min(value, 0) or highest > max(value, 0)
    position["entry_working"] = 1 if adds else 0
    position["pending_value"] = bought
    _set_outcomes(position, account, lowest, highest, max(abs(lowest), abs(highest)))


@inlined_kernel
def _set_outcomes(position: Record, account: Record, lowest: int, highest: int, gross: int) -> None:
    counted = 1 if position["entry_working"] == 1 or position["quantity"] != 0.0 else 0
    account["lowest"] += lowest - position["lowest"]
    account["highest"] += highest - position["highest"]
    account["gross"] += gross - position["gross"]
    account["counted"] += counted - position["counted"]
    position["lowest"] = lowest
    position["highest"] = highest
    position["gross"] = gross
    position["counted"] = counted
