"""The portfolio backtest: bars and signals in, orders, fills, trades and equity out.

A run over many days equals the chain of runs over each day, every one started from the state that
the one before left. So a session that was opened from a state can be compared with the backtest of
its day, order by order and to the cent.

>>> result = run_backtest(bars, signals, actions, rules, calendar, "15Min", backtest_id="b-1")
>>> result.metrics["sharpe"], result.trades
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.backtest import loop
from harmony_pipeline.backtest.metrics import backtest_metrics
from harmony_pipeline.backtest.tables import (
    equity_table,
    fills_table,
    orders_table,
    position_actions_table,
    trades_table,
)
from harmony_pipeline.errors import DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.lives import (
    actions_by_new_symbol,
    empty_events,
    relevant_events,
    symbols_of,
)
from harmony_pipeline.market.settings import LONG_TIMEFRAMES
from harmony_pipeline.portfolio.corporate_actions import first_actions, packed_actions, packed_lives
from harmony_pipeline.portfolio.kernel_types import (
    APPLIED,
    BAR,
    NO_MODEL,
    NO_SIGNAL,
    ORDER,
    ORDER_OPEN,
    PARTIALLY_FILLED,
    REPORT,
    TRADE,
    Records,
    records,
)
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.schemas import BACKTESTS, TIME

_FIRST_LOG_ROWS = 1 << 16  # untouched pages cost nothing


@dataclass(frozen=True)
class BacktestResult:
    """`orders`, `fills`, `trades`, `equity`, `position_actions` and `row` are the tables of
    schemas.py; `state` is where the next bar finds us.

    `notes` name the positions that are valued at a price of an earlier session, because their
    symbols had no bar since.

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
    table = _joined(bars, signals, calendar, timeframe)
    models = table["model_id"].drop_nulls().unique().to_list()
    start = (
        TradingState.opening(table["symbol"].unique().to_list(), rules.initial_cash)
        if state is None
        else state
    )
    opening_equity = int(start.portfolio.account["equity"][0])
    first, last = (
        table["session_date"].min(),
        (table["session_date"].max() if until is None else until),
    )
    behind, ahead = _split_events(
        empty_events() if lives is None else lives,
        start,
        table["symbol"].unique(),
        first,  # type: ignore[arg-type]
        last,  # type: ignore[arg-type]
    )
    now = start.extended([*table["symbol"].unique(), *symbols_of(ahead)], models)
    now.mark_ended(behind)
    packed = _packed(table, now)
    due = packed_actions(actions_by_new_symbol(actions, ahead), now.symbols)
    logs = _simulate(
        packed,
        due,
        packed_lives(ahead, now.symbols),
        rules,
        now,
        _moments(ahead, calendar, timeframe),
    )
    ends = packed["end"][-1] if len(packed) else 0
    orders = orders_table(logs.orders, now, backtest_id, book or backtest_id)
    fills = fills_table(logs.fills, logs.orders, now, backtest_id, book or backtest_id)
    trades = trades_table(logs.trades, now, backtest_id, book or backtest_id)
    equity = equity_table(logs.equity, backtest_id)
    metrics = backtest_metrics(equity, fills, trades, calendar, opening_equity / 1e4, timeframe)
    row = _row(
        backtest_id,
        strategy,
        parameters or {},
        packed,
        int(ends),
        opening_equity / 1e4,
        rules,
        metrics,
    )
    applied = position_actions_table(logs.applied, now, backtest_id)
    return BacktestResult(
        orders,
        fills,
        trades,
        equity,
        row,
        metrics,
        now.pruned(),
        applied,
        _silent_positions(now, packed),
    )


@dataclass
class _Logs:
    """Growing logs of the loop; trimmed when it is done."""

    orders: Records
    fills: Records
    trades: Records
    equity: Records
    applied: Records


