"""Rows for tests of the lake: a small table whose past is kept in files, and raw bars, which tell
it row by row.
"""

from datetime import UTC, date, datetime, timedelta

import polars as pl

START = datetime(2025, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float = 1.0) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


def actions(*values: float) -> pl.DataFrame:
    """Corporate actions, one symbol a value."""
    return pl.DataFrame(
        {
            "symbol": [f"S{number:04d}" for number in range(len(values))],
            "date": [date(2024, 1, 2)] * len(values),
            "kind": ["split"] * len(values),
            "value": [float(value) for value in values],
        },
        schema_overrides={"value": pl.Float64},
    )


def raw_rows(closes: dict[tuple[str, int], float], learned: datetime) -> pl.DataFrame:
    """Raw bars: (symbol, minute) to close, all learned at one moment."""
    return pl.DataFrame(
        [
            {"symbol": symbol, "timeframe": "1Min",
            "timestamp": datetime(2024, 1, 2, 15, tzinfo=UTC) + timedelta(minutes=minute),
            "close": close,
             "source": "files", "ingested_at": learned, "origin": "a.csv", "row": minute}
            for (symbol, minute), close in closes.items()
        ],
        schema_overrides={"timestamp": pl.Datetime("us", "UTC"), "ingested_at": pl.Datetime("us", "UTC"), "close": pl.Float64},
    )  # fmt: skip


def many_bars(symbols: int, minutes: int, first_symbol: int = 0) -> pl.DataFrame:
    """Bars of several symbols, sorted by symbol and minute; the prices are a fixed function of
    both.
    """
    stamps = pl.datetime_range(
        datetime(2024, 1, 2, 14, 30, tzinfo=UTC),
        interval="1m",
        closed="left",
        end=datetime(2024, 1, 2, 14, 30, tzinfo=UTC) + timedelta(minutes=minutes),
        time_unit="us",
        eager=True,
    )
    names = pl.DataFrame(
        {
            "symbol": [f"S{number:05d}" for number in range(first_symbol, first_symbol + symbols)],
            "level": [float(number % 97 + 10) for number in range(symbols)],
        }
    )
    price = pl.col("level") + (pl.col("timestamp").dt.epoch("s") // 60 % 391) / 100
    return names.join(pl.DataFrame({"timestamp": stamps}), how="cross",
    maintain_order="left_right").select(
        "symbol", pl.lit("1Min").alias("timeframe"), "timestamp",
        pl.lit("regular").alias("session"), price.alias("open"), (price + 0.01).alias("high"),
        (price - 0.01).alias("low"),
        price.alias("close"), pl.lit(100.0).alias("volume"), pl.lit(3.0).alias("trade_count"),
        price.alias("vwap"), pl.lit(1.0).alias("adjustment_factor"),
    )  # fmt: skip
