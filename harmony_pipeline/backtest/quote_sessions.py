"""What a session of a backtest on quotes begins with, before its first tick: new terms, the cost of
the nights, ends of listings and changes of symbol, splits and dividends, the margin call.

The kernels are those of portfolio/corporate_actions.py, financing.py and margin_calls.py. A split
changes the orders at rest, too, and a dividend lowers limits to buy (execution/order_splits.py);
the orders of a symbol that ends are canceled. Cash in lieu of a fraction is paid at the last price,
in new shares.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

import polars as pl

from harmony_pipeline.backtest import quote_books
from harmony_pipeline.backtest.logs import APPLICATIONS, TRADES
from harmony_pipeline.backtest.quote_account import QuoteAccount
from harmony_pipeline.backtest.quote_orders import QuoteOrders
from harmony_pipeline.execution.matching_engine import MatchingEngine
from harmony_pipeline.market.lives import actions_by_new_symbol, relevant_events
from harmony_pipeline.portfolio.corporate_actions import (
    endings_of,
    first_actions,
    packed_actions,
    packed_lives,
    presumed_ending,
    settle_ending,
)
from harmony_pipeline.portfolio.kernel_types import (
    APPLIED_NAMES,
    ENDING,
    ORDER_OPEN,
    SPLIT,
    Record,
    records,
)
from harmony_pipeline.strategies.events import Adjusted

EPOCH = date(1970, 1, 1)


class QuoteSessions:
    """The beginnings of the sessions of one run. One owner."""

    def __init__(
        self,
        engine: MatchingEngine,
        account: QuoteAccount,
        orders: QuoteOrders,
        actions: pl.DataFrame,
        lives: pl.DataFrame,
        first: date,
    ) -> None:
        """actions, lives: as in `run_quote_backtest`; those of before `first` are behind."""
        self._engine, self._account, self._orders = engine, account, orders
        symbols = account.symbols
        since = actions_by_new_symbol(actions, lives).filter(pl.col("date") >= first)
        self._actions = packed_actions(since, symbols)
        self._places = first_actions(self._actions, len(symbols))
        account.state.mark_ended(lives.filter(pl.col("date") < first))
        known = lives.filter(pl.col("date") >= first, pl.col("symbol").is_in(symbols))
        self._lives, self._next_life = packed_lives(known, symbols), 0
        self._endings = records(2, ENDING)

    def begin(self, day: int, at: int, now: datetime) -> list[Adjusted]:
        """Begin the session of `day` (since 1970) at its first moment; what became of positions."""
        account = self._account
        if account.terms_of(EPOCH + timedelta(days=day)):
            self._engine.use_rules(account.rules)
        account.begin_session(day)
        before = account.places[APPLICATIONS]
        positions, lives = account.books.positions, self._lives
        while self._next_life < len(lives) and lives[self._next_life]["date"] <= day:
            count = endings_of(positions, lives[self._next_life], self._endings)
            self._next_life += 1
            for k in range(count):
                self._end(self._endings[k], at, now)
        for row in range(len(positions)):
            ending = self._endings[0]
            if presumed_ending(positions[row], account.rules[row], row, day, ending):
                self._end(ending, at, now)
        for row in range(len(positions)):
            self._take_actions(row, day, at, now)
        called = quote_books.call_margin(account.books, at)
        self._orders.close_intents(account.books.intents[:called], now)
        return [
            self._told(applied, now)
            for applied in account.books.applied_log[before : account.places[APPLICATIONS]]
        ]

    def _take_actions(self, row: int, until: int, at: int, now: datetime) -> None:
        """The splits and dividends of a symbol up to a date."""
        account, actions = self._account, self._actions
        symbol = account.symbols[row]
        k = quote_books.next_action(account.books, actions, self._places, row, until)
        while k >= 0:
            value = float(actions[k]["value"])
            if actions[k]["kind"] == SPLIT:
                self._engine.split(symbol, value, now)
                self._orders.adjusted(symbol)
            else:
                self._engine.dividend(symbol, value, now)
                self._orders.adjusted(symbol)
            account.make_room()
            quote_books.take_action(account.books, actions, k, row, at)
            k = quote_books.next_action(account.books, actions, self._places, row, until)

    def _end(self, ending: Record, at: int, now: datetime) -> None:
        """Cancel what works for the ending's symbol; then the actions that no tick has shown; then
        settle what is held.
        """
        account, engine = self._account, self._engine
        row, successor = int(ending["symbol"]), int(ending["successor"])
        symbol, books = account.symbols[row], account.books
        exit_worked = self._orders.cancel_all(symbol, now, int(ending["canceled"]))
        engine.pass_time(symbol, at)
        if account.held(row) == 0.0:
            return
        self._take_actions(row, int(ending["until"]), at, now)
        if account.held(row) == 0.0:
            return
        account.make_room()
        books, places = account.books, account.places
        written, places[TRADES] = settle_ending(
            books.positions, books.accounts[0], books.rules, ending, at, int(exit_worked), 0,
            books.applied_log[places[APPLICATIONS]], books.intents, 0, books.trade_log,
            places[TRADES],
        )  # fmt: skip
        places[APPLICATIONS] += 1
        engine.move_position(symbol, 0.0)
        if successor != row:
            engine.move_position(account.symbols[successor], account.held(successor))
            self._orders.move(symbol, account.symbols[successor])
        again = [one for one in books.intents[:written] if one["status"] == ORDER_OPEN]
        for intent in again:
            self._orders.leave(account.symbols[successor], now, int(intent["reason"]))

    def _told(self, applied: Record, now: datetime) -> Adjusted:
        symbols, kind = self._account.symbols, APPLIED_NAMES[int(applied["kind"])]
        successor = symbols[int(applied["successor"])]
        symbol = symbols[int(applied["symbol"])]
        return Adjusted(
            symbol, now, kind, float(applied["value"]), float(applied["after"]),
            successor if successor != symbol else None,
        )  # fmt: skip


def known_symbols(symbols: Iterable[str], lives: pl.DataFrame, last: date) -> list[str]:
    """The symbols of the ticks, and those under which positions in them may come to be held."""
    traded = set(symbols)
    events = relevant_events(lives, traded, last)
    return sorted({*traded, *events["symbol"], *events["successor"].drop_nulls()})
