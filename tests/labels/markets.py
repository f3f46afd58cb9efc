"""Small nasty markets for the label tests: gaps, missing bars, extended hours, a half-day, splits
and dividends.
"""

from datetime import UTC, datetime

import numpy as np
import polars as pl
from labels.naive import MINUTE, SESSIONS

TIME = pl.Datetime("us", "UTC")
STEP = 15 * MINUTE


def micros(day, clock):
    return int(datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC).timestamp()) * 1_000_000


def random_bars(seed, symbols=("A", "BB"), missing=0.1, swing=0.004, gap=0.02):
    """15Min bars from two hours before the open to one hour after the close, factors that change
    overnight.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for symbol in symbols:
        price, factor = float(rng.choice([0.97, 3.0, 50.0, 400.0])), 1.0
        for day, (opens, closes) in SESSIONS.items():
            if rng.random() < 0.5:
                new = float(rng.choice([4.0, 0.1, 1.0137, 1.002]))
                factor, price = factor * new, price / new
            price *= float(np.exp(rng.normal(0, gap)))
            for start in range(micros(day, opens) - 8 * STEP, micros(day, closes) + 4 * STEP, STEP):
                session = (
                    "pre"
                    if start < micros(day, opens)
                    else "regular"
                    if start < micros(day, closes)
                    else "post"
                )
                path = price * np.exp(np.cumsum(rng.normal(0, swing, 4)))
                places = 2 if price >= 1 else 4
                values = np.round([price, *path], places)
                price = float(path[-1])
                if rng.random() >= missing:
                    rows.append(
                        (
                            symbol,
                            start,
                            session,
                            values[0],
                            values.max(),
                            values.min(),
                            values[-1],
                            1000.0,
                            factor,
                        )
                    )
    return frame_of(rows)


def frame_of(rows):
    names = [
        "symbol",
        "timestamp",
        "session",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "adjustment_factor",
    ]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(
        pl.col("timestamp").cast(TIME), timeframe=pl.lit("15Min")
    )


def random_events(seed, bars, density=0.5):
    rng = np.random.default_rng(seed)
    chosen = bars.filter(pl.Series(rng.random(bars.height) < density)).select("symbol", "timestamp")
    return chosen.with_columns(
        side=pl.Series(rng.choice([-1, 1], chosen.height), dtype=pl.Int8),
        volatility=pl.Series(
            rng.choice([0.0, 0.001, 0.003, 0.01], chosen.height), dtype=pl.Float64
        ),
    )
