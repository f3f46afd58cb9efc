"""Bars, quotes and trades from CSV and Parquet files, as they lie there: which files hold a
question's rows, and what is remembered of them.

`row_batch.py` makes rows of their cells, and every row of a file becomes exactly one raw row. Only
a file as a whole can be refused: no columns, no rows, not readable.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.frames import sort_rows
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.base import (
    SOURCE_BAR_ORDER,
    MarketDataSource,
    SourceCapabilities,
    SourceResult,
)
from harmony_pipeline.market.sources.file_accounting import FileAccount, shared_names
from harmony_pipeline.market.sources.file_discovery import Located, find_files
from harmony_pipeline.market.sources.parquet_files import parquet_errors
from harmony_pipeline.market.sources.parquet_index import (
    CellCache,
    IndexCache,
    ParquetIndex,
    group_symbols,
    read_index,
    read_rows,
)
from harmony_pipeline.market.sources.record_types import QUOTE, TRADE, Reading
from harmony_pipeline.market.sources.reference import ReferenceFiles
from harmony_pipeline.market.sources.row_batch import NAME_OF_SOURCE, ParsedTable, parse_table
from harmony_pipeline.market.sources.text_forms import NOT_READ, TextTable
from harmony_pipeline.market.sources.text_tables import read_text_tables
from harmony_pipeline.market.sources.unpacking import TextLimits
from harmony_pipeline.market.timeframes import check_timeframe

_ALWAYS, _FOREVER = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
# parsed text kept between calls (about 400 MB), since a backfill asks for the same files period by
# period
_REMEMBERED_ROWS = 3_000_000
# a stamp further ahead is unreadable: the clock of no market is so wrong
_NOT_YET = timedelta(days=366)

_Signature = tuple[str, int, int, str]


@dataclass(frozen=True)
class _Question:
    """Rows of `symbols` (None: of all) in `start <= timestamp < end`, and how the files are
    read.
    """

    reading: Reading
    start: datetime
    end: datetime
    symbols: Collection[str] | None = None


@dataclass
class _Remarks:
    """What is to be said of the files of one question."""

    notes: list[str] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)
    accounts: dict[str, FileAccount] = field(default_factory=dict)

    def take(self, origin: str, notes: Sequence[str], refusal: str | None) -> None:
        """Add what was seen of one file."""
        self.notes.extend(note for note in notes if note not in self.notes)
        if refusal is not None:
            self.refusals[origin] = refusal

    def result(self, rows: pl.DataFrame, more: Sequence[str] = ()) -> SourceResult:
        """The answer: rows and remarks."""
        accounts = tuple(self.accounts.values())
        return SourceResult(
            rows,
            (*self.notes, *shared_names(list(accounts)), *more),
            tuple(self.refusals.values()),
            accounts,
        )


class FileSource(MarketDataSource):
    """A source over files."""

    name = NAME_OF_SOURCE

    def __init__(
        self,
        settings: FileSourceSettings,
        calendar: Calendar,
        base: Path,
        timeframe: str = "1Min",
        now: datetime | None = None,
    ) -> None:
        """`base` is the folder that relative paths start from; `timeframe` is only what `stream`
        replays; `now` is for tests.
        """
        self.settings = settings
        self.calendar = calendar
        self.base = base
        self.timeframe = timeframe
        self.capabilities = SourceCapabilities(
            remote=False,
            complete=True,
            accounts=True,
            stream=True,
            listings=True,
            fingerprint=True,
            quotes=bool(settings.quotes),
            trades=bool(settings.trades),
        )
        self._now = now
        self._limits = TextLimits(settings.max_text_megabytes << 20, settings.max_unpack_ratio)
        self._reference = ReferenceFiles(settings, calendar, base, self.name)
        self._parsed: dict[_Signature, tuple[list[ParsedTable], list[str]]] = {}
        self._spans: dict[_Signature, FileAccount] = {}
        self._indexes = IndexCache()
        self._cells = CellCache()

    def fingerprint(self) -> str:
        """Changes when a file comes, goes, grows or is written again, and when the settings read it
        otherwise. Raises as `bars` does when no file is there.
        """
        files = find_files(self.settings.paths, self.base, self._reference.paths(), [])
        read = [(file.origin, *_signature(file, "")[1:3]) for file in files]
        return repr((self.settings.model_dump(), self.calendar.name, read))

    def bars(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> pl.DataFrame:
        """Every row of the files in `start <= timestamp < end`. Raises DataError for a file that
        cannot be used, ConfigError for a setting.
        """
        return self.read_bars(symbols, start, end, timeframe).rows

    def read_bars(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> SourceResult:
        """`bars`, with notes, refusals and an account of each file. Raises as `bars` does."""
        check_timeframe(timeframe)
        return self._read("paths", self.settings.paths, symbols, start, end, timeframe)

    def quotes(self, symbols: Sequence[str] | None, start: datetime, end: datetime) -> pl.DataFrame:
        """Every row of the files that `market.files.quotes` names; the columns of
        SOURCE_QUOTE_DTYPES and `defect`. Raises as `bars` does.
        """
        return self.read_quotes(symbols, start, end).rows

    def trades(self, symbols: Sequence[str] | None, start: datetime, end: datetime) -> pl.DataFrame:
        """Every row of the files that `market.files.trades` names; the columns of
        SOURCE_TRADE_DTYPES and `defect`. Raises as `bars` does.
        """
        return self.read_trades(symbols, start, end).rows

    def read_quotes(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime
    ) -> SourceResult:
        """`quotes`, with notes and an account of each file."""
        return self._read("quotes", self.settings.quotes, symbols, start, end, QUOTE)

    def read_trades(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime
    ) -> SourceResult:
        """`trades`, with notes and an account of each file."""
        return self._read("trades", self.settings.trades, symbols, start, end, TRADE)

    def read_batches(
        self, start: datetime, end: datetime, timeframe: str, rows: int = 1_000_000
    ) -> Iterator[SourceResult]:
        """`read_bars` of every symbol in frames of whole symbols; one frame where a file is text,
        which is read whole. The first one has the remarks.
        """
        check_timeframe(timeframe)
        question, notes = _Question(self._reading(timeframe), start, end), list[str]()
        files = find_files(self.settings.paths, self.base, self._reference.paths(), notes)
        remarks, groups = _Remarks(list(notes)), list[list[str]]()
        if all(file.is_parquet for file in files):
            groups = group_symbols(self._counts(files, question, remarks), rows)
        if len(groups) < 2:
            yield self._read_files(files, question, _Remarks(notes))
            return
        inside = [file for file in files if self._may_hold(file, question, remarks)]
        for group in groups:
            part = replace(question, symbols=set(group))
            frames = [
                found
                for file in inside
                if (found := self._parquet(file, part, remarks, counted=True)) is not None
            ]
            yield remarks.result(sort_rows(pl.concat(frames), SOURCE_BAR_ORDER))
            remarks = _Remarks()

    def stream(self, symbols: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        """Replays the files bar by bar at the source's timeframe: one frame a timestamp, then
        stops.
        """
        table = self.bars(symbols, _ALWAYS, _FOREVER, self.timeframe).sort(
            "timestamp", *SOURCE_BAR_ORDER, maintain_order=True
        )
        begin = 0
        for length in table["timestamp"].rle().struct.field("len").to_list():
            yield table[begin : begin + length]
            begin += length

    def corporate_actions(self, symbols: Sequence[str] | None) -> pl.DataFrame:
        """The file that `corporate_actions` names; no rows when it names none."""
        table = self._reference.corporate_actions()
        return table if symbols is None else table.filter(pl.col("symbol").is_in(list(symbols)))

    def universe(self) -> pl.DataFrame:
        """The files that `universe` names; no rows when it names none."""
        return self._reference.universe()

    def listings(self) -> pl.DataFrame:
        """Symbols through time, from every file of reference data."""
        return self._reference.listings()

    def vendor_clocks(self) -> tuple[str, ...]:
        """Clocks on which the vendors of the text files read so far write stamps without a zone,
        likeliest first; empty where no file tells its vendor.
        """
        tables = (table for kept, _ in self._parsed.values() for table in kept)
        return tuple(dict.fromkeys(clock for table in tables for clock in table.clocks))

    # --- all files --------------------------------------------------------------------------------

    def _reading(self, timeframe: str) -> Reading:
        return Reading(
            self.settings, self.calendar, timeframe, (self._now or datetime.now(UTC)) + _NOT_YET
        )

    def _read(
        self,
        key: str,
        paths: Sequence[str],
        symbols: Sequence[str] | None,
        start: datetime,
        end: datetime,
        timeframe: str,
    ) -> SourceResult:
        notes: list[str] = []
        files = find_files(paths, self.base, self._reference.paths(), notes, f"market.files.{key}")
        if symbols is not None and not symbols:
            raise ConfigError(
                f"no symbol is asked for, so that market.files.{key} is not read: name symbols, or"
                " none at all for every one"
            )
        # A row that lost its symbol belongs to everyone: it must be reported.
        wanted = None if symbols is None else {*symbols, ""}
        question = _Question(self._reading(timeframe), start, end, wanted)
        return self._read_files(files, question, _Remarks(notes))

    def _read_files(
        self, files: Sequence[Located], question: _Question, remarks: _Remarks
    ) -> SourceResult:
        """Every row of `files` that a question asks for."""
        frames: list[pl.DataFrame] = []
        with_rows = 0
        for file in files:
            if not self._may_hold(file, question, remarks):
                with_rows += 1
                continue
            found = (
                [self._parquet(file, question, remarks)]
                if file.is_parquet
                else self._text(file, question, remarks)
            )
            found = [frame for frame in found if frame is not None]
            with_rows += len(found)
            frames.extend(found)
        if not with_rows:
            others = f" (nor have the {len(files) - 1} other files)" if files[1:] else ""
            why = next((note for note in remarks.notes if NOT_READ in note), "")
            raise DataError(
                f"{files[0].origin} has no rows{others}{f'; {why}' if why else ''}: fetch it again,"
                " or name another file"
            )
        table = sort_rows(
            pl.concat(frames or [pl.DataFrame(schema=question.reading.kind.dtypes)]),
            SOURCE_BAR_ORDER,
        )
        return remarks.result(table, _absent_symbols(question, table))

    def _may_hold(self, file: Located, question: _Question, remarks: _Remarks) -> bool:
        """Whether a file can have rows in the range, as far as is known from reading it before; if
        not, its account is closed here.
        """
        span = self._spans.get(_signature(file, question.reading.timeframe))
        if span is None or (span.last >= question.start and span.first < question.end):
            return True
        remarks.accounts.setdefault(span.origin, replace(span, inside=0))
        return False

    # --- one file ---------------------------------------------------------------------------------

    def _text(self, file: Located, question: _Question, remarks: _Remarks) -> list[pl.DataFrame]:
        """The rows of a text file in the range: one frame, or one a table in it."""
        tables, notes = self._parsed_text(file, question.reading)
        accounts: dict[str, FileAccount] = {}
        remarks.take(file.origin, notes, None)
        for table in tables:
            remarks.take(table.origin, table.notes, table.refusal)
            stamps = table.rows["timestamp"]
            inside = int(stamps.is_between(question.start, question.end, closed="left").sum())
            account = FileAccount(
                table.origin, table.rows.height, inside, *_first_and_last(stamps), table.symbol
            )
            accounts[table.origin] = (
                accounts[table.origin].with_rows_of(account)
                if table.origin in accounts
                else account
            )
        for origin, account in accounts.items():
            remarks.accounts.setdefault(origin, account)
        return [_cut(table.rows, question) for table in tables]

    def _parsed_text(self, file: Located, reading: Reading) -> tuple[list[ParsedTable], list[str]]:
        """Every table of a text file, typed, and notes of the empty ones, which are left out."""
        signature = _signature(file, reading.timeframe)
        if signature not in self._parsed:
            tables: list[ParsedTable] = []
            notes: list[str] = []
            for table in read_text_tables(file.path, file.origin, self._limits):
                if table.cells.height:
                    tables.append(parse_table(table, reading))
                else:
                    notes.append(_emptiness(table, reading))
            self._parsed[signature] = tables, notes
            while (
                len(self._parsed) > 1
                and sum(table.rows.height for kept, _ in self._parsed.values() for table in kept)
                > _REMEMBERED_ROWS
            ):
                self._parsed.pop(next(iter(self._parsed)))
            return tables, notes
        return self._parsed[signature]

    def _parquet(
        self, file: Located, question: _Question, remarks: _Remarks, *, counted: bool = False
    ) -> pl.DataFrame | None:
        """The rows of a Parquet file in the range; None when it has none at all. Its account is
        left alone where it was `counted` before.
        """
        with parquet_errors(file.origin):
            index = self._index(file, question.reading, remarks)
            if index is None:
                return None
            inside = index.select(question.start, question.end, None)
            if not counted:
                span = self._spans[_signature(file, question.reading.timeframe)]
                remarks.accounts.setdefault(span.origin, replace(span, inside=int(inside.sum())))
            selected = (
                inside
                if question.symbols is None
                else index.select(question.start, question.end, question.symbols)
            )
            signature = _signature(file, question.reading.timeframe)
            cells = partial(self._cells.read, signature, file, index)
            return read_rows(file, index, selected, question.reading, cells)

    def _index(self, file: Located, reading: Reading, remarks: _Remarks) -> ParquetIndex | None:
        """Time and symbol of every row; None when there is no row."""
        signature = _signature(file, reading.timeframe)
        index = self._indexes.get(signature)
        if index is None:
            with parquet_errors(file.origin):
                index = read_index(file, reading)
            if index is None:
                remarks.notes.append(
                    f"{file.origin} is empty (no rows): fetch it again, or take it out"
                )
                return None
            self._indexes.keep(signature, index)
            symbol = None if "symbol" in index.matched else index.names[0]
            self._spans[signature] = FileAccount(
                file.origin, len(index.starts), 0, *_first_and_last(index.starts), symbol
            )
        remarks.take(file.origin, index.notes, index.refusal)
        return index

    def _counts(
        self, files: Sequence[Located], question: _Question, remarks: _Remarks
    ) -> dict[str, int]:
        """Rows of each symbol in the range, over all files (Parquet)."""
        total: dict[str, int] = {}
        for file in files:
            if not self._may_hold(file, question, remarks):
                continue
            index = self._index(file, question.reading, remarks)
            if index is None:
                continue
            counts = index.count(question.start, question.end)
            for name, count in counts.items():
                total[name] = total.get(name, 0) + count
            span = self._spans[_signature(file, question.reading.timeframe)]
            remarks.accounts.setdefault(span.origin, replace(span, inside=sum(counts.values())))
        return total


def _cut(rows: pl.DataFrame, question: _Question) -> pl.DataFrame:
    wanted = pl.col("timestamp").is_between(question.start, question.end, closed="left")
    if question.symbols is not None:
        wanted &= pl.col("symbol").is_in(list(question.symbols))
    return rows.filter(wanted)


def _emptiness(table: TextTable, reading: Reading) -> str:
    """What to say of a table without rows; its header must be right all the same."""
    if table.note and not table.cells.width:
        return table.note
    if table.cells.width:
        reading.match(table.header, table.origin)
    found = "only a header" if table.cells.width else "no text at all"
    return f"{table.origin} is empty ({found}): fetch it again, or take it out"


def _absent_symbols(question: _Question, table: pl.DataFrame) -> list[str]:
    """What to say of symbols that were asked for and have no row."""
    absent = sorted(set(question.symbols or ()) - {"", *table["symbol"].unique().to_list()})
    if not absent:
        return []
    shown = ", ".join(absent[:10]) + (f" and {len(absent) - 10} more" if absent[10:] else "")
    return [
        f"no file has rows of {shown} from {question.start:%Y-%m-%d} to {question.end:%Y-%m-%d}"
    ]


def _first_and_last(stamps: pl.Series) -> tuple[datetime, datetime]:
    return stamps.min(), stamps.max()  # type: ignore[return-value]


def _signature(file: Located, timeframe: str) -> _Signature:
    """Changes when the file does. Raises DataError when it is gone."""
    try:
        stat = file.path.stat()
    except OSError as error:
        raise DataError(
            f"{file.origin} cannot be read ({error.strerror}): put it back, or take it out of"
            " market.files"
        ) from None
    return str(file.path), stat.st_mtime_ns, stat.st_size, timeframe
