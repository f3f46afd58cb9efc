"""Bars, quotes and trades from CSV and Parquet files, as they lie there.

The law: every row of a file becomes exactly one raw row, with the file and line it came from. A cell that cannot be read is null and
`defect` quotes it; a row whose timestamp cannot be read takes that of the nearest readable row before it in the file (else after it), so that it
still lands in a period and is reported. Only a file as a whole can be refused: no columns, no rows, not readable.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.frames import formatted, ordered
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.listings import fresh_rows, listings_from_snapshots, listings_from_universe, with_events
from harmony_pipeline.market.settings import TIMEFRAME_MINUTES, FileSourceSettings
from harmony_pipeline.market.sources.bar_starts import bar_starts, shows_local_time
from harmony_pipeline.market.sources.base import SOURCE_BAR_ORDER, Request
from harmony_pipeline.market.sources.cell_parsing import Stamps, cell_texts, read_flags, read_stamps, read_texts, representable
from harmony_pipeline.market.sources.clock_numbers import clock_column, clock_texts
from harmony_pipeline.market.sources.columns import CLOCK, doubled_names, match_columns
from harmony_pipeline.market.sources.delimited_text import TextTable, read_text_tables
from harmony_pipeline.market.sources.file_accounting import FileAccount, shared_names
from harmony_pipeline.market.sources.file_discovery import Located, expand_path, find_files, obstacle, reference_paths
from harmony_pipeline.market.sources.number_parsing import decimal_of, read_numbers
from harmony_pipeline.market.sources.parquet_files import check_ends, check_types, parquet_errors
from harmony_pipeline.market.sources.parquet_index import Axes, RememberedAxes, coded, in_groups
from harmony_pipeline.market.sources.price_scale import divisor_of, found_divisor, scaled
from harmony_pipeline.market.sources.record_types import QUOTE, TRADE, row_kind
from harmony_pipeline.market.sources.reference import read_corporate_actions, read_listing_events, read_listings, read_universe
from harmony_pipeline.market.sources.row_batch import RowBatch, joined, nothing_said, quoted, stripped_words, unread_numbers, within
from harmony_pipeline.market.sources.symbol_names import symbol_of
from harmony_pipeline.market.sources.unpacking import TextLimits
from harmony_pipeline.market.timeframe_detection import SAMPLE_ROWS
from harmony_pipeline.schemas import CORPORATE_ACTIONS, LISTINGS, UNIVERSE
from harmony_pipeline.text import NAME, excerpt

_ALWAYS, _FOREVER = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_REMEMBERED_ROWS = 3_000_000  # parsed text kept between calls (about 400 MB), since a backfill asks for the same files period by period
_NOT_YET = timedelta(days=366)  # a stamp further ahead is unreadable: the clock of no market is so wrong

_Signature = tuple[str, int, int, str]
_Read = tuple[pl.DataFrame, str, str | None]  # rows of a table, where they come from, and the symbol where the name gave it


class FileSource:
    """A MarketDataSource over files.

    `notes` holds what the last call had to remark on without refusing, `accounts` the rows of each file that it looked at, `refusals` by file why
    its rows may not be kept (bars of another length), which ingest heeds.
    """

    name = "files"
    remote = False
    complete = True  # it gives every row that it has: what it gave before and gives no more is withdrawn

    def __init__(self, settings: FileSourceSettings, calendar: Calendar, base: Path, timeframe: str = "1Min", now: datetime | None = None) -> None:
        """`base` is the folder that relative paths start from; `timeframe` is only what `stream` replays; `now` is for tests."""
        self.settings = settings
        self.calendar = calendar
        self.base = base
        self.timeframe = timeframe
        self.notes: list[str] = []
        self.accounts: list[FileAccount] = []
        self._now = now
        self._limits = TextLimits(settings.max_text_megabytes << 20, settings.max_unpack_ratio)
        self._parsed: dict[_Signature, tuple[list[_Read], list[str]]] = {}
        self._spans: dict[_Signature, FileAccount] = {}
        self._seen = RememberedAxes()
        self._stamp_notes: dict[str, list[str]] = {}
        self.refusals: dict[str, str] = {}

    @property
    def identity(self) -> str:
        """Files are all one supplier."""
        return self.name

    def fingerprint(self) -> str:
        """Changes when a file comes, goes, grows or is written again, and when the settings read it otherwise. Raises as `bars` does when no file is there."""
        files = find_files(self.settings.paths, self.base, self._reference_files(), [])
        read = [(file.origin, *_signature(file, "")[1:3]) for file in files]
        return repr((self.settings.model_dump(), self.calendar.name, read))

    def requests(self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str) -> list[Request]:
        """One: a file is read whole anyway."""
        return [Request(None if symbols is None else tuple(symbols), start, end)]

    def bars(self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str) -> pl.DataFrame:
        """Every row of the files in `start <= timestamp < end`. Raises DataError for a file that cannot be used, ConfigError for a setting."""
        if timeframe not in TIMEFRAME_MINUTES:
            raise ConfigError(f"the timeframe is '{timeframe}': use one of {', '.join(TIMEFRAME_MINUTES)}")
        return self._read("paths", symbols, start, end, timeframe)

    def quotes(self, symbols: Sequence[str] | None, start: datetime, end: datetime) -> pl.DataFrame:
        """Every row of the files that `market.files.quotes` names; the columns of SOURCE_QUOTE_DTYPES and `defect`. Raises as `bars` does."""
        return self._read("quotes", symbols, start, end, QUOTE)

    def trades(self, symbols: Sequence[str] | None, start: datetime, end: datetime) -> pl.DataFrame:
        """Every row of the files that `market.files.trades` names; the columns of SOURCE_TRADE_DTYPES and `defect`. Raises as `bars` does."""
        return self._read("trades", symbols, start, end, TRADE)

    def _read(self, key: str, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str) -> pl.DataFrame:
        files = self._files(key)
        if symbols is not None and not symbols:
            raise ConfigError(f"no symbol is asked for, so that market.files.{key} is not read: name symbols, or none at all for every one")
        wanted = None if symbols is None else {*symbols, ""}  # a row that lost its symbol belongs to everyone: it must be reported
        frames: list[pl.DataFrame] = []
        with_rows = 0
        for file in files:
            if not self._may_hold(file, timeframe, start, end):
                with_rows += 1
                continue
            read = self._parquet(file, timeframe, start, end, wanted) if file.is_parquet else self._text_within(file, timeframe, start, end, wanted)
            with_rows += len(read)
            frames.extend(read)
        if not with_rows:
            raise DataError(
                f"{files[0].origin} has no rows{f' (nor have the {len(files) - 1} other files)' if files[1:] else ''}: fetch it again, or name another file"
            )
        table = ordered(pl.concat(frames or [pl.DataFrame(schema=row_kind(timeframe).dtypes)]), SOURCE_BAR_ORDER)
        self.notes.extend(shared_names(self.accounts))
        self._note_stamps()
        self._note_absent(symbols, table, start, end)
        return table

    def _files(self, key: str) -> list[Located]:
        """The files of a new question, for which notes and accounts begin anew."""
        self.notes, self.accounts = [], []
        return find_files(getattr(self.settings, key), self.base, self._reference_files(), self.notes, f"market.files.{key}")

    def batches(self, start: datetime, end: datetime, timeframe: str, rows: int = 1_000_000) -> Iterator[pl.DataFrame]:
        """`bars(None, start, end, timeframe)` in frames of whole symbols, in order, of about `rows` rows; one frame where a file is text, which is read whole."""
        files = self._files("paths")
        groups: list[list[str]] = []
        if all(file.is_parquet for file in files):
            groups = in_groups(self._counts(files, timeframe, start, end), rows)
            accounts, files = self.accounts, [file for file in files if self._may_hold(file, timeframe, start, end)]
        if len(groups) < 2:
            yield self.bars(None, start, end, timeframe)
            return
        for group in groups:
            read = [frame for file in files for frame in self._parquet(file, timeframe, start, end, set(group))]
            self.accounts = accounts
            yield ordered(pl.concat(read), SOURCE_BAR_ORDER)
        self._note_stamps()

    def _note_stamps(self) -> None:
        """What was seen of the stamps of the files that were read; said again in each call, since the files are remembered."""
        self.notes.extend(note for notes in self._stamp_notes.values() for note in notes if note not in self.notes)

    def _may_hold(self, file: Located, timeframe: str, start: datetime, end: datetime) -> bool:
        """Whether a file can have rows in the range, as far as is known from reading it before; if not, its account is closed here."""
        span = self._spans.get(_signature(file, timeframe))
        if span is None or (span.last >= start and span.first < end):
            return True
        self._account(replace(span, inside=0))
        return False

    def _account(self, account: FileAccount) -> None:
        if all(each.origin != account.origin for each in self.accounts):
            self.accounts.append(account)

    def _counts(self, files: Sequence[Located], timeframe: str, start: datetime, end: datetime) -> dict[str, int]:
        """Rows of each symbol in the range, over all files (Parquet)."""
        total: dict[str, int] = {}
        for file in files:
            if not self._may_hold(file, timeframe, start, end):
                continue
            axes = self._axes(file, timeframe)
            counts = {} if axes is None else axes.counts(start, end)
            for name, count in counts.items():
                total[name] = total.get(name, 0) + count
            if axes is not None:
                self._account(replace(self._spans[_signature(file, timeframe)], inside=sum(counts.values())))
        return total

    def stream(self, symbols: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        """Replays the files bar by bar at the source's timeframe: one frame a timestamp, then stops."""
        table = self.bars(symbols, _ALWAYS, _FOREVER, self.timeframe).sort("timestamp", *SOURCE_BAR_ORDER, maintain_order=True)
        begin = 0
        for length in table["timestamp"].rle().struct.field("len").to_list():
            yield table[begin : begin + length]
            begin += length

    def corporate_actions(self, symbols: Sequence[str] | None) -> pl.DataFrame:
        """The file that `corporate_actions` names; no rows when it names none."""
        path = self._reference_file("corporate_actions")
        table: pl.DataFrame = CORPORATE_ACTIONS.empty() if path is None else read_corporate_actions(path)
        return table if symbols is None else table.filter(pl.col("symbol").is_in(list(symbols)))

    def universe(self) -> pl.DataFrame:
        """The files that `universe` names; no rows when it names none. Of snapshots only what is new is kept, from the next session on."""
        rows = self._universe_rows()
        return fresh_rows(rows, self.calendar) if self.settings.universe_snapshots else rows

    def listings(self) -> pl.DataFrame:
        """Symbols through time: from the listings file, from the universe, and symbol changes and delistings among the corporate actions."""
        path, actions = self._reference_file("listings"), self._reference_file("corporate_actions")
        rows = self._universe_rows()
        stated = listings_from_snapshots(rows, self.calendar, self.name) if self.settings.universe_snapshots else listings_from_universe(rows, self.name)
        if path is not None:
            stated = pl.concat([stated, read_listings(path)]).unique(list(LISTINGS.key), keep="last", maintain_order=True).sort(LISTINGS.key)
        return stated if actions is None else with_events(stated, read_listing_events(actions), self.name)

    # --- which files --------------------------------------------------------------------------------------------------

    def _reference_file(self, key: str) -> Path | None:
        text: str | None = getattr(self.settings, key)
        if text is None:
            return None
        path = expand_path(text, self.base, f"market.files.{key}")
        hindrance = obstacle(path) or ("a folder, expected a file" if path.is_dir() else None)
        if hindrance == "not there":
            raise DataError(f"market.files.{key} is '{excerpt(text)}', which does not exist (looked for {path}): correct the path, or take the setting out")
        if hindrance is not None:
            raise DataError(f"market.files.{key} is '{excerpt(text)}', which is {hindrance}: name a file that can be read, or take the setting out")
        return path

    def _reference_files(self) -> set[Path]:
        named = [(key, getattr(self.settings, key)) for key in ("corporate_actions", "universe", "listings")]
        return {path.resolve() for key, text in named if text is not None for path in reference_paths(text, self.base, f"market.files.{key}")}

    def _universe_rows(self) -> pl.DataFrame:
        text = self.settings.universe
        if text is None:
            return UNIVERSE.empty()
        paths = reference_paths(text, self.base, "market.files.universe")
        if not paths:
            raise DataError(f"market.files.universe is '{text}', which does not exist: correct the path, or take the setting out")
        return UNIVERSE.conform(pl.concat([read_universe(path, self.settings.universe_columns, self.settings.universe_date) for path in paths]))

    def _note_absent(self, symbols: Sequence[str] | None, table: pl.DataFrame, start: datetime, end: datetime) -> None:
        if not symbols:
            return
        absent = sorted(set(symbols) - set(table["symbol"].unique().to_list()))
        if absent:
            shown = ", ".join(absent[:10]) + (f" and {len(absent) - 10} more" if absent[10:] else "")
            self.notes.append(f"no file has rows of {shown} from {start:%Y-%m-%d} to {end:%Y-%m-%d}")

    # --- one file -----------------------------------------------------------------------------------------------------

    def _text_within(self, file: Located, timeframe: str, start: datetime, end: datetime, symbols: Collection[str] | None) -> list[pl.DataFrame]:
        """The rows of a text file in the range: one frame, or one a table in it."""
        frames = []
        accounts: dict[str, FileAccount] = {}
        for frame, origin, symbol in self._text(file, timeframe):
            stamps = frame["timestamp"]
            inside = int(stamps.is_between(start, end, closed="left").sum())
            account = FileAccount(origin, frame.height, inside, *_ends(stamps), symbol)
            accounts[origin] = accounts[origin].with_rows_of(account) if origin in accounts else account
            frames.append(within(frame, symbols, start, end))
        for account in accounts.values():
            self._account(account)
        return frames

    def _text(self, file: Located, timeframe: str) -> list[_Read]:
        """Every row of a text file, typed: one frame, or one a table in it. Empty tables are noted and left out."""
        signature = _signature(file, timeframe)
        if signature not in self._parsed:
            read: list[_Read] = []
            notes: list[str] = []
            for table in read_text_tables(file.path, file.origin, self._limits):
                if note := self._emptiness(table, timeframe):
                    notes.append(note)
                if table.cells.height:
                    read.append(self._typed_text(table, timeframe, notes))
            self._remember(signature, read, list(dict.fromkeys(notes)))
        read, notes = self._parsed[signature]
        self.notes.extend(notes)
        return read

    def _emptiness(self, table: TextTable, timeframe: str) -> str | None:
        """What to say of a table without rows; its header must be right all the same."""
        if table.cells.width:
            self._matched(table.header, table.origin, timeframe)
        found = "only a header" if table.cells.width else "no text at all"
        return None if table.cells.height else f"{table.origin} is empty ({found}): fetch it again, or take it out"

    def _matched(self, found: Sequence[str], origin: str, timeframe: str) -> dict[str, str]:
        ours = row_kind(timeframe).columns
        return match_columns(found, getattr(self.settings, ours.setting), origin, ours)

    def _typed_text(self, table: TextTable, timeframe: str, notes: list[str]) -> _Read:
        matched = self._matched(table.header, table.origin, timeframe)
        for name in doubled_names(table.header):
            notes.append(f"{table.origin} names the column '{excerpt(name, NAME)}' more than once, and it was not read")
        if table.note:
            notes.append(table.note)
        prices = table.cells.select(list(dict.fromkeys(matched[name] for name in row_kind(timeframe).prices if name in matched)))
        divisor = self._divisor(prices, table.header, table.origin, notes)
        decimal = self.settings.decimal if self.settings.decimal != "auto" else decimal_of(prices.get_columns(), table.delimiter)
        stamps, unread = self._stamps(table.cells, matched, timeframe, table.origin, table.stem)
        self._refuse_hidden_clock(table, matched, stamps, timeframe)
        stretch = RowBatch(table.cells, matched, stamps, [unread, table.bent], table.rows, table.origin, table.stem, divisor, decimal)
        symbol = None if "symbol" in matched else symbol_of(table.stem, self.settings.symbol_from_filename, table.origin)
        return self._typed(stretch, timeframe), table.origin, symbol

    def _refuse_hidden_clock(self, table: TextTable, matched: dict[str, str], stamps: pl.Series, timeframe: str) -> None:
        """Intraday rows that all stand at midnight beside a column of times of day are half read: say which column is the other half."""
        if CLOCK in matched or TIMEFRAME_MINUTES.get(timeframe, 0) >= TIMEFRAME_MINUTES["1Day"]:
            return
        midnight = pl.time(0)
        local = pl.col("timestamp").dt.convert_time_zone(self.settings.timezone).dt.time()
        if not stamps.to_frame("timestamp").select((local == midnight).all()).item():
            return
        if clock := clock_column(table.cells, list(matched.values())):
            date = excerpt(matched["timestamp"], NAME)
            raise DataError(
                f"{table.origin} has only dates in '{date}' and times of day in '{excerpt(clock, NAME)}': "
                f'set under [market.files.columns] clock = "{excerpt(clock, NAME)}"'
            )

    def _divisor(self, prices: pl.DataFrame, names: Sequence[str], origin: str, notes: list[str]) -> float:
        if self.settings.price_scale is not None:
            return divisor_of(self.settings.price_scale)
        return found_divisor(prices, names, origin, self.calendar.zone, notes)

    def _parquet(self, file: Located, timeframe: str, start: datetime, end: datetime, symbols: Collection[str] | None) -> list[pl.DataFrame]:
        """Timestamps and symbols are read first; the other columns only for the stretch of rows that the question needs."""
        with parquet_errors(file.origin):
            axes = self._axes(file, timeframe)
            if axes is None:
                return []
            inside_range = axes.chosen(start, end, None)
            self._account(replace(self._spans[_signature(file, timeframe)], inside=int(inside_range.sum())))
            chosen = inside_range if symbols is None else axes.chosen(start, end, symbols)
            inside = chosen.arg_true()
            if not len(inside):
                return [pl.DataFrame(schema=row_kind(timeframe).dtypes)]
            first, count = int(inside[0]), int(inside[-1]) - int(inside[0]) + 1
            cells = pl.scan_parquet(file.path).select(list(dict.fromkeys(axes.matched.values()))).slice(first, count).collect(engine="in-memory")
            rows = pl.int_range(first + 1, first + count + 1, dtype=pl.Int64, eager=True).alias("row")
            unread = axes.unread if axes.unread is not None else nothing_said(len(axes.stamps))
            stamps, marks = axes.stamps.slice(first, count), [unread.slice(first, count)]
            stretch = RowBatch(cells, axes.matched, stamps, marks, rows, file.origin, file.stem, axes.divisor, self.settings.decimal)
            if len(inside) < count:
                stretch = stretch.only(chosen.slice(first, count))
            return [self._typed(stretch, timeframe)]

    def _axes(self, file: Located, timeframe: str) -> Axes | None:
        """Time and symbol of every row; None when there is no row."""
        signature = _signature(file, timeframe)
        axes = self._seen.get(signature)
        if axes is None:
            with parquet_errors(file.origin):
                axes = self._read_axes(file, timeframe)
            if axes is None:
                return None
            self._seen.keep(signature, axes)
            symbol = None if "symbol" in axes.matched else axes.names[0]
            self._spans[signature] = FileAccount(file.origin, len(axes.stamps), 0, *_ends(axes.stamps), symbol)
        self.notes.extend(note for note in axes.notes if note not in self.notes)
        return axes

    def _read_axes(self, file: Located, timeframe: str) -> Axes | None:
        check_ends(file.path, file.origin)
        scan, kind = pl.scan_parquet(file.path), row_kind(timeframe)
        schema = scan.collect_schema()
        matched = self._matched(schema.names(), file.origin, timeframe)
        check_types(schema, matched, kind.numbers, file.origin)
        cells = scan.select(list(dict.fromkeys(matched[name] for name in ("timestamp", CLOCK, "symbol") if name in matched))).collect(engine="in-memory")
        if not cells.height:
            self.notes.append(f"{file.origin} is empty (no rows): fetch it again, or take it out")
            return None
        priced = list(dict.fromkeys(matched[name] for name in kind.prices if name in matched))
        notes: list[str] = []
        prices = scan.select(priced).collect(engine="in-memory") if all(schema[name].is_integer() for name in priced) else pl.DataFrame()
        divisor = self._divisor(prices, schema.names(), file.origin, notes)
        stamps, unread = self._stamps(cells, matched, timeframe, file.origin, file.stem)
        codes, names = coded(self._symbols(cells, matched, file.origin, file.stem)[0])
        return Axes(matched, stamps, unread if unread.null_count() < len(unread) else None, codes, names, divisor, tuple(notes))

    def _stamps(self, cells: pl.DataFrame, matched: dict[str, str], timeframe: str, origin: str, stem: str) -> tuple[pl.Series, pl.Series]:
        """Every row's timestamp, and for those that had to borrow one the sentence that says so."""
        quoted_cells = found = cells[matched["timestamp"]]
        if CLOCK in matched:
            found, quoted_cells = self._date_and_clock(found, cells[matched[CLOCK]])
        latest = (self._now or datetime.now(UTC)) + _NOT_YET
        read: Stamps = read_stamps(found, self.settings.timezone, self.settings.timestamp_format, latest)
        groups = self._symbols(cells if shows_local_time(self.settings) else cells.head(SAMPLE_ROWS), matched, origin, stem)[0]
        placed = bar_starts(found, read, groups, self.settings, self.calendar, timeframe, origin)
        self._stamp_notes[origin] = placed.notes
        if placed.refusal is not None:
            self.refusals[origin] = placed.refusal
        instant = placed.starts
        unread = nothing_said(len(found))
        if not instant.null_count():
            return instant.alias("timestamp"), unread
        name, quoted_cells = excerpt(found.name, NAME), cell_texts(quoted_cells)
        if instant.null_count() == len(instant):
            first = excerpt(quoted_cells[0])
            raise DataError(f"{origin} column '{name}' holds no readable time (its first value is '{first}'): {self._stamp_cure()}")
        why = pl.lit(self._stamp_cure()) if placed.reasons is None else pl.lit(placed.reasons).fill_null(self._stamp_cure())
        sentence = formatted("{} is {}, expected a time: {}", pl.lit(name), quoted(quoted_cells), why)
        table = pl.DataFrame({"found": quoted_cells, "instant": instant})
        unread = table.select(pl.when(pl.col("instant").is_null()).then(sentence.alias("unread")))["unread"]
        return instant.fill_null(strategy="forward").fill_null(strategy="backward").alias("timestamp"), unread

    def _date_and_clock(self, date: pl.Series, clock: pl.Series) -> tuple[pl.Series, pl.Series]:
        """Date and time of day in one text, as read and as written."""
        pattern = self.settings.timestamp_format or ""
        days = representable(date).dt.date() if isinstance(date.dtype, pl.Datetime) else date
        read = clock if pattern else clock_texts(clock)
        for marks, digits in (("%H%M%S", 6), ("%H%M", 4)):
            if marks in pattern:
                read = clock.cast(pl.String).str.strip_chars().str.zfill(digits)
                break
        table = pl.DataFrame({"date": days.cast(pl.String), "read": read.cast(pl.String), "written": clock.cast(pl.String)})
        both = table.select(
            pl.concat_str("date", "read", separator=" "),
            written=pl.concat_str("date", "written", separator=" ", ignore_nulls=True),
        )
        return both["date"].alias(date.name), both["written"].alias(date.name)

    def _stamp_cure(self) -> str:
        if self.settings.timestamp_format:
            return f"market.files.timestamp_format is '{self.settings.timestamp_format}'; correct the cell or the format"
        zone = self.settings.timezone
        return f"write it like 2024-01-31 14:30:00 (read in {zone}) or 2024-01-31T14:30:00Z, or set market.files.timestamp_format, such as %m/%d/%Y"

    def _typed(self, stretch: RowBatch, timeframe: str) -> pl.DataFrame:
        cells, matched, kind = stretch.cells, stretch.matched, row_kind(timeframe)
        numbers = {name: read_numbers(cells[matched[name]], stretch.decimal) for name in kind.numbers if name in matched}
        others = {name: read(cells[matched[name]]) for names, read in ((kind.texts, read_texts), (kind.flags, read_flags)) for name in names if name in matched}
        symbol, nameless = self._symbols(cells, matched, stretch.origin, stretch.stem)
        defects = [*stretch.marks, nameless, *(unread_numbers(cells[matched[name]], values) for name, values in numbers.items())]
        if stretch.divisor != 1.0:
            numbers |= {name: scaled(numbers[name], stretch.divisor) for name in kind.prices if name in numbers}
        whole = pl.DataFrame({"timestamp": stretch.stamps, "row": stretch.rows, "symbol": symbol, "defect": joined(defects), **numbers, **others}).with_columns(
            timeframe=pl.lit(timeframe), source=pl.lit(self.name), origin=pl.lit(stretch.origin)
        )
        return whole.select(pl.col(name).cast(dtype) if name in whole.columns else pl.lit(None, dtype=dtype).alias(name) for name, dtype in kind.dtypes.items())

    def _symbols(self, cells: pl.DataFrame, matched: dict[str, str], origin: str, stem: str) -> tuple[pl.Series, pl.Series]:
        """Every row's symbol, from its column or else from the file's name; a row without one is kept under an empty name."""
        if "symbol" in matched:
            symbol = stripped_words(cells[matched["symbol"]].cast(pl.String)).alias("symbol")
            sentence = f"{matched['symbol']} is empty, expected a symbol: fill the cell"
            nameless = symbol.to_frame().select(pl.when(pl.col("symbol").is_null()).then(pl.lit(sentence)))[:, 0]
            return symbol.fill_null(""), nameless
        name = symbol_of(stem, self.settings.symbol_from_filename, origin)
        symbol = pl.Series("symbol", [name], pl.String).new_from_index(0, cells.height)
        return symbol, pl.Series([None], dtype=pl.String).new_from_index(0, cells.height)

    def _remember(self, signature: _Signature, read: list[_Read], notes: list[str]) -> None:
        self._parsed[signature] = read, notes
        while len(self._parsed) > 1 and sum(frame.height for kept, _ in self._parsed.values() for frame, _, _ in kept) > _REMEMBERED_ROWS:
            self._parsed.pop(next(iter(self._parsed)))


def _ends(stamps: pl.Series) -> tuple[datetime, datetime]:
    """The first and the last of some instants."""
    return stamps.min(), stamps.max()  # type: ignore[return-value]


def _signature(file: Located, timeframe: str) -> _Signature:
    """Changes when the file does. Raises DataError when it is gone."""
    try:
        stat = file.path.stat()
    except OSError as error:
        raise DataError(f"{file.origin} cannot be read ({error.strerror}): put it back, or take it out of market.files") from None
    return str(file.path), stat.st_mtime_ns, stat.st_size, timeframe
