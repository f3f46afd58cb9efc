"""The event-driven backtest of a machine on quotes: it posts limit orders, and the matching engine
meets them with every quote and trade.

    session begins -> corporate actions, financing, margin -> (each tick of it)
    tick -> matching engine -> fills -> account -> on_fill -> orders
         -> account -> on_quote (a quote) -> risk -> orders

The order of events is that of the tape. Of one moment the trades come first, then the quotes; of
several symbols, in order of their names. Orders that arrive, and timers, come at their own moment,
before the ticks of that moment. The engine matches no tick beyond the machine's clock: it stops at
the first fill, and the machine hears of it before the next tick is met. Without latency an order
that answers a quote arrives at once, and meets that quote.

What an intent becomes: quote_orders.py. The account is that of every backtest, by the same kernels
of portfolio/ and risk/ (quote_account.py). What an order costs and how it queues: docs/matching.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from harmony_pipeline.backtest.logs import Curve, empty_curve
from harmony_pipeline.backtest.quote_account import QuoteAccount
from harmony_pipeline.backtest.quote_books import CANCEL_ENTRIES, CLOSE_ALL, MINUTE
from harmony_pipeline.backtest.quote_orders import QuoteOrders
from harmony_pipeline.backtest.quote_sessions import QuoteSessions, known_symbols
from harmony_pipeline.backtest.quote_tables import QuoteTables
from harmony_pipeline.backtest.simulator import BacktestResult
from harmony_pipeline.backtest.table_columns import RunLabel
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.execution.matching_engine import (
    EngineSettings,
    Execution,
    MatchingEngine,
)
from harmony_pipeline.execution.quote_matching import QUOTE, TickColumns
from harmony_pipeline.instants import micros
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.lives import empty_events
from harmony_pipeline.portfolio.kernel_types import MONEY
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.schemas import CORPORATE_ACTIONS, TIME
from harmony_pipeline.strategies.event_columns import BATCH, datetimes
from harmony_pipeline.strategies.events import (
    Enter,
    Fill,
    Intent,
    Leave,
    Post,
    Quote,
    SetTimer,
    Withdraw,
)
from harmony_pipeline.strategies.machines import HandlesQuotes, MachineRun, StateMachine

_NO_SESSION = -1
_DAY = 86_400_000_000


@dataclass(frozen=True)
class QuoteBacktest:
    """What a machine on quotes did. `lifecycle`: every transition of every order
    (execution/lifecycle_table.py). `fills`: in the words of the table `fills`, in order of time.
    `account`: cash, position and equity after each fill (quote_account.py). `positions`: shares at
    the end. `tables`: those of every backtest, made when they are asked for.
    """

    lifecycle: pl.DataFrame
    fills: pl.DataFrame
    account: pl.DataFrame
    positions: dict[str, float]
    initial_cash: float
    tables: QuoteTables = field(repr=False)

    @property
    def orders(self) -> pl.DataFrame:
        """schemas.ORDERS: every order with the risk engine's answer."""
        return self.tables.orders_table

    @property
    def order_events(self) -> pl.DataFrame:
        """schemas.ORDER_EVENTS: every transition of every order."""
        return self.tables.order_events

    @property
    def trades(self) -> pl.DataFrame:
        """schemas.TRADES: round trips from flat to flat, or to the other side."""
        return self.tables.trades

    @property
    def equity(self) -> pl.DataFrame:
        """schemas.EQUITY: the account at the end of each minute of regular hours."""
        return self.tables.equity

    @property
    def position_actions(self) -> pl.DataFrame:
        """schemas.POSITION_ACTIONS: what corporate actions did to positions."""
        return self.tables.position_actions

    @property
    def row(self) -> pl.DataFrame:
        """The row of schemas.BACKTESTS."""
        return self.tables.row

    @property
    def metrics(self) -> dict[str, float | None]:
        """Every name of `schemas.METRICS`."""
        return self.tables.metrics

    @cached_property
    def notes(self) -> list[str]:
        """A sentence for each position that is held at the end."""
        return [
            f"{symbol}: {shares:g} shares are held at the end of the ticks"
            for symbol, shares in self.positions.items()
            if shares
        ]

    def result(self) -> BacktestResult:
        """The same as the other backtests give it: tables, figures, and the state at the end."""
        made = self.tables
        return BacktestResult(
            made.orders_table, made.fills_table, made.trades, made.equity, made.row, made.metrics,
            made.state.pruned(), made.position_actions, self.notes, made,
        )  # fmt: skip

    def frames(self) -> dict[str, pl.DataFrame]:
        """The public tables by name."""
        made = self.tables
        return {
            "orders": made.orders_table,
            "order_events": made.order_events,
            "fills": made.fills_table,
            "trades": made.trades,
            "position_actions": made.position_actions,
            "equity": made.equity,
            "backtests": made.row,
        }

    def summary(self) -> dict[str, float | int]:
        """The figures of the run, in the market's currency."""
        last = self.account.row(-1, named=True) if self.account.height else None
        equity = self.initial_cash if last is None else float(last["equity"])
        fees = 0.0 if last is None else float(last["fees"])
        makers = self.fills.filter(pl.col("liquidity") == "maker").height
        held = self.account["position"].abs().max()
        return {
            "orders": self.lifecycle["order_id"].n_unique(),
            "refused_orders": self.lifecycle.filter(pl.col("event") == "refused").height,
            "rejected_orders": self.lifecycle.filter(pl.col("event") == "rejected").height,
            "fills": self.fills.height,
            "maker_fills": makers,
            "volume": float(self.fills["quantity"].sum()),
            "largest_position": float(held) if isinstance(held, (int, float)) else 0.0,
            "fees": fees,
            "profit": round(equity - self.initial_cash, 4),
            "final_equity": equity,
        }


