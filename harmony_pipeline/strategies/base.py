"""The two kinds of strategy, and the adapter between them.

*Columns*: features in, side and strength out, over years at once. *State machine* (`machines.py`):
it receives one bar or quote at a time and returns trade intents. `Stepwise` runs a machine over a
frame of bars and returns the same signals frame, so a machine is backtested like any other
strategy.

In both a signal on a bar uses only that bar and earlier ones. Signals exist only where every
required feature is known. The memory of a strategy ends with the exchange's day, so signals may be
made period by period. A strategy that needs more says `memory = "market"`: it is then given every
bar from the first of the market on.

A strategy returns a side, never a size or a price. Size, limits, orders and exits belong to risk
and execution. What it returns is checked here (`signals_of`) before anything acts on it.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.errors import DataError, HarmonyError
from harmony_pipeline.frames import join_rows, sort_rows
from harmony_pipeline.schemas import REAL, TEXT, TIME
from harmony_pipeline.strategies.event_columns import bars_of
from harmony_pipeline.strategies.events import Bar, Enter, Leave, TradeIntent
from harmony_pipeline.strategies.machines import (
    HandlesFills,
    HandlesQuotes,
    MachineRun,
    StateMachine,
)

__all__ = [
    "BAR_COLUMNS",
    "SIGNAL_COLUMNS",
    "Bar",
    "ComparesFills",
    "Enter",
    "Learner",
    "Leave",
    "Rowwise",
    "StateMachine",
    "Stepwise",
    "Strategy",
    "TradeIntent",
    "are_sides",
    "checked_signals",
    "first_day_of_periods",
    "is_rowwise",
    "name_of",
    "remembers_the_market",
    "rowwise_signals",
    "signals_of",
    "strategy_rows",
    "uses_bars",
    "warm_signals",
]

SIGNAL_COLUMNS = {"symbol": TEXT, "timestamp": TIME, "side": pl.Int8(), "strength": REAL}
_FEW_ROWS = 1_000  # whose names are read faster than a query is planned
BAR_COLUMNS = ("session", "open", "high", "low", "close", "volume", "adjustment_factor")


# --- columns --------------------------------------------------------------------------------------


@runtime_checkable
class Strategy(Protocol):
    """Primary signals from columns. Implementations must pass `testing/strategy_contract.py`."""

    def required_features(self) -> tuple[str, ...]:
        """Names that `signals` reads, in the form of features/catalog.py."""
        ...

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        """[symbol, timestamp, side (-1, 0, 1), strength (0 to 1)], sorted.

        There is one row where every required feature is known.
        """
        ...


@runtime_checkable
class Rowwise(Protocol):
    """A strategy whose signal on a bar depends on the required features of that bar alone. Its
    `signals` is `rowwise_signals`; a session asks `sides` of a moment's bars, without frames.
    """

    def required_features(self) -> tuple[str, ...]:
        """Names that `sides` reads, in the form of features/catalog.py."""
        ...

    def sides(self, *features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(side, strength) float64 [rows], of one array [rows] for each required feature, in their
        order; every value is finite.
        """
        ...


def is_rowwise(strategy: Strategy) -> bool:
    """Whether the strategy has `sides`, and its `signals` is made of them: not where a subclass
    has `signals` of its own.
    """
    made_by = {
        name: next(
            (place for place, kind in enumerate(type(strategy).__mro__) if name in vars(kind)), -1
        )
        for name in ("sides", "signals")
    }
    return isinstance(strategy, Rowwise) and 0 <= made_by["sides"] <= made_by["signals"]


