"""The two kinds of strategy, and the adapter between them.

*Columns*: features in, side and strength out, over years at once. *State machine*: it receives one
bar or quote at a time and returns trade intents. `Stepwise` runs a machine over a frame of bars and
returns the same signals frame, so a machine is backtested like any other strategy.

In both a signal on a bar uses only that bar and earlier ones. Signals exist only where every
required feature is known. The memory of a strategy ends with the exchange's day, so signals may be
made period by period.

A strategy returns a side, never a size or a price. Size, limits, orders and exits belong to risk
and execution.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

import msgspec
import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.schemas import REAL, TEXT, TIME

SIGNAL_COLUMNS = {"symbol": TEXT, "timestamp": TIME, "side": pl.Int8(), "strength": REAL}
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


def warm_signals(features: pl.DataFrame, needed: Sequence[str], side: pl.Expr) -> pl.DataFrame:
    """The signals frame of a side expression at full strength, without rows that lack a needed
    feature.

    Raises DataError when a needed column is missing.
    """
    missing = [name for name in needed if name not in features.columns]
    if missing:
        raise DataError(
            f"the features lack {', '.join(missing)}: compute the strategy's required_features, or"
            " materialise features again"
        )
    warm = (
        features.filter(pl.all_horizontal(pl.col(name).is_finite() for name in needed))
        if needed
        else features
    )
    signals = warm.select(
        "symbol",
        pl.col("timestamp").cast(TIME),
        side.cast(pl.Int8).alias("side"),
        pl.lit(1.0).alias("strength"),
    )
    return signals.sort("symbol", "timestamp", maintain_order=True)


@runtime_checkable
class _BarReader(Protocol):
    """A strategy with the flag `reads_bars`."""

    reads_bars: bool


def uses_bars(strategy: Strategy) -> bool:
    """Whether `signals` needs the columns of BAR_COLUMNS beside the features."""
    return isinstance(strategy, _BarReader) and strategy.reads_bars


def signals_of(
    strategy: Strategy, features: pl.DataFrame, bars: Callable[[], pl.DataFrame]
) -> pl.DataFrame:
    """Signals of either kind of strategy. `bars` is called only for a strategy that reads bars."""
    if not uses_bars(strategy):
        return strategy.signals(features)
    known = features.select("symbol", "timestamp", *strategy.required_features())
    return strategy.signals(
        bars().join(known, on=["symbol", "timestamp"], how="inner", maintain_order="left")
    )


# --- state machines -------------------------------------------------------------------------------


class Bar(msgspec.Struct, frozen=True, gc=False):
    """A finished bar, at its end. Prices are raw; `features` are in the order of the machine's
    required_features.
    """

    symbol: str
    timestamp: datetime  # start of the bar, UTC
    session: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    adjustment_factor: float = 1.0
    features: tuple[float, ...] = ()


class Enter(msgspec.Struct, frozen=True, tag="enter", tag_field="kind"):
    """Hold `side` in this symbol from the next possible moment on."""

    symbol: str
    side: Literal[-1, 1]
    strength: float = 1.0
    reason: str = ""


class Leave(msgspec.Struct, frozen=True, tag="leave", tag_field="kind"):
    """Hold nothing in this symbol."""

    symbol: str
    reason: str = ""


TradeIntent = Enter | Leave


@runtime_checkable
class StateMachine(Protocol):
    """A strategy that receives one bar or quote at a time, in time order, all symbols through one
    machine.

    Its inputs are all that it may use: no clock, no files, no randomness. The same inputs give the
    same results.
    """

    def required_features(self) -> tuple[str, ...]:
        """Names of the features of each Bar."""
        ...

    def on_bar(self, bar: Bar) -> Sequence[TradeIntent]:
        """A bar has ended."""
        ...


class Stepwise:
    """A state machine as a Strategy: each call of `signals` runs a new machine over every bar of
    the frame.

    The side of a row is what the machine holds of that symbol after that bar.
    """

    reads_bars = True

    def __init__(self, machine: Callable[[], StateMachine]) -> None:
        self.machine = machine
        self._needed = machine().required_features()

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
        rows = run_machine(self.machine(), bars)
        columns = {name: [row[place] for row in rows] for place, name in enumerate(SIGNAL_COLUMNS)}
        return pl.DataFrame(columns, schema=SIGNAL_COLUMNS).sort(
            "symbol", "timestamp", maintain_order=True
        )


def run_machine(
    machine: StateMachine, bars: pl.DataFrame
) -> list[tuple[str, datetime, int, float]]:
    """(symbol, timestamp, side, strength) after each bar. It is a loop, since a machine receives
    one bar at a time.
    """
    holding: dict[str, tuple[int, float]] = {}
    rows = []
    for (
        symbol,
        timestamp,
        session,
        opened,
        high,
        low,
        close,
        volume,
        factor,
        *features,
    ) in bars.iter_rows():
        bar = Bar(
            symbol, timestamp, session, opened, high, low, close, volume, factor, tuple(features)
        )
        for intent in machine.on_bar(bar):
            holding[intent.symbol] = (
                (intent.side, intent.strength) if isinstance(intent, Enter) else (0, 0.0)
            )
        rows.append((bar.symbol, bar.timestamp, *holding.get(bar.symbol, (0, 0.0))))
    return rows