def run_quote_backtest(
    machine: StateMachine,
    quotes: pl.DataFrame,
    trades: pl.DataFrame,
    rules: TradingRules,
    calendar: Calendar,
    settings: EngineSettings | None = None,
    *,
    codes: str = "sip",
    strategy: str = "",
    book: str = "backtest",
    backtest_id: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    actions: pl.DataFrame | None = None,
    lives: pl.DataFrame | None = None,
    volatilities: pl.DataFrame | None = None,
) -> QuoteBacktest:
    """Give a machine every quote, and the fills of the orders that it posts.

    machine: a new one, since it is changed; it has `on_quote`. quotes, trades: QUOTE_TICKS and
    TRADE_TICKS, each symbol in the order of the tape; `codes` is the form of the trades' conditions
    (market/ticks/conditions.py). rules: costs, instruments, limits, sizes and cash, of each day its
    own. settings: how the venue takes orders. book: what order ids begin with. actions:
    schemas.CORPORATE_ACTIONS, and lives: market/lives.LIFE_EVENTS, each booked before the first
    tick of the first session on or after its day. volatilities: symbol, known_at, volatility (of
    one bar's log return), for the rules of size that need one.

    Raises DataError that names strategy, symbol and time where the machine raises or returns what
    is no intent, and where ticks are out of order: the run ends there and has no result. Raises
    ConfigError for a machine without `on_quote`, rules without cash, and exits by barriers, which
    are counted in bars. An order that breaks a rule of the venue or a limit is refused in the
    tables, or made smaller, and the run goes on.

    >>> run_quote_backtest(MarketMaker(), quotes, trades, rules, Calendar.of("XNYS")).summary()
    """
    name = strategy or type(machine).__name__
    _refuse(machine, name, rules)
    first, last = _ends(quotes, trades)
    day, until = (date.max if one is None else one.date() for one in (first, last))
    events = empty_events() if lives is None else lives
    traded = {*quotes["symbol"].unique(), *trades["symbol"].unique()}
    symbols = known_symbols(traded, events, until)
    engine = MatchingEngine(symbols, rules.records(symbols, day), calendar, settings)
    columns = _columns(engine, quotes, trades, sorted(traded), codes)
    account = QuoteAccount(symbols, rules, day, _room_for_curve(columns), volatilities)
    orders = QuoteOrders(engine, account, book)
    known = CORPORATE_ACTIONS.empty() if actions is None else actions
    sessions = QuoteSessions(engine, account, orders, known, events, day)
    run = _QuoteRun(MachineRun(machine, name, symbols), engine, account, orders, sessions, columns)
    run.walk()
    label = RunLabel(backtest_id or book, book, strategy, parameters or {})
    lifecycle, fills = engine.lifecycle(), engine.fills()
    tables = QuoteTables(
        list(orders.sent.values()), lifecycle, fills, account.state, account.books, rules, calendar,
        label, None if first is None or last is None else (micros(first), micros(last)),
    )  # fmt: skip
    return QuoteBacktest(
        lifecycle, fills, account.table(), account.positions, rules.initial_cash, tables
    )


