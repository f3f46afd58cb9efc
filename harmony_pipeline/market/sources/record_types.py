"""The three kinds of rows that files hold (bars, quotes, trades), and how the files of one question
are read.

Where a row of bars has a timeframe, a quote's is "quote" and a trade's "trade": quarantine and the
source's cache tell them apart by it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.base import (
    SOURCE_BAR_DTYPES,
    SOURCE_BAR_ORDER,
    SOURCE_QUOTE_DTYPES,
    SOURCE_TRADE_DTYPES,
)
from harmony_pipeline.market.sources.columns import (
    BAR_COLUMNS,
    OPTIONAL_NUMBERS,
    PRICES,
    QUOTE_COLUMNS,
    REQUIRED_NUMBERS,
    TRADE_COLUMNS,
    Columns,
    match_columns,
)
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


_BARS = RowKind(
    BAR_COLUMNS,
    (*REQUIRED_NUMBERS, *OPTIONAL_NUMBERS),
    (),
    (),
    SOURCE_BAR_DTYPES,
    SOURCE_BAR_ORDER,
    (*PRICES, "vwap"),
)
_TICKS = {
    QUOTE: RowKind(
        QUOTE_COLUMNS,
        ("bid", "bid_size", "ask", "ask_size"),
        ("conditions",),
        (),
        {**SOURCE_QUOTE_DTYPES, "defect": TEXT},
        QUOTE_TICKS.key,
        ("bid", "ask"),
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


@dataclass(frozen=True)
class Reading:
    """How files are read: the settings, the calendar of the market and the size of its bars, or
    QUOTE or TRADE.
    """

    settings: FileSourceSettings
    calendar: Calendar
    timeframe: str
    latest: datetime
    """a stamp after it cannot be read"""

    @property
    def kind(self) -> RowKind:
        """The kind of the rows."""
        return _TICKS.get(self.timeframe, _BARS)

    @property
    def chosen(self) -> Mapping[str, str]:
        """The columns that the settings name for rows of this kind: ours -> the file's."""
        settings = self.settings
        return {
            "columns": settings.columns,
            "quote_columns": settings.quote_columns,
            "trade_columns": settings.trade_columns,
        }[self.kind.columns.setting]

    def match(self, header: Sequence[str], origin: str) -> dict[str, str]:
        """Our column names -> those of a file. Raises DataError when a needed one is absent or
        stands twice.
        """
        formatted = self.settings.timestamp_format is not None
        return match_columns(header, self.chosen, origin, self.kind.columns, formatted=formatted)
