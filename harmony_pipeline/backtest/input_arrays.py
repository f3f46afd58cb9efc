"""Bars, signals and sessions as the arrays that the loop walks: Polars' own memory, without a copy.

Rows of one symbol stand together, in order of time. The loop merges the symbols by time itself, so
nothing is sorted into time order, joined or packed.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harmony_pipeline.arrays import FloatArray, IntArray, read_only
from harmony_pipeline.errors import DataError
from harmony_pipeline.frames import sort_rows
from harmony_pipeline.kernel import inlined_kernel, kernel
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.text_columns import run_starts
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES, TIMEFRAME_SECONDS
from harmony_pipeline.portfolio.kernel_types import NO_MODEL, NO_SIGNAL
from harmony_pipeline.schemas import TIME

NEVER = np.iinfo(np.int64).max
_FEW_ROWS = 50
_FEW_BARS = 4_096  # to look through the texts of more takes longer than a thread to begin
_KEY = ("symbol", "timestamp")
_PRICES = ("open", "high", "low", "close", "volume", "adjustment_factor")
_BAR_COLUMNS = (*_KEY, *_PRICES)
SIGNAL_DTYPES: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "timestamp": TIME,
    "side": pl.Int8(),
    "strength": pl.Float64(),
    "volatility": pl.Float64(),
    "probability": pl.Float64(),
    "model_id": pl.String(),
}


class MarketBars(NamedTuple):
    """Regular bars. Symbol s has the rows `begin[s]` to `end[s]` (not included); times are
    microseconds UTC.
    """

    begin: IntArray
    end: IntArray
    at: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    factor: FloatArray


class SignalColumns(NamedTuple):
    """Signals, laid out as MarketBars are. `probability` and `model` are empty where no model
    speaks.
    """

    begin: IntArray
    end: IntArray
    at: IntArray
    side: NDArray[np.int8]
    strength: FloatArray
    volatility: FloatArray
    probability: FloatArray
    model: NDArray[np.int32]


class SessionColumns(NamedTuple):
    """Sessions in order. A bar that starts at t is of the first session whose `until` is above t.

    It ends after `length`, but no later than `close`, nor than `pause` where it starts before that.
    `date` is in days since 1970.
    """

    until: IntArray
    date: IntArray
    close: IntArray
    pause: IntArray
    length: int


@dataclass(frozen=True)
class SymbolRows:
    """Rows with each symbol's together and in order of time: those of `names[k]` are the rows
    `starts[k]` to `starts[k + 1]`.
    """

    rows: pl.DataFrame
    names: tuple[str, ...]
    starts: IntArray
    at: IntArray
    repeated: int
    """The first row with the key of the row before it; -1: there is none."""

    def first_moment(self) -> int:
        """The earliest `at`, of one row or more."""
        return int(self.at[self.starts[:-1]].min())

    def last_moment(self) -> int:
        """The latest `at`, of one row or more."""
        return int(self.at[self.starts[1:] - 1].max())


def session_columns(calendar: Calendar, timeframe: str) -> SessionColumns:
    """The calendar's sessions as bars of `timeframe` belong to them."""
    own = calendar.for_timeframe(timeframe)
    date = own.table["date"].cast(pl.Int32).to_numpy().astype(np.int64)
    close, late, pause = (
        own.table[name].cast(pl.Int64) for name in ("close", "post_close", "break_start")
    )
    long = timeframe in LONG_TIMEFRAMES
    halves = own.grid.from_session and not long
    never = np.full(len(date), NEVER)
    return SessionColumns(
        until=read_only(date * 86_400_000_000 + 1) if long else _array(late),
        date=read_only(date),
        close=_array(close),
        pause=_array(_without_null(pause, NEVER)) if halves else read_only(never),
        length=(NEVER >> 2) if long else TIMEFRAME_SECONDS[timeframe] * 1_000_000,
    )


def regular_bars(bars: pl.DataFrame) -> SymbolRows:
    """The rows that can be traded on. Raises DataError on a repeated bar."""
    if bars.height <= _FEW_BARS:
        all_regular = _holds_only(bars["session"], "regular")
        found = by_symbol_and_time(bars.select(_BAR_COLUMNS)) if all_regular else None
    else:  # both read all of a text column, which is as long as memory takes
        with ThreadPoolExecutor(1) as other_core:
            asked = other_core.submit(_holds_only, bars["session"], "regular")
            found = by_symbol_and_time(bars.select(_BAR_COLUMNS))
            all_regular = asked.result()
    if found is None or not all_regular:
        regular = bars.filter(pl.col("session") == "regular")
        found = by_symbol_and_time(regular.select(_BAR_COLUMNS))
    if found.repeated >= 0:
        symbol, when = found.rows.row(found.repeated)[:2]
        raise DataError(f"bars hold {symbol} at {when} twice: use the validated table `bars`")
    return found


def checked_signals(signals: pl.DataFrame) -> SymbolRows:
    """Raises DataError on a side that is none, and on two rows of one bar."""
    named = list(SIGNAL_DTYPES)
    found = by_symbol_and_time(signals if signals.columns == named else signals.select(named))
    side = found.rows["side"].to_numpy()
    strange = np.flatnonzero((side < -1) | (side > 1))
    if len(strange):
        first = found.rows.row(int(strange[0]), named=True)
        raise DataError(
            f"signals hold side {first['side']} for {first['symbol']} at {first['timestamp']}:"
            " a side is -1, 0 or 1"
        )
    if found.repeated >= 0:
        count = found.rows.height - found.rows.select(_KEY).n_unique()
        symbol, when = found.rows.row(found.repeated)[:2]
        raise DataError(
            f"signals hold {count} rows too many for their bars, the first for {symbol} at {when}:"
            " each (symbol, timestamp) may have one; drop the duplicates"
        )
    return found


