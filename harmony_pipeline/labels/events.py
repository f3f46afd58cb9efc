"""Events: bars with a side to trade and the scale of the barriers."""

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.schemas import REAL, TEXT, TIME

SCALE_FEATURE = "volatility_20"
EVENT_COLUMNS = {"symbol": TEXT, "timestamp": TIME, "side": pl.Int8(), "volatility": REAL}


def events_from_signals(signals: pl.DataFrame, features: pl.DataFrame) -> pl.DataFrame:
    """[symbol, timestamp, side, volatility] of every signal with a side, where volatility_20 is
    known.

    `signals` are those of one strategy. Both frames have the key (symbol, timestamp). The result
    has it too and is sorted. Raises DataError when `features` has no volatility_20.
    """
    if SCALE_FEATURE not in features.columns:
        raise DataError(
            f"the features have no column {SCALE_FEATURE}, which scales the barriers: add it to"
            " features.names"
        )
    scale = features.select("symbol", "timestamp", volatility=pl.col(SCALE_FEATURE)).filter(
        pl.col("volatility").is_finite()
    )
    return (
        signals.filter(pl.col("side") != 0)
        .join(scale, on=["symbol", "timestamp"], how="inner", maintain_order="left")
        .select(pl.col(name).cast(dtype) for name, dtype in EVENT_COLUMNS.items())
        .sort("symbol", "timestamp", maintain_order=True)
    )
