"""Small raw markets for the tests of the market room, written out by hand."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from harmony_pipeline.schemas import CORPORATE_ACTIONS, RAW_BARS, TIME

LEARNED = datetime(2024, 6, 1, tzinfo=UTC)
NO_ACTIONS = CORPORATE_ACTIONS.empty()
NOTHING_BEFORE = pl.DataFrame(
    schema={
        "symbol": pl.String(),
        "close": pl.Float64(),
        "adjustment_factor": pl.Float64(),
        "timestamp": TIME,
    }
)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def bar(
    timestamp: datetime, close: float = 100.0, symbol: str = "AAA", **other: Any
) -> dict[str, Any]:
    """One sound raw row; give other values by name."""
    row: dict[str, Any] = {
        "symbol": symbol,
        "timeframe": "15Min",
        "timestamp": timestamp,
        "open": close,
        "high": close,
        "low": close,
        "close": close,
        "volume": 1000.0,
        "source": "test",
        "ingested_at": LEARNED,
        "origin": "AAA.csv",
        "row": 2,
    }
    return row | other


def raw(*rows: dict[str, Any]) -> pl.DataFrame:
    return RAW_BARS.conform(
        pl.DataFrame(list(rows), infer_schema_length=None).cast(
            {"timestamp": TIME, "ingested_at": TIME}
        )
    )


def daily(closes: dict[date, float], symbol: str = "AAA") -> pl.DataFrame:
    return raw(
        *(
            bar(
                datetime(day.year, day.month, day.day, tzinfo=UTC),
                close,
                symbol,
                timeframe="1Day",
                row=at,
            )
            for at, (day, close) in enumerate(closes.items(), 2)
        )
    )


def actions(*rows: tuple[str, date, str, float]) -> pl.DataFrame:
    return CORPORATE_ACTIONS.conform(
        pl.DataFrame(rows, schema=["symbol", "date", "kind", "value"], orient="row")
    )


def quarter_hours(first: datetime, count: int) -> list[datetime]:
    return [first + timedelta(minutes=15 * at) for at in range(count)]
