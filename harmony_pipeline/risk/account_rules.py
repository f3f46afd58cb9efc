"""What the kind of the account allows: settled cash, buying power, day trades.

A cash account buys with settled cash alone: the cash less the proceeds of sales that have not
settled, less what entries at work may cost. Proceeds wait in `account["unsettled"]`, by the number
of sessions that are left.

A margin account may hold `multiplier` times its equity, gross, whichever working orders fill. That
is 1 / initial_margin, and `intraday_multiplier` for a pattern day trader whose equity at the
previous close was at least `day_trader_equity`; where day trades are not counted any more, for
every margin account. Intraday buying power goes by the lesser of the equity now and at the previous
close. What was bought with it beyond 1 / initial_margin must be gone at the session's end.

A day trade is a position that is opened and reduced in the same session, counted once. With less
than `day_trader_equity` at the previous close an entry is refused that could become, by an exit in
the same session, the fourth day trade of five sessions, and more than 6 % of the trades (FINRA Rule
4210(f)(8)(B)). Positions that were opened today and entries at work count as day trades to come, as
Alpaca counted them (docs.alpaca.markets, user protection, before June 2026). Exits never pass here.
"""

import math

from harmony_pipeline.execution.costs import notional
from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.portfolio.kernel_types import (
    BUYING_POWER,
    CASH,
    CASH_ACCOUNT,
    ENTRY,
    MARGIN,
    MONEY,
    NO_REASON,
    PATTERN_DAY_TRADING,
    SETTLEMENT_SLOTS,
    TRADE_DAYS,
    UNRESTRICTED,
    UNSETTLED_CASH,
    Record,
    Records,
)

PATTERN = 4  # day trades in TRADE_DAYS sessions
_SHARE = 0.06  # of all trades


@kernel_without_allocation
def begin_account_session(account: Record, rules: Record, date: int) -> None:
    """Call before `open_session` (risk/breakers.py) at every timestamp: on a new session `date`,
    what settles then is settled, and the counts of day trades move on.
    """
    if rules["account_kind"] == UNRESTRICTED or date <= account["date"]:
        return
    unsettled, day_trades, trades = account["unsettled"], account["day_trades"], account["trades"]
    for slot in range(SETTLEMENT_SLOTS - 1):
        unsettled[slot] = unsettled[slot + 1]
    unsettled[SETTLEMENT_SLOTS - 1] = 0
    for day in range(TRADE_DAYS - 1, 0, -1):
        day_trades[day], trades[day] = day_trades[day - 1], trades[day - 1]
    day_trades[0] = trades[0] = 0


@kernel_without_allocation
def note_fill(position: Record, account: Record, rules: Record, report: Record) -> None:
    """Take a fill into the counts and the queue of settlement, before it changes the position."""
    if report["number"] == 1:
        account["trades"][0] += 1
    if report["role"] == ENTRY:
        if position["side"] == 0:
            position["opened_on"], position["day_traded"] = account["date"], 0
        return
    if position["opened_on"] == account["date"] and position["day_traded"] == 0:
        position["day_traded"] = 1
        account["day_trades"][0] += 1
        if rules["counts_day_trades"] == 1 and _is_pattern(account, 0, 0):
            account["pattern_day_trader"] = 1
    if rules["account_kind"] == CASH and report["side"] < 0 and rules["settlement_days"] > 0:
        value = notional(report["price"] * rules["multiplier"], report["quantity"])
        account["unsettled"][rules["settlement_days"] - 1] += max(value - report["fee"], 0)


@kernel_without_allocation
def _is_pattern(account: Record, more_day_trades: int, more_trades: int) -> bool:
    """Whether the day trades of the last sessions, with so many more, are a pattern."""
    day_trades, trades = more_day_trades, more_trades
    for day in range(TRADE_DAYS):
        day_trades += account["day_trades"][day]
        trades += account["trades"][day]
    return bool(day_trades >= PATTERN and day_trades > _SHARE * trades)