def rowwise_signals(strategy: Rowwise, features: pl.DataFrame) -> pl.DataFrame:
    """The signals frame of a rowwise strategy, without rows that lack a needed feature.

    Raises DataError when a needed column is missing, or `sides` returns what is no side.
    """
    needed = strategy.required_features()
    _refuse_missing(features, needed)
    columns = [features[name].cast(pl.Float64).to_numpy() for name in needed]
    known = np.ones(features.height, bool)
    for column in columns:
        known &= np.isfinite(column)
    rows = features.select("symbol", pl.col("timestamp").cast(TIME))
    if not known.all():
        rows, columns = rows.filter(known), [column[known] for column in columns]
    side, strength = strategy.sides(*columns)
    with np.errstate(invalid="ignore"):
        whole = side.astype(np.int8)
    # what is no whole number stays as it is, for `checked_signals` to refuse
    kept = pl.Series("side", whole if np.array_equal(whole, side) else side)
    return sort_rows(rows.with_columns(kept, strength=pl.Series(strength)), ["symbol", "timestamp"])


def are_sides(side: FloatArray, strength: FloatArray, rows: int) -> bool:
    """Whether these are a side (-1, 0, 1) and a strength (0 to 1) for each of so many rows."""
    if not (np.shape(side) == np.shape(strength) == (rows,)):
        return False
    right = ((side == 0.0) | (side == 1.0) | (side == -1.0)) & (strength >= 0.0) & (strength <= 1.0)
    return bool(right.all())


def _refuse_missing(features: pl.DataFrame, needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in features.columns]
    if missing:
        raise DataError(
            f"the features lack {', '.join(missing)}: compute the strategy's required_features, or"
            " materialise features again"
        )


def warm_signals(features: pl.DataFrame, needed: Sequence[str], side: pl.Expr) -> pl.DataFrame:
    """The signals frame of a side expression at full strength, without rows that lack a needed
    feature.

    Raises DataError when a needed column is missing.
    """
    _refuse_missing(features, needed)
    warm = features.lazy()
    if needed:
        warm = warm.filter(pl.all_horizontal(pl.col(name).is_finite() for name in needed))
    signals = warm.select(
        "symbol",
        pl.col("timestamp").cast(TIME),
        side.cast(pl.Int8).alias("side"),
        pl.lit(1.0).alias("strength"),
    )
    return sort_rows(signals.collect(engine="in-memory"), ("symbol", "timestamp"))


@runtime_checkable
class _BarReader(Protocol):
    """A strategy with the flag `reads_bars`."""

    reads_bars: bool


def uses_bars(strategy: Strategy) -> bool:
    """Whether `signals` needs the columns of BAR_COLUMNS beside the features."""
    return isinstance(strategy, _BarReader) and strategy.reads_bars


@runtime_checkable
class _Rememberer(Protocol):
    """A strategy that says how long its memory is."""

    memory: Literal["day", "market"]


def remembers_the_market(strategy: Strategy) -> bool:
    """Whether a signal may depend on every earlier bar of the market, not on its own day alone."""
    return isinstance(strategy, _Rememberer) and strategy.memory == "market"


@runtime_checkable
class ComparesFills(Protocol):
    """A strategy that chooses by what orders would have earned. `fills_as` names its parameter for
    the price of the next bar at which they fill, "open" (its default) or "close". The settings give
    it: that of `labels.entry`, or of the strategy's bracket.
    """

    fills_as: ClassVar[str]


@runtime_checkable
class Learner(Protocol):
    """A strategy that chooses by what lies before a period: it has no record before the first."""

    def first_day(self, days: pl.Series) -> date | None:
        """The first of `days`, dates with regular bars in order, for which enough lies before its
        period; None when there is none.
        """
        ...


def first_day_of_periods(days: pl.Series, formation_days: int, cut: str) -> date | None:
    """The first day of the first period (`cut` as in `dt.truncate`) with so many days before it."""
    begins = days.dt.truncate(cut)
    before = days.search_sorted(begins)
    learned = days.filter(before >= formation_days)
    return learned[0] if learned.len() else None


def name_of(strategy: Strategy) -> str:
    """What messages call a strategy: its class, that of the machine for an adapted one."""
    return strategy.name if isinstance(strategy, Stepwise) else type(strategy).__name__


