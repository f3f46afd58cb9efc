"""The one gate that every entry passes; no strategy, model or driver can go around it.

After a permitted entry no limit is exceeded, whichever of the working orders fill: gross, net,
sector and cash are judged on the worst outcome. Limits are fractions of the equity at the last
marks; positions count at their last price, working entries at their decision price. An input that
is not a sound number is refused, and in doubt the answer is 0 shares. Exits never pass here:
getting smaller is always allowed.

The answer is a `Verdict`. docs/risk.md lists every limit with its setting and its answer.
"""

import math
from typing import NamedTuple

from harmony_pipeline.execution.costs import notional
from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.market.price_grid import floor_to_lot, least_price
from harmony_pipeline.portfolio.kernel_types import (
    ACTIVE,
    ALLOW_SHORT,
    APPROVE,
    BAD_INPUT,
    CASH_BUFFER,
    CONSECUTIVE_LOSSES,
    DUPLICATE_INTENT,
    HALT,
    KILL_SWITCH,
    LOT_SIZE,
    MAX_DAILY_LOSS,
    MAX_DRAWDOWN,
    MAX_GROSS_EXPOSURE,
    MAX_NET_EXPOSURE,
    MAX_OPEN_POSITIONS,
    MAX_POSITION,
    MAX_SECTOR_EXPOSURE,
    MAX_WEEKLY_LOSS,
    MINIMUM_NOTIONAL,
    MINIMUM_ORDER_VALUE,
    MINIMUM_QUANTITY,
    MONEY,
    NO_EDGE,
    NO_REASON,
    OPPOSITE_POSITION,
    ORDER_RATE,
    PRICE_COLLAR,
    QUEUE,
    REFUSE,
    RESIZE,
    SHORTABLE,
    STALE_DATA,
    STRATEGY_MAX_DAILY_LOSS,
    STRATEGY_MAX_OPEN_POSITIONS,
    SYMBOL_COOLDOWN,
    TARGET_REACHED,
    TICK_SIZE,
    UNRESTRICTED,
    Record,
    Records,
)
from harmony_pipeline.risk.account_rules import account_room, barred, note_entry
from harmony_pipeline.risk.order_rate import NEVER, release_time
from harmony_pipeline.risk.sizing import FIXED_SHARES, FIXED_VALUE, TARGET_UTILITY, wanted_size
from harmony_pipeline.risk.strategy_limits import (
    MOST,
    has_too_many,
    room_of_strategy,
    whole_units,
)

_WILDEST = 10.0  # deviation of one bar's log return; beyond it no number of a market, an error
_EDGE = 2e-15  # of a quantity: a few steps between doubles, where a lot is less than one


class Verdict(NamedTuple):
    """The answer to an intent to enter: `answer` is an index of VERDICT_NAMES, `quantity` the
    shares that may be entered, `reason` the index in REASON_NAMES of the limit that refused or
    resized, `release_at` when a queued entry may leave (0: at once), `wanted` the shares that the
    rule of size wanted, in whole lots (0: it was not asked).
    """

    answer: int
    quantity: float
    reason: int
    release_at: int
    wanted: float


@kernel_without_allocation
def judge_entry(
    positions: Records, account: Record, rules: Records, bar: Record, end: int
) -> Verdict:
    """What the risk engine answers to entering the bar's symbol on the side of its signal, at its
    close, at the moment `end`. `rules` has one record a symbol.

    On a reversal the own position is being closed: the entry can only come in its stead, so what
    the symbol contributes to the account's sums now does not count. An approved entry takes its
    place in the order rate.
    """
    own_rules = rules[bar["symbol"]]
    answer, blocked = _forbidden(positions, account, own_rules, bar, end)
    if blocked != NO_REASON:
        return Verdict(answer, 0.0, blocked, 0, 0.0)
    quantity, reason, wanted = _permitted_quantity(positions, account, rules, bar)
    if quantity == 0.0:
        return Verdict(REFUSE, 0.0, reason, 0, wanted)
    release_at = release_time(own_rules, account, end)
    if release_at == NEVER:
        return Verdict(REFUSE, 0.0, ORDER_RATE, 0, wanted)
    if own_rules["account_kind"] != UNRESTRICTED:
        value = notional(bar["close"] * own_rules["multiplier"], quantity)
        note_entry(positions, account, own_rules, bar["symbol"], value)
    answer = QUEUE if release_at > 0 else APPROVE if reason == NO_REASON else RESIZE
    return Verdict(answer, quantity, reason, release_at, wanted)