def _refuse(machine: StateMachine, name: str, rules: TradingRules) -> None:
    if not rules.initial_cash > 0.0:
        raise ConfigError(f"backtest.initial_cash = {rules.initial_cash}: it is above 0")
    if not isinstance(machine, HandlesQuotes):
        raise ConfigError(f"strategy {name} has no on_quote: run it over bars")
    if rules.barriers:
        raise ConfigError(
            f'strategy {name}: exits = "barriers" are counted in bars, and a machine on quotes'
            ' leaves by itself: set exits = "signal"'
        )
    if rules.entry_at_close:
        raise ConfigError(
            f'strategy {name}: labels.entry = "close" is of bars, and a machine on quotes sends its'
            f' own orders: set strategies.{name}.bracket.entry = "open"'
        )


def _ends(quotes: pl.DataFrame, trades: pl.DataFrame) -> tuple[datetime | None, datetime | None]:
    """The first and the last moment of the tape."""
    stamps = pl.concat([quotes["timestamp"].cast(TIME), trades["timestamp"].cast(TIME)])
    first, last = stamps.min(), stamps.max()
    if isinstance(first, datetime) and isinstance(last, datetime):
        return first, last
    return None, None


def _columns(
    engine: MatchingEngine,
    quotes: pl.DataFrame,
    trades: pl.DataFrame,
    symbols: Sequence[str],
    codes: str,
) -> dict[str, TickColumns]:
    """The ticks of each symbol as the engine takes them."""
    return {
        symbol: engine.tick_columns(
            quotes.filter(pl.col("symbol") == symbol),
            trades.filter(pl.col("symbol") == symbol),
            codes,
        )
        for symbol in symbols
    }


