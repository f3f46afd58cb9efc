"""Modelled half spreads against the measured one, on recorded quotes and trades of one session.

    PYTHONPATH=. python benchmarks/spread_models.py FOLDER [PICTURE.png]

FOLDER holds quotes_SYMBOL_DAY.parquet and trades_SYMBOL_DAY.parquet (symbol, timestamp and bid, ask
or price, size, conditions). Prints the session's mean of each model over its minutes beside the
mean of the quotes over time, and how long the models took.
"""

import sys
import time
from pathlib import Path
from typing import get_args

import polars as pl

from harmony_pipeline.execution.spread_models import (
    Model,
    by_time_of_day,
    half_spreads,
    measured_half_spreads,
)
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.ticks.bars import BarKind, trade_bars
from harmony_pipeline.reports.cost_figures import spread_comparison

NYSE = Calendar.of("XNYS")
MODELS = [model for model in get_args(Model) if model != "measured"]


def main(folder: str, picture: str | None = None) -> None:
    files = Path(folder)
    quotes, trades = (
        pl.concat([pl.read_parquet(file) for file in sorted(files.glob(f"{kind}_*.parquet"))])
        for kind in ("quotes", "trades")
    )
    bars = (
        trade_bars(trades, BarKind.of("1Min"), NYSE, "lean")
        .filter(session="regular")
        .sort("symbol", "timestamp")
        .with_columns(adjustment_factor=pl.lit(1.0))
    )
    began = time.perf_counter()
    measured = measured_half_spreads(quotes, NYSE)
    print(f"measured from {quotes.height:,} quotes in {time.perf_counter() - began:.3f} s")
    seconds = pl.col("seconds")
    means = measured.group_by("symbol", maintain_order=True).agg(
        measured=(pl.col("half_spread_bps") * seconds).sum() / seconds.sum()
    )
    minute = (pl.col("timestamp") - pl.col("timestamp").min().over("symbol")).dt.total_minutes()
    modelled = {}
    for model in MODELS:
        half_spreads(bars[:100], model)  # compiled before the clock starts
        began = time.perf_counter()
        column = half_spreads(bars, model, window=30)
        print(f"{model}: {bars.height:,} bars in {1e3 * (time.perf_counter() - began):.1f} ms")
        table = bars.select("symbol", minute=minute, half_spread_bps=column)
        modelled[model] = table
        means = means.join(
            table.group_by("symbol").agg(pl.col("half_spread_bps").mean().alias(model)),
            on="symbol",
        )
    with pl.Config(float_precision=2, tbl_hide_dataframe_shape=True):
        print(means)
    if picture:
        day = bars["timestamp"][0].date()
        Path(picture).write_bytes(
            spread_comparison(by_time_of_day(measured), modelled, f"Spreads on {day}")
        )


if __name__ == "__main__":
    main(*sys.argv[1:3])
