"""The matching engine of our own orders: it takes tickets, meets them with bars or quotes, and
keeps the life of every order in one table.

    engine = MatchingEngine(symbols, rules, Calendar.of("XNYS"))
    engine.submit(*bracket(entry, take_profit=104.0, stop_loss=98.0))
    engine.run_bars(bars)                       # symbol, timestamp, open, ..., volume, session
    engine.lifecycle(), engine.fills(), engine.position("AAPL")

Orders may be submitted ahead of their time (a whole backtest's at once) or between two calls of
`run_bars` (by a strategy that sees what happened). However the bars are cut into calls, the table
is the same. Each symbol stands alone: groups of orders are of one symbol, and what an account may
do is decided before an order comes here (risk/).

Nothing raises for a bad order: the answer is a `Refusal`, and the lifecycle has it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec
import polars as pl

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.execution.bar_columns import BarColumns, bar_columns
from harmony_pipeline.execution.bar_matching import (
    BAR_DIRECTION,
    PESSIMISTIC,
    THROUGH,
    TOUCH,
    run_bars,
)
from harmony_pipeline.execution.lifecycle_table import Refused, fills_of, lifecycle_frame
from harmony_pipeline.execution.order_splits import lower_orders, split_orders
from harmony_pipeline.execution.order_store import OrderStore
from harmony_pipeline.execution.order_timing import room_needed
from harmony_pipeline.execution.order_types import (
    US_EQUITIES,
    OrderTicket,
    Refusal,
    VenueRules,
    check_groups,
    check_order,
)
from harmony_pipeline.execution.queue_position import NO_CANCELS, PRO_RATA, QUOTED
from harmony_pipeline.execution.quote_matching import (
    TickColumns,
    forget_quote,
    pass_time,
    run_ticks,
)
from harmony_pipeline.execution.session_times import SessionTimes
from harmony_pipeline.execution.tick_columns import tick_columns
from harmony_pipeline.execution.working_orders import (
    E_FILLED,
    E_PARTIALLY_FILLED,
    FILLED,
    NO_ROW,
)
from harmony_pipeline.instants import micros
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.portfolio.kernel_types import Record, Records

_EXECUTIONS = (E_FILLED, E_PARTIALLY_FILLED)
_PATHS = {"pessimistic": PESSIMISTIC, "bar_direction": BAR_DIRECTION}
_QUEUE = {"none": NO_CANCELS, "quoted": QUOTED, "pro_rata": PRO_RATA}
_RESTING = {"touch": TOUCH, "through": THROUGH}


@dataclass(frozen=True)
class EngineSettings:
    """How orders are taken and bars are read. `path`: which extreme of a bar comes first.
    `resting`: a resting limit fills when its price is touched, or only when it is passed.
    `halted`: an order that comes in a halt is held until trading goes on, or rejected. `latency`:
    from our decision to the exchange, for orders, cancels and replacements (None: `latency_us` of
    the symbol's rules). `queue`: how orders ahead of ours that are canceled count
    (queue_position.py). `auction_wait`: how long after the auction its print is waited for (with
    trades; a bar has it at once).
    """

    venue: VenueRules = field(default_factory=lambda: US_EQUITIES)
    path: Literal["pessimistic", "bar_direction"] = "pessimistic"
    resting: Literal["touch", "through"] = "touch"
    halted: Literal["hold", "refuse"] = "hold"
    latency: timedelta | None = None
    queue: Literal["none", "quoted", "pro_rata"] = "none"
    auction_wait: timedelta = timedelta()

    def __post_init__(self) -> None:
        for name, value, known in (
            ("path", self.path, tuple(_PATHS)),
            ("resting", self.resting, tuple(_RESTING)),
            ("halted", self.halted, ("hold", "refuse")),
            ("queue", self.queue, tuple(_QUEUE)),
        ):
            if value not in known:
                raise ConfigError(f"{name} is {value!r}: one of {', '.join(known)}")
        if self.latency is not None and self.latency < timedelta():
            raise ConfigError(f"latency is {self.latency}: at least zero")


class Execution(NamedTuple):
    """One execution: quantity above 0, `fee` in money units, `at` in microseconds UTC; `reference`
    is the price before costs.
    """

    order_id: str
    side: Literal[-1, 1]
    quantity: float
    price: float
    fee: int
    at: int
    reference: float
    maker: bool


class MatchingEngine:
    """Orders of several symbols. `rules` has one RULES record a symbol, in the same order
    (`TradingRules.records`); `positions` are signed shares held at the start.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        rules: Records,
        calendar: Calendar,
        settings: EngineSettings | None = None,
        positions: Mapping[str, float] | None = None,
    ) -> None:
        self.settings = settings or EngineSettings()
        self.calendar = calendar
        self._sessions = SessionTimes.of(calendar, self.settings.auction_wait)
        held = positions or {}
        refuse, latency = self.settings.halted == "refuse", self.settings.latency
        self._stores = {
            symbol: OrderStore(symbol, rules[number], held.get(symbol, 0.0), refuse, latency)
            for number, symbol in enumerate(symbols)
        }
        self._where: dict[str, tuple[str, int]] = {}
        self._refused: list[Refused] = []

    # --- orders -----------------------------------------------------------------------------------

    def submit(self, *tickets: OrderTicket) -> dict[str, Refusal | None]:
        """Take orders, each alone or with those of its group: by order_id None, or why not. A
        group is taken whole or not at all.
        """
        answers = self._judge(tickets)
        rings: dict[tuple[str, str], list[int]] = {}
        for ticket in tickets:
            if answers[ticket.order_id] is not None:
                continue
            store = self._stores[ticket.symbol]
            parent = self._where[ticket.parent_id][1] if ticket.parent_id else NO_ROW
            row = store.add(ticket, self._sessions, parent)
            self._where[ticket.order_id] = (ticket.symbol, row)
            if ticket.oco_id is not None:
                rings.setdefault((ticket.symbol, ticket.oco_id), []).append(row)
        for (symbol, _), ring in rings.items():
            self._stores[symbol].link_oco(ring)
        self._refused += [
            Refused(ticket, refusal)
            for ticket in tickets
            if (refusal := answers[ticket.order_id]) is not None
        ]
        return answers

    def refuse(self, ticket: OrderTicket, refusal: Refusal) -> None:
        """Write down an order that somebody before the engine did not let pass."""
        self._refused.append(Refused(ticket, refusal))

    def cancel(self, order_id: str, at: datetime) -> Refusal | None:
        """Ask for the end of an order at `at`; None, or why that cannot be."""
        found = self._open_order(order_id, at)
        if isinstance(found, Refusal):
            return found
        store, row = found
        store.cancel(row, at)
        return None

    def replace(
        self,
        order_id: str,
        new_order_id: str,
        at: datetime,
        *,
        quantity: float | None = None,
        limit_price: float | None = None,
        stop_price: float | None = None,
    ) -> Refusal | None:
        """Exchange an order for one with other terms and another id; None, or why not. `quantity`
        counts what is filled already. The new order loses its place in the queue and keeps its
        groups, its children and the watermark of a trailing stop.
        """
        found = self._open_order(order_id, at)
        if isinstance(found, Refusal):
            return found
        store, row = found
        old = store.tickets[row]
        changes = {"quantity": quantity, "limit_price": limit_price, "stop_price": stop_price}
        if quantity is None:
            changes["quantity"] = float(store.group.orders[row]["quantity"])
        given = {name: value for name, value in changes.items() if value is not None}
        ticket = msgspec.structs.replace(old, order_id=new_order_id, submitted_at=at, **given)
        refusal = self._judge_alone(ticket, parents={ticket.parent_id or ""})
        if refusal is not None:
            self._refused.append(Refused(ticket, refusal))
            return refusal
        new_row = store.add(ticket, self._sessions, replaces=row)
        self._where[new_order_id] = (ticket.symbol, new_row)
        return None

    def split(self, symbol: str, ratio: float, at: datetime) -> None:
        """`ratio` new shares for one, before the open of the bar at `at`."""
        store = self._store(symbol)
        store.queue()
        pass_time(store.group, micros(at))
        split_orders(store.group, ratio, micros(at))
        store.clock = max(store.clock, micros(at))
        _after_kernels(store)

    def dividend(self, symbol: str, value: float, at: datetime) -> None:
        """A dividend of `value` a share, before the open at `at`: purchases with a limit and sales
        with a stop are lowered by it (FINRA Rule 5330).
        """
        store = self._store(symbol)
        store.queue()
        pass_time(store.group, micros(at))
        lower_orders(store.group, value, micros(at))
        store.clock = max(store.clock, micros(at))
        _after_kernels(store)

    def move_position(self, symbol: str, shares: float) -> None:
        """What is held of a symbol from now on: another security has taken its name, or it is gone.
        Its orders are canceled before.
        """
        self._store(symbol).state["position"] = shares

    def use_rules(self, rules: Records) -> None:
        """Other terms from now on, of the same symbols in the same order; of orders that work,
        too.
        """
        for number, store in enumerate(self._stores.values()):
            store.group.rules[0] = rules[number]

    def latency(self, symbol: str) -> timedelta:
        """How long orders and cancels of a symbol are on their way."""
        return self._store(symbol).latency

    # --- the market -------------------------------------------------------------------------------

    def run_bars(self, bars: pl.DataFrame, timeframe: str | None = None) -> None:
        """Meet the orders with bars (symbol, timestamp, open, high, low, close, volume; each symbol
        in order of time). `session` and `bar_end` come from the calendar by `timeframe` where they
        are missing; `halted`, `lower_band` and `upper_band` may be there.
        """
        if "session" not in bars.columns or "bar_end" not in bars.columns:
            if timeframe is None:
                raise DataError("bars lack session and bar_end: pass their timeframe")
            bars = self.calendar.with_session(bars, timeframe)
        for (symbol,), part in bars.partition_by(
            "symbol", as_dict=True, maintain_order=True
        ).items():
            columns = bar_columns(part)
            self.run_columns(str(symbol), columns, 0, len(columns.at))

    def run_columns(self, symbol: str, bars: BarColumns, first: int, stop: int) -> None:
        """Meet the orders of one symbol with bars `first` to `stop` (not included) of `columns`."""
        store = self._store(symbol)
        if stop <= first:
            return
        if bars.at[first] < store.clock:
            raise DataError(
                f"{symbol}: the bar at {bars.at[first]} begins before what was matched already"
                f" ended ({store.clock}): sort bars by time and pass each once"
            )
        if store.is_untouched(bars, first, stop) and not store.on_ticks:
            store.passed(bars, first)
            return
        store.queue()
        if store.on_ticks:
            pass_time(store.group, int(bars.at[first]))
            forget_quote(store.group)
            store.on_ticks = False
        path, resting = _PATHS[self.settings.path], _RESTING[self.settings.resting]
        while (first := run_bars(store.group, bars, first, stop, path, resting)) < stop:
            store.grow_log()
        store.passed(bars, stop - 1)
        _after_kernels(store)

    def run_ticks(self, quotes: pl.DataFrame, trades: pl.DataFrame, codes: str = "sip") -> None:
        """Meet the orders with quotes and trades (QUOTE_TICKS, TRADE_TICKS; each symbol in the
        order of the tape); `codes` is the form of the trades' conditions
        (market/ticks/conditions.py).
        """
        symbols = {*quotes["symbol"].unique(), *trades["symbol"].unique()}
        for symbol in sorted(symbols):
            mine = pl.col("symbol") == symbol
            columns = self.tick_columns(quotes.filter(mine), trades.filter(mine), codes)
            self.run_tick_columns(symbol, columns, 0, len(columns.at))

    def tick_columns(
        self, quotes: pl.DataFrame, trades: pl.DataFrame, codes: str = "sip"
    ) -> TickColumns:
        """Quotes and trades of one symbol as `run_tick_columns` takes them."""
        return tick_columns(quotes, trades, self.calendar, codes)

    def run_tick_columns(self, symbol: str, ticks: TickColumns, first: int, stop: int) -> None:
        """Meet the orders of one symbol with ticks `first` to `stop` (not included)."""
        store = self._store(symbol)
        if stop <= first:
            return
        if ticks.at[first] < store.clock:
            raise DataError(f"{symbol}: ticks begin before what was matched already")
        store.queue()
        store.on_ticks = True
        cancels = _QUEUE[self.settings.queue]
        while (first := run_ticks(store.group, ticks, first, stop, cancels, False)) < stop:
            store.grow_log()
        store.clock = max(store.clock, int(ticks.at[stop - 1]))
        _after_kernels(store)

    def run_until_fill(self, symbol: str, ticks: TickColumns, first: int, stop: int) -> int:
        """As `run_tick_columns`, but no further than the first moment at which an order is filled;
        the tick to go on with, `stop` where all were matched.
        """
        store = self._store(symbol)
        if stop <= first:
            return stop
        if ticks.at[first] < store.clock:
            raise DataError(f"{symbol}: ticks begin before what was matched already")
        store.queue()
        store.on_ticks = True
        cancels, before = _QUEUE[self.settings.queue], first
        while True:
            rows = len(store.log)
            first = run_ticks(store.group, ticks, first, stop, cancels, True)
            if first == stop or len(_executed(store.log[rows:])):
                break
            store.grow_log()
        if first > before:
            store.clock = max(store.clock, int(ticks.at[first - 1]))
        _after_kernels(store)
        return first

    def next_time(self, symbol: str) -> int:
        """When time alone will next change an order of a symbol: a submission, an arrival, a
        cancel, an expiry. Microseconds UTC.
        """
        store = self._store(symbol)
        store.queue()
        return int(store.state["next_time"])

    def pass_time(self, symbol: str, until: int) -> None:
        """What time does to the orders of one symbol up to `until`, microseconds UTC: those that
        arrive meet the quote that stands.
        """
        store = self._store(symbol)
        store.queue()
        while len(store.group.log) - len(store.log) < room_needed(store.group, until):
            store.grow_log()
        pass_time(store.group, until)
        _after_kernels(store)

    def advance(self, until: datetime) -> None:
        """Let time pass without a market: submissions, cancels and expiries up to `until`."""
        for store in self._stores.values():
            store.queue()
            pass_time(store.group, micros(until))
            store.clock = max(store.clock, micros(until))
            _after_kernels(store)

    # --- what happened ----------------------------------------------------------------------------

    def position(self, symbol: str) -> float:
        """Signed shares."""
        return float(self._store(symbol).state["position"])

    def filled(self, order_id: str) -> float:
        """Shares of an order that were filled so far."""
        symbol, row = self._where[order_id]
        return float(self._stores[symbol].group.orders[row]["filled"])

    def remaining(self, order_id: str) -> float:
        """Shares of an order that may still be filled; 0 once it has ended."""
        symbol, row = self._where[order_id]
        store = self._stores[symbol]
        return 0.0 if store.is_final(row) else float(store.group.orders[row]["remaining"])

    def limit_price(self, order_id: str) -> float | None:
        """The limit of an order as it is now, after splits and dividends; None: it has none."""
        symbol, row = self._where[order_id]
        return float(self._stores[symbol].group.orders[row]["limit_price"]) or None

    def is_open(self, order_id: str) -> bool:
        """Whether an order that was taken has not ended."""
        symbol, row = self._where[order_id]
        return not self._stores[symbol].is_final(row)

    def progress(self, symbol: str, since: int = 0) -> tuple[list[Execution], list[str], int]:
        """Executions of one symbol from row `since` of its log on, the orders that have ended since
        then, with or without a fill, and the row to go on with.
        """
        store = self._store(symbol)
        rows = int(store.state["log_rows"])
        executed: list[Execution] = []
        ended: list[str] = []
        if rows == since:
            return executed, ended, rows
        log, tickets = store.group.log[since:rows], store.tickets
        codes = (log[name].tolist() for name in ("row", "event", "to_status"))
        for place, (row, event, status) in enumerate(zip(*codes, strict=True)):
            if event in _EXECUTIONS:
                executed.append(_execution(tickets[row], log[place]))
            if status >= FILLED:
                ended.append(tickets[row].order_id)
        return executed, ended, rows

    def open_orders(self, symbol: str) -> list[str]:
        """Orders that have been submitted and have not ended, in order of submission."""
        store = self._store(symbol)
        return [store.tickets[row].order_id for row in store.open_rows()]

    def transitions(self, symbol: str, since: int = 0) -> Records:
        """The log of one symbol from row `since` on (TRANSITION records): what a driver polls."""
        return self._store(symbol).log[since:]

    def lifecycle(self) -> pl.DataFrame:
        """Every transition of every order (`lifecycle_table.LIFECYCLE`)."""
        return lifecycle_frame(self._stores.values(), self._refused)

    def fills(self) -> pl.DataFrame:
        """Every execution, in the words of the table `fills`."""
        tickets = [ticket for store in self._stores.values() for ticket in store.tickets]
        sides = pl.DataFrame(
            [(ticket.order_id, ticket.side) for ticket in tickets],
            schema={"order_id": pl.String(), "side": pl.Int64()},
            orient="row",
        )
        return fills_of(self.lifecycle(), sides)

    # --- inside -----------------------------------------------------------------------------------

    def _store(self, symbol: str) -> OrderStore:
        found = self._stores.get(symbol)
        if found is None:
            raise DataError(
                f"{symbol!r} is no symbol of this engine: it has {sorted(self._stores)}"
            )
        return found

    def _judge(self, tickets: Sequence[OrderTicket]) -> dict[str, Refusal | None]:
        """Each ticket alone, then those that hang on a refused one."""
        groups = check_groups(tickets)
        ids = {ticket.order_id for ticket in tickets}
        answers = {
            ticket.order_id: groups.get(ticket.order_id) or self._judge_alone(ticket, ids)
            for ticket in tickets
        }
        before = 0
        while (refused := sum(answer is not None for answer in answers.values())) > before:
            before = refused
            answers |= _refused_with(tickets, answers)
        return answers

    def _judge_alone(self, ticket: OrderTicket, parents: set[str]) -> Refusal | None:
        if not isinstance(ticket.order_id, str) or not ticket.order_id:
            return Refusal("order_id", f"order_id is {ticket.order_id!r}: a text that is not empty")
        if not isinstance(ticket.submitted_at, datetime) or ticket.submitted_at.tzinfo is None:
            return Refusal("time", f"submitted_at is {ticket.submitted_at!r}: a time with its zone")
        if ticket.order_id in self._where:
            return Refusal("duplicate_order", f"there is an order {ticket.order_id} already")
        store = self._stores.get(ticket.symbol)
        rules = None if store is None else store.group.rules[0]
        refusal = check_order(ticket, rules, self.settings.venue)
        if refusal is not None or store is None:
            return refusal
        at = micros(ticket.submitted_at)
        if at < store.clock:
            return Refusal("time", "submitted_at lies before bars that were matched already")
        if ticket.parent_id is not None and ticket.parent_id not in parents:
            known = self._where.get(ticket.parent_id)
            if known is None or known[0] != ticket.symbol or store.is_final(known[1]):
                return Refusal("parent", f"parent {ticket.parent_id} is no open order")
        return self._sessions.check_auction(ticket, at, self.settings.venue)

    def _open_order(self, order_id: str, at: datetime) -> tuple[OrderStore, int] | Refusal:
        known = self._where.get(order_id)
        if known is None:
            return Refusal("unknown_order", f"there is no order {order_id}")
        store, row = self._stores[known[0]], known[1]
        if store.is_final(row):
            return Refusal("done", f"order {order_id} has ended")
        if micros(at) < store.clock:
            return Refusal("time", "the request lies before bars that were matched already")
        if at < store.tickets[row].submitted_at:
            return Refusal("time", f"the request lies before order {order_id} itself")
        return store, row


