"""What every supplier of bars must do.

The law: a source reports what it received and decides nothing. It never drops, repairs or fills a row; what cannot be read is
handed on with `defect` set, and `market/validation/validate.py` decides. A new source is one class with these five names, chosen in
`harmony.toml` by `market.source = "module:Class"`, and one test class that inherits `harmony_pipeline.testing.source_contract.SourceContract`.

A source over a network is asked piece by piece (`requests`): each answer is kept before the next question, so that a killed download
goes on where it stopped. Two attributes are optional: `remote = False` says that asking costs nothing, so everything is read at each ingest, and
`delay` (a timedelta) how long after its end a bar is held back. A source that has ticks has `quotes` and `trades` too (`TickSource`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

import polars as pl

from harmony_pipeline.schemas import QUOTE_TICKS, RAW_BARS, TRADE_TICKS

SOURCE_BAR_DTYPES = {name: dtype for name, dtype in RAW_BARS.dtypes.items() if name != "ingested_at"}
SOURCE_BAR_ORDER = ("symbol", "timestamp", "origin", "row")
SOURCE_QUOTE_DTYPES = {name: dtype for name, dtype in QUOTE_TICKS.dtypes.items() if name != "ingested_at"}
SOURCE_TRADE_DTYPES = {name: dtype for name, dtype in TRADE_TICKS.dtypes.items() if name != "ingested_at"}


@dataclass(frozen=True)
class Request:
    """One question to a source, small enough to be asked again: `start <= timestamp < end`; `symbols` None means every symbol."""

    symbols: tuple[str, ...] | None
    start: datetime
    end: datetime


def asked_in_pieces(symbols: Sequence[str] | None, start: datetime, end: datetime, symbols_each: int, span: timedelta) -> list[Request]:
    """Requests that tile symbols and time without overlap, oldest first; none when the range is empty."""
    groups = [None] if symbols is None else [tuple(symbols[at : at + symbols_each]) for at in range(0, len(symbols), symbols_each)]
    cuts, moment = [], start
    while moment < end:
        cuts.append((moment, min(moment + span, end)))
        moment += span
    return [Request(group, first, last) for first, last in cuts for group in groups]


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

    @property
    def identity(self) -> str:
        """What the rows depend on besides the arguments of `bars`: supplier, feed, adjustment. Two sources of one identity agree on every row."""
        ...

    def requests(self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str) -> list[Request]:
        """The questions that make up `bars(symbols, start, end, timeframe)`, oldest first; one, where nothing is gained by more."""
        ...

    def bars(self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str) -> pl.DataFrame:
        """Raw bars in `start <= timestamp < end`, of `symbols` or of every symbol when None."""
        ...

    def stream(self, symbols: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        """Bars as they end, oldest first: each frame holds the bars of one timestamp, in the columns of `bars`.

        A live source never ends; a recorded or simulated one replays what it has and then stops. A bar that a live supplier corrects comes again, in
        a frame with an earlier timestamp; whoever must decide once per moment leaves it out.
        """
        ...

    def corporate_actions(self, symbols: Sequence[str] | None) -> pl.DataFrame:
        """Splits and cash dividends in the columns of schemas.CORPORATE_ACTIONS; empty when the source has none."""
        ...

    def universe(self) -> pl.DataFrame:
        """Who was listed when, in the columns of schemas.UNIVERSE; empty when the source does not know.

        A source that tells only who is listed today says so by `universe_of_today = True`: its answers are added to what it said before.
        """
        ...


@runtime_checkable
class ListingSource(Protocol):
    """What a source offers that knows more of listings than its universe tells, such as changes of symbol."""

    def listings(self) -> pl.DataFrame:
        """Symbols through time in the columns of schemas.LISTINGS, each version known from its own date."""
        ...


@runtime_checkable
class InstrumentSource(Protocol):
    """What a source offers that knows the terms its symbols are traded by."""

    def instruments(self) -> pl.DataFrame:
        """symbol, valid_from (the day of the answer), since_ever (whether it may stand for the time before), and any columns of
        schemas.INSTRUMENTS that the source knows; null where it does not.
        """
        ...


@runtime_checkable
class TickSource(Protocol):
    """Quotes and trades, where a supplier has them. The obligations of `MarketDataSource.bars` hold: half-open, sorted, raw, a pure function.

    A source whose cells may be unreadable hands over the text column `defect` beside those of the table, as with bars. Ticks of one timestamp stand in
    the order of the tape (`origin`, `row`). A source that can name every symbol itself takes `symbols` None for all.
    """

    def quotes(self, symbols: Sequence[str] | None, start: datetime, end: datetime) -> pl.DataFrame:
        """Changes of the national best bid and offer, in the columns of SOURCE_QUOTE_DTYPES, sorted by QUOTE_TICKS.key."""
        ...

    def trades(self, symbols: Sequence[str] | None, start: datetime, end: datetime) -> pl.DataFrame:
        """Every trade, in the columns of SOURCE_TRADE_DTYPES, sorted by TRADE_TICKS.key."""
        ...
