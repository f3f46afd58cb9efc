"""Quotes and trades."""

from harmony_pipeline.schemas.table import FLAG, REAL, TEXT, TIME, WHOLE, Column, Table

_TICK = {
    "symbol": Column(TEXT),
    "timestamp": Column(TIME, "when it happened, UTC"),
}
_LEARNED = {
    "source": Column(TEXT, "which MarketDataSource"),
    "ingested_at": Column(TIME, "when it was learned"),
    "origin": Column(TEXT, "file or address it came from", True),
    "row": Column(WHOLE, "line or row number there, from 1", True),
}
QUOTE_TICKS = Table(
    "quote_ticks",
    "Changes of the national best bid and offer.",
    "day",
    ("symbol", "timestamp", "origin", "row"),
    {
        **_TICK,
        "bid": Column(REAL, "raw price; null: no bid", True),
        "bid_size": Column(REAL, "shares", True),
        "ask": Column(REAL, "raw price; null: no offer", True),
        "ask_size": Column(REAL, "shares", True),
        "conditions": Column(TEXT, "as the supplier writes them", True),
        **_LEARNED,
    },
)
TRADE_TICKS = Table(
    "trade_ticks",
    "Every trade as reported.",
    "day",
    ("symbol", "timestamp", "origin", "row"),
    {
        **_TICK,
        "price": Column(REAL, "raw price", True),
        "size": Column(REAL, "shares", True),
        "exchange": Column(TEXT, "as the supplier writes it", True),
        "conditions": Column(TEXT, "as the supplier writes them", True),
        "suspicious": Column(FLAG, "marked by the supplier", True),
        "trade_id": Column(TEXT, "", True),
        **_LEARNED,
    },
)
TICK_COUNTS = Table(
    "tick_counts",
    "What became of the quotes and trades received for a day: received = kept + quarantined +"
    " merged. Partitions quote-DAY and trade-DAY.",
    "day",
    ("timeframe", "symbol"),
    {
        "timeframe": Column(TEXT, "quote or trade"),
        "symbol": Column(TEXT),
        "received": Column(WHOLE, "rows"),
        "kept": Column(WHOLE, "rows in quote_ticks or trade_ticks"),
        "quarantined": Column(WHOLE, "rows in quarantine"),
        "merged": Column(WHOLE, "rows that another file had told already"),
    },
)
