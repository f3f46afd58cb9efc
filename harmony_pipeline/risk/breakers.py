"""Circuit breakers on the account: a bad day stops entries, a deep drawdown stops everything.

Daily loss: equity below (1 - max_daily_loss) of its value at the end of the previous session stops
new entries until the next session date. Drawdown: equity below (1 - max_drawdown) of its peak
closes every position and halts entries for good. Both latch. A recovery in the same session, or
after the halt, does not lift them, and `halted` is part of the saved state.
"""

from harmony_pipeline.kernel import kernel
from harmony_pipeline.portfolio.kernel_types import Record


@kernel
def open_session(account: Record, date: int) -> None:
    """Call before anything else at every timestamp: on a new session `date` (days since 1970)
    yesterday's last equity becomes the base of the daily loss.
    """
    if date > account["date"]:
        account["date"] = date
        account["day_equity"] = account["equity"]
        account["entries_stopped"] = 0


@kernel
def check_breakers(rules: Record, account: Record) -> None:
    """Judge the equity that was just marked; raises the peak, latches the breakers, sets `tripped`
    when one of them trips now.
    """
    equity = account["equity"]
    account["peak"] = max(account["peak"], equity)
    if account["entries_stopped"] == 0 and equity < account["day_equity"] * (
        1.0 - rules["max_daily_loss"]
    ):
        account["entries_stopped"] = 1
        account["tripped"] = 1
    if account["halted"] == 0 and equity < account["peak"] * (1.0 - rules["max_drawdown"]):
        account["halted"] = 1
        account["tripped"] = 1
