"""Placing a million minutes in the sessions of an exchange."""

import time

import numpy as np
import polars as pl

from harmony_pipeline.market.calendars import Calendar

ROWS = 1_000_000


def main() -> None:
    minutes = np.random.default_rng(1).integers(15_000_000, 28_000_000, ROWS)
    frame = pl.DataFrame(
        {"timestamp": pl.Series(minutes * 60_000_000).cast(pl.Datetime("us", "UTC"))}
    )
    calendar = Calendar.of("XNYS")
    started = time.perf_counter()
    calendar.with_session(frame, "1Min")
    print(f"a million minutes placed   {time.perf_counter() - started:.2f} s (target 0.5)")


if __name__ == "__main__":
    main()
