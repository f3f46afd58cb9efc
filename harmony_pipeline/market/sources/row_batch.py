"""From the cells of a table to typed rows: symbols, bar starts, numbers, and a sentence about each
cell that cannot be read.

Every row of a file becomes exactly one raw row, with the file and line it came from. A cell that
cannot be read is null and `defect` quotes it; only a file as a whole can be refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.file_clock import UTC_CLOCK, file_clock
from harmony_pipeline.market.sources.bar_starts import read_bar_starts
from harmony_pipeline.market.sources.cell_parsing import read_flags, read_texts, strip_names
from harmony_pipeline.market.sources.clock_numbers import clock_column
from harmony_pipeline.market.sources.columns import CLOCK, VOLUME, doubled_names
from harmony_pipeline.market.sources.file_name_symbols import AUTO, symbol_of
from harmony_pipeline.market.sources.number_parsing import find_number_format, read_number_columns
from harmony_pipeline.market.sources.record_types import Reading
from harmony_pipeline.market.sources.text_forms import TextTable
from harmony_pipeline.market.sources.vendors.profiles import (
    Profile,
    adapt_settings,
    clock_note,
    find_profile,
    venues_note,
)
from harmony_pipeline.market.sources.vendors.volumes import choose_volume
from harmony_pipeline.market.timeframes import TIMEFRAME_MINUTES
from harmony_pipeline.text import NAME, excerpt

NO_VOLUME = (
    "files without a column of volume have volume 0 in every row; if another column holds it, name"
    " it under [market.files.columns]"
)
NAME_OF_SOURCE = "files"


@dataclass(frozen=True)
class RowBatch:
    """Rows of one file whose symbols, starts and numbers are read; `defects` are sentences about
    each row, null where there is none.
    """

    cells: pl.DataFrame
    matched: Mapping[str, str]
    starts: pl.Series
    symbols: pl.Series
    numbers: dict[str, pl.Series]
    defects: list[pl.Series]
    rows: pl.Series
    origin: str


@dataclass(frozen=True)
class ParsedTable:
    """The typed rows of a table of text, and what is to be said of it; `symbol` is set where the
    file's name gave it.
    """

    rows: pl.DataFrame
    origin: str
    symbol: str | None
    notes: tuple[str, ...]
    refusal: str | None
    clocks: tuple[str, ...] = ()
    """those on which the vendor of the file writes stamps without a zone"""


def parse_table(table: TextTable, reading: Reading) -> ParsedTable:
    """The rows of a table of text. Raises DataError when the table cannot be used, ConfigError for
    a setting.
    """
    matched, origin = reading.match(table.header, table.origin), table.origin
    if table.timezone is not None and reading.settings.timezone == UTC_CLOCK.zone:
        own = reading.settings.model_copy(update={"timezone": table.timezone})
        reading = replace(reading, settings=own)
    is_bars, remarks = VOLUME in reading.kind.numbers, list[str | None]()
    profile = find_profile(table.header, table.layout) if is_bars else None
    if profile is not None:
        _require_symbol(profile, matched, reading, origin)
        remarks = [
            clock_note(reading.settings, profile, reading.timeframe),
            venues_note(profile, table.cells, matched, origin),
        ]
        settings = adapt_settings(reading.settings, profile, table.cells, table.stem)
        reading = replace(reading, settings=settings)
    matched = choose_volume(
        matched, table.header, reading.settings.columns, lambda name: _is_zero(table.cells[name])
    )
    notes = [
        f"{origin} names the column '{excerpt(name, NAME)}' more than once, and it was not read"
        for name in doubled_names(table.header)
    ]
    notes += [note for note in (table.note, *remarks) if note]
    if is_bars and VOLUME not in matched:
        notes.append(NO_VOLUME)
    prices = table.cells.select(
        list(dict.fromkeys(matched[name] for name in reading.kind.prices if name in matched))
    )
    if table.unit_question is not None and reading.settings.price_scale is None:
        raise DataError(table.unit_question)
    written = find_number_format(
        prices, table.header, table.delimiter, reading, origin, notes, table.price_divisor
    )
    numbers, unread = read_number_columns(table.cells, matched, reading, written)
    symbols, unnamed = read_symbols(table.cells, matched, reading, origin, table.stem)
    placed = read_bar_starts(table.cells, matched, symbols, reading, origin)
    _refuse_hidden_clock(table, matched, placed.starts, reading)
    batch = RowBatch(
        table.cells,
        matched,
        placed.starts,
        symbols,
        numbers,
        [placed.defects, table.bent, unnamed, *unread],
        table.rows,
        origin,
    )
    symbol = None if "symbol" in matched else symbols[0]
    return ParsedTable(
        typed_rows(batch, reading),
        origin,
        symbol,
        (*notes, *placed.notes),
        placed.refusal,
        () if profile is None else profile.clocks,
    )


def typed_rows(batch: RowBatch, reading: Reading) -> pl.DataFrame:
    """The rows of a batch in the columns of their kind."""
    cells, matched, kind = batch.cells, batch.matched, reading.kind
    numbers = batch.numbers
    if VOLUME in kind.numbers and VOLUME not in matched:
        numbers = numbers | {VOLUME: pl.Series(VOLUME, [0.0]).new_from_index(0, cells.height)}
    texts = {name: read_texts(cells[matched[name]]) for name in kind.texts if name in matched}
    flags = {name: read_flags(cells[matched[name]]) for name in kind.flags if name in matched}
    fixed = {
        "timestamp": batch.starts,
        "row": batch.rows,
        "symbol": batch.symbols,
        "defect": join_defects(batch.defects),
    }
    whole = pl.DataFrame({**fixed, **numbers, **texts, **flags}).with_columns(
        timeframe=pl.lit(reading.timeframe),
        source=pl.lit(NAME_OF_SOURCE),
        origin=pl.lit(batch.origin),
    )
    return whole.select(
        pl.col(name).cast(dtype) if name in whole.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in kind.dtypes.items()
    )


def _require_symbol(
    profile: Profile, matched: Mapping[str, str], reading: Reading, origin: str
) -> None:
    """Raises DataError for a file that names no symbol where its vendor can."""
    known = "symbol" in matched or reading.settings.symbol_from_filename != AUTO
    if profile.unnamed is not None and not known:
        raise DataError(
            f"{origin} is a file of {profile.name} without a column symbol: {profile.unnamed}"
        )


def _is_zero(cells: pl.Series) -> bool:
    """Whether a column of text holds 0 in every row."""
    return bool((cells.cast(pl.Float64, strict=False) == 0.0).all())


def read_symbols(
    cells: pl.DataFrame, matched: Mapping[str, str], reading: Reading, origin: str, stem: str
) -> tuple[pl.Series, pl.Series]:
    """Every row's symbol, from its column or else from the file's name, and the sentence about a
    row without one: it is kept under an empty name.
    """
    if "symbol" not in matched:
        name = symbol_of(stem, reading.settings.symbol_from_filename, origin)
        return pl.Series("symbol", [name], pl.String).new_from_index(0, cells.height), no_defects(
            cells.height
        )
    symbol = _strip_repeated(cells[matched["symbol"]].cast(pl.String)).alias("symbol")
    sentence = f"{matched['symbol']} is empty, expected a symbol: fill the cell"
    unnamed = symbol.to_frame().select(pl.when(pl.col("symbol").is_null()).then(pl.lit(sentence)))[
        :, 0
    ]
    return symbol.fill_null(""), unnamed


def no_defects(rows: int) -> pl.Series:
    """No sentence about any of `rows` rows."""
    return pl.Series("defect", [None], pl.String).new_from_index(0, rows)


def join_defects(sentences: list[pl.Series]) -> pl.Series:
    """One text a row out of all the sentences about it; null where there is none."""
    some = [
        sentence.alias(str(at))
        for at, sentence in enumerate(sentences)
        if sentence.null_count() < len(sentence)
    ]
    if not some:
        return sentences[0].alias("defect")
    text = pl.DataFrame(some).select(
        pl.concat_str(pl.all(), separator="; ", ignore_nulls=True).alias("defect")
    )
    return text.select(pl.when(pl.col("defect") != "").then("defect"))["defect"]


def _strip_repeated(text: pl.Series) -> pl.Series:
    """`strip_names` of a column with few different words, which as a rule need no change: the words
    alone show it.
    """
    words = text.unique().drop_nulls()
    return (
        text
        if len(words) * 4 < len(text) and strip_names(words).equals(words)
        else strip_names(text)
    )


def _refuse_hidden_clock(
    table: TextTable, matched: Mapping[str, str], stamps: pl.Series, reading: Reading
) -> None:
    """Intraday rows that all stand at midnight beside a column of times of day are half read: name
    the column that is the other half.
    """
    if CLOCK in matched or TIMEFRAME_MINUTES.get(reading.timeframe, 0) >= TIMEFRAME_MINUTES["1Day"]:
        return
    clock = file_clock(reading.settings.timezone)
    local = pl.col("timestamp").dt.convert_time_zone(clock.zone) + clock.ahead
    if not stamps.to_frame("timestamp").select((local.dt.time() == pl.time(0)).all()).item():
        return
    if times := clock_column(table.cells, list(matched.values())):
        date = excerpt(matched["timestamp"], NAME)
        raise DataError(
            f"{table.origin} has only dates in '{date}' and times of day in"
            f" '{excerpt(times, NAME)}': "
            f'set under [market.files.columns] clock = "{excerpt(times, NAME)}"'
        )
