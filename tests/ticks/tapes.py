"""Small tapes written by hand or drawn by hypothesis."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import strategies as st

from harmony_pipeline.schemas import QUOTE_TICKS, TRADE_TICKS

LEARNED = datetime(2024, 6, 1, tzinfo=UTC)
OPEN = datetime(2024, 7, 2, 13, 30, tzinfo=UTC)  # a Tuesday, New York in summer


def at(seconds: float) -> datetime:
    """So many seconds after the open of 2024-07-02."""
    return OPEN + timedelta(seconds=seconds)


def trades(*rows, symbol="AAA", **other) -> pl.DataFrame:
    """(timestamp, price, size, conditions) a row; the last may be left out."""
    made = [
        {"symbol": symbol, "timestamp": row[0], "price": row[1], "size": row[2],
        "conditions": row[3] if len(row) > 3 else None, "suspicious": False,
         "exchange": "N", "source": "test", "ingested_at": LEARNED, "origin": "t.csv",
         "row": number, **other}
        for number, row in enumerate(rows, 2)
    ]  # fmt: skip
    return TRADE_TICKS.conform(pl.DataFrame(made, schema_overrides=TRADE_TICKS.dtypes))


def quotes(*rows, symbol="AAA", **other) -> pl.DataFrame:
    """(timestamp, bid, ask) a row."""
    made = [
        {"symbol": symbol, "timestamp": row[0], "bid": row[1], "bid_size": 100.0, "ask": row[2],
        "ask_size": 200.0, "source": "test",
         "ingested_at": LEARNED, "origin": "q.csv", "row": number, **other}
        for number, row in enumerate(rows, 2)
    ]  # fmt: skip
    return QUOTE_TICKS.conform(pl.DataFrame(made, schema_overrides=QUOTE_TICKS.dtypes))


@st.composite
def tapes(draw, most=120):
    """Trades of two symbols over an hour and a half around the open, with odd conditions, prices in
    cents and fractional sizes.
    """
    count = draw(st.integers(1, most))
    gaps = draw(st.lists(st.integers(0, 120_000_000), min_size=count, max_size=count))
    rows, moment = [], at(-1800)
    for gap in gaps:
        moment += timedelta(microseconds=gap)
        rows.append(
            {
                "symbol": draw(st.sampled_from(["AAA", "BBB"])),
                "timestamp": moment,
                "price": draw(st.integers(900, 1100)) / 100.0,
                "size": draw(st.sampled_from([1.0, 100.0, 0.1, 0.7, 250.0])),
                "conditions": draw(st.sampled_from([None, "@", "F", "I", "4", "T", "M", "@TI"])),
                "suspicious": draw(st.sampled_from([False, False, False, True])),
                "source": "test",
                "ingested_at": LEARNED,
            }
        )
    return pl.DataFrame(
        rows, schema={name: TRADE_TICKS.dtypes[name] for name in rows[0]}, orient="row"
    )