def signals_of(
    strategy: Strategy,
    features: pl.DataFrame,
    bars: Callable[[], pl.DataFrame],
    name: str = "",
) -> pl.DataFrame:
    """Checked signals of either kind of strategy. `bars` is called only for a strategy that reads
    bars. `name` is what messages call it.

    Raises DataError that names strategy, symbol and time where the strategy raises or returns what
    is no signal.
    """
    chosen = name or name_of(strategy)
    if uses_bars(strategy):
        known = features.select("symbol", "timestamp", *strategy.required_features())
        features = join_rows(bars(), known, ["symbol", "timestamp"], "inner")
    return checked_signals(strategy, features, chosen)


def strategy_rows(strategy: Strategy, bars: pl.DataFrame, features: pl.DataFrame) -> pl.DataFrame:
    """symbol, timestamp, BAR_COLUMNS and the required features of every bar: all that a strategy of
    either kind may read.
    """
    keys = ["symbol", "timestamp"]
    known = features.select(*keys, *strategy.required_features())
    rows = join_rows(bars.select(*keys, *BAR_COLUMNS), known, keys, "inner")
    return rows.select(*keys, *BAR_COLUMNS, *strategy.required_features())


def checked_signals(strategy: Strategy, rows: pl.DataFrame, name: str) -> pl.DataFrame:
    """What `strategy` says of `rows`, refused with DataError where it is no signal."""
    try:
        signals = strategy.signals(rows)
    except HarmonyError as error:
        if name in str(error):
            raise
        raise type(error)(f"strategy {name}: {error}") from error
    except Exception as error:
        raise DataError(
            f"strategy {name} raised {type(error).__name__}: {error} (it was given {_extent(rows)})"
        ) from error
    _refuse_wrong_columns(signals, name)
    _refuse_wrong_rows(signals, _names_in(rows["symbol"]), name)
    if signals.schema["side"] == pl.Int8 and signals.schema["strength"] == pl.Float64:
        return signals
    return signals.cast({"side": pl.Int8, "strength": pl.Float64})


def _extent(rows: pl.DataFrame) -> str:
    if rows.is_empty():
        return "no rows"
    symbols = rows["symbol"].unique().sort().to_list()
    shown = ", ".join(symbols[:5]) + (" ..." if len(symbols) > 5 else "")
    first, last = rows["timestamp"].min(), rows["timestamp"].max()
    return f"{rows.height} rows of {shown}, {first!s} to {last!s}"


def _refuse_wrong_columns(signals: object, name: str) -> None:
    if not isinstance(signals, pl.DataFrame):
        raise DataError(
            f"strategy {name} returned {type(signals).__name__}: signals are a Polars DataFrame of"
            f" {', '.join(SIGNAL_COLUMNS)}"
        )
    found = dict(signals.schema)
    for column, wanted in SIGNAL_COLUMNS.items():
        if column not in found:
            raise DataError(
                f"strategy {name} returned no column {column}: signals are"
                f" {', '.join(SIGNAL_COLUMNS)}"
            )
        number = column in {"side", "strength"} and found[column].is_numeric()
        if found[column] != wanted and not number:
            raise DataError(
                f"strategy {name} returned {column} as {found[column]}: it must be {wanted}"
            )


def _are_right(signals: pl.DataFrame, symbols: set[str]) -> bool:
    """Whether every row is a signal: the same question as that of the query that finds the wrong
    ones, asked of arrays, since a session asks it of a few rows at every bar.
    """
    if any(signals[name].null_count() for name in SIGNAL_COLUMNS):
        return False
    side, strength = (signals[name].to_numpy() for name in ("side", "strength"))
    right = ((side == 0) | (side == 1) | (side == -1)) & (strength >= 0.0) & (strength <= 1.0)
    return bool(right.all()) and _names_in(signals["symbol"]) <= symbols