@kernel_without_allocation
def barred(positions: Records, account: Record, rules: Record, own: int, side: int) -> int:
    """Why the account may not enter the symbol `own` on `side` whatever the size, or NO_REASON. To
    add to a position is no day trade of its own.
    """
    if rules["account_kind"] == UNRESTRICTED:
        return NO_REASON
    if rules["account_kind"] == CASH:
        return CASH_ACCOUNT if side < 0 else NO_REASON
    if (
        rules["counts_day_trades"] == 0
        or account["day_equity"] >= rules["day_trader_equity"] * MONEY
    ):
        return NO_REASON
    if account["pattern_day_trader"] == 1:
        return PATTERN_DAY_TRADING
    day_trades, trades = 1, 2
    for symbol in range(len(positions)):
        position = positions[symbol]
        if symbol == own and position["side"] == side:
            continue
        opened = position["quantity"] != 0.0 and position["opened_on"] == account["date"]
        if opened and position["day_traded"] == 0:
            day_trades, trades = day_trades + 1, trades + 1
        if position["entry_working"] == 1:
            day_trades, trades = day_trades + 1, trades + 2
    return PATTERN_DAY_TRADING if _is_pattern(account, day_trades, trades) else NO_REASON


@kernel_without_allocation
def account_room(
    positions: Records, account: Record, rules: Record, symbol: int, side: int
) -> tuple[float, int]:
    """(money units, reason): the value that a position in `symbol` may have once an entry is
    filled; unlimited where the account is. What is held already is paid. May be negative.
    """
    if rules["account_kind"] == MARGIN:
        others = account["gross"] - positions[symbol]["gross"]
        return buying_power(account, rules) - float(others), BUYING_POWER
    if rules["account_kind"] == CASH and side > 0:
        settled = settled_cash(account)
        for other in range(len(positions)):
            if other != symbol and positions[other]["entry_working"] == 1:
                kept = max(positions[other]["pending_value"], 0) * (1.0 + rules["price_reserve"])
                settled -= math.ceil(kept)
        paid = max(positions[symbol]["value"], 0)
        return settled / (1.0 + rules["price_reserve"]) + paid, UNSETTLED_CASH
    return math.inf, NO_REASON


@kernel_without_allocation
def settled_cash(account: Record) -> int:
    """Cash less the proceeds that have not settled, in money units."""
    settled = account["cash"]
    for slot in range(SETTLEMENT_SLOTS):
        settled -= account["unsettled"][slot]
    return int(settled)


@kernel_without_allocation
def buying_power(account: Record, rules: Record) -> float:
    """What may be held now, gross, in money units."""
    overnight = account["equity"] / rules["initial_margin"]
    day_trader = account["pattern_day_trader"] == 1
    if rules["counts_day_trades"] == 1 and not (
        day_trader and account["day_equity"] >= rules["day_trader_equity"] * MONEY
    ):
        return float(overnight)
    base = min(account["equity"], account["day_equity"])
    return float(max(overnight, base * rules["intraday_multiplier"]))


@kernel_without_allocation
def note_entry(positions: Records, account: Record, rules: Record, symbol: int, value: int) -> None:
    """Remember that an entry of `value` goes beyond what may be held over night."""
    if rules["account_kind"] == MARGIN:
        gross = account["gross"] - positions[symbol]["gross"] + value
        if gross > account["equity"] / rules["initial_margin"]:
            account["day_power"] = 1


@kernel_without_allocation
def margin_deficit(
    positions: Records, account: Record, rules: Record, at: int, over_night: bool
) -> float:
    """Money units by which the equity falls short of the margin of what is held; 0 or less: it does
    not. Positions that are being closed, or were decided to be at the moment `at`, need none.
    `over_night`: by the initial margin, too.
    """
    long, short = 0, 0
    for symbol in range(len(positions)):
        position = positions[symbol]
        if position["quantity"] != 0.0 and not is_leaving(position, at):
            long += max(position["value"], 0)
            short += max(-position["value"], 0)
    needed = rules["maintenance_long"] * long + rules["maintenance_short"] * short
    if over_night:
        needed = max(needed, rules["initial_margin"] * (long + short))
    return float(needed - account["equity"])


@kernel_without_allocation
def is_leaving(position: Record, at: int) -> bool:
    """Whether the position is being closed, or an exit of it was decided at the moment `at`."""
    return bool(position["exit_working"] == 1 or position["exit_at"] == at)
