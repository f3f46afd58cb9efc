"""What every supplier of bars does, and how it declares what it can do besides.

A source reports what it received and decides nothing. It never drops, repairs or fills a row; what
cannot be read is handed on with `defect` set, and `market/validation/validate.py` decides. A new
source is one class that inherits `MarketDataSource`, named in `harmony.toml` by `market.source =
"module:Class"`, and one test class that inherits
`harmony_pipeline.testing.source_contract.SourceContract`.

    class MySource(MarketDataSource):
        name = "mine"
        capabilities = SourceCapabilities(trades=True)

Callers read `capabilities` and never probe. A source that declares nothing is one over a network
without optional abilities. It is asked piece by piece (`requests`); each answer is kept before the
next question, so that a killed download goes on where it stopped.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.sources.file_accounting import FileAccount
from harmony_pipeline.schemas import CORPORATE_ACTIONS, QUOTE_TICKS, RAW_BARS, TRADE_TICKS, UNIVERSE

SOURCE_BAR_DTYPES = {
    name: dtype for name, dtype in RAW_BARS.dtypes.items() if name != "ingested_at"
}
SOURCE_BAR_ORDER = ("symbol", "timestamp", "origin", "row")
SOURCE_QUOTE_DTYPES = {
    name: dtype for name, dtype in QUOTE_TICKS.dtypes.items() if name != "ingested_at"
}
SOURCE_TRADE_DTYPES = {
    name: dtype for name, dtype in TRADE_TICKS.dtypes.items() if name != "ingested_at"
}


@dataclass(frozen=True)
class Request:
    """One question to a source, small enough to be repeated: `start <= timestamp < end`; `symbols`
    None means every symbol.
    """

    symbols: tuple[str, ...] | None
    start: datetime
    end: datetime
    note: str | None = None
    """what people should know of the question itself, such as a range that the supplier does not
    keep
    """


def split_requests(
    symbols: Sequence[str] | None,
    start: datetime,
    end: datetime,
    symbols_each: int,
    span: timedelta,
) -> list[Request]:
    """Requests that tile symbols and time without overlap, oldest first; none when the range is
    empty.
    """
    groups = (
        [None]
        if symbols is None
        else [tuple(symbols[at : at + symbols_each]) for at in range(0, len(symbols), symbols_each)]
    )
    cuts, moment = [], start
    while moment < end:
        cuts.append((moment, min(moment + span, end)))
        moment += span
    return [Request(group, first, last) for first, last in cuts for group in groups]


@dataclass(frozen=True)
class SourceCapabilities:
    """What a source can do besides `bars`, and how its rows behave.

    A method whose flag is False raises ConfigError (`MarketDataSource` has it); the contract suite
    holds a source to every flag.
    """

    remote: bool = True
    """questions cost time or money: only what is missing is fetched; otherwise everything is read
    at each ingest
    """
    complete: bool = False
    """a read of every symbol gives all rows there are: a row that it gave before and gives no more
    is withdrawn
    """
    accounts: bool = False
    """results count the rows of each file"""
    reports_every_bar: bool = False
    """a bar without a trade has a row too, so that an absent one was lost"""
    publication_delay: timedelta = timedelta()
    """how long after its end a bar may be held back"""
    universe_of_today: bool = False
    """`universe` tells only who is listed today: its answers are added to earlier ones"""
    stream: bool = False
    listings: bool = False
    instruments: bool = False
    quotes: bool = False
    trades: bool = False
    fingerprint: bool = False
    self_check: bool = False


@dataclass(frozen=True)
class SourceResult:
    """What a source answered to one question, and what is to be said of it."""

    rows: pl.DataFrame
    notes: tuple[str, ...] = ()
    """remarks for people; none of them refuses anything"""
    refusals: tuple[str, ...] = ()
    """why rows of a file may not be kept (bars of another length), a sentence a file; ingest raises
    the first
    """
    accounts: tuple[FileAccount, ...] = ()
    """rows of each file that was looked at"""
    retries: int = 0
    """requests that were repeated because the supplier was busy, broken or silent"""


class MarketDataSource(ABC):
    """Bars, corporate actions and the universe, from anywhere.

    Obligations of every implementation:
    - `bars` is a pure function of its arguments and the supplier's data: the same call gives the
      same frame, bit for bit;
    - rows satisfy `start <= timestamp < end` (UTC, the bar's start), so reads of adjoining ranges
      make up one read of the whole;
    - columns, types and order are `SOURCE_BAR_DTYPES`, rows are sorted by `SOURCE_BAR_ORDER`;
    - an unknown symbol gives no rows, or a DataError that names it;
    - prices are raw (no split or dividend adjustment) and a bar without trades has no row;
    - a cell that could not be read is null and `defect` says, in a sentence, what stood where;
    - no row carries anything that was learned after the bar it describes;
    - trouble with the supplier is a DataError, with its settings a ConfigError, each in one line
      with the cure.
    """

    capabilities: SourceCapabilities = SourceCapabilities()

    @property
    @abstractmethod
    def name(self) -> str:
        """Short name; it stands in the column `source`."""

    @property
    def identity(self) -> str:
        """What the rows depend on besides the arguments of `bars`: supplier, feed, adjustment. Two
        sources of one identity agree on every row.
        """
        return self.name

    @abstractmethod
    def bars(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> pl.DataFrame:
        """Raw bars in `start <= timestamp < end`, of `symbols` or of every symbol when None."""

    def requests(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> list[Request]:
        """The questions that make up `bars(symbols, start, end, timeframe)`, oldest first; one,
        where nothing is gained by more.
        """
        return [Request(None if symbols is None else tuple(symbols), start, end)]

    def read_bars(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> SourceResult:
        """`bars`, with what is to be said of them."""
        return SourceResult(self.bars(symbols, start, end, timeframe))

    def read_batches(
        self, start: datetime, end: datetime, timeframe: str, rows: int
    ) -> Iterator[SourceResult]:
        """`read_bars` of every symbol in frames of whole symbols, in order, of about `rows` rows;
        one frame where memory gains nothing by more.
        """
        yield self.read_bars(None, start, end, timeframe)

    def corporate_actions(self, symbols: Sequence[str] | None) -> pl.DataFrame:
        """Splits and cash dividends in the columns of schemas.CORPORATE_ACTIONS; empty when the
        source has none.
        """
        return CORPORATE_ACTIONS.empty()

    def universe(self) -> pl.DataFrame:
        """Who was listed when, in the columns of schemas.UNIVERSE; empty when the source does not
        know.
        """
        return UNIVERSE.empty()

    # --- abilities that are declared --------------------------------------------------------------

    def stream(self, symbols: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        """Bars as they end, oldest first: each frame holds the bars of one timestamp, in the
        columns of `bars`.

        A live source never ends; a recorded or simulated one replays what it has and then stops. A
        bar that a live supplier corrects comes again, in a frame with an earlier timestamp; a
        caller that decides once a timestamp leaves it out.
        """
        raise self._lacks("stream of bars")

    def listings(self) -> pl.DataFrame:
        """Symbols through time in the columns of schemas.LISTINGS, each version known from its own
        date: more than the universe tells, such as changes of symbol.
        """
        raise self._lacks("listings")

    def instruments(self) -> pl.DataFrame:
        """The terms that symbols are traded by: symbol, valid_from (the day of the answer),
        since_ever (whether it may stand for the time before), and any columns of
        schemas.INSTRUMENTS that the source knows; null where it does not.
        """
        raise self._lacks("terms of instruments")

    def quotes(self, symbols: Sequence[str] | None, start: datetime, end: datetime) -> pl.DataFrame:
        """Changes of the best bid and offer, in the columns of SOURCE_QUOTE_DTYPES, sorted by
        QUOTE_TICKS.key.

        The obligations of `bars` hold. A source whose cells may be unreadable hands over the text
        column `defect` too. Ticks of one timestamp stand in the order of the tape (`origin`,
        `row`).
        """
        raise self._lacks("quotes")

    def trades(self, symbols: Sequence[str] | None, start: datetime, end: datetime) -> pl.DataFrame:
        """Every trade, in the columns of SOURCE_TRADE_DTYPES, sorted by TRADE_TICKS.key; as with
        `quotes`.
        """
        raise self._lacks("trades")

    def read_quotes(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime
    ) -> SourceResult:
        """`quotes`, with what is to be said of them."""
        return SourceResult(self.quotes(symbols, start, end))

    def read_trades(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime
    ) -> SourceResult:
        """`trades`, with what is to be said of them."""
        return SourceResult(self.trades(symbols, start, end))

    def fingerprint(self) -> str:
        """A text that changes whenever a read could give other rows, so that unchanged files are
        not read again.
        """
        raise self._lacks("fingerprint")

    def self_check(self) -> str:
        """Compare the supplier with this machine's settings; what was found, in a phrase. Raises
        ConfigError or DataError when they differ.
        """
        raise self._lacks("check of itself")

    def _lacks(self, what: str) -> ConfigError:
        return ConfigError(
            f"market.source {self.name} has no {what}: choose a source that has (docs/sources.md)"
        )
