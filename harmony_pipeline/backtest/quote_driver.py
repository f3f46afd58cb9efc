"""The event-driven backtest of a machine on quotes: it posts limit orders, and the matching engine
meets them with every quote and trade.

    tick -> matching engine -> fills -> on_fill -> orders
         -> on_quote (a quote) -> orders

The order of events is that of the tape. Of one moment the trades come first, then the quotes; of
several symbols, in order of their names. Orders that arrive, and timers, come at their own moment,
before the ticks of that moment. The engine matches no tick beyond the machine's clock: it stops at
the first fill, and the machine hears of it before the next tick is met. Without latency an order
that answers a quote arrives at once, and meets that quote.

Post is one resting limit order a side and symbol (post-only, day): the order before is canceled,
and the new one joins the queue at its price. Withdraw cancels it. Leave cancels both sides and
sends a market order for what is held. Enter has no size here and is refused. What an order costs,
how it queues and what is refused: docs/matching.md; what the account may hold: quote_account.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import polars as pl

from harmony_pipeline.backtest.quote_account import QuoteAccount, Resting
from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.execution.events import micros
from harmony_pipeline.execution.matching_engine import (
    EngineSettings,
    Execution,
    MatchingEngine,
)
from harmony_pipeline.execution.order_types import OrderTicket
from harmony_pipeline.execution.quote_matching import QUOTE, TickColumns
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.portfolio.kernel_types import MONEY
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.schemas import TIME
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
from harmony_pipeline.strategies.machines import MachineRun, StateMachine

_SIDES = (1, -1)
_SIDE_NAMES = {1: "buy", -1: "sell"}


@dataclass(frozen=True)
class QuoteBacktest:
    """What a machine on quotes did. `lifecycle`: every transition of every order
    (execution/lifecycle_table.py). `fills`: in the words of the table `fills`. `account`: cash,
    position and equity after each fill (quote_account.py). `positions`: shares at the end.
    """

    lifecycle: pl.DataFrame
    fills: pl.DataFrame
    account: pl.DataFrame
    positions: dict[str, float]
    initial_cash: float

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
) -> QuoteBacktest:
    """Give a machine every quote, and the fills of the orders that it posts.

    machine: a new one, since it is changed; it has `on_quote`. quotes, trades: QUOTE_TICKS and
    TRADE_TICKS, each symbol in the order of the tape; `codes` is the form of the trades' conditions
    (market/ticks/conditions.py). rules: costs, instruments, limits and cash; one set of terms, that
    of the first day. settings: how the venue takes orders. book: what order ids begin with.

    Raises DataError that names strategy, symbol and time where the machine raises or returns what
    is no intent, and where ticks are out of order: the run ends there and has no result. Raises
    ConfigError for a machine without `on_quote`, and rules without cash. An order that breaks a
    rule of the venue or a limit is refused in the lifecycle, and the run goes on.

    >>> run_quote_backtest(MarketMaker(), quotes, trades, rules, Calendar.of("XNYS")).summary()
    """
    name = strategy or type(machine).__name__
    if not rules.initial_cash > 0.0:
        raise ConfigError(f"backtest.initial_cash = {rules.initial_cash}: it is above 0")
    symbols = sorted({*quotes["symbol"].unique(), *trades["symbol"].unique()})
    machine_run = MachineRun(machine, name, symbols)
    if not machine_run.hears_quotes:
        raise ConfigError(f"strategy {name} has no on_quote: run it over bars")
    first = pl.concat([quotes["timestamp"].cast(TIME), trades["timestamp"].cast(TIME)]).min()
    day = first.date() if isinstance(first, datetime) else date.max
    records = rules.records(symbols, day)
    engine = MatchingEngine(symbols, records, calendar, settings)
    account = QuoteAccount(symbols, records, rules.initial_cash)
    columns = {
        symbol: engine.tick_columns(
            quotes.filter(pl.col("symbol") == symbol),
            trades.filter(pl.col("symbol") == symbol),
            codes,
        )
        for symbol in symbols
    }
    run = _QuoteRun(machine_run, engine, account, columns, book)
    run.walk()
    return QuoteBacktest(
        engine.lifecycle(), engine.fills(), account.table(), account.positions, rules.initial_cash
    )


class _Segment(NamedTuple):
    """Ticks `first` to `stop` (not included) of one symbol that no tick of another one and no quote
    parts; `quote` is the last of them, where it is one. `session` numbers the days.
    """

    symbol: str
    first: int
    stop: int
    last_at: int
    session: int
    quote: Quote | None


class _QuoteRun:
    """One machine, its orders and its account, along the ticks."""

    def __init__(
        self,
        machine_run: MachineRun,
        engine: MatchingEngine,
        account: QuoteAccount,
        columns: Mapping[str, TickColumns],
        book: str,
    ) -> None:
        self._machine_run, self._engine, self._account = machine_run, engine, account
        self._columns, self._book = columns, book
        self._resting: dict[tuple[str, int], str] = {}
        self._prices: dict[str, float] = {}  # of the orders that rest
        self._leaving: dict[str, str] = {}
        self._heard = dict.fromkeys(columns, 0)  # rows of each symbol's log
        self._due = {symbol: engine.next_time(symbol) for symbol in columns}
        self._orders = 0
        self._session = -1

    def walk(self) -> None:
        """Every event in order of time."""
        last = None
        for segment in _segments(self._columns, self._engine.calendar):
            if segment.session != self._session:
                self._session = segment.session
                self._account.begin_session()
            self._meet(segment)
            last = segment
        if last is not None:
            while self._next_moment() <= last.last_at:
                self._pass(self._next_moment())
            self._account.close(datetimes(np.array([last.last_at]))[0])

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
        if quote is None:
            return
        if 0.0 < quote.bid <= quote.ask and self._account.mark(
            symbol, (quote.bid + quote.ask) / 2.0
        ):
            for held in [name for name, shares in self._account.positions.items() if shares]:
                self._leave(held, quote.timestamp)
                self._due[held] = self._engine.next_time(held)
        self._obey(self._machine_run.handle(quote), quote.timestamp)

    def _next_moment(self) -> int:
        """When something happens without a tick: an order arrives or ends, or a timer is due."""
        moment = min(self._due.values())
        timer = self._machine_run.next_timer
        return moment if timer is None else min(moment, micros(timer))

    def _pass(self, moment: int) -> None:
        """Time reaches a moment without a tick: orders first, then timers."""
        due = [symbol for symbol, at in self._due.items() if at <= moment]
        for symbol in due:
            self._engine.pass_time(symbol, moment)
        self._tell_fills(due)
        timer = self._machine_run.next_timer
        if timer is not None and micros(timer) <= moment:
            self._obey(self._machine_run.hear_timers(timer), timer)

    def _tell_fills(self, symbols: Sequence[str]) -> None:
        """Give the machine what was filled of these symbols, in order of time."""
        found: list[tuple[int, str, Execution]] = []
        for symbol in symbols:
            self._due[symbol] = self._engine.next_time(symbol)
            fills, self._heard[symbol] = self._engine.executions(symbol, self._heard[symbol])
            found += [(one.at, symbol, one) for one in fills]
        for _, symbol, one in sorted(found, key=itemgetter(0)):
            (at,) = datetimes(np.array([one.at]))
            self._account.book(symbol, one, at)
            fill = Fill(symbol, at, one.side, one.quantity, one.price, one.fee / MONEY)
            self._obey(self._machine_run.handle(fill), at)

    def _obey(self, intents: Sequence[Intent], now: datetime) -> None:
        for intent in intents:
            if isinstance(intent, Post):
                self._post(intent, now)
            elif isinstance(intent, Withdraw):
                self._withdraw(intent.symbol, intent.side, now)
            elif isinstance(intent, Leave):
                self._leave(intent.symbol, now)
            elif isinstance(intent, Enter):
                raise DataError(
                    f"strategy {self._machine_run.name}, {intent.symbol} at {now}: Enter has no"
                    " size on quotes: return Post, or run the machine over bars"
                )
            else:
                assert isinstance(intent, SetTimer)
                continue
            self._due[intent.symbol] = self._engine.next_time(intent.symbol)

    def _post(self, intent: Post, now: datetime) -> None:
        self._withdraw(intent.symbol, intent.side, now)
        ticket = OrderTicket(
            order_id=self._next_id(intent.symbol, intent.side),
            symbol=intent.symbol,
            side=intent.side,
            quantity=intent.quantity,
            submitted_at=now,
            kind="limit",
            limit_price=intent.price,
            post_only=True,
        )
        refusal = self._account.judge(
            intent.symbol, intent.side, intent.price, intent.quantity, list(self._rests())
        )
        if refusal is not None:
            self._engine.refuse(ticket, refusal)
        elif self._engine.submit(ticket)[ticket.order_id] is None:
            self._resting[intent.symbol, intent.side] = ticket.order_id
            self._prices[ticket.order_id] = intent.price

    def _rests(self) -> Iterator[Resting]:
        for (symbol, side), order_id in self._resting.items():
            quantity = self._engine.remaining(order_id)
            if quantity > 0.0:
                yield Resting(symbol, side, self._prices[order_id], quantity)

    def _withdraw(self, symbol: str, side: int, now: datetime) -> None:
        order_id = self._resting.pop((symbol, side), None)
        if order_id is not None:
            del self._prices[order_id]
            self._engine.cancel(order_id, now)  # a refusal says that it has ended

    def _leave(self, symbol: str, now: datetime) -> None:
        for side in _SIDES:
            self._withdraw(symbol, side, now)
        held = self._engine.position(symbol)
        leaving = self._leaving.get(symbol)
        if held == 0.0 or (leaving is not None and self._engine.is_open(leaving)):
            return
        ticket = OrderTicket(
            order_id=self._next_id(symbol, -1 if held > 0.0 else 1),
            symbol=symbol,
            side=-1 if held > 0.0 else 1,
            quantity=abs(held),
            submitted_at=now,
            reduce_only=True,
        )
        if self._engine.submit(ticket)[ticket.order_id] is None:
            self._leaving[symbol] = ticket.order_id

    def _next_id(self, symbol: str, side: int) -> str:
        self._orders += 1
        return f"{self._book}-{symbol}-{_SIDE_NAMES[side]}-{self._orders}"


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
    session = dates.to_physical().fill_null(-1).to_numpy()
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
            moments.tolist(), session[end].tolist(), quoted[end].tolist(), datetimes(moments),
            *(side[order[end]].tolist() for side in sides), strict=True,
        )  # fmt: skip
        for number, first, stop, moment, day, is_quote, time, *prices in rows:
            symbol = names[number]
            quote = Quote(symbol, time, *prices) if is_quote else None
            yield _Segment(symbol, first, stop, moment, day, quote)
