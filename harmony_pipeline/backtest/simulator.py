"""The portfolio backtest: bars and signals in, orders, fills, trades and equity out.

A run over many days equals the chain of runs over each day, every one started from the state that
the one before left. So a session that was opened from a state can be compared with the backtest of
its day, order by order and to the cent.

>>> result = run_backtest(bars, signals, actions, rules, calendar, "15Min", backtest_id="b-1")
>>> result.metrics["sharpe"], result.trades
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import polars as pl

from harmony_pipeline.arrays import IntArray, read_only
from harmony_pipeline.backtest import loop
from harmony_pipeline.backtest.books import Books, cursor_at_start
from harmony_pipeline.backtest.curve_figures import CurveFigures, curve_figures
from harmony_pipeline.backtest.curve_spans import CurveDrawing
from harmony_pipeline.backtest.input_arrays import (
    SIGNAL_DTYPES,
    SymbolRows,
    checked_signals,
    signal_columns,
)
from harmony_pipeline.backtest.logs import (
    APPLICATIONS,
    CARRIED,
    DAYS,
    EQUITIES,
    EVENTS,
    FILLS,
    FIRST_BAR,
    LAST_END,
    NEXT_LIFE,
    ORDERS,
    SESSION,
    TRADES,
    TRIPS,
    Curve,
    cut_curve,
)
from harmony_pipeline.backtest.metrics import run_metrics, session_returns
from harmony_pipeline.backtest.order_events import OrderHistory
from harmony_pipeline.backtest.orders_table import OrdersTable
from harmony_pipeline.backtest.result_writing import ResultWriting
from harmony_pipeline.backtest.run_books import Logs, opened_books, rule_stretches, with_room
from harmony_pipeline.backtest.runs import Market, Run
from harmony_pipeline.backtest.session_events import begin_session
from harmony_pipeline.backtest.table_columns import RunLabel
from harmony_pipeline.backtest.tables import (
    equity_table,
    fills_table,
    position_actions_table,
    trade_rows,
)
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.multipliers import contract_multipliers
from harmony_pipeline.portfolio.kernel_types import (
    MONEY,
    Records,
)
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.schemas import BACKTESTS, TIME

_DAY_MICROSECONDS = 86_400_000_000
_PART_ROWS = 1 << 16  # bars of one symbol, after which its curve is drawn so far
_MOST_THREADS, _SHORT_RUN = 4, 50_000  # bars of a run


class OrderLives(Protocol):
    """What knows every transition of every order."""

    def table(self) -> pl.DataFrame:
        """schemas.ORDER_EVENTS."""
        ...


@dataclass(frozen=True)
class BacktestResult:
    """`orders`, `fills`, `trades`, `equity`, `position_actions` and `row` are the tables of
    schemas/; `state` is where the next bar finds us.

    `notes` name the positions that are valued at a price of an earlier session, because their
    symbols had no bar since, and the symbols with signals that have no bar at all.

    A run that starts from a state shows the orders that worked then, and the trades that were open,
    again as they now stand: by order_id and trade_id the later row replaces the earlier one.
    """

    orders: pl.DataFrame
    fills: pl.DataFrame
    trades: pl.DataFrame
    equity: pl.DataFrame
    row: pl.DataFrame
    metrics: dict[str, float | None]
    state: TradingState = field(repr=False)
    position_actions: pl.DataFrame
    notes: list[str]
    history: OrderLives = field(repr=False)

    @property
    def order_events(self) -> pl.DataFrame:
        """schemas.ORDER_EVENTS: every transition of every order; made when it is asked for."""
        return self.history.table()

    def summary(self) -> dict[str, float | int | str | None]:
        """The figures that an asset reports."""
        refused = int((self.orders["status"] == "refused").sum())
        counts = {
            "orders": self.orders.height,
            "refused_orders": refused,
            "fills": self.fills.height,
            "bars_of_equity": self.equity.height,
        }
        return {"backtest_id": self.row["backtest_id"][0], **counts, **self.metrics}


def run_backtest(
    bars: pl.DataFrame,
    signals: pl.DataFrame,
    actions: pl.DataFrame,
    rules: TradingRules,
    calendar: Calendar,
    timeframe: str,
    state: TradingState | None = None,
    *,
    backtest_id: str = "backtest",
    book: str | None = None,
    strategy: str = "",
    parameters: Mapping[str, Any] | None = None,
    lives: pl.DataFrame | None = None,
    until: date | None = None,
) -> BacktestResult:
    """Trade `signals` over the regular rows of `bars` by `rules`.

    bars: schemas.BARS. signals: symbol, timestamp (start of the bar at whose end it is known),
    side, strength, volatility (volatility_20 of that bar), probability (null: no model), model_id
    (null: none); a bar without a row says nothing, so a position that follows signals is held.
    actions: schemas.CORPORATE_ACTIONS; those of dates that the state has already traded are behind.
    lives: market/lives.LIFE_EVENTS, booked on the first session on or after their day; until: the
    last day of the market, whose events are booked although no bar comes any more (by default that
    of the last bar). book: what ids begin with, by default the backtest_id. Raises DataError on a
    duplicate bar or signal, and on a side that is none.
    """
    market = Market.of(bars, actions, calendar, timeframe, lives=lives, until=until)
    said = checked_signals(signals)
    run = Run.of(market, said, rules, state)
    initial = run.equity()
    label = RunLabel(backtest_id, book or backtest_id, strategy, parameters or {})
    orders = OrdersTable(run.state.symbols, run.state.portfolio.models, label)
    logs = simulate(run, rules, list(rule_stretches(run, rules)), keeps_tables=True, orders=orders)
    found = result_of(run, logs, market, rules, label, initial)
    return replace(found, notes=[*found.notes, *_unknown_symbols(said, market.bars)])


@dataclass(frozen=True)
class SessionReturns:
    """Runs over one market by one set of rules, each of them from cash, of which the returns of the
    sessions are kept and nothing else. What does not depend on the signals is made once.
    """

    market: Market
    rules: TradingRules
    _columns: list[tuple[IntArray, pl.Series]] = field(default_factory=list, init=False, repr=False)

    def of(self, signals: pl.DataFrame) -> pl.DataFrame:
        """Timestamp (midnight UTC of the session date) and return of each session: those of
        `run_backtest`. May be called by several threads at once.
        """
        return self._frame(self._curve(self._run(signals)))

    def each(self, signals: Iterable[pl.DataFrame]) -> list[pl.DataFrame]:
        """`of` each of `signals`, in order; on all cores where a run takes long enough.

        Threads hand the interpreter to each other between runs, and that costs as much as a short
        run: so one thread does before and after what needs it.
        """
        runs = [self._run(one) for one in signals]
        if len(self.market.bars.at) < _SHORT_RUN:
            return [self._frame(self._curve(run)) for run in runs]
        curves: list[Curve | None] = [None] * len(runs)
        rest = iter(enumerate(runs))

        def work() -> None:
            for place, run in rest:
                curves[place] = self._curve(run)

        threads = min(_MOST_THREADS, os.cpu_count() or 1)
        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(work) for _ in range(threads)]:
                done.result()
        return [self._frame(curve) for curve in curves if curve is not None]

    def _run(self, signals: pl.DataFrame) -> "Run":
        said = signal_columns(checked_signals(signals), self._base.state.symbols, ())
        return replace(self._base, state=self._base.state.copy(), signals=said)

    def _curve(self, run: "Run") -> Curve:
        return simulate(run, self.rules, self._stretches, keeps_tables=False).curve

    def _frame(self, curve: Curve) -> pl.DataFrame:
        returns = session_returns(curve.day_equity / MONEY, self._initial)
        return pl.DataFrame([self._midnights(curve.day), pl.Series("return", returns)])

    def _midnights(self, days: IntArray) -> pl.Series:
        """The timestamps of sessions; most runs over a market have the same."""
        for known, column in self._columns:
            if np.array_equal(known, days):
                return column
        column = pl.Series("timestamp", days * _DAY_MICROSECONDS).cast(TIME)
        self._columns.append((days, column))
        return column

    @cached_property
    def _base(self) -> "Run":
        nothing = checked_signals(pl.DataFrame(schema=SIGNAL_DTYPES))
        return Run.of(self.market, nothing, self.rules, None)

    @cached_property
    def _initial(self) -> float:
        return self._base.equity()

    @cached_property
    def _stretches(self) -> "list[tuple[int, Records]]":
        return list(rule_stretches(self._base, self.rules))


def result_of(
    run: Run, logs: Logs, market: Market, rules: TradingRules, label: RunLabel, initial: float
) -> BacktestResult:
    """The tables and figures of a run that has ended; `initial` was its equity at the start."""
    now, year = run.state, market.calendar.for_timeframe(market.timeframe).sessions_per_year
    daily = session_returns(logs.curve.day_equity / MONEY, initial)
    worth = contract_multipliers(rules.instruments, now.symbols, market.calendar, market.timeframe)
    # kernels release the interpreter, and the rows of tables are independent; frames take it, so
    # that all of them are made here: two threads that hand it to each other wait longer than both
    writing, orders = logs.writing, logs.writing.orders
    if orders is None:
        orders = OrdersTable(now.symbols, now.portfolio.models, label)
    rows_of_orders = writing.submit(orders.finish, logs.orders, logs.trips)
    of_trades = (logs.trades, logs.trips, now, label)
    begun = writing.submit(trade_rows, *of_trades)
    writing.close()
    fills = fills_table(logs.fills, logs.trips, now, label)
    # whoever is free first writes the trades
    trades_written = trade_rows(*of_trades) if begun.cancel() else None
    equity = equity_table(logs.curve, label)
    applied = position_actions_table(logs.applied, now, label)
    silent = _silent_positions(now, logs.last_date)
    history = OrderHistory(
        logs.orders, logs.fills, logs.events, logs.trips, logs.carried, market.sessions,
        now.symbols, label.backtest_id, label.book,
    )  # fmt: skip
    left, figures = now.pruned(), _figures(logs)
    rows_of_orders.result()
    table_of_orders = orders.table()
    trades = (trades_written or begun.result()).table()
    metrics = run_metrics(equity, fills, trades, daily, year, initial, worth, figures)
    row = backtest_row(label, logs.start, logs.end, initial, rules, metrics)
    return BacktestResult(
        table_of_orders, fills, trades, equity, row, metrics, left, applied, silent, history
    )


def _figures(logs: Logs) -> CurveFigures | None:
    """Wait until the curve is drawn, and tell its figures."""
    found, curve = logs.writing.figures(), logs.curve
    if found is not None:
        return found
    return curve_figures(*map(read_only, (curve.equity, curve.gross, curve.drawdown)))


def simulate(
    run: Run,
    rules: TradingRules,
    stretches: Sequence[tuple[int, Records]],
    *,
    keeps_tables: bool,
    orders: OrdersTable | None = None,
) -> Logs:
    """Run the compiled loop over all bars, then what becomes of the securities after them, changing
    the state in place. What can be written of `orders` meanwhile is written.

    Where the terms of an instrument change, it goes on with new records: those of `stretches`.
    """
    books, curve = opened_books(run, rules, stretches, keeps_tables)
    cursor, last_date = cursor_at_start(run.bars, run.signals), None
    writing = result_writing(run, curve, orders)
    if len(run.bars.at):
        books.at[SESSION] = np.searchsorted(run.sessions.until, cursor.at.min(), side="right")
        for end, of_symbols, is_last in _parts(run, stretches, keeps_tables):
            books = books._replace(rules=of_symbols)
            while not loop.run(books, run.bars, run.signals, run.sessions, cursor, curve, end):
                books = with_room(books)
            if not is_last:
                writing.begin(books, int(cursor.bar[0]) / len(run.bars.at))
        last_date = int(run.sessions.date[books.at[SESSION]])
    return finish_run(run, books, curve, last_date, writing)


def result_writing(run: Run, curve: Curve, orders: OrdersTable | None = None) -> ResultWriting:
    """What writes the result of a run; of a run on one symbol also its curve, if that is kept."""
    is_drawn = run.is_alone and len(curve.equity) > 0
    drawing = CurveDrawing(run.bars.close, curve) if is_drawn else None
    return ResultWriting(drawing, orders, len(run.bars.at))


def _parts(
    run: Run, stretches: Sequence[tuple[int, Records]], keeps_tables: bool
) -> Iterator[tuple[int, Records, bool]]:
    """(end, RULES records, whether it is the last) of the stretches; a long run on one symbol is
    cut, so that its curve can be drawn meanwhile.
    """
    cuts = run.bars.at[_PART_ROWS::_PART_ROWS].tolist() if keeps_tables and run.is_alone else []
    begun = 0
    for end, of_symbols in stretches:
        for cut in cuts:
            if begun < cut < end:
                yield cut, of_symbols, False
        yield end, of_symbols, True
        begun = end


def _book_event(run: Run, books: Books, curve: Curve) -> list[int]:
    """The next day of `lives` after the last bar: its moment, if it has a row of the curve."""
    day = int(run.lives["date"][books.at[NEXT_LIFE]])
    moment, session = run.moments[day]
    before = books.at[APPLICATIONS]
    begin_session(books, day, moment, False)
    if books.at[APPLICATIONS] > before:
        loop.log_equity(books.account[0], moment, session, curve, books.at)
        return [moment]
    return []


def finish_run(
    run: Run, books: Books, curve: Curve, last_date: int | None, writing: ResultWriting
) -> Logs:
    """What a run wrote, once no bar is left: the events of `lives` that come after the last bar are
    booked first. `last_date` is the session of the last bar, None where there was none.
    """
    late: list[int] = []
    while books.at[NEXT_LIFE] < len(run.lives):
        books = with_room(books)
        late += _book_event(run, books, curve)
    writing.finish(books)
    at = books.at
    moments = curve.at[: at[EQUITIES]]
    if run.is_alone and len(curve.equity):
        moments = np.concatenate([run.bars.at, late]) if late else run.bars.at
    return Logs(
        orders=books.order_log[: at[ORDERS]],
        fills=books.fill_log[: at[FILLS]],
        trades=books.trade_log[: at[TRADES]],
        applied=books.applied_log[: at[APPLICATIONS]],
        events=books.event_log[: at[EVENTS]],
        trips=books.trip_log[: at[TRIPS]],
        curve=cut_curve(curve, moments, int(at[DAYS])),
        writing=writing,
        start=0 if last_date is None else int(at[FIRST_BAR]),
        end=int(at[LAST_END]),
        last_date=last_date,
        carried=int(at[CARRIED]),
    )


def _silent_positions(state: TradingState, last: int | None) -> list[str]:
    """A sentence for each position whose symbol had no bar in the last session."""
    if last is None:
        return []
    positions = state.portfolio.positions
    held = np.flatnonzero((positions["quantity"] != 0.0) & (positions["last_date"] < last))
    return [
        f"{state.symbols[row]}: {positions['quantity'][row]:g} shares are held at the price"
        f" {positions['last_price'][row]:g}, and the symbol has had no bar for"
        f" {positions['silent'][row]} sessions: if the security is gone, tell it by a delisting or"
        " symbol_change row in the corporate actions"
        for row in held
    ]


def _unknown_symbols(said: SymbolRows, bars: SymbolRows) -> list[str]:
    """A sentence for each symbol that has signals to enter since the first bar, and no bar."""
    if not len(bars.at):
        return []
    known = set(bars.names)
    if known.issuperset(said.names):
        return []
    side = said.rows["side"].to_numpy()
    asks = (said.at >= bars.first_moment()) & ((side == 1) | (side == -1))
    total = np.concatenate([[0], np.cumsum(asks)])[said.starts]
    return [
        f"{name}: {count} signals and not one regular bar: nothing was ordered; take a symbol of"
        " the bars, or ingest this one"
        for name, count in zip(said.names, np.diff(total).tolist(), strict=True)
        if count and name not in known
    ]


def backtest_row(
    label: RunLabel,
    start: int,
    end: int,
    cash: float,
    rules: TradingRules,
    metrics: Mapping[str, float | None],
) -> pl.DataFrame:
    """The row of schemas.BACKTESTS, of a run from `start` to `end` (microseconds UTC); an empty one
    starts and ends at the epoch.
    """
    row = {
        "backtest_id": label.backtest_id,
        "strategy": label.strategy,
        "parameters": json.dumps(dict(label.parameters), sort_keys=True, default=str),
        "start": _moment(start),
        "end": _moment(end),
        "initial_cash": cash,
        "participation": rules.costs.max_participation,
        "zero_volume": rules.costs.zero_volume,
        **metrics,
    }
    return pl.DataFrame([row], BACKTESTS.dtypes)


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)
