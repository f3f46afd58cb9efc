"""What belongs to a session's day at a broker outside of this process: the splits that orders of
earlier days have met by then, the fills of it, and the orders that leave in it.
"""

from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from zoneinfo import ZoneInfo

import polars as pl

from harmony_pipeline.execution.events import OrderTerms
from harmony_pipeline.market.price_grid import floor_to_lot
from harmony_pipeline.session.crossing_orders import due_at
from harmony_pipeline.session.plan import SessionPlan


@dataclass(frozen=True)
class SessionDay:
    """The day of a plan, by its calendar."""

    plan: SessionPlan

    @cached_property
    def closed_before(self) -> datetime:
        """When the session before this one closed."""
        calendar = self.plan.calendar
        return calendar.session_close(calendar.previous_session(self.plan.date))

    def date_of(self, moment: datetime) -> date:
        """By the exchange's clock."""
        return moment.astimezone(ZoneInfo(self.plan.calendar.zone)).date()

    def splits_after(self, day: date, symbol: str) -> pl.Series:
        """Ratios of the symbol's splits after `day`, up to the session's, oldest first."""
        due = (pl.col("date") > day) & (pl.col("date") <= self.plan.date)
        return self.plan.actions.filter(due, symbol=symbol, kind="split").sort("date")["value"]

    def in_its_shares(self, terms: OrderTerms, unit: float) -> float:
        """What an order of an earlier day is for, after the splits since, in whole `unit`s."""
        quantity = terms.quantity
        for ratio in self.splits_after(self.date_of(terms.decided_at), terms.symbol):
            quantity = float(floor_to_lot(quantity * ratio, unit))
        return quantity

    def filled_on(self, decided_at: datetime, happened_at: datetime) -> date:
        """The session of a fill: this one for what was decided since the close before it, whatever
        its stamp.
        """
        return self.plan.date if decided_at >= self.closed_before else self.date_of(happened_at)

    def leaves_at(self, terms: OrderTerms) -> datetime:
        """When an order is to leave: what was decided at the close before, no earlier than this
        session opens, however many days lie between.
        """
        due = due_at(terms)
        if due < self.closed_before:
            return due
        return max(due, self.plan.calendar.session_open(self.plan.date))
