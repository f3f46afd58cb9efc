"""The books of one position: what a fill, a split or a mark does to shares, cash and the open round
trip.

Cash moves by exactly the money units that are added to the round trip's `cash_flow`, so the profits
of trades add up to the change of equity; and the account's exposure sums are always those of its
positions, kept by exact differences.
"""

from harmony_pipeline.execution.costs import notional
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.market.price_grid import snap_to_lot
from harmony_pipeline.portfolio.kernel_types import NO_MODEL, Record, Records


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