def market_bars(bars: SymbolRows, symbols: Sequence[str]) -> MarketBars:
    """`regular_bars` as arrays; `symbols` are all that the loop knows, sorted."""
    numbers = (_reals(bars.rows[name]) for name in _PRICES)
    return MarketBars(*_ranges(bars, symbols), bars.at, *numbers)


def signal_columns(
    signals: SymbolRows, symbols: Sequence[str], models: Sequence[str]
) -> SignalColumns:
    """`checked_signals` as arrays; an index of `models` for each model_id."""
    begin, end = _ranges(signals, symbols)
    rows = signals.rows
    probability = rows["probability"]
    spoken = probability.null_count() < rows.height
    return SignalColumns(
        begin=begin,
        end=end,
        at=signals.at,
        side=_array(_without_null(rows["side"].cast(pl.Int8), NO_SIGNAL)),
        strength=_reals(rows["strength"]),
        volatility=_reals(rows["volatility"]),
        probability=_reals(probability) if spoken else read_only(np.zeros(0)),
        model=_array(_model_numbers(rows["model_id"], models))
        if models
        else read_only(np.zeros(0, np.int32)),
    )


def _model_numbers(names: pl.Series, models: Sequence[str]) -> pl.Series:
    return names.replace_strict(
        list(models), range(len(models)), default=NO_MODEL, return_dtype=pl.Int32
    )


def by_symbol_and_time(rows: pl.DataFrame) -> SymbolRows:
    """`rows` in that order; a check is cheaper than a sort."""
    found = _described(rows)
    return found if found is not None else _sorted(rows)


def matching_rows(rows: SymbolRows, others: SymbolRows) -> IntArray:
    """For each of `rows`, the row of `others` with the same symbol and time; -1: there is none."""
    begin, end = _ranges(others, rows.names)
    return _matching(rows.at, rows.starts, others.at, begin, end)


def _described(rows: pl.DataFrame) -> SymbolRows | None:
    """None where the rows are in another order."""
    starts = run_starts(rows["symbol"])
    names = tuple(_texts_at(rows["symbol"], starts[:-1]))
    if any(later <= name for name, later in pairwise(names)):
        return None
    at = _array(rows["timestamp"].cast(TIME).cast(pl.Int64))
    falls, repeated = _order_of(at, starts)
    return None if falls else SymbolRows(rows, names, starts, at, repeated)


def _sorted(rows: pl.DataFrame) -> SymbolRows:
    found = _described(sort_rows(rows, _KEY))
    assert found is not None
    return found


def _holds_only(texts: pl.Series, value: str) -> bool:
    return all(text == value for text in _texts_at(texts, run_starts(texts)[:-1]))


def _texts_at(column: pl.Series, rows: IntArray) -> list[str]:
    """The texts in a few rows: of one row, a gather costs a hundred times what the text does."""
    if len(rows) <= _FEW_ROWS:
        return [column[int(row)] for row in rows]
    return column.gather(rows).to_list()


def _ranges(found: SymbolRows, symbols: Sequence[str]) -> tuple[IntArray, IntArray]:
    begin, end = np.zeros(len(symbols), np.int64), np.zeros(len(symbols), np.int64)
    place = {symbol: row for row, symbol in enumerate(symbols)}
    for run, name in enumerate(found.names):
        if name in place:
            begin[place[name]], end[place[name]] = found.starts[run], found.starts[run + 1]
    return begin, end


def _reals(values: pl.Series) -> FloatArray:
    return _array(_without_null(values.cast(pl.Float64), float("nan")))


def _without_null(values: pl.Series, substitute: float) -> pl.Series:
    return values.fill_null(substitute) if values.null_count() else values


def _array(values: pl.Series) -> NDArray[Any]:
    return read_only(np.ascontiguousarray(values.to_numpy()))


@inlined_kernel
def end_of_bar(sessions: SessionColumns, session: int, now: int) -> int:
    """When a bar of the session that starts at `now` ends."""
    end: int = min(now + sessions.length, sessions.close[session])
    if now < sessions.pause[session]:
        end = min(end, sessions.pause[session])
    return end


@kernel
def _order_of(at: IntArray, starts: IntArray) -> tuple[bool, int]:
    """Whether a row is earlier than the one before it, and the first row at the same time as the
    one before it (-1: none), within the runs that `starts` cut.
    """
    repeated = -1
    for run in range(len(starts) - 1):
        if _rises(at[starts[run] : starts[run + 1]]):
            continue
        for row in range(starts[run] + 1, starts[run + 1]):
            if at[row] <= at[row - 1]:
                if at[row] < at[row - 1]:
                    return True, repeated
                if repeated < 0:
                    repeated = row
    return False, repeated


@inlined_kernel
def _rises(at: IntArray) -> bool:
    """Whether every moment is later than the one before it. Nothing is left early, so that the
    compiler compares many at once.
    """
    earlier, later, rises = at[:-1], at[1:], 0
    for row in range(len(later)):
        rises += later[row] > earlier[row]
    return rises == len(later)


@kernel
def _matching(
    at: IntArray, starts: IntArray, others: IntArray, begin: IntArray, end: IntArray
) -> IntArray:
    found = np.empty(len(at), np.int64)
    for run in range(len(starts) - 1):
        other = begin[run]
        for row in range(starts[run], starts[run + 1]):
            while other < end[run] and others[other] < at[row]:
                other += 1
            found[row] = other if other < end[run] and others[other] == at[row] else -1
    return found
