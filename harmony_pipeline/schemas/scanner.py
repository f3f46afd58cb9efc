"""What the scan of a day found and chose."""

import polars as pl

from harmony_pipeline.schemas.table import DAY, FLAG, REAL, TEXT, TIME, WHOLE, Column, Table

SCAN_CANDIDATES = Table(
    "scan_candidates",
    "Every symbol with every measure and every reason for rejection.",
    "day",
    ("date", "symbol"),
    {
        "date": Column(DAY),
        "as_of": Column(TIME, "knowledge time"),
        "symbol": Column(TEXT),
        "price": Column(REAL, "last known", True),
        "previous_close": Column(REAL, "regular, adjusted for a split of today", True),
        "gap": Column(REAL, "price / previous_close - 1", True),
        "absolute_gap": Column(REAL, "", True),
        "premarket_volume": Column(REAL, "shares"),
        "relative_volume": Column(
            REAL, "same clock window, up to 20 sessions, split-adjusted", True
        ),
        "dollar_volume": Column(REAL, "previous session", True),
        "float": Column(REAL, "shares", True),
        "sector": Column(TEXT, "", True),
        "history_sessions": Column(WHOLE),
        "score": Column(REAL, "", True),
        "passed": Column(FLAG),
        "rejected_by": Column(pl.List(pl.String()), "every rule it broke, rank_limit included"),
    },
)
SCAN_SELECTIONS = Table(
    "scan_selections",
    "The symbols a session watches.",
    "day",
    ("date", "rank"),
    {
        "date": Column(DAY),
        "as_of": Column(TIME),
        "rank": Column(WHOLE),
        "symbol": Column(TEXT),
        "score": Column(REAL),
    },
)
