"""What trading really cost: half spread and impact fitted to recorded fills, half spread measured
from quotes.

A fill that took liquidity is a point. Its slippage against the reference price, in basis points,
is

    half_spread_bps + impact_coefficient * pressure,    pressure = 1e4 * volatility * sqrt(q / V)

by the cost model (execution/costs.py), with the volatility of the last bar before the fill and its
quantity q in a bar of volume V. Least squares give both numbers; neither may be below 0, so one
that would be is 0 and the other is fitted alone. Standard errors are those of ordinary least
squares; a number that was held at 0 has none.

Fills of the simulated exchange are no evidence: they cost what the settings say. Leaving them out
is the caller's part.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.schemas import COST_CALIBRATION

LEAST_FILLS = 20  # fewer say little beside their own error
EVERY_SYMBOL = "*"  # the row of all symbols together
FILLS, QUOTES = "fills", "quotes"


class Fit(NamedTuple):
    """Two numbers with their standard errors (None: held at 0, or too little to tell)."""

    half_spread_bps: float
    half_spread_error: float | None
    impact_coefficient: float
    impact_error: float | None


def fill_observations(
    fills: pl.DataFrame, bars: pl.DataFrame, volatility: pl.DataFrame
) -> pl.DataFrame:
    """symbol, timestamp, slippage_bps and pressure_bps of each order in each bar that it took
    liquidity from.

    fills: schemas.SESSION_FILLS. bars: symbol, timestamp, volume. volatility: symbol, timestamp,
    volatility_20. Fills without a bar, its volume or a volatility before it are left out.
    """
    side = pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0)
    value = pl.col("price") * pl.col("quantity")
    taken = (
        fills.filter((pl.col("liquidity") == "taker") & (pl.col("reference_price") > 0.0))
        .sort("symbol", "timestamp", "order_id", "fill_id")
        .group_by("symbol", "timestamp", "order_id", maintain_order=True)
        .agg(
            side.first().alias("direction"),
            pl.col("reference_price").first(),
            price=value.sum() / pl.col("quantity").sum(),
            quantity=pl.col("quantity").sum(),
        )
    )
    known = volatility.select("symbol", "timestamp", "volatility_20").drop_nulls()
    joined = (
        taken.join(
            bars.select("symbol", "timestamp", "volume"),
            on=["symbol", "timestamp"],
            how="inner",
            maintain_order="left",
        )
        .sort("timestamp", maintain_order=True)
        .join_asof(
            known.sort("timestamp"),
            on="timestamp",
            by="symbol",
            strategy="backward",
            allow_exact_matches=False,
            check_sortedness=False,
        )
    )
    return (
        joined.filter((pl.col("volume") > 0.0) & pl.col("volatility_20").is_finite())
        .select(
            "symbol",
            "timestamp",
            slippage_bps=1e4
            * pl.col("direction")
            * (pl.col("price") / pl.col("reference_price") - 1.0),
            pressure_bps=1e4
            * pl.col("volatility_20")
            * (pl.col("quantity") / pl.col("volume")).sqrt(),
        )
        .sort("symbol", "timestamp", maintain_order=True)
    )


def fit(slippage_bps: FloatArray, pressure_bps: FloatArray) -> Fit:
    """Least squares with both numbers at least 0. Where every pressure is the same, impact cannot
    be told from the spread: it is 0 then.
    """
    y, x = np.asarray(slippage_bps, np.float64), np.asarray(pressure_bps, np.float64)
    if np.ptp(x) > 0.0:
        (level, slope), errors = _least_squares(np.column_stack([np.ones(x.size), x]), y)
        if level >= 0.0 and slope >= 0.0:
            return Fit(level, errors[0], slope, errors[1])
        if level < 0.0:
            (slope,), (error,) = _least_squares(x[:, None], y)
            if slope >= 0.0:
                return Fit(0.0, None, slope, error)
    (level,), (error,) = _least_squares(np.ones((y.size, 1)), y)
    return Fit(level, error, 0.0, None) if level >= 0.0 else Fit(0.0, None, 0.0, None)


def _least_squares(design: FloatArray, y: FloatArray) -> tuple[list[float], list[float | None]]:
    """Coefficients and their standard errors; no errors where nothing is left over to judge by."""
    found, _, _, _ = np.linalg.lstsq(design, y, rcond=None)
    free = y.size - design.shape[1]
    if free < 1:
        return found.tolist(), [None] * design.shape[1]
    residual = y - design @ found
    spread = float(residual @ residual) / free * np.linalg.inv(design.T @ design)
    return found.tolist(), np.sqrt(np.diag(spread)).tolist()


def calibrated_from_fills(observations: pl.DataFrame) -> pl.DataFrame:
    """COST_CALIBRATION of each symbol with LEAST_FILLS observations or more, and of all together;
    symbols with fewer count in the latter.
    """
    groups = [
        (str(symbol), rows)
        for (symbol,), rows in observations.group_by("symbol", maintain_order=True)
    ]
    rows: list[dict[str, object]] = []
    for symbol, found in [*groups, (EVERY_SYMBOL, observations)]:
        if found.height < LEAST_FILLS:
            continue
        numbers = fit(found["slippage_bps"].to_numpy(), found["pressure_bps"].to_numpy())
        shared = {
            "symbol": symbol,
            "source": FILLS,
            "observations": found.height,
            "first": found["timestamp"].min(),
            "last": found["timestamp"].max(),
        }
        rows += [
            _row("half_spread_bps", numbers.half_spread_bps, numbers.half_spread_error, shared),
            _row("impact_coefficient", numbers.impact_coefficient, numbers.impact_error, shared),
        ]
    return _table(rows)


def calibrated_from_quotes(measured: pl.DataFrame, first: datetime, last: datetime) -> pl.DataFrame:
    """COST_CALIBRATION of each symbol in `measured` (spread_models.measured_half_spreads): the mean
    over the time that quotes stood.

    Quotes of one half-hour resemble each other, so the error is that of a weighted mean over half
    hours: sqrt(n / (n - 1) * sum w^2 (x - mean)^2) / sum w. `first` and `last`: the moments that
    the quotes span.
    """
    rows: list[dict[str, object]] = []
    for (symbol,), found in measured.drop_nulls("half_spread_bps").group_by(
        "symbol", maintain_order=True
    ):
        weight, half = found["seconds"].to_numpy(), found["half_spread_bps"].to_numpy()
        mean = float(np.sum(weight * half) / np.sum(weight))
        count = found.height
        scatter = float(np.sum((weight * (half - mean)) ** 2))
        error = (
            float(np.sqrt(count / (count - 1) * scatter) / np.sum(weight)) if count > 1 else None
        )
        shared = {
            "symbol": symbol,
            "source": QUOTES,
            "observations": int(found["quotes"].sum()),
            "first": first,
            "last": last,
        }
        rows.append(_row("half_spread_bps", mean, error, shared))
    return _table(rows)


def _row(
    parameter: str, estimate: float, error: float | None, shared: dict[str, object]
) -> dict[str, object]:
    symbol = str(shared["symbol"])
    digits = 2 if parameter == "half_spread_bps" else 3
    quoted = symbol if symbol.replace("-", "").replace("_", "").isalnum() else f'"{symbol}"'
    where = "costs" if symbol == EVERY_SYMBOL else f"costs.symbols.{quoted}"
    return {
        **shared,
        "parameter": parameter,
        "estimate": estimate,
        "standard_error": error,
        "setting": f"{where}.{parameter} = {estimate:.{digits}f}",
    }


def _table(rows: Sequence[dict[str, object]]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=COST_CALIBRATION.dtypes) if rows else COST_CALIBRATION.empty()
    return COST_CALIBRATION.conform(frame)