def _names_in(symbols: pl.Series) -> set[str]:
    return set((symbols if len(symbols) <= _FEW_ROWS else symbols.unique()).to_list())


def _refuse_wrong_rows(signals: pl.DataFrame, symbols: set[str], name: str) -> None:
    """A side is -1, 0 or 1, a strength lies in 0 to 1, and a symbol is one that it was given."""
    if _are_right(signals, symbols):
        return
    side, strength = pl.col("side").cast(pl.Float64), pl.col("strength")
    wrong = signals.filter(
        (~side.is_in([-1.0, 0.0, 1.0])).fill_null(True)
        | (~strength.is_between(0.0, 1.0)).fill_null(True)
        | ~pl.col("symbol").is_in(list(symbols))
        | pl.col("timestamp").is_null()
    )
    if wrong.is_empty():
        return
    row = wrong.row(0, named=True)
    what = f"strategy {name}, {row['symbol']} at {row['timestamp']}:"
    more = f" ({wrong.height} such rows)" if wrong.height > 1 else ""
    if row["symbol"] not in symbols:
        raise DataError(f"{what} it was given no bars of this symbol{more}")
    if row["side"] not in {-1, 0, 1}:
        raise DataError(f"{what} side {row['side']}: a side is -1, 0 or 1{more}")
    raise DataError(f"{what} strength {row['strength']}: a strength lies between 0 and 1{more}")


# --- state machines ------------------------------------------------------------------------------


class Stepwise:
    """A state machine as a Strategy: each call of `signals` runs a new machine over every bar of
    the frame.

    The side of a row is what the machine holds of that symbol after that bar. Signals know no
    fills: a machine that hears them is backtested by backtest/event_driver.py.
    """

    reads_bars = True

    def __init__(self, machine: Callable[[], StateMachine], name: str = "") -> None:
        self.machine = machine
        first = machine()
        self._needed = first.required_features()
        self.memory: Literal["day", "market"] = getattr(first, "memory", "day")
        self.name = name or type(first).__name__
        self.hears_fills = isinstance(first, HandlesFills)
        self.hears_quotes = isinstance(first, HandlesQuotes)
        # whether an unread quote may be replaced by the next of its symbol (session/quotes.py)
        self.conflates_quotes = bool(getattr(first, "conflates_quotes", False))

    def required_features(self) -> tuple[str, ...]:
        """The machine's required features."""
        return self._needed

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        """Signals of `features`, which must have BAR_COLUMNS too (`signals_of` joins them).

        Raises DataError when they are missing.
        """
        missing = [name for name in (*BAR_COLUMNS, *self._needed) if name not in features.columns]
        if missing:
            raise DataError(
                f"this strategy reads bars and the frame lacks {', '.join(missing)}: make its"
                " signals with strategies.base.signals_of"
            )
        bars = features.select("symbol", "timestamp", *BAR_COLUMNS, *self._needed).sort(
            "timestamp", "symbol", maintain_order=True
        )
        if self._needed:
            bars = bars.filter(pl.all_horizontal(pl.col(name).is_finite() for name in self._needed))
        rows = run_machine(self.machine(), bars, self.name)
        columns = {name: [row[place] for row in rows] for place, name in enumerate(SIGNAL_COLUMNS)}
        return pl.DataFrame(columns, schema=SIGNAL_COLUMNS).sort(
            "symbol", "timestamp", maintain_order=True
        )


def run_machine(
    machine: StateMachine, bars: pl.DataFrame, name: str = ""
) -> list[tuple[str, datetime, int, float]]:
    """(symbol, timestamp, side, strength) after each bar. It is a loop, since a machine receives
    one bar at a time.
    """
    run = MachineRun(machine, name or type(machine).__name__, bars["symbol"].unique())
    features = bars.columns[2 + len(BAR_COLUMNS) :]
    return [(bar.symbol, bar.timestamp, *run.handle_bar(bar)) for bar in bars_of(bars, features)]
