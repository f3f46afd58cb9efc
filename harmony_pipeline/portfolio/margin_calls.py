"""The margin call: what is closed at a session's first open when the last close left a deficit.

Call it once the session's first moment has been reached, after financing and after what became of
securities, before any bar is met. The equity is that of the last marks.
"""

from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.portfolio.decisions import close_position
from harmony_pipeline.portfolio.intents import cancel_order
from harmony_pipeline.portfolio.kernel_types import (
    ENTRY,
    MARGIN,
    MARGIN_CALL,
    NO_REASON,
    Record,
    Records,
)
from harmony_pipeline.risk.account_rules import is_leaving, margin_deficit


@kernel_without_allocation
def margin_call(
    positions: Records, account: Record, rules: Records, at: int, intents: Records, n: int
) -> int:
    """Intents at the moment `at`: where the margin falls short, entries at work are canceled, and
    whole positions are closed, the largest first (of equal ones the first symbol), until it does
    not. Returns the new n; at most four intents a symbol.
    """
    if rules[0]["account_kind"] != MARGIN:
        return n
    over_night = account["day_power"] == 1
    account["day_power"] = 0
    if margin_deficit(positions, account, rules[0], at, over_night) <= 0.0:
        return n
    for symbol in range(len(positions)):
        if positions[symbol]["entry_working"] == 1:
            n = cancel_order(symbol, ENTRY, NO_REASON, at, intents, n)
    while margin_deficit(positions, account, rules[0], at, over_night) > 0.0:
        largest = _largest(positions, at)
        if largest < 0:
            break
        position = positions[largest]
        signal_at = position["entry_signal_at"]
        n = close_position(position, account, largest, MARGIN_CALL, signal_at, at, intents, n)
    return n


@kernel_without_allocation
def _largest(positions: Records, at: int) -> int:
    """The position of greatest value that is not being closed."""
    found, most = -1, -1
    for symbol in range(len(positions)):
        position = positions[symbol]
        held = position["quantity"] != 0.0 and not is_leaving(position, at)
        if held and abs(position["value"]) > most:
            found, most = symbol, abs(position["value"])
    return found