@kernel_without_allocation
def judge_order(
    positions: Records,
    account: Record,
    rules: Records,
    bar: Record,
    quantity: float,
    working: float,
    working_value: int,
    end: int,
) -> Verdict:
    """What the risk engine answers to a limit order of `quantity` shares (0: as many as the rule of
    size wants) on the side of the bar's signal, at its close, at the moment `end`.

    `working` shares of the same side, of `working_value` money units, may be filled beside it, also
    by an order that closes the position. What makes the position smaller, whatever is filled, is
    approved as it is; of an order that turns the position only that part is, where the rest is
    refused. The limits are those of `judge_entry`, on the position that the order leads to.
    """
    symbol, side = bar["symbol"], bar["signal"]
    own, position = rules[symbol], positions[symbol]
    held = side * position["quantity"]
    reducing = max(0.0, -(held + working))
    if 0.0 < quantity <= reducing:
        return Verdict(APPROVE, quantity, NO_REASON, 0, quantity)
    answer, reason = _forbidden(positions, account, own, bar, end)
    if reason != NO_REASON:
        if reducing > 0.0 and own["refuse_over_limit"] == 0 and quantity > 0.0:
            return Verdict(RESIZE, reducing, reason, 0, quantity)
        return Verdict(answer, 0.0, reason, 0, quantity)
    unit = bar["close"] * own["multiplier"]
    wanted, added, reason = _added_quantity(
        positions, account, rules, bar, quantity, reducing, working_value
    )
    if reason != NO_REASON and reducing + added == 0.0:
        return Verdict(REFUSE, 0.0, reason, 0, wanted)
    if reason != NO_REASON and own["refuse_over_limit"] == 1:
        return Verdict(REFUSE, 0.0, reason, 0, wanted)
    if added == 0.0:
        return Verdict(RESIZE, reducing, reason, 0, wanted)
    release_at = release_time(own, account, end)
    if release_at == NEVER:
        return Verdict(REFUSE, 0.0, ORDER_RATE, 0, wanted)
    if own["account_kind"] != UNRESTRICTED:
        value = notional(unit, max(held + working, 0.0) + added)
        note_entry(positions, account, own, symbol, value)
    answer = QUEUE if release_at > 0 else APPROVE if reason == NO_REASON else RESIZE
    return Verdict(answer, reducing + added, reason, release_at, wanted)


@kernel_without_allocation
def _added_quantity(
    positions: Records,
    account: Record,
    rules: Records,
    bar: Record,
    quantity: float,
    reducing: float,
    working_value: int,
) -> tuple[float, float, int]:
    """(wanted, added, reason) of an order of which `reducing` shares only close: the shares that it
    wants in all, those that it may add to a position, and the limit where these are fewer.
    """
    own, side = rules[bar["symbol"]], bar["signal"]
    unit, wanted = bar["close"] * own["multiplier"], quantity
    if quantity == 0.0:
        size = wanted_size(
            own, account, bar["close"], bar["volatility"], bar["strength"], bar["probability"]
        )
        if not math.isfinite(size):
            return 0.0, 0.0, BAD_INPUT
        if size <= 0.0:
            return 0.0, 0.0, NO_EDGE
        wanted = floor_to_lot(size / unit, own["lot_size"])
    too_small = _too_small(own, unit, wanted)
    if too_small != NO_REASON:
        return wanted, 0.0, too_small
    added = wanted - reducing
    if added <= 0.0:
        return wanted, 0.0, NO_REASON
    room, limit = _room(positions, account, rules, bar)
    room -= max(side * positions[bar["symbol"]]["value"] + working_value, 0)
    if unit * added * MONEY <= MOST and notional(unit, added) <= room:
        return wanted, added, NO_REASON
    added = _fitting(own, unit, room)
    if _too_small(own, unit, reducing + added) != NO_REASON:
        added = 0.0
    return wanted, added, limit


