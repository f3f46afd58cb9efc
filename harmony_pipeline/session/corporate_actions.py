"""Splits, dividends, and the ends and changes of symbols in a running session.

What they do to the books is in session/portfolio_actions.py. Here each is applied at its place
among the moment's bars, told to an exchange in this process, and written down.

A broker outside has changed its books before the open, and its first fills may come before the
first bar. So there the splits and dividends of what is held are applied when the session begins:
before the books are compared, and before anything is heard. Its cash follows later
(session/receivables.py).
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Protocol

from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.brokers.base import BarDriven, Broker
from harmony_pipeline.execution.lifecycle import Order
from harmony_pipeline.instants import micros, moment
from harmony_pipeline.market.lives import symbols_of
from harmony_pipeline.portfolio.kernel_types import (
    APPLIED_NAMES,
    BAR,
    CHANGE,
    MONEY,
    SPLIT,
    Record,
    records,
)
from harmony_pipeline.portfolio.position_accounting import dividend_share
from harmony_pipeline.session.live_portfolio import LivePortfolio
from harmony_pipeline.session.order_gateway import OrderGateway
from harmony_pipeline.session.order_requests import OrderRequest
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.portfolio_actions import PortfolioActions
from harmony_pipeline.session.receivables import Receivables
from harmony_pipeline.session.stream import Batch

Named = tuple[str, ev.CorporateActionApplied]
"""What an action did, under its name in the session."""


class Trading(Protocol):
    """The session that they happen in: `Trader`."""

    plan: SessionPlan
    broker: Broker
    portfolio: LivePortfolio
    gateway: OrderGateway
    receivables: Receivables


class CorporateActions:
    """Applies them for one session. One owner."""

    def __init__(self, session: Trading) -> None:
        self._session = session
        self._books = PortfolioActions(session.plan, session.portfolio)
        broker = session.broker
        self._exchange: BarDriven | None = broker if isinstance(broker, BarDriven) else None

    @property
    def may_come(self) -> bool:
        """Whether a split or dividend may come due in this session."""
        return self._books.may_come

    def apply_over_night(self, now: datetime) -> list[Named]:
        """As a session begins at a broker outside: apply what came due since the last one to what
        is held, at the last prices. What ends or changes its symbol today waits for its first bar.
        Returns what it did, to be written down.
        """
        if self._exchange is not None:
            return []
        portfolio = self._session.portfolio
        return [
            self._booked(applied, now, now)
            for row, (_, symbol) in enumerate(portfolio.owners)
            if symbol not in portfolio.in_transit
            for applied in self._books.apply_over_night(row, micros(now))
        ]

    def settle_endings(self, batch: Batch, date: int) -> None:
        """Settle what is held in securities that ended since the last session."""
        portfolio, gateway, books = self._session.portfolio, self._session.gateway, self._books
        for ending in books.endings(date):
            symbol, at = int(ending["symbol"]), self.ended_at(batch)
            exit_worked, legs_worked = books.working(symbol)
            if self._exchange is None and books.has_levels(symbol):
                # a broker outside takes the bracket of the old symbol off by itself
                legs_worked = 1
            gateway.send(books.cancel_working(ending, at))
            self.apply(symbol, int(ending["until"]), batch, None)
            if portfolio.held(symbol) == 0.0:
                continue
            worked = (exit_worked, legs_worked)
            if self._exchange is None and ending["kind"] == CHANGE:
                gateway.send(self._hold_under_successor(ending, at, worked, batch))
                continue
            applied, requests = books.settle(ending, at, worked)
            if self._exchange is not None and ending["kind"] == CHANGE:
                self._exchange.rename(symbol, int(ending["successor"]))
            elif self._exchange is not None:
                self._exchange.pay_out(symbol, float(applied["value"]))
            self._record(applied, batch.end, batch)
            gateway.send(requests)
        # what ended without a bar is valued here
        portfolio.account["equity"] = portfolio.account["cash"] + portfolio.account["net_value"]

    def _hold_under_successor(
        self, ending: Record, at: int, worked: tuple[int, int], batch: Batch
    ) -> list[OrderRequest]:
        """A change of symbol at a broker outside: what it has split on that day is split before the
        orders are placed again, since it takes them in the shares of the day.
        """
        books, successor = self._books, int(ending["successor"])
        applied, _ = books.settle(ending, at, (0, 0))
        self._record(applied, batch.end, batch)
        for each in books.apply_over_night(successor, at):
            self._record(each, batch.end, batch)
        return books.place_again(successor, at, worked)

    def apply(self, symbol: int, until: int, batch: Batch, row: Record | None) -> None:
        """Apply the symbol's splits and dividends up to a date, before the bar `row`; None: it has
        had no bar since, and none of its orders works.
        """
        portfolio, books = self._session.portfolio, self._books
        for action in books.due(symbol, until):
            if row is None and portfolio.held(symbol) == 0.0:
                continue
            if self._exchange is not None:
                self._tell_exchange(action, batch, row)
            if row is None:
                applied = books.apply_unseen(action, self.ended_at(batch))
            else:
                applied = books.apply(action, row)
            if applied["before"] != 0.0:
                self._record(applied, batch.end if row is None else moment(row["end"]), batch)

    def _tell_exchange(self, action: Record, batch: Batch, row: Record | None) -> None:
        """The exchange's part: its working orders, and the shares and cash that it counts
        itself.
        """
        assert self._exchange is not None
        symbol, value = int(action["symbol"]), float(action["value"])
        if action["kind"] == SPLIT:
            self._exchange.split(
                value, self._split_bar(symbol, value, batch) if row is None else row
            )
            self._session.gateway.receive_reports()
        else:
            position = self._session.portfolio.positions[symbol]
            share = float(dividend_share(position, action["value"]))
            self._exchange.dividend(symbol, value, share)

    def _split_bar(self, symbol: int, ratio: float, batch: Batch) -> Record:
        """A BAR record at the last price, for a symbol that has none of its own."""
        row = records(1, BAR)[0]
        row["symbol"], row["at"], row["end"] = symbol, micros(batch.start), micros(batch.end)
        row["open"] = self._session.portfolio.last_price(symbol) / ratio
        return row

    def _record(self, applied: Record, known_at: datetime, batch: Batch) -> None:
        """Write down what an action or an ending did to a position."""
        key, fact = self._booked(applied, batch.start, known_at)
        self._session.gateway.record(key, fact, batch.start)

    def _booked(self, applied: Record, happened_at: datetime, known_at: datetime) -> Named:
        """The fact of what is in our books now; a broker outside pays its cash later."""
        key, fact = self._fact(applied, happened_at, known_at)
        if self._exchange is None:
            day = date(1970, 1, 1) + timedelta(days=int(applied["date"]))
            cash = int(applied["cash"])
            self._session.receivables.accrue(fact.symbol, fact.action, day, cash)
        return key, fact

    def _fact(self, applied: Record, happened_at: datetime, known_at: datetime) -> Named:
        portfolio = self._session.portfolio
        kind, row = APPLIED_NAMES[applied["kind"]], int(applied["symbol"])
        strategy, name = portfolio.owners[row]
        is_change = applied["kind"] == CHANGE
        fact = ev.CorporateActionApplied(
            happened_at=happened_at,
            known_at=known_at,
            symbol=name,
            action=kind,
            value=0.0 if is_change else float(applied["value"]),
            quantity_before=float(applied["before"]),
            quantity_after=float(applied["after"]),
            cash=int(applied["cash"]) / MONEY,
            successor=portfolio.owners[applied["successor"]][1] if is_change else None,
            strategy=strategy,
        )
        return f"{kind}:{portfolio.slots[row]}:{int(applied['date'])}", fact

    def ended_at(self, batch: Batch) -> int:
        """When orders of an ended symbol are taken back and placed anew: a broker outside cannot be
        told in the past.
        """
        return micros(batch.start if self._exchange is not None else batch.end)

    def books_after_lives(
        self, carried: Mapping[tuple[str, str], Order], now: datetime
    ) -> tuple[dict[str, float], list[Order]]:
        """What a broker outside holds by now: shares as the first bars will make them, under their
        new symbols and split, and the orders of symbols that have not ended.
        """
        plan, at = self._session.plan, micros(now)
        after = LivePortfolio(plan, self._session.portfolio.portfolio)  # a copy
        books = PortfolioActions(plan, after)
        for ending in books.endings_of_lives():
            for action in books.due(int(ending["symbol"]), int(ending["until"])):
                books.apply_unseen(action, at)
            books.settle(ending, at, (0, 0))
        for row in range(len(after.owners)):
            for _ in books.apply_over_night(row, at):
                pass
        ended = {*symbols_of(plan.due_lives)}
        open_orders = [order for order in carried.values() if order.terms.symbol not in ended]
        return dict(after.shares()), open_orders
