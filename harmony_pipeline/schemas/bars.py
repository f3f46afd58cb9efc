"""Bars, raw and validated, and what is known of them: where each raw row went, what the quality
rules remember, one row a day, and which bars are absent.
"""

import polars as pl

from harmony_pipeline.schemas.table import DAY, REAL, STAMP, TEXT, TIME, WHOLE, Column, Table


def _bar_columns(nullable: bool) -> dict[str, Column]:
    """Prices and volume: as they came (nullable, whatever they say), or as bars may have them."""
    price = Column(REAL, "raw price", nullable, above=None if nullable else 0.0)
    return {
        "open": price,
        "high": price,
        "low": price,
        "close": price,
        "volume": Column(REAL, "shares", nullable, at_least=None if nullable else 0.0),
        "trade_count": Column(REAL, "trades in the bar", True),
        "vwap": Column(REAL, "volume-weighted price", True),
    }


_ID = {"symbol": Column(TEXT), "timeframe": Column(TEXT, "1Min, 15Min, 1Hour, 1Day, ...")}
RAW_BARS = Table(
    "raw_bars",
    "Bars as received, every version of a row with the moment it was learned; a cell that could not"
    " be read is null and `defect` says what stood there.",
    "trading",
    ("symbol", "timestamp", "ingested_at", "origin", "row"),
    {
        **_ID,
        **STAMP,
        **_bar_columns(True),
        "source": Column(TEXT, "which MarketDataSource"),
        "ingested_at": Column(TIME, "when it was learned"),
        "origin": Column(TEXT, "file or address it came from", True),
        "row": Column(WHOLE, "line or row number there, from 1", True),
        "defect": Column(TEXT, "what could not be read", True),
    },
    known_by="ingested_at",
    unique_key=False,
)
COVERAGE = Table(
    "coverage",
    "Which stretches of time were fetched from a supplier: a bar that is absent from one was not"
    " there.",
    "none",
    ("identity", "timeframe", "symbol", "start"),
    {
        "identity": Column(TEXT, "supplier, feed and adjustment"),
        "timeframe": Column(TEXT),
        "symbol": Column(TEXT, "* stands for every symbol of the source"),
        "start": Column(TIME),
        "end": Column(TIME, "exclusive"),
        "learned_at": Column(TIME, "when its last part was fetched"),
    },
)
FILE_ACCOUNTS = Table(
    "file_accounts",
    "How many rows of each file a period received when it was last read: what no period received"
    " lies outside the market's range.",
    "trading",
    ("reading", "origin"),
    {
        "reading": Column(TEXT, "which files were there and how they were read, as a hash"),
        "origin": Column(TEXT, "the file"),
        "rows": Column(WHOLE, "rows in the file, unreadable ones included"),
        "first": Column(TIME, "earliest readable time in the file", True),
        "last": Column(TIME, "latest readable time in the file", True),
        "received": Column(WHOLE, "rows that this period received"),
        "read_from": Column(TIME, "start of what was read for this period"),
        "read_to": Column(TIME, "exclusive end of it"),
    },
)
BAR_GRID = Table(
    "bar_grid",
    "Where bars of a timeframe start: as the settings say, or as the first bars of the lake"
    " showed.",
    "none",
    ("timeframe",),
    {
        "timeframe": Column(TEXT),
        "grid": Column(TEXT, "clock, session, or minutes after midnight; see market.grid"),
        "evidence": Column(TEXT, "what it was taken from"),
    },
)
BARS = Table(
    "bars",
    "Validated, de-duplicated, session-aware bars; past rows never change.",
    "trading",
    ("symbol", "timestamp"),
    {
        **_ID,
        **STAMP,
        "session": Column(TEXT, "pre, regular or post", one_of=("pre", "regular", "post")),
        **_bar_columns(False),
        "adjustment_factor": Column(
            REAL,
            "forward cumulative, 1.0 at the symbol's first bar: adjusted price = price * factor",
            above=0.0,
        ),
    },
    conditions=("high >= open and high >= close", "low <= open and low <= close"),
)
QUARANTINE = Table(
    "quarantine",
    "One row per raw row that is not in bars, and per quote or trade received that was not kept"
    " (partitions quote-DAY and trade-DAY).",
    "trading",
    ("symbol", "timestamp", "source", "row"),
    {
        "symbol": Column(TEXT),
        "timeframe": Column(TEXT, "1Min, 15Min, 1Hour, 1Day, ...; quote or trade for ticks"),
        "timestamp": Column(TIME, "start of the bar, UTC; when a tick happened"),
        "source": Column(TEXT),
        "origin": Column(TEXT, "", True),
        "row": Column(WHOLE, "where it came from", True),
        "rule": Column(TEXT, "name of the rule it broke"),
        "reason": Column(TEXT, "what was found, what was expected, the cure"),
    },
    unique_key=False,
)
QUALITY_WARNINGS = Table(
    "quality_warnings",
    "Bars that a rule found odd and let pass; a row that stands here is in bars, but for"
    " wrong_time_zone, which speaks of a whole file.",
    "trading",
    ("symbol", "timestamp", "rule"),
    {
        **_ID,
        "timestamp": Column(TIME, "start of the bar at which the rule knew, UTC"),
        "rule": Column(TEXT, "name of the rule"),
        "measure": Column(REAL, "what the rule measured: docs/quality.md", True),
        "reason": Column(TEXT, "what was found, what to do"),
    },
)
BAR_STATE = Table(
    "bar_state",
    "What the quality rules remember of every symbol seen up to the end of a period, so that the"
    " next one needs no earlier bar.",
    "trading",
    ("symbol",),
    {
        "symbol": Column(TEXT),
        "timestamp": Column(
            TIME, "start of its last regular bar, or of its last bar when none was regular"
        ),
        "close": Column(REAL, "last regular close", True),
        "adjustment_factor": Column(REAL, "forward cumulative, after its last bar"),
        "state": Column(
            pl.List(pl.Float64()), "flat memory vector: market/validation/symbol_state.py", True
        ),
    },
)
DAILY_SUMMARY = Table(
    "daily_summary",
    "One row a symbol and session, kept up to date at ingest. Prices raw.",
    "trading",
    ("symbol", "date"),
    {
        "symbol": Column(TEXT),
        "date": Column(DAY, "exchange session"),
        "open": Column(REAL, "first regular price", True),
        "high": Column(REAL, "regular", True),
        "low": Column(REAL, "regular", True),
        "close": Column(REAL, "last regular price", True),
        "volume": Column(REAL, "regular shares"),
        "bars": Column(WHOLE, "bars of every session part"),
        "regular_bars": Column(WHOLE, "regular bars"),
        "expected_regular_bars": Column(WHOLE, "by the calendar"),
        "last_timestamp": Column(TIME, "start of the day's last bar"),
        "adjustment_factor": Column(REAL, "of the day"),
        "premarket_volume": Column(REAL, "shares in bars ended by scan_time"),
        "premarket_high": Column(REAL, "", True),
        "premarket_low": Column(REAL, "", True),
        "premarket_last": Column(REAL, "last close known by scan_time", True),
        "premarket_bars": Column(WHOLE, "bars ended by scan_time"),
        "scan_time": Column(TIME, "the cutoff that the premarket columns use"),
        "postmarket_volume": Column(REAL, "shares"),
    },
)
GAPS = Table(
    "gaps",
    "Regular bars that the calendar expects and the lake does not have, as runs within a session.",
    "trading",
    ("symbol", "date", "first_missing"),
    {
        "symbol": Column(TEXT),
        "timeframe": Column(TEXT),
        "date": Column(DAY, "exchange session"),
        "first_missing": Column(TIME, "start of the first absent bar"),
        "last_missing": Column(TIME, "start of the last absent bar"),
        "bars": Column(WHOLE, "absent bars in the run"),
        "session_bars": Column(WHOLE, "bars expected in the session"),
        "kind": Column(TEXT, "missing, no_trade, halt or unknown"),
        "past_sessions": Column(WHOLE, "sessions with bars that the habit was learned from"),
        "usual_silence": Column(
            REAL, "share of absent bars at this time of day in past sessions", True
        ),
        "neighbour_trades": Column(
            REAL,
            "trades in the thinner of the bars that touch the run, estimated from volume where not"
            " counted",
            True,
        ),
        "evidence": Column(TEXT, "why it is of this kind"),
    },
)