@kernel_without_allocation
def _forbidden(
    positions: Records, account: Record, rules: Record, bar: Record, end: int
) -> tuple[int, int]:
    """(answer, reason): why the bar's symbol may not be entered now, whatever the size, or
    NO_REASON.
    """
    halted = _stopped(rules, account)
    if halted == NO_REASON and positions[bar["symbol"]]["strategy_stopped"] == 1:
        halted = STRATEGY_MAX_DAILY_LOSS
    if halted != NO_REASON:
        return HALT, halted
    blocked = _blocked(rules, account, positions, bar)
    if blocked == NO_REASON:
        blocked = _paused(rules, account, positions[bar["symbol"]], bar, end)
    if blocked == NO_REASON and rules["sleeve_symbols"] > 0:
        blocked = _blocked_by_others(positions, rules, bar, end)
    if blocked == NO_REASON:
        blocked = barred(positions, account, rules, bar["symbol"], bar["signal"])
    return REFUSE, blocked


@kernel_without_allocation
def _stopped(rules: Record, account: Record) -> int:
    """What stops every entry now, or NO_REASON."""
    if account["halted"] == 1:
        return MAX_DRAWDOWN
    if account["entries_stopped"] == 1:
        return MAX_DAILY_LOSS
    if account["week_stopped"] == 1:
        return MAX_WEEKLY_LOSS
    if rules["trading_state"] != ACTIVE:
        return KILL_SWITCH
    return STALE_DATA if account["data_state"] != ACTIVE else NO_REASON


@kernel_without_allocation
def _blocked(rules: Record, account: Record, positions: Records, bar: Record) -> int:
    """The rule that forbids this entry whatever its size, or NO_REASON."""
    position = positions[bar["symbol"]]
    side, price, probability = bar["signal"], bar["close"], bar["probability"]
    sound = (
        side in (1, -1)
        and 0.0 < price < math.inf
        and 0.0 < bar["volatility"] <= _WILDEST
        and 0.0 < bar["strength"] <= 1.0
    )
    if (
        not sound
        or not (math.isnan(probability) or 0.0 <= probability <= 1.0)
        or account["equity"] <= 0
    ):
        return BAD_INPUT
    if side < 0 and rules["allow_short"] == 0:
        return ALLOW_SHORT
    if side < 0 and rules["shortable"] == 0:
        return SHORTABLE
    if rules["barriers"] == 1 and price < 2.0 * least_price(rules):
        return TICK_SIZE  # no barrier fits between this price and nothing
    if (
        position["counted"] == 0
        and account["counted"] >= rules["max_open_positions"]
        and _is_one_too_many(positions, rules, bar["symbol"])
    ):
        return MAX_OPEN_POSITIONS
    if rules["own_max_open_positions"] > 0 and has_too_many(positions, rules, bar["symbol"]):
        return STRATEGY_MAX_OPEN_POSITIONS
    return NO_REASON


@kernel_without_allocation
def _is_one_too_many(positions: Records, rules: Record, symbol: int) -> bool:
    """Whether as many symbols are open as may be, and this is another one. Where strategies share
    the account, several may have the same symbol open.
    """
    step = rules["sleeve_symbols"]
    if step == 0:
        return True
    opened = 0
    for first in range(step):
        held = 0
        for row in range(first, len(positions), step):
            held |= positions[row]["counted"]
        if held == 1 and first == symbol % step:
            return False
        opened += held
    return bool(opened >= rules["max_open_positions"])