def _joined(
    bars: pl.DataFrame, signals: pl.DataFrame, calendar: Calendar, timeframe: str
) -> pl.DataFrame:
    """Regular bars with their session date, end and signal, sorted by time and symbol."""
    regular = bars.filter(pl.col("session") == "regular").select(
        "symbol", "timestamp", "open", "high", "low", "close", "volume", "adjustment_factor"
    )
    said = signals.select(
        "symbol",
        "timestamp",
        signal=pl.col("side").cast(pl.Int32),
        strength=pl.col("strength").cast(pl.Float64),
        volatility=pl.col("volatility").cast(pl.Float64),
        probability=pl.col("probability").cast(pl.Float64),
        model_id=pl.col("model_id").cast(pl.String),
    )
    strange = said.filter(~pl.col("signal").is_in([-1, 0, 1]))
    if strange.height:
        raise DataError(
            f"signals hold side {strange['signal'][0]} for {strange['symbol'][0]} at"
            f" {strange['timestamp'][0]}: a side is -1, 0 or 1"
        )
    stamped = calendar.with_session(regular, timeframe).drop("session")
    table = stamped.join(said, on=["symbol", "timestamp"], how="left", maintain_order="left").sort(
        "timestamp", "symbol", maintain_order=True
    )
    if table.height != regular.height:
        raise DataError(
            f"signals hold {table.height - regular.height} rows too many for their bars: each"
            " (symbol, timestamp) may have one; drop the duplicates"
        )
    repeated = table.filter(
        (pl.col("timestamp") == pl.col("timestamp").shift())
        & (pl.col("symbol") == pl.col("symbol").shift())
    )
    if repeated.height:
        raise DataError(
            f"bars hold {repeated['symbol'][0]} at {repeated['timestamp'][0]} twice: use the"
            " validated table `bars`"
        )
    return table


def _packed(table: pl.DataFrame, state: TradingState) -> Records:
    """BAR records, in the same order."""
    packed = records(table.height, BAR)
    numbers = table.select(
        at=pl.col("timestamp").to_physical(),
        end=pl.col("bar_end").to_physical(),
        date=pl.col("session_date").to_physical(),
        signal=pl.col("signal").fill_null(NO_SIGNAL),
        factor="adjustment_factor",
        symbol=pl.col("symbol").cast(pl.Enum(state.symbols)).to_physical(),
        model=(
            pl.col("model_id").replace_strict(
                list(state.portfolio.models),
                range(len(state.portfolio.models)),
                default=NO_MODEL,
                return_dtype=pl.Int32,
            )
            if state.portfolio.models
            else pl.lit(NO_MODEL)
        ),
        **{
            name: pl.col(name).fill_null(float("nan"))
            for name in (
                "open",
                "high",
                "low",
                "close",
                "volume",
                "strength",
                "volatility",
                "probability",
            )
        },
    )
    for name in BAR.names or ():
        packed[name] = numbers[name].to_numpy()
    return packed


