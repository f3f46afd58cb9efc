"""Entries at closes in a session: market-on-close orders for the next session's closing auction
(`execution/closing_auction.py`).

- What is decided at the end of a daily bar is written down at once and waits here. The session of
  the next day sends it, in the hours in which its auction takes orders. So a day without a session
  has no such order, and one that fills has a session that places its bracket.
- It is sent in the shares of its day, and not at all where its symbol ends or changes that day.
- What comes too late is looked up, since a process that died may have sent it, and ended.

An exchange in this process is driven by bars and needs none of this.
"""

from dataclasses import dataclass
from datetime import datetime

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.execution.brokers.base import BarDriven, Broker, TakesClosingOrders
from harmony_pipeline.execution.closing_auction import Answer, ClosingAuction, ClosingHours
from harmony_pipeline.execution.events import OrderTerms
from harmony_pipeline.session.live_portfolio import LivePortfolio
from harmony_pipeline.session.plan import SessionPlan

TIMEFRAME = "1Day"
"""Of a shorter bar no exchange has an auction at its close; of a week's the day is not known."""


@dataclass(frozen=True)
class ClosingOrders:
    """When orders for closing auctions leave a session. `auction`: of its day; None: the broker
    takes none, and none leaves.
    """

    auction: ClosingAuction | None
    portfolio: LivePortfolio

    def answer(self, terms: OrderTerms, now: datetime) -> Answer:
        """Whether an order has to wait, may leave, or is late."""
        if self.auction is None:
            return "late"
        return self.auction.answer(terms.decided_at, now)

    def too_late(self, terms: OrderTerms) -> str:
        """Why a late order is not sent."""
        if self.auction is None:
            return "the broker takes no orders for closing auctions"
        return self.auction.too_late(terms.decided_at)

    def refusal(self, terms: OrderTerms) -> str | None:
        """Why an order is not sent on its day although it is in time, or None."""
        if self.portfolio.in_shares_of_today(terms) <= 0.0:
            return "a split left less than a share of it"
        if terms.symbol in self.portfolio.in_transit:
            return f"{terms.symbol} ends or changes its symbol today"
        return None


def closing_hours(broker: Broker) -> ClosingHours | None:
    """When this broker takes orders for closing auctions; None: it takes none."""
    return broker.closing_hours() if isinstance(broker, TakesClosingOrders) else None


def check_closing_orders(plan: SessionPlan, broker: Broker) -> None:
    """Raises ConfigError where entries at closes cannot be traded: bars that are no days, or a
    broker that does not take such orders.
    """
    if isinstance(broker, BarDriven):
        return
    rules = [plan.rules, *(member.rules for member in plan.members)]
    if not any(each.entry_at_close for each in rules):
        return
    if plan.timeframe != TIMEFRAME:
        raise ConfigError(
            f"session {plan.strategy_name} enters at the closes of bars of {plan.timeframe}, and"
            ' exchanges have an order for the close of a day alone: set labels.entry = "open", or'
            f' market.timeframe = "{TIMEFRAME}"'
        )
    if closing_hours(broker) is None:
        raise ConfigError(
            f"session {plan.strategy_name} enters at closes, and broker {broker.name} does not say"
            ' that it takes orders for closing auctions: set labels.entry = "open", or give it'
            " closing_hours (execution/brokers/base.py)"
        )
