"""Whether the prices by which the account is valued are fresh enough to trade on.

A held symbol without a bar for longer than `stale_after` of the running session is stale: what the
account is worth, and how much of it is at risk, is then not known. REDUCING, while one is stale: no
entry. HALTED, while those are more than half of the gross value: entries that wait are canceled,
too. Exits go on in both. It is ACTIVE again as soon as every held symbol has had a bar.

The session's own state of its streams (session/freshness.py) comes on top: what it holds back does
not leave, whatever was decided here.
"""

from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.portfolio.kernel_types import ACTIVE, HALTED, REDUCING, Record, Records


@kernel_without_allocation
def track_bar(position: Record, bar: Record) -> None:
    """Remember the bar's end and the close before it. Call it before the bar is marked."""
    position["prior_price"] = 0.0
    if position["last_date"] == bar["date"] and position["seen_factor"] > 0.0:
        position["prior_price"] = position["last_price"] * (position["seen_factor"] / bar["factor"])
    position["seen_factor"], position["seen_end"] = bar["factor"], bar["end"]


@kernel_without_allocation
def judge_data(positions: Records, account: Record, rules: Record, start: int, end: int) -> None:
    """Set the account's `data_state` at the moment `end` of bars that start at `start`."""
    if account["session_date"] != account["date"]:
        account["session_date"], account["session_from"] = account["date"], start
    stale = 0
    for symbol in range(len(positions)):
        position = positions[symbol]
        seen = max(position["seen_end"], account["session_from"])
        if position["quantity"] != 0.0 and end - seen > rules["stale_after"]:
            stale += abs(position["value"])
    account["data_state"] = (
        ACTIVE if stale == 0 else HALTED if 2 * stale > account["gross_value"] else REDUCING
    )
