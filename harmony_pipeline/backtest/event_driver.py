"""The event-driven backtest of a state machine over bars: market, signal, order and fill events in
order of time.

    bar ends -> on_bar -> signal -> risk, orders -> next bar meets the orders -> on_fill -> on_bar

Accounts, risk and fills are those of `run_backtest`: the same compiled loop changes the same books,
so the result has the same tables. A machine that hears no fills depends on bars alone; its signals
are made first, and the loop runs once over all bars. A machine that hears fills needs the books as
far as its own clock and no further. They are stepped one moment at a time (`loop.step`), while
anything is held, works or is wished; else they lag behind, since nothing can be filled.

At one moment the order is: timers that are due, fills of the bars that start then (in the order in
which the loop made them), then `on_bar` of each of these bars in order of symbols, then the
decision. A bar's signal is what the machine holds of its symbol after its own `on_bar`, as in
strategies/base.py (`Stepwise`). So both ways give the same tables where a machine does not use what
it hears of fills.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from itertools import chain
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray, read_only
from harmony_pipeline.backtest import loop
from harmony_pipeline.backtest.books import Books, cursor_at_start
from harmony_pipeline.backtest.input_arrays import (
    NEVER,
    SIGNAL_DTYPES,
    SymbolRows,
    by_symbol_and_time,
)
from harmony_pipeline.backtest.logs import FILLS, MET, SESSION
from harmony_pipeline.backtest.run_books import Logs, opened_books, rule_stretches, with_room
from harmony_pipeline.backtest.runs import Market, Run
from harmony_pipeline.backtest.simulator import (
    BacktestResult,
    finish_run,
    result_of,
    result_writing,
    simulate,
)
from harmony_pipeline.backtest.table_columns import RunLabel
from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.instants import moment
from harmony_pipeline.kernel import machine_code
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.portfolio.kernel_types import MONEY, NO_SIGNAL, Record, Records
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.strategies.base import BAR_COLUMNS
from harmony_pipeline.strategies.event_columns import bars_of
from harmony_pipeline.strategies.events import Bar, Fill
from harmony_pipeline.strategies.machines import MachineRun, StateMachine

VOLATILITY = "volatility"
SELECTED = "selected"


def run_machine_backtest(
    machine: StateMachine,
    bars: pl.DataFrame,
    features: pl.DataFrame,
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
    """Trade what `machine` says of `bars` by `rules`, and give it the fills of its orders.

    machine: a new one, since it is changed. bars: schemas.BARS, every session that the machine
    hears; regular rows are traded on. features: symbol, timestamp, the machine's required_features,
    `volatility` (volatility_20 of the bar), and where only some bars may be traded, `selected`
    (boolean). The machine hears the bars that have a row there with all required features finite.
    The rest as in `run_backtest`.

    Raises DataError that names strategy, symbol and time where the machine raises or returns what
    is no intent: the run ends there and has no result. Raises ConfigError where the rules begin
    without cash.

    >>> run_machine_backtest(Mine(), bars, features, actions, rules, Calendar.of("XNYS"), "1Min")
    """
    if not rules.initial_cash > 0.0:
        raise ConfigError(f"backtest.initial_cash = {rules.initial_cash}: it is above 0")
    market = Market.of(bars, actions, calendar, timeframe, lives=lives, until=until)
    heard = heard_rows(bars, features, machine.required_features())
    machine_run = MachineRun(machine, strategy or type(machine).__name__, heard.names)
    said = SignalsSaid(heard)
    run = said.run(market, rules, state)
    initial = run.equity()
    if machine_run.hears_fills:
        logs = _SteppedRun(run, rules, machine_run, said).walk()
    else:
        said.write_all(map(machine_run.handle_bar, said.bars(machine.required_features())))
        logs = simulate(run, rules, list(rule_stretches(run, rules)), keeps_tables=True)
    label = RunLabel(backtest_id, book or backtest_id, strategy, parameters or {})
    return result_of(run, logs, market, rules, label, initial)


def heard_rows(bars: pl.DataFrame, features: pl.DataFrame, needed: tuple[str, ...]) -> SymbolRows:
    """The bars that the machine hears, by symbol and time."""
    keys = ["symbol", "timestamp"]
    optional = [SELECTED] if SELECTED in features.columns else []
    missing = [name for name in (*keys, *needed, VOLATILITY) if name not in features.columns]
    if missing:
        raise DataError(f"features lack {', '.join(missing)}: a machine needs them for every bar")
    known = features.select(list(dict.fromkeys([*keys, VOLATILITY, *optional, *needed])))
    rows = bars.select(*keys, *BAR_COLUMNS).join(known, on=keys, how="inner", maintain_order="left")
    if needed:
        rows = rows.filter(pl.all_horizontal(pl.col(name).is_finite() for name in needed))
    found = by_symbol_and_time(rows)
    if found.repeated >= 0:
        symbol, when = found.rows.row(found.repeated)[:2]
        raise DataError(f"bars and features hold {symbol} at {when} twice: each bar may come once")
    return found


class SignalsSaid:
    """What the machine has said of each bar that it hears: one row a bar, laid out as the loop
    reads signals, NO_SIGNAL until the machine has heard the bar. `order` are the rows in order of
    time, of one moment in order of symbols.
    """

    def __init__(self, heard: SymbolRows) -> None:
        self._heard = heard
        self.order: IntArray = np.argsort(heard.at, kind="stable")
        self.side: NDArray[np.int8] = np.full(len(heard.at), NO_SIGNAL, np.int8)
        self.strength: FloatArray = np.full(len(heard.at), np.nan)
        self.selected: BoolArray | None = None
        if SELECTED in heard.rows.columns:
            self.selected = heard.rows[SELECTED].fill_null(value=False).to_numpy()

    def bars(self, features: tuple[str, ...]) -> Iterator[Bar]:
        """The bars that the machine hears, in order."""
        return bars_of(self._heard.rows[self.order], features)

    def moments(self) -> list[int]:
        """The start of each of these bars, microseconds UTC."""
        return list[int](self._heard.at[self.order].tolist())

    def write_all(self, held: Iterator[tuple[int, float]]) -> None:
        """Side and strength after each bar, in the same order."""
        count = len(self.order)
        flat = np.fromiter(chain.from_iterable(held), np.float64, 2 * count).reshape(count, 2)
        self.side[self.order], self.strength[self.order] = flat[:, 0], flat[:, 1]
        if self.selected is not None:
            self.side[~self.selected] = 0

    def frame(self) -> pl.DataFrame:
        """The columns of SIGNAL_DTYPES before anything was said, by symbol and time."""
        return self._heard.rows.select(
            pl.col(name).cast(kind) if name in ("symbol", "timestamp", VOLATILITY)
            else pl.lit(None, kind).alias(name)
            for name, kind in SIGNAL_DTYPES.items()
        )  # fmt: skip

    def run(self, market: Market, rules: TradingRules, state: TradingState | None) -> Run:
        """A run whose signals are these, now and as they will be."""
        run = Run.of(market, replace(self._heard, rows=self.frame()), rules, state)
        # views of what is written here, which the kernels read as they do Polars' memory
        views = read_only(self.side.view()), read_only(self.strength.view())
        return replace(run, signals=run.signals._replace(side=views[0], strength=views[1]))


class SteppedBooks:
    """The books of a run whose signals depend on fills, stepped one moment at a time."""

    def __init__(self, run: Run, rules: TradingRules) -> None:
        self._run = run
        stretches = list(rule_stretches(run, rules))
        self.books, self._curve = opened_books(run, rules, stretches, keeps_tables=True)
        self._ends = iter(stretches)
        self._cursor = cursor_at_start(run.bars, run.signals)
        self._has_bars = len(run.bars.at) > 0
        if self._has_bars:
            start = np.searchsorted(run.sessions.until, self._cursor.at.min(), side="right")
            self.books.at[SESSION] = start
        self.at = memoryview(self.books.at.data)  # its numbers as Python's own
        self._change_rules()
        self._run_kernel = machine_code(loop.run, *self._arguments, 0)
        self._step_kernel = machine_code(loop.step, *self._arguments, 0)
        self.filled = 0  # rows of the fill log that were heard
        self.idle = False  # nothing was held or worked at the moment that was met last

    def meet(self, at: int, hear: Callable[[Records], None]) -> None:
        """Meet every moment up to `at`, and let the fills of each be heard; the decision of the
        moment `at` itself waits for what is said of its bars.
        """
        answer, stands = loop.BUSY, self.at
        while answer != loop.PASSED and stands[MET] < at:
            answer = self.step(at + 1)
            self.idle = answer == loop.IDLE
            count = stands[FILLS]
            if count > self.filled:
                hear(self.books.fill_log[self.filled : count])
                self.filled = count

    def step(self, until: int) -> int:
        """`loop.step`, with room in the logs, over changes of the rules."""
        while True:
            stop = until if until < self._end else self._end
            answer = self._step_kernel(*self._arguments, stop)
            if answer == loop.NO_ROOM:
                self._make_room()
            elif answer != loop.PASSED or until <= self._end:
                return answer
            else:
                self._change_rules()

    def run_until(self, until: int) -> None:
        """Whole moments before `until`, each with its decision."""
        while self._has_bars:
            while not self._run_kernel(*self._arguments, min(until, self._end)):
                self._make_room()
            if until <= self._end:
                return
            self._change_rules()

    def finish(self) -> Logs:
        """What the run wrote, once every moment has been met."""
        sessions = self._run.sessions
        last_date = int(sessions.date[self.at[SESSION]]) if self._has_bars else None
        writing = result_writing(self._run, self._curve)
        return finish_run(self._run, self.books, self._curve, last_date, writing)

    def _change_rules(self) -> None:
        """The rules of the next stretch of time."""
        self._end, of_symbols = next(self._ends, (NEVER, self.books.rules))
        self._use(self.books._replace(rules=of_symbols))

    def _make_room(self) -> None:
        self._use(with_room(self.books))

    def _use(self, books: Books) -> None:
        run, self.books = self._run, books
        self._arguments: tuple[Any, ...] = (
            books, run.bars, run.signals, run.sessions, self._cursor, self._curve
        )  # fmt: skip


class _SteppedRun:
    """Books that follow the clock of a machine which hears its fills."""

    def __init__(
        self, run: Run, rules: TradingRules, machine_run: MachineRun, said: SignalsSaid
    ) -> None:
        self._names, self._machine_run, self._said = run.state.symbols, machine_run, said
        self._books = SteppedBooks(run, rules)
        self._steps = bool(self._books.books.busy.any())

    def walk(self) -> Logs:
        """Every event in order of time."""
        said, handle, books = self._said, self._machine_run.handle_bar, self._books
        side, strength, selected = said.side, said.strength, said.selected
        now, wished = -1, False
        bars = said.bars(self._machine_run.machine.required_features())
        for bar, at, row in zip(bars, said.moments(), said.order.tolist(), strict=True):
            if at != now:
                self._end_moment(now, wished=wished)
                now, wished = at, False
                if self._steps:
                    books.meet(at, self._hear)
            held, strength[row] = handle(bar)
            if selected is not None and not selected[row]:
                held = 0
            side[row] = held
            wished = wished or held != 0
        self._end_moment(now, wished=wished)
        if self._steps:
            books.meet(NEVER - 1, self._hear)
        books.run_until(NEVER)
        return books.finish()

    def _end_moment(self, now: int, *, wished: bool) -> None:
        """All bars of `now` have been heard."""
        books = self._books
        if wished and not self._steps:
            books.run_until(now + 1)
            assert books.at[FILLS] == books.filled, "filled though nothing worked"
            self._steps, books.idle = bool(books.books.busy.any()), False
        elif self._steps and books.idle and not wished:
            books.step(0)
            self._steps = False

    def _hear(self, reports: Records) -> None:
        for report in reports:
            self._machine_run.hear_fill(fill_of(report, self._names[report["symbol"]]))


def fill_of(report: Record, symbol: str) -> Fill:
    """What a machine hears of a row of the fill log."""
    return Fill(
        symbol,
        moment(report["at"]),
        1 if report["side"] > 0 else -1,
        float(report["quantity"]),
        float(report["price"]),
        int(report["fee"]) / MONEY,
    )
