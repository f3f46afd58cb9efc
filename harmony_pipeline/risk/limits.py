"""The one gate that every entry passes; no strategy, model or driver can go around it.

After a permitted entry no limit is exceeded, whichever of the working orders fill: gross and net
are judged on the worst outcome. Limits are fractions of the equity at the last marks; positions
count at their last price, working entries at their decision price. An input that is not a sound
number is refused, and in doubt the answer is 0 shares. Exits never pass here: getting smaller is
always allowed.
"""

import math

from harmony_pipeline.execution.costs import notional
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.price_grid import floor_to_lot, least_price
from harmony_pipeline.portfolio.kernel_types import (
    ALLOW_SHORT,
    BAD_INPUT,
    LOT_SIZE,
    MAX_DAILY_LOSS,
    MAX_DRAWDOWN,
    MAX_GROSS_EXPOSURE,
    MAX_NET_EXPOSURE,
    MAX_OPEN_POSITIONS,
    MAX_POSITION,
    MINIMUM_NOTIONAL,
    MINIMUM_ORDER_VALUE,
    MINIMUM_QUANTITY,
    MONEY,
    NO_EDGE,
    NO_REASON,
    SHORTABLE,
    TICK_SIZE,
    Record,
)
from harmony_pipeline.risk.sizing import wanted_size

_MOST = 4e18  # money units: less than half of what int64 holds, so that a sum of two is sound
_EDGE = 2e-15  # of a quantity: a few steps between doubles, where a lot is less than one


@kernel
def permitted_entry(
    rules: Record,
    account: Record,
    side: int,
    price: float,
    strength: float,
    volatility: float,
    probability: float,
    own_gross: int,
    own_lowest: int,
    own_highest: int,
    own_counted: int,
) -> tuple[float, int]:
    """(shares, reason): how much may be entered at `price`; 0 shares comes with the index of the
    refusing limit's name in REASON_NAMES.

    `own_*`: what this symbol contributes to the account's sums now (a position that is being
    closed, on a reversal); the entry can only come in its stead.
    """
    blocked = _blocked(rules, account, side, price, strength, volatility, probability, own_counted)
    if blocked != NO_REASON:
        return 0.0, blocked
    size = wanted_size(rules, account["equity"] / MONEY, volatility, strength, probability)
    if not math.isfinite(size):
        return 0.0, BAD_INPUT
    if size <= 0.0:
        return 0.0, NO_EDGE
    unit = price * rules["multiplier"]
    unlimited = floor_to_lot(size / unit, rules["lot_size"])
    room, limit = _room(rules, account, side, own_gross, own_lowest, own_highest)
    quantity, reason = unlimited, NO_REASON
    # A price that stood still leaves a volatility of next to nothing, which wants more than
    # integers of money hold.
    if unit * quantity * MONEY > _MOST or room < notional(unit, quantity):
        quantity, reason = max(0.0, floor_to_lot(room / MONEY / unit, rules["lot_size"])), limit
        if quantity > 0.0 and notional(unit, quantity) > room:  # float error at the very edge
            quantity = floor_to_lot(
                quantity - max(rules["lot_size"], quantity * _EDGE), rules["lot_size"]
            )
    too_small = _too_small(rules, unit, unlimited)
    if too_small != NO_REASON:
        return 0.0, too_small
    if _too_small(rules, unit, quantity) != NO_REASON:
        return 0.0, reason
    return quantity, NO_REASON


@kernel
def _too_small(rules: Record, unit: float, quantity: float) -> int:
    """The minimum that `quantity` at `unit` a piece stays below, or NO_REASON."""
    if quantity <= 0.0:
        return LOT_SIZE
    if quantity < rules["minimum_quantity"]:
        return MINIMUM_QUANTITY
    if unit * quantity < rules["minimum_order_value"]:
        return MINIMUM_ORDER_VALUE
    return MINIMUM_NOTIONAL if unit * quantity < rules["minimum_notional"] else NO_REASON


@kernel
def _blocked(
    rules: Record,
    account: Record,
    side: int,
    price: float,
    strength: float,
    volatility: float,
    probability: float,
    own_counted: int,
) -> int:
    """The rule that forbids any entry now, or NO_REASON."""
    if account["halted"] == 1:
        return MAX_DRAWDOWN
    if account["entries_stopped"] == 1:
        return MAX_DAILY_LOSS
    sound = (
        side in (1, -1)
        and 0.0 < price < math.inf
        and 0.0 < volatility < math.inf
        and 0.0 < strength <= 1.0
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
    if own_counted == 0 and account["counted"] >= rules["max_open_positions"]:
        return MAX_OPEN_POSITIONS
    return NO_REASON


@kernel
def _room(
    rules: Record, account: Record, side: int, own_gross: int, own_lowest: int, own_highest: int
) -> tuple[int, int]:
    """(money units, limit): the value that the tightest limit still allows, and which one that is.
    May be negative.
    """
    equity = float(account["equity"])
    room, limit = _units(rules["max_position"] * equity), MAX_POSITION
    gross = _units(rules["max_gross_exposure"] * equity) - (account["gross"] - own_gross)
    if gross < room:
        room, limit = gross, MAX_GROSS_EXPOSURE
    bound = _units(rules["max_net_exposure"] * equity)
    # The other symbols' worst outcome, in the direction in which this entry would add to it.
    net = (
        bound - (account["highest"] - own_highest)
        if side > 0
        else bound + (account["lowest"] - own_lowest)
    )
    if net < room:
        room, limit = net, MAX_NET_EXPOSURE
    return room, limit


@kernel
def _units(value: float) -> int:
    """Whole money units in `value`, at most as many as sums of them can hold."""
    return math.floor(min(value, _MOST))