def _execution(ticket: OrderTicket, line: Record) -> Execution:
    return Execution(
        ticket.order_id,
        1 if ticket.side > 0 else -1,
        float(line["quantity"]),
        float(line["price"]),
        int(line["fee"]),
        int(line["at"]),
        float(line["reference"]),
        bool(line["maker"]),
    )


def _executed(log: Records) -> Records:
    """The executions among rows of a log."""
    if not len(log):
        return log
    event = log["event"]
    found: Records = log[(event == E_FILLED) | (event == E_PARTIALLY_FILLED)]
    return found


def _after_kernels(store: OrderStore) -> None:
    store.remember()
    if store.state["lost_rows"] > 0:
        raise DataError(
            f"{store.symbol}: {store.state['lost_rows']} transitions had no room in the log"
        )


def _refused_with(
    tickets: Sequence[OrderTicket], answers: Mapping[str, Refusal | None]
) -> dict[str, Refusal | None]:
    """Refusals of sound tickets that have a refused one in their group."""
    bad = [ticket for ticket in tickets if answers[ticket.order_id] is not None]
    groups = {ticket.oco_id: ticket.order_id for ticket in bad if ticket.oco_id is not None}
    parents = {ticket.parent_id: ticket.order_id for ticket in bad if ticket.parent_id is not None}
    found: dict[str, Refusal | None] = {}
    for ticket in tickets:
        name, parent = ticket.order_id, ticket.parent_id
        if answers[name] is not None:
            continue
        if parent is not None and answers.get(parent) is not None:
            found[name] = Refusal("parent", f"its parent {parent} was refused")
        elif ticket.oco_id in groups:
            found[name] = Refusal("oco", f"{groups[ticket.oco_id]} of its OCO group was refused")
        elif name in parents:
            found[name] = Refusal("child", f"its child {parents[name]} was refused")
    return found
