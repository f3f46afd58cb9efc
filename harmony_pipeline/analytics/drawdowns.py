"""Drawdowns of daily returns: the underwater curve, and every fall from a peak to its recovery.

Lengths count sessions. The start of the run is a peak too: whoever loses on the first session is
under water from the start.
"""

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.schemas import REAL, TIME, WHOLE

COLUMNS = {
    "peak": TIME,  # last session at the peak; null: the start of the run
    "trough": TIME,
    "recovered": TIME,  # first session at or above the peak; null: not yet
    "depth": REAL,  # level / peak - 1 at the trough
    "down": WHOLE,  # sessions from the peak to the trough
    "up": WHOLE,  # sessions from the trough to the recovery; null: not yet
    "length": WHOLE,  # sessions from the peak to the recovery, or to the last session
}


def underwater(returns: FloatArray) -> FloatArray:
    """Level over highest level so far, minus one; the level starts at 1 before the first return."""
    level = np.cumprod(1.0 + returns)
    peak = np.maximum(np.maximum.accumulate(level), 1.0)
    return np.asarray(level / peak - 1.0, dtype=np.float64)


def drawdown_table(daily: pl.DataFrame) -> pl.DataFrame:
    """One row a drawdown of `daily` (timestamp, return), the deepest first; the columns are
    COLUMNS.
    """
    below = daily.sort("timestamp").select(
        "timestamp",
        under=pl.Series(underwater(daily.sort("timestamp")["return"].to_numpy()), dtype=REAL),
        place=pl.int_range(1, pl.len() + 1, dtype=WHOLE),
    )
    episodes = (
        below.with_columns(peak_place=(pl.col("place") * (pl.col("under") >= 0.0)).cum_max())
        .filter(pl.col("under") < 0.0)
        .group_by("peak_place", maintain_order=True)
        .agg(
            depth=pl.col("under").min(),
            trough_place=pl.col("place").sort_by("under", maintain_order=True).first(),
            last_place=pl.col("place").last(),
        )
    )
    end = pl.lit(below.height, WHOLE)
    recovered = pl.when(pl.col("last_place") < end).then(pl.col("last_place") + 1)
    measured = episodes.with_columns(recovered_place=recovered).with_columns(
        down=pl.col("trough_place") - pl.col("peak_place"),
        up=pl.col("recovered_place") - pl.col("trough_place"),
        length=pl.coalesce("recovered_place", end) - pl.col("peak_place"),
    )
    for name in ("peak", "trough", "recovered"):
        dates = below.select(
            pl.col("place").alias(f"{name}_place"), pl.col("timestamp").alias(name)
        )
        measured = measured.join(dates, on=f"{name}_place", how="left", maintain_order="left")
    return measured.sort("depth", "peak_place").select(
        pl.col(name).cast(dtype) for name, dtype in COLUMNS.items()
    )


def drawdown_figures(daily: pl.DataFrame) -> dict[str, float | None]:
    """drawdowns, average_drawdown, longest_drawdown, deepest_recovery and time_under_water."""
    table = drawdown_table(daily)
    under = underwater(daily.sort("timestamp")["return"].to_numpy())
    found: dict[str, float | None] = {
        "drawdowns": float(table.height) if daily.height else None,
        "average_drawdown": None,
        "longest_drawdown": None,
        "deepest_recovery": None,
        "time_under_water": float(np.mean(under < 0.0)) if daily.height else None,
    }
    if table.is_empty():
        return found
    recovery = table["up"][0]
    return found | {
        "average_drawdown": float(np.mean(table["depth"].to_numpy())),
        "longest_drawdown": float(np.max(table["length"].to_numpy())),
        "deepest_recovery": None if recovery is None else float(recovery),
    }
