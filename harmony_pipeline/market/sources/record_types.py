"""The three kinds of rows that files hold: bars, quotes and trades. What a file source reads is the same for each but for the columns.

Where a row of bars has a timeframe, a quote's is "quote" and a trade's "trade": that is how quarantine and the source's memory tell them apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harmony_pipeline.market.sources.base import SOURCE_BAR_DTYPES, SOURCE_BAR_ORDER, SOURCE_QUOTE_DTYPES, SOURCE_TRADE_DTYPES
from harmony_pipeline.market.sources.columns import BAR_COLUMNS, OPTIONAL_NUMBERS, PRICES, QUOTE_COLUMNS, REQUIRED_NUMBERS, TRADE_COLUMNS, Columns
from harmony_pipeline.schemas import QUOTE_TICKS, TEXT, TRADE_TICKS

QUOTE, TRADE = "quote", "trade"


@dataclass(frozen=True)
class RowKind:
    """How cells become columns, and the frame that they make, in `order`."""

    columns: Columns
    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    flags: tuple[str, ...]
    dtypes: Mapping[str, Any]
    order: tuple[str, ...]
    prices: tuple[str, ...]
    """the numbers that a fixed-point scale applies to"""


_BARS = RowKind(BAR_COLUMNS, (*REQUIRED_NUMBERS, *OPTIONAL_NUMBERS), (), (), SOURCE_BAR_DTYPES, SOURCE_BAR_ORDER, (*PRICES, "vwap"))
_TICKS = {
    QUOTE: RowKind(
        QUOTE_COLUMNS, ("bid", "bid_size", "ask", "ask_size"), ("conditions",), (), {**SOURCE_QUOTE_DTYPES, "defect": TEXT}, QUOTE_TICKS.key, ("bid", "ask")
    ),
    TRADE: RowKind(
        TRADE_COLUMNS,
        ("price", "size"),
        ("exchange", "conditions", "trade_id"),
        ("suspicious",),
        {**SOURCE_TRADE_DTYPES, "defect": TEXT},
        TRADE_TICKS.key,
        ("price",),
    ),
}


def row_kind(timeframe: str) -> RowKind:
    """The kind of the rows of one timeframe, "quote" and "trade" included."""
    return _TICKS.get(timeframe, _BARS)
