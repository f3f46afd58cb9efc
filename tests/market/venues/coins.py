"""Candles for the local Binance."""

from datetime import timedelta

import numpy as np
import polars as pl

MINUTE = timedelta(minutes=1)


def minute_candles(start, count, seed=1, missing=()):
    """Candles of eight decimals; those numbered in `missing` do not exist."""
    rng = np.random.default_rng(seed)
    level = 0.01 * np.exp(np.cumsum(rng.normal(0, 0.001, count)))
    numbers = {
        "open": level,
        "high": level * 1.001,
        "low": level * 0.999,
        "close": level * (1 + rng.normal(0, 0.0004, count)),
        "volume": rng.uniform(0, 1e6, count),
    }
    frame = pl.DataFrame({name: np.round(values, 8) for name, values in numbers.items()})
    stamps = pl.Series(
        "timestamp", [start + MINUTE * at for at in range(count)], dtype=pl.Datetime("us", "UTC")
    )
    return frame.with_columns(stamps).filter(~pl.int_range(count).is_in(sorted(missing)))
