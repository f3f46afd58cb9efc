"""Circuit breakers on the account: a bad day or week stops entries, a deep drawdown stops
everything.

Daily loss: equity below (1 - max_daily_loss) of its value at the end of the previous session
stops new entries until the next session date. Weekly loss: the same from the end of the previous
ISO week's last session, until the first session of the next week. Drawdown: equity below (1 -
max_drawdown) of its peak closes every position and halts entries, for good or until the breaker is
re-armed: by itself after `drawdown_cooldown_sessions` whole sessions, or by hand on a date of
`rearm_on` that comes after the day of the halt. The drawdown is counted from the equity of that
moment on then; `peak` goes on being the highest equity there was.

All latch. A recovery within the session, the week or the halt does not lift them, and everything
here is part of the saved state.
"""

from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.portfolio.kernel_types import Record

DECAY = 0.94  # of the variance of session returns: RiskMetrics Technical Document (1996), 5.3


@kernel_without_allocation
def open_session(account: Record, date: int) -> None:
    """Call before anything else at every timestamp: on a new session `date` (days since 1970)
    yesterday's last equity becomes the base of the daily loss, last week's of the weekly loss.
    """
    if date > account["date"]:
        _weigh_return(account)
        account["date"] = date
        account["day_equity"] = account["equity"]
        account["entries_stopped"] = 0
        if iso_week(date) > account["week"]:
            account["week"] = iso_week(date)
            account["week_equity"] = account["equity"]
            account["week_stopped"] = 0
        if account["halted"] == 1:
            account["halted_sessions"] += 1


@kernel_without_allocation
def iso_week(date: int) -> int:
    """Weeks from Monday to Sunday, counted from the one of 1970-01-01, a Thursday."""
    return (date + 3) // 7


@kernel_without_allocation
def _weigh_return(account: Record) -> None:
    """Take the session that ends now into the smoothed variance of session returns."""
    if account["day_equity"] > 0 and account["equity"] > 0:
        made = account["equity"] / account["day_equity"] - 1.0
        before = account["variance"]
        account["variance"] = (
            made * made if before == 0.0 else DECAY * before + (1.0 - DECAY) * made * made
        )


@kernel_without_allocation
def check_breakers(rules: Record, account: Record) -> None:
    """Judge the equity that was just marked; raises the peak, re-arms and latches the breakers,
    sets `tripped` when one of them trips now.
    """
    equity = account["equity"]
    account["peak"] = max(account["peak"], equity)
    if account["entries_stopped"] == 0 and equity < account["day_equity"] * (
        1.0 - rules["max_daily_loss"]
    ):
        account["entries_stopped"] = 1
        account["tripped"] = 1
    if (
        rules["max_weekly_loss"] > 0.0
        and account["week_stopped"] == 0
        and equity < account["week_equity"] * (1.0 - rules["max_weekly_loss"])
    ):
        account["week_stopped"] = 1
        account["tripped"] = 1
    if account["halted"] == 1 and _is_rearmed(rules, account) and equity > 0:
        account["halted"] = 0
        account["rearmed_peak"] = equity
    reference = account["peak"]
    if account["rearmed_peak"] > 0:
        account["rearmed_peak"] = max(account["rearmed_peak"], equity)
        reference = account["rearmed_peak"]
    if account["halted"] == 0 and equity < reference * (1.0 - rules["max_drawdown"]):
        account["halted"] = 1
        account["halted_on"] = account["date"]
        account["halted_sessions"] = 0
        account["tripped"] = 1


@kernel_without_allocation
def _is_rearmed(rules: Record, account: Record) -> bool:
    """Whether the halt is over: so many whole sessions have passed, or somebody said so."""
    rested = rules["drawdown_cooldown_sessions"] > 0 and (
        account["halted_sessions"] > rules["drawdown_cooldown_sessions"]
    )
    lifted = account["halted_on"] < rules["rearm_on"] <= account["date"]
    return bool(rested or lifted)
