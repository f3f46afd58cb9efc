"""When orders for the closing auction of a session are taken (`cls`: market on close).

Each broker has hours of its own, which it declares (`TakesClosingOrders` of brokers/base.py): so
long before the close it takes no more, and from some hour of the evening on those for the next
session's auction.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from harmony_pipeline.market.calendars import Calendar


class ClosingHours(msgspec.Struct, frozen=True, kw_only=True):
    """The hours of a broker. `cutoff`: orders are taken until so long before the close. `evening`:
    by the exchange's clock, when those for the next session's auction are taken; None: from the
    close on.
    """

    cutoff: timedelta
    evening: time | None = None

    def __post_init__(self) -> None:
        if self.cutoff < timedelta():
            raise ValueError(f"cutoff: {self.cutoff} is after the close: give a time before it")


Answer = Literal["early", "open", "late"]


@dataclass(frozen=True)
class ClosingAuction:
    """The auction that ends the session of `day`. Orders decided at or after `previous_close` and
    before `close` are for it, and are taken from `opens` until before `cutoff`. Times are UTC,
    `zone` is the exchange's.
    """

    day: date
    previous_close: datetime
    opens: datetime
    cutoff: datetime
    close: datetime
    zone: str

    @staticmethod
    def of(calendar: Calendar, day: date, hours: ClosingHours) -> "ClosingAuction":
        """Of a session, at a broker with these hours. Raises DataError where `day` is none."""
        before, close = calendar.previous_session(day), calendar.session_close(day)
        previous_close = opens = calendar.session_close(before)
        if hours.evening is not None:
            evening = datetime.combine(before, hours.evening, ZoneInfo(calendar.zone))
            opens = max(opens, evening.astimezone(UTC))
        cutoff = close - hours.cutoff
        return ClosingAuction(day, previous_close, opens, cutoff, close, calendar.zone)

    def is_for(self, decided_at: datetime) -> bool:
        """Whether an order that was decided then is for this auction."""
        return self.previous_close <= decided_at < self.close

    def answer(self, decided_at: datetime, now: datetime) -> Answer:
        """Whether an order may be sent now: `early` where it has to wait, for the evening or for
        its own day, `late` where its auction takes none any more.
        """
        if decided_at >= self.close:
            return "early"
        if decided_at < self.previous_close or now >= self.cutoff:
            return "late"
        return "early" if now < self.opens else "open"

    def too_late(self, decided_at: datetime) -> str:
        """Why a late order is not sent."""
        if decided_at < self.previous_close:
            return f"its closing auction was before the session of {self.day}"
        until = self.cutoff.astimezone(ZoneInfo(self.zone))
        return (
            f"too late for the closing auction of {self.day}: orders for it are taken until"
            f" {until:%H:%M} {self.zone}"
        )
