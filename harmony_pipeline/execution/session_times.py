"""When orders begin and end by the exchange's clock: the close that ends a day order, and the
auctions that OPG and CLS orders wait for.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.execution.order_types import OrderTicket, Refusal, VenueRules
from harmony_pipeline.execution.working_orders import NEVER
from harmony_pipeline.market.calendars import Calendar


@dataclass(frozen=True)
class SessionTimes:
    """Opens and closes of every session, microseconds UTC, in order; `post_closes` end late
    trading.
    """

    opens: IntArray
    closes: IntArray
    post_closes: IntArray
    auction_wait: int = 0

    @staticmethod
    def of(calendar: Calendar, auction_wait: timedelta = timedelta()) -> "SessionTimes":
        """The sessions of a calendar, and how long the print of an auction is waited for."""
        table = calendar.schedule(date.min, date.max)
        times = [
            table[name].cast(pl.Datetime("us", "UTC")).to_physical().to_numpy()
            for name in ("open", "close", "post_close")
        ]
        wait = auction_wait // timedelta(microseconds=1)
        opens, closes, post_closes = (np.ascontiguousarray(column, np.int64) for column in times)
        return SessionTimes(opens, closes, post_closes, wait)

    def day_end(self, submitted_at: int, extended_hours: bool) -> int:
        """When a day order ends: the first close after it was submitted, or the end of late
        trading.
        """
        return _first_after(self.post_closes if extended_hours else self.closes, submitted_at)

    def auction(self, submitted_at: int, time_in_force: str) -> int:
        """The first opening (opg) or closing (cls) auction after an order was submitted."""
        return _first_after(self.opens if time_in_force == "opg" else self.closes, submitted_at)

    def check_auction(
        self, ticket: OrderTicket, submitted_at: int, venue: VenueRules
    ) -> Refusal | None:
        """Why an OPG or CLS order comes at the wrong time, or None."""
        force = ticket.time_in_force
        if force not in ("opg", "cls"):
            return None
        opening = force == "opg"
        times = self.opens if opening else self.closes
        cutoff = venue.opening_cutoff if opening else venue.closing_cutoff
        before = int(cutoff.total_seconds() * 1e6)
        if 0 < _first_after(times, submitted_at) - submitted_at <= before:
            return Refusal("auction", f"{force} orders are taken until {cutoff} before the auction")
        if venue.auction_pause is not None:
            row = int(np.searchsorted(times, submitted_at, side="right")) - 1
            pause = int(venue.auction_pause.total_seconds() * 1e6)
            if row >= 0 and submitted_at < self.closes[row] + pause:
                return Refusal(
                    "auction",
                    f"{force} orders for the next auction are taken from {venue.auction_pause}"
                    " after the close",
                )
        return None


def _first_after(times: IntArray, moment: int) -> int:
    row = int(np.searchsorted(times, moment, side="right"))
    return int(times[row]) if row < len(times) else NEVER
