"""Bars, quotes and trades from CSV and Parquet files, as they lie there.

The law: every row of a file becomes exactly one raw row, with the file and line it came from. A cell that cannot be read is null and
`defect` quotes it; a row whose timestamp cannot be read takes that of the nearest readable row before it in the file (else after it), so that it
still lands in a period and is reported. Only a file as a whole can be refused: no columns, no rows, not readable.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from re import error as PatternError
from re import search, sub

import polars as pl

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.listings import fresh_rows, listings_from_snapshots, listings_from_universe, with_events
from harmony_pipeline.market.settings import TIMEFRAME_MINUTES, FileSourceSettings
from harmony_pipeline.market.sources.axes import Axes, RememberedAxes, coded, in_groups
from harmony_pipeline.market.sources.base import SOURCE_BAR_ORDER, Request
from harmony_pipeline.market.sources.cells import Stamps, read_flags, read_numbers, read_stamps, read_texts
from harmony_pipeline.market.sources.columns import CLOCK, match_columns
from harmony_pipeline.market.sources.locate import Located, expand_path, find_files, reference_paths
from harmony_pipeline.market.sources.reference import read_corporate_actions, read_listing_events, read_listings, read_universe
from harmony_pipeline.market.sources.row_kinds import QUOTE, TRADE, row_kind
from harmony_pipeline.market.sources.stretches import Stretch, in_order, joined, nothing_said, quoted, stripped_words, unread_numbers, within
from harmony_pipeline.market.sources.tables import TextTable, read_text_tables
from harmony_pipeline.schemas import CORPORATE_ACTIONS, LISTINGS, UNIVERSE

_ALWAYS, _FOREVER = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_REMEMBERED_ROWS = 3_000_000  # parsed text kept between calls (about 400 MB), since a backfill asks for the same files period by period
_TICK_PREFIX = r"^(trades?|quotes?|ticks?|nbbo)[_\-. ]+"  # `trades_BAC_2013-10-08` is of BAC

_Signature = tuple[str, int, int, str]


class FileSource:
    """A MarketDataSource over files. `notes` holds what the last call of `bars` had to remark on without refusing."""

    name = "files"
    remote = False

    def __init__(self, settings: FileSourceSettings, calendar: Calendar, base: Path, timeframe: str = "1Min") -> None:
        """`base` is the folder that relative paths start from; `timeframe` is only what `stream` replays."""
        self.settings = settings
        self.calendar = calendar
        self.base = base
        self.timeframe = timeframe
        self.notes: list[str] = []
        self._parsed: dict[_Signature, tuple[list[pl.DataFrame], list[str]]] = {}
        self._spans: dict[_Signature, tuple[datetime, datetime]] = {}
        self._seen = RememberedAxes()

    @property
    def identity(self) -> str:
        """Files are all one supplier."""
        return self.name

    def fingerprint(self) -> str:
        """Changes when a file comes, goes, grows or is written again, and when the settings read it otherwise. Raises as `bars` does when no file is there."""
        files = find_files(self.settings.paths, self.base, self._reference_files(), [])
        read = [(file.origin, *_signature(file.path, "")[1:3]) for file in files]
        return repr((self.settings.model_dump(), self.calendar.zone, read))

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
        self.notes = []
        files = find_files(getattr(self.settings, key), self.base, self._reference_files(), self.notes, f"market.files.{key}")
        wanted = None if symbols is None else {*symbols, ""}  # a row that lost its symbol belongs to everyone: it must be reported
        frames: list[pl.DataFrame] = []
        with_rows = 0
        for file in files:
            if not self._may_hold(file, timeframe, start, end):
                with_rows += 1
                continue
            read = self._parquet(file, timeframe, start, end, wanted) if file.is_parquet else self._text(file, timeframe)
            with_rows += len(read)
            frames.extend(read if file.is_parquet else (within(frame, wanted, start, end) for frame in read))
        if not with_rows:
            raise DataError(
                f"{files[0].origin} has no rows{f' (nor have the {len(files) - 1} other files)' if files[1:] else ''}: fetch it again, or name another file"
            )
        table = in_order(pl.concat(frames or [pl.DataFrame(schema=row_kind(timeframe).dtypes)]))
        self._note_absent(symbols, table, start, end)
        return table

    def batches(self, start: datetime, end: datetime, timeframe: str, rows: int = 1_000_000) -> Iterator[pl.DataFrame]:
        """`bars(None, start, end, timeframe)` in frames of whole symbols, in order, of about `rows` rows; one frame where a file is text, which is read whole."""
        self.notes = []
        files = find_files(self.settings.paths, self.base, self._reference_files(), self.notes)
        groups: list[list[str]] = []
        if all(file.is_parquet for file in files):
            groups = in_groups(self._counts(files, timeframe, start, end), rows)
            files = [file for file in files if self._may_hold(file, timeframe, start, end)]
        if len(groups) < 2:
            yield self.bars(None, start, end, timeframe)
            return
        for group in groups:
            read = [frame for file in files for frame in self._parquet(file, timeframe, start, end, set(group))]
            yield in_order(pl.concat(read))

    def _may_hold(self, file: Located, timeframe: str, start: datetime, end: datetime) -> bool:
        """Whether a file can have rows in the range, as far as is known from reading it before."""
        span = self._spans.get(_signature(file.path, timeframe))
        return span is None or (span[1] >= start and span[0] < end)

    def _counts(self, files: Sequence[Located], timeframe: str, start: datetime, end: datetime) -> dict[str, int]:
        """Rows of each symbol in the range, over all files (Parquet)."""
        total: dict[str, int] = {}
        for file in files:
            if not self._may_hold(file, timeframe, start, end):
                continue
            axes = self._axes(file, timeframe)
            for name, count in ({} if axes is None else axes.counts(start, end)).items():
                total[name] = total.get(name, 0) + count
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
        if not path.is_file():
            raise DataError(f"market.files.{key} is '{text}', which does not exist (looked for {path}): correct the path, or take the setting out")
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
        absent = sorted(set(symbols or ()) - set(table["symbol"].unique().to_list()))
        if absent:
            shown = ", ".join(absent[:10]) + (f" and {len(absent) - 10} more" if absent[10:] else "")
            self.notes.append(f"no file has rows of {shown} from {start:%Y-%m-%d} to {end:%Y-%m-%d}")

    # --- one file -----------------------------------------------------------------------------------------------------

    def _text(self, file: Located, timeframe: str) -> list[pl.DataFrame]:
        """Every row of a text file, typed: one frame, or one a member of a zip. Empty tables are noted and left out."""
        signature = _signature(file.path, timeframe)
        if signature not in self._parsed:
            tables = list(read_text_tables(file.path, file.origin))
            empty = [note for table in tables if (note := self._emptiness(table, timeframe))]
            self._remember(signature, [self._typed_text(table, timeframe) for table in tables if table.cells.height], empty)
        frames, notes = self._parsed[signature]
        self.notes.extend(notes)
        return frames

    def _emptiness(self, table: TextTable, timeframe: str) -> str | None:
        """What to say of a table without rows; its header must be right all the same."""
        if table.cells.width:
            self._matched(table.cells.columns, table.origin, timeframe)
        found = "only a header" if table.cells.width else "no text at all"
        return None if table.cells.height else f"{table.origin} is empty ({found}): fetch it again, or take it out"

    def _matched(self, found: Sequence[str], origin: str, timeframe: str) -> dict[str, str]:
        ours = row_kind(timeframe).columns
        return match_columns(found, getattr(self.settings, ours.setting), origin, ours)

    def _typed_text(self, table: TextTable, timeframe: str) -> pl.DataFrame:
        matched = self._matched(table.cells.columns, table.origin, timeframe)
        stamps, unread = self._stamps(table.cells, matched, timeframe, table.origin)
        return self._typed(Stretch(table.cells, matched, stamps, [unread, table.bent], table.rows, table.origin, table.stem), timeframe)

    def _parquet(self, file: Located, timeframe: str, start: datetime, end: datetime, symbols: Collection[str] | None) -> list[pl.DataFrame]:
        """Timestamps and symbols are read first; the other columns only for the stretch of rows that the question needs."""
        try:
            axes = self._axes(file, timeframe)
            if axes is None:
                return []
            chosen = axes.chosen(start, end, symbols)
            inside = chosen.arg_true()
            if not len(inside):
                return [pl.DataFrame(schema=row_kind(timeframe).dtypes)]
            first, count = int(inside[0]), int(inside[-1]) - int(inside[0]) + 1
            cells = pl.scan_parquet(file.path).select(list(dict.fromkeys(axes.matched.values()))).slice(first, count).collect(engine="in-memory")
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{file.origin} is not a whole Parquet file ({str(error).splitlines()[0]}): fetch it again") from None
        rows = pl.int_range(first + 1, first + count + 1, dtype=pl.Int64, eager=True).alias("row")
        unread = axes.unread if axes.unread is not None else nothing_said(len(axes.stamps))
        stretch = Stretch(cells, axes.matched, axes.stamps.slice(first, count), [unread.slice(first, count)], rows, file.origin, file.stem)
        if len(inside) < count:
            stretch = stretch.only(chosen.slice(first, count))
        return [self._typed(stretch, timeframe)]

    def _axes(self, file: Located, timeframe: str) -> Axes | None:
        """Time and symbol of every row; None when there is no row."""
        signature = _signature(file.path, timeframe)
        axes = self._seen.get(signature)
        if axes is not None:
            return axes
        scan = pl.scan_parquet(file.path)
        matched = self._matched(scan.collect_schema().names(), file.origin, timeframe)
        cells = scan.select(list(dict.fromkeys(matched[name] for name in ("timestamp", CLOCK, "symbol") if name in matched))).collect(engine="in-memory")
        if not cells.height:
            self.notes.append(f"{file.origin} is empty (no rows): fetch it again, or take it out")
            return None
        stamps, unread = self._stamps(cells, matched, timeframe, file.origin)
        self._spans[signature] = (stamps.min(), stamps.max())  # type: ignore[assignment]
        codes, names = coded(self._symbols(cells, matched, file.origin, file.stem)[0])
        axes = Axes(matched, stamps, unread if unread.null_count() < len(unread) else None, codes, names)
        self._seen.keep(signature, axes)
        return axes

    def _stamps(self, cells: pl.DataFrame, matched: dict[str, str], timeframe: str, origin: str) -> tuple[pl.Series, pl.Series]:
        """Every row's timestamp, and for those that had to borrow one the sentence that says so."""
        found = cells[matched["timestamp"]]
        if CLOCK in matched:
            found = cells.select(pl.concat_str(pl.col(matched["timestamp"], matched[CLOCK]).cast(pl.String), separator=" ")).to_series().alias(found.name)
        read: Stamps = read_stamps(found, self.settings.timezone, self.settings.timestamp_format)
        instant = read.session_midnight(self.calendar.zone) if timeframe == "1Day" else read.instant
        unread = nothing_said(len(found))
        if not instant.null_count():
            return instant.alias("timestamp"), unread
        if instant.null_count() == len(instant):
            raise DataError(f"{origin} column '{found.name}' holds no readable time (its first value is '{found[0]}'): {self._stamp_cure()}")
        sentence = pl.format(f"{found.name} is {{}}, expected a time: {self._stamp_cure()}", quoted(found))
        unread = pl.DataFrame({"found": found, "instant": instant}).select(pl.when(pl.col("instant").is_null()).then(sentence.alias("unread")))["unread"]
        return instant.fill_null(strategy="forward").fill_null(strategy="backward").alias("timestamp"), unread

    def _stamp_cure(self) -> str:
        if self.settings.timestamp_format:
            return f"market.files.timestamp_format is '{self.settings.timestamp_format}'; correct the cell or the format"
        zone = self.settings.timezone
        return f"write it like 2024-01-31 14:30:00 (read in {zone}) or 2024-01-31T14:30:00Z, or set market.files.timestamp_format, such as %m/%d/%Y"

    def _typed(self, stretch: Stretch, timeframe: str) -> pl.DataFrame:
        cells, matched, kind = stretch.cells, stretch.matched, row_kind(timeframe)
        numbers = {name: read_numbers(cells[matched[name]]) for name in kind.numbers if name in matched}
        others = {name: read(cells[matched[name]]) for names, read in ((kind.texts, read_texts), (kind.flags, read_flags)) for name in names if name in matched}
        symbol, nameless = self._symbols(cells, matched, stretch.origin, stretch.stem)
        defects = [*stretch.marks, nameless, *(unread_numbers(cells[matched[name]], values) for name, values in numbers.items())]
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
        symbol = pl.Series("symbol", [self._symbol_in(stem, origin)], pl.String).new_from_index(0, cells.height)
        return symbol, pl.Series([None], dtype=pl.String).new_from_index(0, cells.height)

    def _symbol_in(self, stem: str, origin: str) -> str:
        pattern, stem = self.settings.symbol_from_filename, sub(_TICK_PREFIX, "", stem)
        try:
            found = search(pattern, stem)
            symbol = found[1] if found else ""
        except (PatternError, IndexError):
            raise ConfigError(f"market.files.symbol_from_filename is '{pattern}': it must be a regular expression with one group, such as ^([A-Z]+)") from None
        # `Spy_daily` must not become the symbol S, nor `2024-01-31` a symbol: such names were not meant.
        misread = found is not None and (stem[found.end(1) : found.end(1) + 1].islower() or search(r"^(19|20)\d\d-?[01]\d-?[0-3]\d$", symbol))
        if not symbol or misread:
            raise DataError(
                f"{origin} has no column of symbols, and market.files.symbol_from_filename ('{pattern}') finds none in '{stem}': "
                "rename the file like AAPL.csv, or set the pattern"
            )
        return symbol

    def _remember(self, signature: _Signature, frames: list[pl.DataFrame], notes: list[str]) -> None:
        self._parsed[signature] = frames, notes
        while len(self._parsed) > 1 and sum(frame.height for kept, _ in self._parsed.values() for frame in kept) > _REMEMBERED_ROWS:
            self._parsed.pop(next(iter(self._parsed)))


def _signature(path: Path, timeframe: str) -> _Signature:
    """Changes when the file does."""
    stat = path.stat()
    return str(path), stat.st_mtime_ns, stat.st_size, timeframe
