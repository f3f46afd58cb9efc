"""From a batch of finished bars to what is wanted now: features, side, strength, probability.

For the same bars these are, bit for bit, the signals that research makes of whole days: the same
feature kernels, the same strategy object, the same inputs in front of the same model.

A moment has a few rows, and a query over a frame costs a hundred times what its numbers do. So a
moment is kept in arrays, one row a bar. Frames are made only for a strategy that reads them or has
a decision of its own over them; it cannot tell a frame of a moment from years.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.errors import DataError, NotReady
from harmony_pipeline.features.live import LiveFeatures
from harmony_pipeline.instants import micros
from harmony_pipeline.models.samples import InputMap, RegimeHistory
from harmony_pipeline.models.trained import TrainedModel
from harmony_pipeline.schemas import REAL, TEXT, TIME
from harmony_pipeline.session.plan import SCALE, SessionPlan
from harmony_pipeline.session.stream import Batch, SessionBar
from harmony_pipeline.strategies.base import (
    BAR_COLUMNS,
    Rowwise,
    Stepwise,
    are_sides,
    checked_signals,
    is_rowwise,
    remembers_the_market,
    strategy_rows,
    uses_bars,
)
from harmony_pipeline.strategies.events import Bar, Enter, Fill, Leave, Quote
from harmony_pipeline.strategies.machines import MachineRun
from harmony_pipeline.strategies.traded_signals import (
    Gatekeeper,
    Sides,
    filtered_side,
    gate,
    model_threshold,
    proposed_signals,
    unfiltered,
)

PREDICTION_COLUMNS: dict[str, Any] = {
    "symbol": TEXT,
    "timestamp": TIME,
    "probability": REAL,
    "model_id": TEXT,
    "reason": TEXT,
}
SIGNAL_COLUMNS: dict[str, Any] = {
    "symbol": TEXT,
    "timestamp": TIME,
    "side": pl.Int8(),
    "strength": REAL,
    "volatility": REAL,
    "probability": REAL,
    "model_id": TEXT,
    "reason": TEXT,
}

_NO_SIGNALS = pl.DataFrame(schema=SIGNAL_COLUMNS)

Signals = dict[str, dict[str, Any]]
"""SIGNAL_COLUMNS by symbol, None where a value is not known."""


class LiveSignals:
    """Folds features and strategy over the day, batch by batch. One owner."""

    def __init__(self, plan: SessionPlan) -> None:
        if plan.uses_model and plan.model is None:
            raise NotReady(
                f"strategy {plan.strategy_name} trades with a model and none is promoted: run"
                " `harmony run`, and see the table `promotions` for the gate's reasons"
            )
        self._plan = plan
        self._features = LiveFeatures(
            plan.feature_set, plan.feature_states, plan.news, plan.sectors
        )
        self._machine = (
            MachineRun(plan.strategy.machine(), plan.strategy_name, plan.symbols)
            if isinstance(plan.strategy, Stepwise)
            else None
        )
        names = plan.feature_set.names
        self._needed = [names.index(name) for name in plan.strategy.required_features()]
        self._scale = names.index(SCALE)
        self._rowwise: Rowwise | None = None
        if isinstance(plan.strategy, Rowwise) and is_rowwise(plan.strategy):
            self._rowwise = plan.strategy
        self._decides = isinstance(plan.strategy, Gatekeeper)
        self._model_columns: list[int] | None = None
        self._last: dict[str, tuple[SessionBar, FloatArray]] = {}  # by symbol, for quotes
        self._remembers = self._machine is not None and self._machine.hears_quotes
        # a strategy that reads bars may compare them over the day, or the whole market
        self._keeps_rows = uses_bars(plan.strategy) or remembers_the_market(plan.strategy)
        self._rows = [] if plan.history is None else [plan.history]
        if self._machine is not None and plan.history is not None:
            for bar in _bars_of(plan):
                self._machine.handle_bar(bar)

    @property
    def hears_fills(self) -> bool:
        """Whether the strategy is a machine with `on_fill`: then its signals of a batch may depend
        on the fills of the batch's bars.
        """
        return self._machine is not None and self._machine.hears_fills

    def update(self, batch: Batch, fills: Sequence[Fill] = ()) -> Signals:
        """Signals of the batch's bars by symbol: side, strength, volatility, probability, model_id,
        reason; absent where the strategy has none (not warm). `fills` are heard before the bars.
        """
        if self._machine is not None:
            for fill in fills:
                self._machine.hear_fill(fill)
        values = self._fold(batch.bars)
        if self._remembers:
            self._last |= {
                bar.symbol: (bar, known) for bar, known in zip(batch.bars, values, strict=True)
            }
        sides, primary = self._sides(batch.bars, values), None
        names = self._plan.feature_set.names
        if sides is None:
            primary = self._of_columns(batch.bars, feature_frame(batch.bars, values, names))
            sides = _sides_of(batch, primary)
        if sides is not None and not (self._decides and self._plan.uses_model):
            return self._completed(batch, values, sides)
        if primary is None:
            assert sides is not None
            primary = _primary_frame(batch.bars, sides)
        frame = feature_frame(batch.bars, values, names)
        signals = complete_signals(self._plan, primary, frame)
        return {row["symbol"]: row for row in signals.iter_rows(named=True)}

    # --- quotes -----------------------------------------------------------------------------------

    def hear_quotes(self, quotes: Sequence[Quote]) -> Iterator[tuple[Quote, list[str]]]:
        """Give the machine each quote; the quotes on which it changed what it holds, and of which
        symbols.
        """
        if self._machine is None:
            return
        for quote, intents in self._machine.hear_quotes(quotes):
            named = [each.symbol for each in intents if isinstance(each, Enter | Leave)]
            if named:
                yield quote, list(dict.fromkeys(named))

    def held_now(self, symbol: str) -> tuple[SessionBar, dict[str, Any]] | None:
        """The signal of what the machine holds of the symbol now, with the features of its last
        bar, and that bar; None before the features that it needs are known.
        """
        assert self._machine is not None
        if symbol not in self._last:
            return None
        bar, values = self._last[symbol]
        if not np.isfinite([*values[self._needed], values[self._scale]]).all():
            return None
        side, strength = self._machine.holding.get(symbol, (0, 0.0))
        batch = Batch(bar.start, bar.end, (bar,))
        found = self._completed(batch, values[None, :], Sides([0], [side], [strength]))
        none = {"side": 0, "strength": 0.0, "volatility": float(values[self._scale])}
        return bar, found.get(symbol, none | {"probability": None, "model_id": None})

    def hear_again(self, quote: Quote, symbol: str, side: int, strength: float) -> None:
        """A quote that the process before this one acted on, and what was held after it."""
        if self._machine is not None:
            for _ in self._machine.hear_quotes([quote]):
                pass
            self._machine.holding[symbol] = (side, strength)

    # --- bars -------------------------------------------------------------------------------------

    def _sides(self, bars: tuple[SessionBar, ...], values: FloatArray) -> Sides | None:
        """What the strategy says, where it needs no frame to say it."""
        if self._machine is not None:
            return self._told(bars, values)
        return self._of_rows(values) if self._rowwise is not None else None

    def _of_rows(self, values: FloatArray) -> Sides | None:
        """Sides of a rowwise strategy; None where it raises or returns what is none: the frames
        say then what is wrong, and of which bar.
        """
        assert self._rowwise is not None
        needed = values[:, self._needed]
        rows = np.flatnonzero(np.isfinite(needed).all(axis=1))
        try:
            side, strength = self._rowwise.sides(*needed[rows].T)
        except Exception:
            return None
        if not are_sides(side, strength, len(rows)):
            return None
        return Sides(rows.tolist(), side.astype(np.int64).tolist(), strength.tolist())

    def _completed(self, batch: Batch, values: FloatArray, sides: Sides) -> Signals:
        """`complete_signals` of arrays: with the volatility and, where a model filters, its
        probability and its yes or no.
        """
        plan = self._plan
        sides = sides.proposed(barriers=plan.rules.barriers)
        if not sides.rows:
            return {}
        probability, reason = dict[int, float](), dict[int, str | None]()
        if plan.uses_model and plan.model is not None:
            asked = sides.taken()
            if asked.rows:
                found, reasons = self._answers(plan.model, batch, values, asked)
                probability = dict(zip(asked.rows, found.tolist(), strict=True))
                reason = dict(zip(asked.rows, reasons, strict=True))
        threshold, bars = model_threshold(plan.strategy, plan.threshold), batch.bars
        signals = Signals()
        for row, side, strength in zip(*sides, strict=True):
            answer = probability.get(row, np.nan)
            signals[bars[row].symbol] = {
                "symbol": bars[row].symbol,
                "timestamp": batch.start,
                "side": filtered_side(side, answer, threshold) if plan.uses_model else side,
                "strength": strength,
                "volatility": _known(float(values[row, self._scale])),
                "probability": _known(answer),
                "model_id": plan.model_id if row in probability else None,
                "reason": reason.get(row),
            }
        return signals

    def _answers(
        self, model: TrainedModel, batch: Batch, values: FloatArray, asked: Sides
    ) -> tuple[FloatArray, list[str | None]]:
        """Probability, NaN where there is none, and why there is none, of each row asked about."""
        inputs, regimes = required_inputs(model), self._plan.regime_history
        if self._model_columns is None:
            names = self._plan.feature_set.names
            missing = [name for name in inputs.feature_columns if name not in names]
            if missing:
                raise DataError(
                    f"the session's feature set lacks {', '.join(missing)}, which"
                    f" {model.model_id} reads: add them to features.names"
                )
            self._model_columns = [names.index(name) for name in inputs.feature_columns]
        regime = None
        if inputs.regimes and regimes is not None:
            regime = regimes.at_micros(np.full(len(asked.rows), micros(batch.start)))
        features = values[np.ix_(asked.rows, self._model_columns)]
        X = inputs.matrix(features, np.array(asked.side, np.float64), regime)
        return model.predict(X), model.refusals(X)

    def _of_columns(self, bars: tuple[SessionBar, ...], frame: pl.DataFrame) -> pl.DataFrame:
        """Signals of a column strategy: of the batch alone, or of its rows after all that were
        kept.
        """
        plan = self._plan
        if not self._keeps_rows:
            return checked_signals(plan.strategy, frame, plan.strategy_name)
        self._rows.append(strategy_rows(plan.strategy, bar_frame(bars), frame))
        self._rows = [pl.concat(self._rows)]
        made = checked_signals(plan.strategy, self._rows[0], plan.strategy_name)
        return made.join(
            frame.select("symbol", "timestamp"), on=["symbol", "timestamp"], how="semi"
        )

    def _fold(self, bars: tuple[SessionBar, ...]) -> FloatArray:
        """The features of each bar; together where columns compare symbols."""
        if self._plan.feature_set.compares:
            return self._features.update_moment([_arguments(bar) for bar in bars])
        values = np.empty((len(bars), len(self._plan.feature_set.names)))
        for row, bar in enumerate(bars):
            values[row] = self._features.update(*_arguments(bar))
        return values

    def _told(self, bars: tuple[SessionBar, ...], values: FloatArray) -> Sides:
        """The machine hears each bar whose features are known; a row has what it holds then."""
        assert self._machine is not None
        held = Sides([], [], [])
        known = values[:, self._needed]
        finite: list[bool] = np.asarray(np.isfinite(known).all(axis=1)).tolist()
        for row, (bar, features) in enumerate(zip(bars, known.tolist(), strict=True)):
            if finite[row]:
                told = Bar(
                    bar.symbol,
                    bar.start,
                    bar.session,
                    bar.open,
                    bar.high,
                    bar.low,
                    bar.close,
                    bar.volume,
                    bar.factor,
                    tuple(features),
                )
                side, strength = self._machine.handle_bar(told)
                held.rows.append(row)
                held.side.append(side)
                held.strength.append(strength)
        return held


def _arguments(
    bar: SessionBar,
) -> tuple[str, datetime, float, float, float, float, float, date, bool, float, datetime]:
    """The bar as the features take it."""
    return (
        bar.symbol,
        bar.start,
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        bar.session_date,
        bar.session == "regular",
        bar.factor,
        bar.end,
    )


def _sides_of(batch: Batch, primary: pl.DataFrame) -> Sides | None:
    """A signals frame as places in the batch; None where it has other rows than the batch's."""
    symbols = primary["symbol"].to_list()
    place = {bar.symbol: row for row, bar in enumerate(batch.bars)}
    if len(set(symbols)) < len(symbols) or any(
        moment != batch.start for moment in primary["timestamp"].to_list()
    ):
        return None
    rows = [place[symbol] for symbol in symbols]
    return Sides(rows, primary["side"].to_list(), primary["strength"].to_list())