@kernel_without_allocation
def _paused(rules: Record, account: Record, position: Record, bar: Record, end: int) -> int:
    """The pause that this entry falls into, or what is wrong with it as an intent; or NO_REASON."""
    if end < position["paused_until"] or end < position["own_paused_until"]:
        return SYMBOL_COOLDOWN
    if (
        rules["max_consecutive_losses"] > 0
        and account["losses"] >= rules["max_consecutive_losses"]
        and end < account["lost_at"] + rules["loss_pause"]
    ):
        return CONSECUTIVE_LOSSES
    if bar["signal"] == position["intent_side"] and end < position["intent_until"]:
        return DUPLICATE_INTENT
    if rules["price_collar"] > 0.0:
        # at a session's first bar the price before is its own open: a gap over night is no misprint
        last = position["prior_price"] if position["prior_price"] > 0.0 else bar["open"]
        if not math.fabs(bar["close"] - last) <= rules["price_collar"] * last:
            return PRICE_COLLAR
    return NO_REASON


@kernel_without_allocation
def _blocked_by_others(positions: Records, rules: Record, bar: Record, end: int) -> int:
    """What forbids the entry because of the symbol's positions in other strategies of the account,
    or NO_REASON: one that is held or being entered on the other side, and what the limits remember
    of the symbol.
    """
    side, step = bar["signal"], rules["sleeve_symbols"]
    for row in range(bar["symbol"] % step, len(positions), step):
        other = positions[row]
        if row == bar["symbol"]:
            continue
        if other["quantity"] * side < 0.0 or other["pending_side"] == -side:
            return OPPOSITE_POSITION
        if end < other["paused_until"]:
            return SYMBOL_COOLDOWN
        if side == other["intent_side"] and end < other["intent_until"]:
            return DUPLICATE_INTENT
    return NO_REASON


@kernel_without_allocation
def _permitted_quantity(
    positions: Records, account: Record, rules: Records, bar: Record
) -> tuple[float, int, float]:
    """(shares, reason, wanted): 0 shares come with the refusing limit; less than wanted, with the
    limit that made them less.
    """
    own = rules[bar["symbol"]]
    size = wanted_size(
        own, account, bar["close"], bar["volatility"], bar["strength"], bar["probability"]
    )
    if own["sleeve_symbols"] > 0 and own["sizing"] not in (FIXED_SHARES, FIXED_VALUE):
        size *= own["share"]
    if not math.isfinite(size):
        return 0.0, BAD_INPUT, 0.0
    if size <= 0.0:
        reached = own["sizing"] == TARGET_UTILITY and account["equity"] >= (
            own["target_wealth"] * MONEY
        )
        return 0.0, TARGET_REACHED if reached else NO_EDGE, 0.0
    unit = bar["close"] * own["multiplier"]
    unlimited = floor_to_lot(size / unit, own["lot_size"])
    too_small = _too_small(own, unit, unlimited)
    if too_small != NO_REASON:
        return 0.0, too_small, unlimited
    room, limit = _room(positions, account, rules, bar)
    # A price that stood still leaves a volatility of next to nothing, which wants more than
    # integers of money hold.
    if unit * unlimited * MONEY <= MOST and notional(unit, unlimited) <= room:
        return unlimited, NO_REASON, unlimited
    if own["refuse_over_limit"] == 1:
        return 0.0, limit, unlimited
    quantity = _fitting(own, unit, room)
    if _too_small(own, unit, quantity) != NO_REASON:
        quantity = 0.0
    return quantity, limit, unlimited


@kernel_without_allocation
def _fitting(rules: Record, unit: float, room: int) -> float:
    """The most shares in whole lots, at `unit` a piece, whose value is at most `room`."""
    quantity = max(0.0, floor_to_lot(room / MONEY / unit, rules["lot_size"]))
    if quantity > 0.0 and notional(unit, quantity) > room:  # float error at the very edge
        less = quantity - max(rules["lot_size"], quantity * _EDGE)
        quantity = floor_to_lot(less, rules["lot_size"])
    return quantity


