"""Which signals of a strategy trade, and on which side.

- A strategy that exits by barriers only enters: a row with side 0 says nothing and is left out.
- Where a model filters, the side stands if its probability reaches the threshold, else it is 0.
- A strategy that is a `Gatekeeper` decides by itself what a probability means.

Research asks it of whole years in a frame. A session asks it of the few bars of a moment in lists,
where a query would cost a hundred times what its numbers do. Both forms stand here.
"""

from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.schemas import REAL, TEXT
from harmony_pipeline.strategies.base import Strategy

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
MODEL_THRESHOLD = "threshold"  # parameter of the model's filter, not of the signal that it filters


def model_threshold(strategy: Strategy, usual: float) -> float:
    """Probability below which no trade is taken: the strategy's own, else the `usual` one."""
    own = getattr(strategy, MODEL_THRESHOLD, None)
    return usual if own is None else float(own)


def proposed_signals(signals: pl.DataFrame, *, barriers: bool) -> pl.DataFrame:
    """The rows that say something: under `barriers` those with a side."""
    has_side = signals["side"] != 0
    return signals.filter(has_side) if barriers and not has_side.all() else signals


class Sides(NamedTuple):
    """What a strategy says of some bars of a moment: `rows` are their places in it."""

    rows: list[int]
    side: list[int]
    strength: list[float]

    def proposed(self, *, barriers: bool) -> "Sides":
        """`proposed_signals` of a moment."""
        return self.taken() if barriers else self

    def taken(self) -> "Sides":
        """The rows that take a side: those that a model is asked about."""
        if all(self.side):
            return self
        kept = [place for place, side in enumerate(self.side) if side]
        return Sides(
            [self.rows[place] for place in kept],
            [self.side[place] for place in kept],
            [self.strength[place] for place in kept],
        )


def filtered_side(side: int, probability: float, threshold: float) -> int:
    """`with_probabilities` of one row; NaN: there is no probability."""
    return side if probability >= threshold else 0


def unfiltered(signals: Frame) -> Frame:
    """`signals` that no model filters: without probability and model_id."""
    return signals.with_columns(
        probability=pl.lit(None, dtype=REAL), model_id=pl.lit(None, dtype=TEXT)
    )


@runtime_checkable
class Gatekeeper(Protocol):
    """A strategy that turns its own signals and the model's probabilities into one decision."""

    def decide(self, signals: pl.DataFrame) -> pl.DataFrame:
        """`signals` with a probability, side and strength decided. It never takes a side that was
        not proposed.
        """
        ...


def gate(
    strategy: Strategy, signals: pl.DataFrame, predictions: pl.DataFrame, threshold: float
) -> pl.DataFrame:
    """`with_probabilities`, and then the decision of a strategy that has one of its own."""
    filtered = with_probabilities(signals, predictions, threshold)
    return strategy.decide(filtered) if isinstance(strategy, Gatekeeper) else filtered


def with_probabilities(
    signals: pl.DataFrame, predictions: pl.DataFrame, threshold: float
) -> pl.DataFrame:
    """`signals` with probability and model_id. The side is kept where probability >= threshold,
    else it is 0.

    A signal without a prediction is not taken, since there is no model yet. Nor is one whose
    prediction has no probability; its `reason` has the cause. `predictions` (symbol, timestamp,
    probability, model_id, reason if there is one) are of one horizon. Raises DataError when they
    are of several or when one bar has two.
    """
    horizons = (
        predictions["horizon"].unique().sort().to_list() if "horizon" in predictions.columns else []
    )
    if len(horizons) > 1:
        raise DataError(
            f"predictions of horizons {', '.join(map(str, horizons))} are mixed: filter them to the"
            " horizon that trades"
        )
    given = [pl.col("reason").cast(TEXT)] if "reason" in predictions.columns else []
    known = predictions.select(
        "symbol",
        "timestamp",
        pl.col("probability").cast(REAL),
        pl.col("model_id").cast(TEXT),
        *given,
    )
    if known.select("symbol", "timestamp").is_duplicated().any():
        raise DataError(
            "predictions have more than one row for a symbol and timestamp: filter them to one"
            " model each"
        )
    joined = signals.join(known, on=["symbol", "timestamp"], how="left", maintain_order="left")
    taken = (pl.col("probability") >= threshold).fill_null(False)
    return joined.with_columns(
        side=pl.when(taken).then("side").otherwise(pl.lit(0, pl.Int8)).cast(pl.Int8)
    )
