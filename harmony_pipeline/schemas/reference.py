"""What is known of a market beside its prices: sessions, corporate actions, who was listed, and the
terms of each instrument.
"""

import polars as pl

from harmony_pipeline.schemas.table import DAY, FLAG, REAL, TEXT, TIME, WHOLE, Column, Table

EXCHANGE_SESSIONS = Table(
    "exchange_sessions",
    "When the market's exchange is open: one row a session of its calendar, whole from the first"
    " known to the last.",
    "none",
    ("date",),
    {
        "calendar": Column(TEXT, "its name in market.calendar"),
        "time_zone": Column(TEXT, "the exchange's clock"),
        "date": Column(
            pl.Date(),
            "session date; a session that begins the evening before bears the date on which it"
            " ends",
        ),
        "pre_open": Column(
            TIME, "start of extended hours before the open; the open where there are none"
        ),
        "open": Column(TIME, "start of regular trading, UTC"),
        "close": Column(TIME, "end of regular trading; early on half-days"),
        "post_close": Column(TIME, "end of extended hours after the close"),
        "break_start": Column(TIME, "start of lunch, where there is one", True),
        "break_end": Column(TIME, "end of lunch", True),
    },
)
CORPORATE_ACTIONS = Table(
    "corporate_actions",
    "Splits and cash dividends by ex-date.",
    "none",
    ("symbol", "date", "kind"),
    {
        "symbol": Column(TEXT),
        "date": Column(DAY, "ex-date"),
        "kind": Column(TEXT, "split or dividend"),
        "value": Column(REAL, "new shares per old share; cash per share"),
    },
)
UNIVERSE = Table(
    "universe",
    "Who was listed, as known then: a row holds from its date on until the security's next row.",
    "none",
    ("date", "symbol", "security_id"),
    {
        "date": Column(DAY, "from which it was known, before the open"),
        "symbol": Column(TEXT),
        "security_id": Column(
            TEXT,
            "the source's own id of the security behind the symbol; null where it has none",
            True,
        ),
        "listed": Column(DAY, "", True),
        "delisted": Column(DAY, "first day without trading", True),
        "shares": Column(REAL, "shares outstanding", True),
        "float": Column(REAL, "shares", True),
        "market_cap": Column(REAL, "currency", True),
        "sector": Column(TEXT, "", True),
    },
)
LISTINGS = Table(
    "listings",
    "Which security traded under which symbol from when to when, one row a version: what was"
    " learned of an end is a new row.",
    "none",
    ("security_id", "symbol", "valid_from", "known"),
    {
        "security_id": Column(TEXT, "the same through changes of symbol"),
        "symbol": Column(TEXT),
        "valid_from": Column(
            DAY, "first day under this symbol; null: before anything is known", True
        ),
        "valid_to": Column(DAY, "first day no longer; null: still valid, as known then", True),
        "listed": Column(DAY, "as the source states it", True),
        "delisted": Column(DAY, "first day without trading", True),
        "successor": Column(TEXT, "symbol that it continued under", True),
        "recovery": Column(REAL, "cash per share that a delisting paid; null: not stated", True),
        "reason": Column(TEXT, "listed, appeared, known, symbol_change or delisting"),
        "source": Column(TEXT, "where it was learned from"),
        "known": Column(DAY, "from which this version was known, before the open"),
    },
)
INSTRUMENTS = Table(
    "instruments",
    "The terms each symbol is traded by, one row a change: prices, quantities, barriers and fees"
    " are rounded by them.",
    "none",
    ("symbol", "valid_from"),
    {
        "symbol": Column(TEXT),
        "valid_from": Column(
            DAY, "first session date of these terms; the first terms hold before it too"
        ),
        "asset_class": Column(
            TEXT, one_of=("us_equity", "equity", "fx", "crypto", "future", "index")
        ),
        "venue": Column(TEXT, "exchange, where it is known", True),
        "calendar": Column(TEXT),
        "currency": Column(TEXT, "of prices and money, where it is known", True),
        "tick_size": Column(REAL, "smallest step of a price", above=0.0),
        "small_tick_size": Column(
            REAL, "step below small_tick_below; null: one step at all prices", True, above=0.0
        ),
        "small_tick_below": Column(REAL, "price", True, above=0.0),
        "price_precision": Column(WHOLE, "decimals of a price at tick_size"),
        "lot_size": Column(REAL, "smallest step of a quantity", above=0.0),
        "minimum_quantity": Column(REAL, "of an order", at_least=0.0),
        "minimum_notional": Column(REAL, "of an order, currency", at_least=0.0),
        "multiplier": Column(REAL, "value of one unit at a price of 1", above=0.0),
        "fee_unit": Column(REAL, "fees are rounded to it, currency", above=0.0),
        "shortable": Column(FLAG),
        "volume": Column(
            TEXT,
            "traded: participation goes by it; indicative: no common volume",
            one_of=("traded", "indicative"),
        ),
        "origin": Column(TEXT, "where the terms come from"),
    },
)
