"""When orders for the closing auction of a session are taken (`cls`: market on close).

Alpaca takes them until ten minutes before the close, 15:50 in New York, refuses them until 19:00,
and keeps those that come later for the next day's auction
(https://docs.alpaca.markets/docs/orders-at-alpaca). It names no other hour for a shortened day;
there the exchanges' own deadline is as long before the close, 12:50 for one at 13:00, and nothing
is said to be taken before 19:00 either.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from harmony_pipeline.market.calendars import Calendar

CUTOFF = timedelta(minutes=10)
"""Orders are taken until so long before the close."""
EVENING = time(19)
"""From then on, by the exchange's clock, those for the next session's auction are taken."""

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
    def of(calendar: Calendar, day: date) -> "ClosingAuction":
        """Of a session. Raises DataError where `day` is none."""
        before, close = calendar.previous_session(day), calendar.session_close(day)
        evening = datetime.combine(before, EVENING, ZoneInfo(calendar.zone)).astimezone(UTC)
        return ClosingAuction(
            day, calendar.session_close(before), evening, close - CUTOFF, close, calendar.zone
        )

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
