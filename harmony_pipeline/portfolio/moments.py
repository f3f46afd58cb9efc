"""The steps of a moment for a driver in Python: the kernels of the protocol in
portfolio/decisions.py, handed whole arrays.

Compiled code takes an array in 0.3 us, and a single record in 8 us. So a session hands over the
positions, the account, the rules and the bars of a moment as they are, and nothing here does more
than call the protocol's kernels in its order. `accounts` and `reports` have one record.
"""

from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.portfolio.decisions import (
    apply_report,
    begin_holding,
    decide,
    mark,
    mark_entry,
    mark_flat,
)
from harmony_pipeline.portfolio.financing import accrue_financing
from harmony_pipeline.portfolio.kernel_types import Records
from harmony_pipeline.risk.account_rules import begin_account_session
from harmony_pipeline.risk.breakers import check_breakers, open_session
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


@kernel_without_allocation
def decide_moment(
    positions: Records, accounts: Records, rules: Records, bars: Records, intents: Records
) -> int:
    """`decide` at the end of these bars; the number of intents."""
    return decide(positions, accounts[0], rules, bars, 0, len(bars), intents, 0)


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