def _known(value: float) -> float | None:
    return value if value == value else None  # noqa: PLR0124  NaN


def _primary_frame(bars: tuple[SessionBar, ...], sides: Sides) -> pl.DataFrame:
    """The signals frame of these rows."""
    names = ("symbol", "timestamp", "side", "strength")
    rows = [
        (bars[row].symbol, bars[row].start, side, strength)
        for row, side, strength in zip(*sides, strict=True)
    ]
    return pl.DataFrame(rows, schema={name: SIGNAL_COLUMNS[name] for name in names}, orient="row")


def bar_frame(bars: tuple[SessionBar, ...]) -> pl.DataFrame:
    """symbol, timestamp and BAR_COLUMNS of some bars."""
    rows = [
        (
            bar.symbol, bar.start, bar.session, bar.open, bar.high, bar.low, bar.close, bar.volume,
            bar.factor,
        )
        for bar in bars
    ]  # fmt: skip
    numbers = {name: REAL for name in BAR_COLUMNS if name != "session"}
    schema = {"symbol": TEXT, "timestamp": TIME, "session": TEXT, **numbers}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _bars_of(plan: SessionPlan) -> Iterator[Bar]:
    """The history as the machine would have heard it."""
    assert plan.history is not None
    needed = plan.strategy.required_features()
    rows = plan.history.sort("timestamp", "symbol", maintain_order=True)
    if needed:
        rows = rows.filter(pl.all_horizontal(pl.col(name).is_finite() for name in needed))
    columns = [rows[name].to_list() for name in ("symbol", "timestamp", *BAR_COLUMNS)]
    features = rows.select(needed).rows() if needed else [()] * rows.height
    yield from map(Bar, *columns, features)


