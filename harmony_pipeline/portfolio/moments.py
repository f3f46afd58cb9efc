"""What happens to positions at a timestamp beside fills and decisions: how it begins, the marks at
the closes of its bars, the breakers. The order is that of the protocol in portfolio/decisions.py.

Compiled code takes an array from Python in 0.3 us, and a single record in 8 us. So a session hands
over whole arrays: to `begin_moment`, `mark_bars`, `mark_entry_at` and `judge_equity` here, to
`decide_moment` in decisions.py and to `take_report` in position_accounting.py. `accounts` and
`reports` have one record.
"""

from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.portfolio.financing import accrue_financing
from harmony_pipeline.portfolio.kernel_types import Record, Records
from harmony_pipeline.portfolio.position_accounting import restate, revalue
from harmony_pipeline.risk.account_rules import begin_account_session
from harmony_pipeline.risk.breakers import check_breakers, open_session
from harmony_pipeline.risk.data_state import track_bar
from harmony_pipeline.risk.strategy_limits import begin_strategies


@kernel_without_allocation
def begin_moment(positions: Records, accounts: Records, rules: Records, date: int) -> int:
    """What comes first at every timestamp; returns what the nights before brought into the cash,
    in money units.
    """
    account = accounts[0]
    cash: int = account["cash"]
    begin_strategies(positions, account, rules[0], date)
    accrue_financing(positions, account, rules, date)
    financed: int = account["cash"] - cash
    begin_account_session(account, rules[0], date)
    open_session(account, date)
    return financed


@kernel_without_allocation
def mark(position: Record, account: Record, rules: Record, bar: Record) -> None:
    """Value the position at the bar's close and count the bar. Exactly once for each regular bar of
    the symbol.
    """
    mark_flat(position, rules, bar)
    if position["quantity"] != 0.0:
        hold(position, account, rules, bar["close"], bar["date"], bar["factor"])
    account["equity"] = account["cash"] + account["net_value"]


@inlined_kernel
def mark_flat(position: Record, rules: Record, bar: Record) -> None:
    """The part of `mark` that is of the symbol's prices alone."""
    if rules["tracks_prices"] == 1:
        track_bar(position, bar)
    position["last_price"] = bar["close"]
    position["last_date"] = bar["date"]
    if position["entry_working"] == 1:  # it waits for a later bar: the symbol is not silent
        position["silent"] = 0


@kernel_without_allocation
def mark_entry(position: Record, account: Record, rules: Record, bar: Record) -> None:
    """Value what was entered at the bar's close, if anything was, after `mark`. The session of the
    bar counts as held, the bar does not.
    """
    if position["quantity"] != 0.0 and position["entry_bar"] == bar["at"]:
        begin_holding(position, account, rules, bar)


@inlined_kernel
def begin_holding(position: Record, account: Record, rules: Record, bar: Record) -> None:
    """The first mark of what was entered at the bar's close."""
    position["held_on"] = bar["date"]
    position["sessions_held"] = 1
    position["last_factor"] = bar["factor"]
    revalue(position, account, rules, bar["close"])
    restate(position, account)
    account["equity"] = account["cash"] + account["net_value"]


@inlined_kernel
def hold(
    position: Record, account: Record, rules: Record, close: float, date: int, factor: float
) -> None:
    """`mark` of a symbol with a position, where no limit watches its prices."""
    position["last_price"] = close
    position["last_date"] = date
    position["bars_held"] += 1
    if position["held_on"] != date:
        position["sessions_held"] += 1
        position["held_on"] = date
    position["silent"] = 0
    position["last_factor"] = factor
    if position["entry_factor"] == 0.0:
        position["entry_factor"] = factor
    revalue(position, account, rules, close)
    restate(position, account)
    account["equity"] = account["cash"] + account["net_value"]


@kernel_without_allocation
def mark_bars(
    positions: Records, accounts: Records, rules: Records, bars: Records, start: int, stop: int
) -> None:
    """`mark` of the bars `bars[start:stop]`, in their order. What a broker has filled at the close
    of its bar by now counts as in `mark_entry`: the bar was not held.
    """
    for i in range(start, stop):
        symbol = bars[i]["symbol"]
        position = positions[symbol]
        after = rules[symbol]["entry_at_close"] == 1 and position["entry_bar"] >= bars[i]["end"]
        if after and position["quantity"] != 0.0:
            mark_flat(position, rules[symbol], bars[i])
            position["silent"] = 0
            begin_holding(position, accounts[0], rules[symbol], bars[i])
        else:
            mark(position, accounts[0], rules[symbol], bars[i])


@kernel_without_allocation
def mark_entry_at(
    positions: Records, accounts: Records, rules: Records, bars: Records, i: int
) -> None:
    """`mark_entry` of the bar `bars[i]`."""
    symbol = bars[i]["symbol"]
    mark_entry(positions[symbol], accounts[0], rules[symbol], bars[i])


@kernel_without_allocation
def judge_equity(accounts: Records, rules: Records) -> None:
    """`check_breakers` of the marked equity."""
    check_breakers(rules[0], accounts[0])