def _room_for_curve(columns: Mapping[str, TickColumns]) -> Curve:
    """Room for a row of every minute that has a tick, and one of every day."""
    none = np.zeros(0, np.int64)
    minutes = [np.unique(ticks.at // MINUTE) for ticks in columns.values()]
    distinct = np.unique(np.concatenate([none, *minutes]))
    days = len(np.unique(distinct * MINUTE // _DAY)) + 1
    return empty_curve(len(distinct) + 1, days + 1, has_moments=True)


class _Segment(NamedTuple):
    """Ticks `first` to `stop` (not included) of one symbol that no tick of another one and no quote
    parts; `quote` is the last of them, where it is one, and `regular` whether its hours are.
    `session` is the day, since 1970.
    """

    symbol: str
    first: int
    stop: int
    last_at: int
    session: int
    regular: bool
    quote: Quote | None


class _QuoteRun:
    """One machine, its orders and its account, along the ticks."""

    def __init__(
        self,
        machine_run: MachineRun,
        engine: MatchingEngine,
        account: QuoteAccount,
        orders: QuoteOrders,
        sessions: QuoteSessions,
        columns: Mapping[str, TickColumns],
    ) -> None:
        self._machine_run, self._engine, self._account = machine_run, engine, account
        self._orders, self._sessions, self._columns = orders, sessions, columns
        self._due = {symbol: engine.next_time(symbol) for symbol in account.symbols}
        self._timer: datetime | None = None  # and its moment, looked up once
        self._timer_at = 0

    def walk(self) -> None:
        """Every event in order of time."""
        last = None
        for segment in _segments(self._columns, self._engine.calendar):
            if segment.session > self._account.date:
                self._begin(segment)
            self._meet(segment)
            last = segment
        if last is not None:
            while self._next_moment() <= last.last_at:
                self._pass(self._next_moment())
            self._account.close(datetimes(np.array([last.last_at]))[0])

    def _begin(self, segment: _Segment) -> None:
        """The session of a segment, at its first tick; what was due before comes before."""
        at = int(self._columns[segment.symbol].at[segment.first])
        while self._next_moment() < at:
            self._pass(self._next_moment())
        (now,) = datetimes(np.array([at]))
        adjusted = self._sessions.begin(segment.session, at, now)
        self._look_again()
        for one in adjusted:
            self._obey(self._machine_run.handle(one), now, at)

    def _meet(self, segment: _Segment) -> None:
        """What happens up to the end of a segment, one moment after the other."""
        symbol, first = segment.symbol, segment.first
        at = self._columns[symbol].at
        while True:
            moment, stop = self._next_moment(), segment.stop
            if moment <= segment.last_at:
                stop = int(np.searchsorted(at[first : segment.stop], moment)) + first
            if first < stop:
                first = self._engine.run_until_fill(symbol, self._columns[symbol], first, stop)
                self._tell_fills([symbol])
            elif stop < segment.stop:
                self._pass(moment)
            else:
                break
        quote = segment.quote
        if quote is not None:
            if 0.0 < quote.bid <= quote.ask:
                self._mark(quote, segment)
            self._obey(self._machine_run.handle(quote), quote.timestamp, segment.last_at)

    def _mark(self, quote: Quote, segment: _Segment) -> None:
        """Take in the price of a quote with two sides; regular ones value what is held."""
        row = self._account.row[quote.symbol]
        middle = self._account.middles[row] = (quote.bid + quote.ask) / 2.0
        if not segment.regular:
            return
        asked = self._account.mark(row, middle, segment.last_at)
        if asked:
            self._carry_out(asked, quote.timestamp)
        if self._orders.must_leave:
            self._orders.leave_again(quote.symbol, quote.timestamp)
            self._look_again()

    def _next_moment(self) -> int:
        """When something happens without a tick: an order arrives or ends, or a timer is due."""
        moment = min(self._due.values())
        timer = self._machine_run.next_timer
        if timer is None:
            return moment
        if timer is not self._timer:
            self._timer, self._timer_at = timer, micros(timer)
        return min(moment, self._timer_at)

    def _pass(self, moment: int) -> None:
        """Time reaches a moment without a tick: orders first, then timers."""
        due = [symbol for symbol, at in self._due.items() if at <= moment]
        for symbol in due:
            self._engine.pass_time(symbol, moment)
        self._tell_fills(due)
        timer = self._machine_run.next_timer
        if timer is not None and (at := micros(timer)) <= moment:
            self._obey(self._machine_run.hear_timers(timer), timer, at)

    def _tell_fills(self, symbols: Sequence[str]) -> None:
        """Book what was filled of these symbols, then give it to the machine, in order of time."""
        found: list[tuple[int, str, Execution]] = []
        ended: list[str] = []
        for symbol in symbols:
            self._due[symbol] = self._engine.next_time(symbol)
            fills, over = self._orders.news(symbol)
            found += [(one.at, symbol, one) for one in fills]
            ended += over
        if not found:
            self._orders.forget(ended)
            return
        found.sort(key=itemgetter(0))
        stamps = datetimes(np.array([at for at, _, _ in found]))
        asked = 0
        for (_, _, one), now in zip(found, stamps, strict=True):
            asked |= self._orders.fill(one, now)
        self._orders.forget(ended)
        if asked:
            self._carry_out(asked, stamps[-1])
        for (at, symbol, one), now in zip(found, stamps, strict=True):
            fill = Fill(symbol, now, one.side, one.quantity, one.price, one.fee / MONEY)
            self._obey(self._machine_run.handle(fill), now, at)

    def _carry_out(self, asked: int, now: datetime) -> None:
        """What the account asks for: no more entries, or an end of everything."""
        if asked & CANCEL_ENTRIES:
            self._orders.cancel_entries(now)
        if asked & CLOSE_ALL:
            self._orders.close_all(now)
        self._look_again()

    def _obey(self, intents: Sequence[Intent], now: datetime, at: int) -> None:
        orders = self._orders
        for intent in intents:
            if isinstance(intent, Post):
                orders.post(intent, now, at)
            elif isinstance(intent, Withdraw):
                orders.withdraw(intent.symbol, intent.side, now)
            elif isinstance(intent, Leave):
                orders.leave(intent.symbol, now)
            elif isinstance(intent, Enter):
                orders.enter(intent, now, at)
            else:
                assert isinstance(intent, SetTimer)
        if intents:
            self._look_again()

    def _look_again(self) -> None:
        """When the next moment of symbols is whose orders have changed."""
        for symbol in self._orders.touched:
            self._due[symbol] = self._engine.next_time(symbol)
        self._orders.touched.clear()


# --- ticks in order -------------------------------------------------------------------------------


def _segments(columns: Mapping[str, TickColumns], calendar: Calendar) -> Iterator[_Segment]:
    """The ticks of all symbols in order of time, of one moment by symbol."""
    names, each = list(columns), list(columns.values())
    if not each:
        return
    counts = [len(ticks.at) for ticks in each]
    at = np.concatenate([ticks.at for ticks in each])
    order = np.argsort(at, kind="stable")  # the ticks of one symbol stay in their own order
    owner = np.repeat(np.arange(len(names)), counts)[order]
    place = np.concatenate([np.arange(count) for count in counts])[order]
    quoted = np.concatenate([ticks.kind for ticks in each])[order] == QUOTE
    dates = calendar.session_dates(pl.Series(at[order]).cast(TIME))
    session = dates.to_physical().fill_null(_NO_SESSION).to_numpy()
    regular = np.concatenate([ticks.regular for ticks in each])[order] == 1
    last = np.ones(len(at), bool)
    last[:-1] = (owner[1:] != owner[:-1]) | (session[1:] != session[:-1])
    ends = np.flatnonzero(last | quoted)
    begins = np.concatenate([[0], ends[:-1] + 1])
    sides = [
        np.concatenate([getattr(ticks, name) for ticks in each])
        for name in ("bid", "bid_size", "ask", "ask_size")
    ]
    for start in range(0, len(ends), BATCH):
        end, begin = ends[start : start + BATCH], begins[start : start + BATCH]
        moments = at[order[end]]
        rows = zip(
            owner[end].tolist(), place[begin].tolist(), (place[end] + 1).tolist(),
            moments.tolist(), session[end].tolist(), regular[end].tolist(), quoted[end].tolist(),
            datetimes(moments),
            *(side[order[end]].tolist() for side in sides), strict=True,
        )  # fmt: skip
        for number, first, stop, moment, day, is_regular, is_quote, time, *prices in rows:
            symbol = names[number]
            quote = Quote(symbol, time, *prices) if is_quote else None
            yield _Segment(symbol, first, stop, moment, day, is_regular, quote)
