"""At most n entries in any minute: when the next one may leave.

No stretch of 60 seconds holds more than n of them, wherever it begins. Time is cut into windows of
at least a minute, each beginning with an entry; those of the window before count for the present
one as long as its last entry is less than a minute old. Two windows touch any minute, and together
they hold at most n. Entries leave in the order in which they were decided. What makes a position
smaller never waits and is not counted.
"""

from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.portfolio.kernel_types import Record

MINUTE = 60_000_000  # microseconds
NEVER = -1


@kernel_without_allocation
def release_time(rules: Record, account: Record, now: int) -> int:
    """When an entry decided at `now` leaves: 0 at once, later, or NEVER (refused). Counts it when
    it does.
    """
    most = rules["max_orders_per_minute"]
    if most == 0:
        return 0
    at = max(now, account["rate_last"])  # not before one that was decided earlier
    before, count, start = account["rate_before"], account["rate_count"], account["rate_from"]
    if at - account["rate_last"] >= MINUTE:
        before, count, start = 0, 0, at
    elif at - start >= MINUTE:
        before, count, start = count, 0, at
    if before + count >= most:
        at = account["rate_last"] + MINUTE
        before, count, start = 0, 0, at
        if rules["queue_orders"] == 0:
            return NEVER
    if at - now > rules["longest_queue"]:
        return NEVER
    account["rate_before"], account["rate_count"] = before, count + 1
    account["rate_from"], account["rate_last"] = start, at
    return at if at > now else 0
