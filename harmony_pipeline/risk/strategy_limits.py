"""Limits of a strategy's own, within those of the account: `[strategies.NAME.risk]`.

A strategy's rows are those of its sleeve (portfolio/sleeves.py), or all of them where it has the
account to itself. Its limits are fractions of its share of the equity, as if that were its account;
they come after those of the account, and can only make an entry smaller or refuse it.

Daily loss: what the strategy made since the previous session ended, open positions at their last
marks and the fees of borrowed shares included, is held against its share of the account's equity at
that end. Beyond the limit the strategy enters nothing until the next session, and its entries at
work are canceled. It latches, as the account's does (risk/breakers.py). Interest on cash is the
account's.
"""

import math

from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.portfolio.kernel_types import (
    MAX_STRATEGY_SHARE,
    STRATEGY_MAX_GROSS_EXPOSURE,
    STRATEGY_MAX_NET_EXPOSURE,
    STRATEGY_MAX_POSITION,
    Record,
    Records,
)

MOST = 4e18  # money units: less than half of what int64 holds, so that a sum of two is sound


@kernel_without_allocation
def whole_units(value: float) -> int:
    """Whole money units in `value`, at most as many as sums of them can hold."""
    return math.floor(min(value, MOST))


@kernel_without_allocation
def _rows(positions: Records, rules: Record, row: int) -> tuple[int, int]:
    """(first, end) of the rows of the strategy that `row` is of."""
    step = rules["sleeve_symbols"]
    if step == 0:
        return 0, len(positions)
    first = row - row % step
    return first, first + step


@kernel_without_allocation
def _share(rules: Record) -> float:
    """The strategy's part of the equity."""
    return float(rules["share"]) if rules["sleeve_symbols"] > 0 else 1.0


@kernel_without_allocation
def room_of_strategy(
    positions: Records, equity: float, rules: Record, row: int, side: int, room: int, limit: int
) -> tuple[int, int]:
    """(money units, limit): `room`, which the limits of the account leave to a position in `row` on
    `side`, or what the strategy's limits of exposure leave, where that is less. A limit that it has
    not of its own is the account's. May be negative.
    """
    gross = outcome = 0
    first, end = _rows(positions, rules, row)
    for other in range(first, end):
        if other != row:
            gross += positions[other]["gross"]
            outcome += positions[other]["highest"] if side > 0 else -positions[other]["lowest"]
    own = equity * _share(rules)
    room, limit = _within(
        rules["own_max_position"], rules["max_position"], own, 0, room, limit, STRATEGY_MAX_POSITION
    )
    room, limit = _within(
        rules["own_max_gross_exposure"], rules["max_gross_exposure"], own, gross, room, limit,
        STRATEGY_MAX_GROSS_EXPOSURE,
    )  # fmt: skip
    return _within(
        rules["own_max_net_exposure"], rules["max_net_exposure"], own, outcome, room, limit,
        STRATEGY_MAX_NET_EXPOSURE,
    )  # fmt: skip


@kernel_without_allocation
def _within(
    own: float, shared: float, equity: float, used: int, room: int, limit: int, name: int
) -> tuple[int, int]:
    """`room` and its limit, or what is left of the strategy's `own` limit (0: the `shared` one)."""
    left = whole_units((own if own > 0.0 else shared) * equity) - used
    if left < room:
        return left, name if own > 0.0 else MAX_STRATEGY_SHARE
    return room, limit


@kernel_without_allocation
def has_too_many(positions: Records, rules: Record, row: int) -> bool:
    """Whether the strategy has as many symbols open as it may, and `row` is another one."""
    if positions[row]["counted"] == 1:
        return False
    counted = 0
    first, end = _rows(positions, rules, row)
    for other in range(first, end):
        counted += positions[other]["counted"]
    return bool(counted >= rules["own_max_open_positions"])


@kernel_without_allocation
def begin_strategies(positions: Records, account: Record, rules: Record, date: int) -> None:
    """Call first at every timestamp, before financing: on a new session `date` every strategy
    counts what it makes anew, and may enter again.
    """
    if rules["watches_strategies"] == 0 or date <= account["date"]:
        return
    for row in range(len(positions)):
        position = positions[row]
        position["day_made"] = -(position["cash_flow"] + position["value"])
        position["strategy_stopped"] = 0


@kernel_without_allocation
def judge_strategies(positions: Records, account: Record, rules: Records) -> bool:
    """Judge what was just marked; latches the strategies that lost more than their own limit.
    Whether one of them did now.
    """
    lost, first = False, 0
    while first < len(positions):
        own = rules[first]
        _, end = _rows(positions, own, first)
        made, stopped = 0, 0
        for row in range(first, end):
            position = positions[row]
            made += position["day_made"] + position["cash_flow"] + position["value"]
            stopped |= position["strategy_stopped"]
        began = account["day_equity"] * _share(own)
        least = began * (1.0 - own["own_max_daily_loss"])
        if stopped == 0 and own["own_max_daily_loss"] > 0.0 and began + made < least:
            lost, stopped = True, 1
        for row in range(first, end):
            positions[row]["strategy_stopped"] = stopped
        first = end
    return lost
