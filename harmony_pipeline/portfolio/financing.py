"""What a night costs and brings: the fee of borrowed shares, and interest on cash.

Simple interest over the days from the account's session to the next one, so that a weekend counts
three, in a year of 360 days (actual/360, the convention of the money market and of stock loans).
Amounts are half up to the money unit. Each night is rounded by itself, so the same nights give the
same money however a run is cut.

The first moment of a session, before `open_session` moves `account["date"]` on and before the
session's corporate actions and changes of symbols:

    accrue_financing(positions, account, rules, date)

where `rules` has one record a symbol, as everywhere. What is borrowed is valued at the last close.
Proceeds of short sales lie with the lender and earn nothing: interest is on cash less the value of
the shorts. Where that is below zero, `debit_rate` is paid.
"""

import numpy as np

from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.portfolio.kernel_types import BEFORE_EVERYTHING, Record, Records

DAYS_A_YEAR = 360.0


@kernel_without_allocation
def accrue_financing(positions: Records, account: Record, rules: Records, date: int) -> None:
    """Charge the nights before the session `date` (days since 1970) on every position and on the
    cash; nothing when the session is no new one or the first of all.
    """
    if account["date"] == BEFORE_EVERYTHING or date <= account["date"]:
        return
    if account["gross_value"] != account["net_value"]:
        for symbol in range(len(positions)):
            accrue_borrow(positions[symbol], account, rules[symbol], date)
    accrue_interest(account, rules[0], date)


@kernel_without_allocation
def accrue_borrow(position: Record, account: Record, rules: Record, date: int) -> int:
    """Charge a short position for the nights up to the session `date`. The fee is in the cash flow
    of the trade and in `account["borrow"]`; returned in money units.
    """
    if position["value"] >= 0 or rules["borrow_rate"] <= 0.0:
        return 0
    nights = date - account["date"]
    amount = _interest(-position["value"], rules["borrow_rate"], nights)
    account["cash"] -= amount
    account["borrow"] += amount
    position["cash_flow"] -= amount
    return amount


@kernel_without_allocation
def accrue_interest(account: Record, rules: Record, date: int) -> int:
    """Pay interest on the cash for the nights up to the session `date`, or charge it where there is
    less than none; in `account["interest"]` too, returned in money units.
    """
    shorts = (account["gross_value"] - account["net_value"]) // 2
    own = account["cash"] - shorts
    nights = date - account["date"]
    rate = rules["interest_rate"] if own > 0 else rules["debit_rate"]
    if rate <= 0.0:
        return 0
    amount = _interest(own, rate, nights)
    account["cash"] += amount
    account["interest"] += amount
    return amount


@kernel_without_allocation
def _interest(money: int, rate: float, nights: int) -> int:
    return int(np.floor(money * rate * nights / DAYS_A_YEAR + 0.5))