@kernel_without_allocation
def _too_small(rules: Record, unit: float, quantity: float) -> int:
    """The minimum that `quantity` at `unit` a piece stays below, or NO_REASON."""
    if quantity <= 0.0:
        return LOT_SIZE
    if quantity < rules["minimum_quantity"]:
        return MINIMUM_QUANTITY
    if unit * quantity < rules["minimum_order_value"]:
        return MINIMUM_ORDER_VALUE
    return MINIMUM_NOTIONAL if unit * quantity < rules["minimum_notional"] else NO_REASON


@kernel_without_allocation
def _room(positions: Records, account: Record, rules: Records, bar: Record) -> tuple[int, int]:
    """(money units, limit): the value that the tightest limit still allows, and which one that is.
    May be negative.
    """
    own, position, side = rules[bar["symbol"]], positions[bar["symbol"]], bar["signal"]
    equity = float(account["equity"])
    room, limit = whole_units(own["max_position"] * equity), MAX_POSITION
    gross = whole_units(own["max_gross_exposure"] * equity) - (account["gross"] - position["gross"])
    if gross < room:
        room, limit = gross, MAX_GROSS_EXPOSURE
    bound = whole_units(own["max_net_exposure"] * equity)
    # The other symbols' worst outcome, in the direction in which this entry would add to it.
    net = (
        bound - (account["highest"] - position["highest"])
        if side > 0
        else bound + (account["lowest"] - position["lowest"])
    )
    if net < room:
        room, limit = net, MAX_NET_EXPOSURE
    if own["usable_cash"] > 0.0 and side > 0:
        # equity less everything bought is cash less what buys the short positions back
        cash = whole_units(own["usable_cash"] * equity) - _bought(positions, bar["symbol"])
        if cash < room:
            room, limit = cash, CASH_BUFFER
    if own["max_sector_exposure"] > 0.0:
        sector = whole_units(own["max_sector_exposure"] * equity) - _in_sector(
            positions, rules, bar["symbol"]
        )
        if sector < room:
            room, limit = sector, MAX_SECTOR_EXPOSURE
    if own["account_kind"] != UNRESTRICTED:
        allowed, reason = account_room(positions, account, own, bar["symbol"], side)
        if whole_units(allowed) < room:
            room, limit = whole_units(allowed), reason
    if own["sleeve_symbols"] > 0:
        # what all strategies hold of the symbol
        left = whole_units(own["max_position"] * equity) - _of_symbol(positions, own, bar["symbol"])
        if left < room:
            room, limit = left, MAX_POSITION
    if own["sleeve_symbols"] > 0 or own["own_limits"] == 1:
        room, limit = room_of_strategy(positions, equity, own, bar["symbol"], side, room, limit)
    return room, limit


@kernel_without_allocation
def _of_symbol(positions: Records, rules: Record, symbol: int) -> int:
    """Worst gross value of the symbol's positions in the account's other strategies."""
    gross, step = 0, rules["sleeve_symbols"]
    for row in range(symbol % step, len(positions), step):
        if row != symbol:
            gross += positions[row]["gross"]
    return gross


@kernel_without_allocation
def _bought(positions: Records, symbol: int) -> int:
    """Value of the other symbols' long positions, where their working entries are filled."""
    bought = 0
    for other in range(len(positions)):
        if other != symbol:
            bought += max(positions[other]["highest"], 0)
    return bought


@kernel_without_allocation
def _in_sector(positions: Records, rules: Records, symbol: int) -> int:
    """Worst gross value of the other symbols of the symbol's sector."""
    gross = 0
    for other in range(len(positions)):
        if other != symbol and rules[other]["sector"] == rules[symbol]["sector"]:
            gross += positions[other]["gross"]
    return gross
