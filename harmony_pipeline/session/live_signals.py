"""From a batch of finished bars to what is wanted now: features, side, strength, probability.

For the same bars these are, bit for bit, the signals that research makes of whole days: the same
feature kernels, the same strategy object, the same inputs in front of the same model. The frames
here have one row a bar of the batch; a strategy cannot tell them from years.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.errors import NotReady
from harmony_pipeline.execution.events import micros
from harmony_pipeline.features.live import LiveFeatures
from harmony_pipeline.models.samples import RegimeHistory
from harmony_pipeline.models.trained import TrainedModel
from harmony_pipeline.schemas import REAL, TEXT, TIME
from harmony_pipeline.session.plan import SCALE, SessionPlan
from harmony_pipeline.session.stream import Batch, SessionBar
from harmony_pipeline.strategies.base import (
    BAR_COLUMNS,
    Stepwise,
    checked_signals,
    remembers_the_market,
    strategy_rows,
    uses_bars,
)
from harmony_pipeline.strategies.events import Bar, Fill
from harmony_pipeline.strategies.machines import MachineRun
from harmony_pipeline.strategies.meta import gate

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


class LiveSignals:
    """Folds features and strategy over the day, batch by batch. One owner."""

    def __init__(self, plan: SessionPlan) -> None:
        if plan.uses_model and plan.model is None:
            raise NotReady(
                f"strategy {plan.strategy_name} trades with a model and none is promoted: run"
                " `harmony run`, and see the table `promotions` for the gate's reasons"
            )
        self._plan = plan
        self._features = LiveFeatures(plan.feature_set, plan.feature_states)
        self._machine = (
            MachineRun(plan.strategy.machine(), plan.strategy_name, plan.symbols)
            if isinstance(plan.strategy, Stepwise)
            else None
        )
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

    def update(self, batch: Batch, fills: Sequence[Fill] = ()) -> dict[str, dict[str, Any]]:
        """Signals of the batch's bars by symbol: side, strength, volatility, probability, model_id,
        reason; absent where the strategy has none (not warm). `fills` are heard before the bars.
        """
        if self._machine is not None:
            for fill in fills:
                self._machine.hear_fill(fill)
        rows = [self._fold(bar) for bar in batch.bars]
        frame = feature_frame(batch.bars, np.array(rows), self._plan.feature_set.names)
        primary = (
            self._of_columns(batch.bars, frame)
            if self._machine is None
            else self._told(batch.bars, frame)
        )
        signals = complete_signals(self._plan, primary, frame)
        return {row["symbol"]: row for row in signals.iter_rows(named=True)}

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

    def _fold(self, bar: SessionBar) -> Any:
        return self._features.update(
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
        )

    def _told(self, bars: tuple[SessionBar, ...], frame: pl.DataFrame) -> pl.DataFrame:
        """The machine hears each bar whose features are known; a row has what it holds then."""
        assert self._machine is not None
        needed = self._plan.strategy.required_features()
        held = []
        for bar, values in zip(
            bars, frame.select(needed).iter_rows() if needed else [()] * len(bars), strict=True
        ):
            if all(value is not None and np.isfinite(value) for value in values):
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
                    tuple(values),
                )
                held.append((bar.symbol, bar.start, *self._machine.handle_bar(told)))
        return pl.DataFrame(
            held,
            schema={
                name: SIGNAL_COLUMNS[name] for name in ("symbol", "timestamp", "side", "strength")
            },
            orient="row",
        )


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
    if plan.rules.barriers and not primary["side"].to_numpy().any():
        return _NO_SIGNALS  # most bars of a session
    asked = primary.lazy()
    if plan.rules.barriers:
        # the other rows say nothing to a strategy that only enters
        asked = asked.filter(pl.col("side") != 0)
    scale = features.lazy().select("symbol", "timestamp", volatility=SCALE)
    found = asked.join(scale, on=["symbol", "timestamp"], how="inner", maintain_order="left")
    if plan.uses_model and plan.model is not None:
        signals = found.collect()
        known = predictions(plan.model, signals, features, plan.regime_history)
        found = gate(plan.strategy, signals, known, _threshold(plan)).lazy()
    else:
        found = found.with_columns(
            probability=pl.lit(None, dtype=REAL),
            model_id=pl.lit(None, dtype=TEXT),
            reason=pl.lit(None, dtype=TEXT),
        )
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
    inputs = model.inputs
    if inputs is None:
        raise NotReady(
            f"{model.model_id} was not trained on features, so a session cannot make its inputs:"
            " train one with: harmony backfill model"
        )
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


def _threshold(plan: SessionPlan) -> float:
    own = getattr(plan.strategy, "threshold", None)
    return float(plan.threshold if own is None else own)


def wanted(
    signals: Mapping[str, dict[str, Any]], symbol: str
) -> tuple[int | None, float, float, float, str | None]:
    """(side, strength, volatility, probability, model_id) of one symbol's bar; side None: no signal
    row; NaN where unknown.
    """
    row = signals.get(symbol)
    if row is None:
        return None, np.nan, np.nan, np.nan, None
    numbers = (
        np.nan if row[name] is None else float(row[name])
        for name in ("strength", "volatility", "probability")
    )
    strength, volatility, probability = numbers
    return int(row["side"]), strength, volatility, probability, row["model_id"]