def _split_events(
    events: pl.DataFrame,
    start: TradingState,
    symbols: Iterable[str],
    first: date | None,
    last: date | None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events that are behind the run, and those of the run's symbols that happen within it."""
    if last is None:
        return events.clear(), events.clear()
    since = start.booked_until(last if first is None else first)
    return events.filter(pl.col("date") <= since), relevant_events(
        events.filter(pl.col("date") > since), {*start.symbols, *symbols}, last
    )


def _moments(lives: pl.DataFrame, calendar: Calendar, timeframe: str) -> dict[int, int]:
    """Day of an event -> start of the first session on or after it, where no bar tells: what a bar
    of that day would be stamped. Both since 1970.
    """
    days = lives["date"].unique().sort()
    if days.is_empty():
        return {}
    table = calendar.table
    place = table["date"].search_sorted(days, side="left").clip(0, table.height - 1)
    column = table["date"] if timeframe in LONG_TIMEFRAMES else table["open"]
    stamps = column.gather(place).cast(TIME).to_physical()
    return dict(zip(days.to_physical().to_list(), stamps.to_list(), strict=True))


def _simulate(
    bars: Records,
    actions: Records,
    lives: Records,
    rules: TradingRules,
    state: TradingState,
    moments: Mapping[int, int],
) -> _Logs:
    """Run the compiled loop over all bars, then what becomes of the securities after them, changing
    `state` in place.

    Where the terms of an instrument change, it goes on with new records.
    """
    count = len(state.symbols)
    intents, reports = loop.scratch(count)
    carried = state.exchange.orders[state.exchange.orders["status"] == ORDER_OPEN]
    spare = int(loop.spare_rows(count, len(lives), len(actions)))
    room = _FIRST_LOG_ROWS + spare + len(carried)
    moves = min(1, len(bars)) + int(np.count_nonzero(np.diff(bars["at"])))
    logs = _Logs(
        records(room, ORDER),
        records(room, REPORT),
        records(room, TRADE),
        records(moves + len(moments), loop.EQUITY),
        records(room, APPLIED),
    )
    at = np.zeros(7, dtype=np.int64)
    _carry(state, carried, logs, at)
    next_action = first_actions(actions, count)
    of_symbols = rules.records(state.symbols)
    for stop, of_symbols in _stretches(bars, rules, state.symbols):
        while at[loop.NEXT_BAR] < stop:
            loop.run(
                state.portfolio.positions, state.portfolio.account, state.exchange.orders,
                state.exchange.keys, of_symbols, bars[:stop], actions,
                next_action, intents, reports, logs.orders, logs.fills, logs.trades, logs.equity,
                lives, logs.applied, at,
            )  # fmt: skip
            _make_room(logs, at, spare)
    while at[loop.NEXT_LIFE] < len(lives):
        day = int(lives["date"][at[loop.NEXT_LIFE]])
        before = at[loop.APPLICATIONS]
        loop.begin_session(
            state.portfolio.positions, state.portfolio.account, state.exchange.orders,
            state.exchange.keys, of_symbols, day, moments[day], 0, actions, next_action,
            intents, reports, logs.orders, logs.fills, logs.trades, lives, logs.applied, at,
        )  # fmt: skip
        if at[loop.APPLICATIONS] > before:
            loop.log_equity(state.portfolio.account, moments[day], logs.equity, at)
        _make_room(logs, at, spare)
    used = (
        (logs.orders, loop.ORDERS),
        (logs.fills, loop.FILLS),
        (logs.trades, loop.TRADES),
        (logs.equity, loop.EQUITIES),
        (logs.applied, loop.APPLICATIONS),
    )
    return _Logs(*(log[: at[rows]] for log, rows in used))


def _make_room(logs: _Logs, at: IntArray, spare: int) -> None:
    logs.orders, logs.fills, logs.trades, logs.applied = (
        _roomier(log, int(at[used]), spare)
        for log, used in (
            (logs.orders, loop.ORDERS),
            (logs.fills, loop.FILLS),
            (logs.trades, loop.TRADES),
            (logs.applied, loop.APPLICATIONS),
        )
    )


def _silent_positions(state: TradingState, bars: Records) -> list[str]:
    """A sentence for each position whose symbol had no bar in the last session."""
    if not len(bars):
        return []
    last, positions = int(bars["date"].max()), state.portfolio.positions
    held = np.flatnonzero((positions["quantity"] != 0.0) & (positions["last_date"] < last))
    return [
        f"{state.symbols[row]}: {positions['quantity'][row]:g} shares are held at the price"
        f" {positions['last_price'][row]:g}, and the symbol has had no bar for"
        f" {positions['silent'][row]} sessions: if the security is gone, tell it by a delisting or"
        " symbol_change row in the corporate actions"
        for row in held
    ]


def _stretches(
    bars: Records, rules: TradingRules, symbols: Sequence[str]
) -> Iterator[tuple[int, Records]]:
    """(end, RULES records) of each run of bars within which no instrument changes: by the session
    date of the bars, which never falls.
    """
    if not len(bars):
        return
    first = date(1970, 1, 1) + timedelta(days=int(bars["date"][0]))
    changes = [day for day in rules.changes(symbols) if day > first]
    stops = np.searchsorted(
        bars["date"], [(day - date(1970, 1, 1)).days for day in changes]
    ).tolist()
    for day, stop in zip([first, *changes], [*stops, len(bars)], strict=True):
        yield stop, rules.records(symbols, day)


def _carry(state: TradingState, carried: Records, logs: _Logs, at: IntArray) -> None:
    """Orders that already work get their row in the log."""
    logs.orders[: len(carried)] = carried
    logs.orders["ticket"][: len(carried)] = np.arange(len(carried))
    logs.orders["status"][: len(carried)] = np.where(
        carried["fills"] > 0, PARTIALLY_FILLED, ORDER_OPEN
    )
    for row, order in enumerate(carried):
        state.exchange.orders[order["symbol"], order["role"]]["ticket"] = row
    at[loop.ORDERS] = len(carried)


def _roomier(log: Records, used: int, spare: int) -> Records:
    """The log, doubled when it is too full for one more timestamp."""
    if len(log) - used >= spare:
        return log
    grown = np.empty(2 * len(log), log.dtype)  # rows beyond `used` are never read
    grown[:used] = log[:used]
    return grown


def _row(
    backtest_id: str,
    strategy: str,
    parameters: Mapping[str, Any],
    bars: Records,
    end: int,
    cash: float,
    rules: TradingRules,
    metrics: Mapping[str, float | None],
) -> pl.DataFrame:
    """The row of schemas.BACKTESTS; an empty run starts and ends at the epoch."""
    start = int(bars["at"][0]) if len(bars) else 0
    row = {
        "backtest_id": backtest_id,
        "strategy": strategy,
        "parameters": json.dumps(dict(parameters), sort_keys=True, default=str),
        "start": start,
        "end": end,
        "initial_cash": cash,
        "participation": rules.costs.max_participation,
        "zero_volume": rules.costs.zero_volume,
        **metrics,
    }
    return BACKTESTS.conform(
        pl.DataFrame([row], schema_overrides={"start": pl.Int64, "end": pl.Int64})
    )