def feature_frame(
    bars: tuple[SessionBar, ...], values: Any, names: tuple[str, ...]
) -> pl.DataFrame:
    """The features table of some bars; null where not warm, as it is in the lake."""
    numbers = values.reshape(len(bars), len(names))
    # one call for all columns: a moment has many of them and few rows
    known = numbers.astype(object)
    known[np.isnan(numbers)] = None
    rows = [
        (bar.symbol, micros(bar.start), *row) for bar, row in zip(bars, known.tolist(), strict=True)
    ]
    schema = {"symbol": TEXT, "timestamp": TIME, **dict.fromkeys(names, REAL)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def complete_signals(
    plan: SessionPlan, primary: pl.DataFrame, features: pl.DataFrame
) -> pl.DataFrame:
    """SIGNAL_COLUMNS from primary signals: with their volatility and, where a model filters, its
    probability and its yes or no.

    Used for one batch by the session and for a whole day by its backtest.
    """
    asked = proposed_signals(primary, barriers=plan.rules.barriers)
    if asked.is_empty():
        return _NO_SIGNALS  # most bars of a session
    scale = features.lazy().select("symbol", "timestamp", volatility=SCALE)
    found = asked.lazy().join(scale, on=["symbol", "timestamp"], how="inner", maintain_order="left")
    if plan.uses_model and plan.model is not None:
        signals = found.collect()
        known = predictions(plan.model, signals, features, plan.regime_history)
        found = gate(
            plan.strategy, signals, known, model_threshold(plan.strategy, plan.threshold)
        ).lazy()
    else:
        found = unfiltered(found).with_columns(reason=pl.lit(None, dtype=TEXT))
    return found.select(
        pl.col(name).cast(dtype) for name, dtype in SIGNAL_COLUMNS.items()
    ).collect()


def predictions(
    model: TrainedModel,
    signals: pl.DataFrame,
    features: pl.DataFrame,
    regimes: RegimeHistory | None,
) -> pl.DataFrame:
    """PREDICTION_COLUMNS for the signals that take a side; each row's answer depends on that row
    alone.

    Where the model cannot answer there is no probability, and a reason.
    """
    inputs = required_inputs(model)
    taken = signals.filter(pl.col("side") != 0)
    if taken.is_empty():
        return pl.DataFrame(schema=PREDICTION_COLUMNS)
    rows = taken.join(features, on=["symbol", "timestamp"], how="left", maintain_order="left")
    matrix = (
        rows.select(
            pl.col(name).cast(pl.Float64).fill_null(np.nan) for name in inputs.feature_columns
        )
        .to_numpy()
        .reshape(rows.height, -1)
    )
    regime = None
    if inputs.regimes and regimes is not None:
        regime = regimes.at(rows["timestamp"])
    X = inputs.matrix(matrix, rows["side"].cast(pl.Float64).to_numpy(), regime)
    probability, reason = (
        pl.Series(model.predict(X), dtype=REAL, nan_to_null=True),
        pl.Series(model.refusals(X), dtype=TEXT),
    )
    return rows.select(
        "symbol",
        "timestamp",
        probability=probability,
        model_id=pl.lit(model.model_id, TEXT),
        reason=reason,
    )


def required_inputs(model: TrainedModel) -> InputMap:
    """The map from features to the model's inputs. Raises NotReady where it has none."""
    if model.inputs is None:
        raise NotReady(
            f"{model.model_id} was not trained on features, so a session cannot make its inputs:"
            " train one with: harmony backfill model"
        )
    return model.inputs
