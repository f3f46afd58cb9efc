"""What every supplier of bars must do.

The law: a source reports what it received and decides nothing. It never drops, repairs or fills a row; what cannot be read is
handed on with `defect` set, and `market/quality.py` decides. A new source is one class with these five names, chosen in
`harmony.toml` by `market.source = "module:Class"`, and one test class that inherits `harmony_pipeline.testing.source_contract.SourceContract`.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

import polars as pl

from harmony_pipeline.schemas import RAW_BARS

SOURCE_BAR_DTYPES = {name: dtype for name, dtype in RAW_BARS.dtypes.items() if name != "ingested_at"}
SOURCE_BAR_ORDER = RAW_BARS.key


@runtime_checkable
class MarketDataSource(Protocol):
    """Bars, corporate actions and the universe, from anywhere.

    Obligations of every implementation:
    - `bars` is a pure function of its arguments and the supplier's data: the same call gives the same frame, bit for bit;
    - rows satisfy `start <= timestamp < end` (UTC, the bar's start), so reads of adjoining ranges make up one read of the whole;
    - columns, types and order are `SOURCE_BAR_DTYPES`, rows are sorted by `SOURCE_BAR_ORDER`;
    - an unknown symbol gives no rows, or a DataError that names it;
    - prices are raw (no split or dividend adjustment) and a bar without trades has no row;
    - a cell that could not be read is null and `defect` says, in a sentence, what stood where;
    - no row carries anything that was learned after the bar it describes;
    - trouble with the supplier is a DataError, with its settings a ConfigError, each in one line with the cure.
    """

    @property
    def name(self) -> str:
        """Short name; it stands in the column `source`."""
        ...

    def bars(self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str) -> pl.DataFrame:
        """Raw bars in `start <= timestamp < end`, of `symbols` or of every symbol when None."""
        ...

    def stream(self, symbols: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        """Bars as they end, oldest first: each frame holds the bars of one timestamp, in the columns of `bars`.

        A live source never ends; a recorded or simulated one replays what it has and then stops.
        """
        ...

    def corporate_actions(self, symbols: Sequence[str] | None) -> pl.DataFrame:
        """Splits and cash dividends in the columns of schemas.CORPORATE_ACTIONS; empty when the source has none."""
        ...

    def universe(self) -> pl.DataFrame:
        """Who was listed when, in the columns of schemas.UNIVERSE; empty when the source does not know."""
        ...
