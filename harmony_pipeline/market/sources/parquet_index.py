"""Parquet files: time and symbol of every row are read first, the other columns only for the rows
that a question needs.

The index is kept for files that are read again (period after period, symbols after symbols): 12
bytes a row. So are the cells of small files whose periods lie all over them, as where rows are
sorted by symbol: each period would decode the whole file.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl

from harmony_pipeline.market.sources.bar_starts import read_bar_starts
from harmony_pipeline.market.sources.columns import CLOCK, VOLUME
from harmony_pipeline.market.sources.file_discovery import Located
from harmony_pipeline.market.sources.number_parsing import (
    NumberFormat,
    find_number_format,
    read_number_columns,
)
from harmony_pipeline.market.sources.parquet_files import check_ends, check_types
from harmony_pipeline.market.sources.record_types import Reading
from harmony_pipeline.market.sources.row_batch import (
    NO_VOLUME,
    RowBatch,
    no_defects,
    read_symbols,
    typed_rows,
)
from harmony_pipeline.market.sources.vendors.profiles import (
    clock_note,
    find_profile,
    on_server_clock,
)
from harmony_pipeline.market.sources.vendors.volumes import choose_volume

_REMEMBERED_ROWS = 10_000_000  # 120 MB
_REMEMBERED_BYTES = 1 << 26  # of cells


@dataclass(frozen=True)
class ParquetIndex:
    """`starts` are UTC, one a row; `defects` say where one had to be borrowed (None: nowhere);
    `codes` are places in `names`.
    """

    matched: dict[str, str]
    starts: pl.Series
    defects: pl.Series | None
    codes: pl.Series
    names: list[str]
    numbers: NumberFormat
    notes: tuple[str, ...]
    refusal: str | None

    def select(self, start: datetime, end: datetime, symbols: Collection[str] | None) -> pl.Series:
        """Whether each row lies in `start <= t < end` and belongs to one of `symbols` (None: to
        any).
        """
        inside = self.starts.is_between(start, end, closed="left")
        if symbols is None:
            return inside
        return inside & self.codes.is_in(
            [code for code, name in enumerate(self.names) if name in symbols]
        )

    def count(self, start: datetime, end: datetime) -> dict[str, int]:
        """Rows of each symbol in `start <= t < end`."""
        found = self.codes.filter(self.select(start, end, None)).value_counts()
        return {self.names[code]: count for code, count in found.iter_rows()}


class IndexCache:
    """The indexes of the files that were read last, as far as there is room."""

    def __init__(self) -> None:
        self._kept: dict[object, ParquetIndex] = {}

    def get(self, signature: object) -> ParquetIndex | None:
        """That of a file that has not changed since."""
        return self._kept.get(signature)

    def keep(self, signature: object, index: ParquetIndex) -> None:
        """Remember one more and forget the oldest."""
        self._kept[signature] = index
        while (
            len(self._kept) > 1
            and sum(len(each.starts) for each in self._kept.values()) > _REMEMBERED_ROWS
        ):
            self._kept.pop(next(iter(self._kept)))


class CellCache:
    """The cells of whole files that were read last, as far as there is room; at most half of it
    goes to one file.
    """

    def __init__(self) -> None:
        self._kept: dict[object, pl.DataFrame] = {}

    def read(
        self, signature: object, file: Located, index: ParquetIndex, first: int, count: int
    ) -> pl.DataFrame:
        """The cells of `count` rows from number `first` on, of the file as its signature says.

        A small file is read whole and kept where they span half of it or more.
        """
        kept = self._kept.get(signature)
        if kept is not None:
            return kept.slice(first, count)
        cells = pl.scan_parquet(file.path).select(list(dict.fromkeys(index.matched.values())))
        if 2 * count < len(index.starts) or not _is_small(index):
            return cells.slice(first, count).collect(engine="in-memory")
        whole = cells.collect(engine="in-memory")
        if 2 * whole.estimated_size() <= _REMEMBERED_BYTES:
            self._keep(signature, whole)
        return whole.slice(first, count)

    def _keep(self, signature: object, cells: pl.DataFrame) -> None:
        self._kept[signature] = cells
        while sum(each.estimated_size() for each in self._kept.values()) > _REMEMBERED_BYTES:
            self._kept.pop(next(iter(self._kept)))


def _is_small(index: ParquetIndex) -> bool:
    """Whether the cells may fit in, by what numbers take."""
    return 2 * 8 * len(index.matched) * len(index.starts) <= _REMEMBERED_BYTES


def read_index(file: Located, reading: Reading) -> ParquetIndex | None:
    """Time and symbol of every row; None when there is no row. Raises DataError for a file that
    cannot be used.
    """
    check_ends(file.path, file.origin)
    scan, kind = pl.scan_parquet(file.path), reading.kind
    schema = scan.collect_schema()
    matched = choose_volume(
        reading.match(schema.names(), file.origin),
        schema.names(),
        reading.settings.columns,
        lambda name: _is_zero(scan, name),
    )
    check_types(schema, matched, kind.numbers, file.origin)
    cells = scan.select(
        list(
            dict.fromkeys(
                matched[name] for name in ("timestamp", CLOCK, "symbol") if name in matched
            )
        )
    ).collect(engine="in-memory")
    if not cells.height:
        return None
    priced = list(dict.fromkeys(matched[name] for name in kind.prices if name in matched))
    prices = (
        scan.select(priced).collect(engine="in-memory")
        if all(schema[name].is_integer() for name in priced)
        else pl.DataFrame()
    )
    is_bars, notes = VOLUME in kind.numbers, list[str]()
    if is_bars and VOLUME not in matched:
        notes.append(NO_VOLUME)
    if is_bars and (profile := find_profile(schema.names(), None)):
        remark = clock_note(reading.settings, profile, reading.timeframe)
        notes += [remark] if remark else []
        reading = replace(reading, settings=on_server_clock(reading.settings, profile))
    numbers = find_number_format(prices, schema.names(), ",", reading, file.origin, notes)
    symbols = read_symbols(cells, matched, reading, file.origin, file.stem)[0]
    placed = read_bar_starts(cells, matched, symbols, reading, file.origin)
    defects = placed.defects if placed.defects.null_count() < len(placed.defects) else None
    return ParquetIndex(
        matched,
        placed.starts,
        defects,
        *_encode(symbols),
        numbers,
        (*notes, *placed.notes),
        placed.refusal,
    )


def _is_zero(scan: pl.LazyFrame, name: str) -> bool:
    column = pl.col(name).cast(pl.Float64, strict=False)
    return bool(scan.select((column == 0.0).all()).collect(engine="in-memory").item())


def read_rows(
    file: Located,
    index: ParquetIndex,
    selected: pl.Series,
    reading: Reading,
    read_cells: Callable[[int, int], pl.DataFrame],
) -> pl.DataFrame:
    """The typed rows of a file where `selected` is true; `read_cells` is given the first of them
    and how many rows to read from there on.
    """
    places = selected.arg_true()
    if not len(places):
        return pl.DataFrame(schema=reading.kind.dtypes)
    first, count = int(places[0]), int(places[-1]) - int(places[0]) + 1
    cells = read_cells(first, count)
    rows = pl.int_range(first + 1, first + count + 1, dtype=pl.Int64, eager=True).alias("row")
    starts = index.starts.slice(first, count)
    borrowed = no_defects(count) if index.defects is None else index.defects.slice(first, count)
    if len(places) < count:
        wanted = selected.slice(first, count)
        cells = cells.filter(wanted)
        rows, starts, borrowed = (each.filter(wanted) for each in (rows, starts, borrowed))
    symbols, unnamed = read_symbols(cells, index.matched, reading, file.origin, file.stem)
    numbers, unread = read_number_columns(cells, index.matched, reading, index.numbers)
    batch = RowBatch(
        cells,
        index.matched,
        starts,
        symbols,
        numbers,
        [borrowed, unnamed, *unread],
        rows,
        file.origin,
    )
    return typed_rows(batch, reading)


def _encode(symbols: pl.Series) -> tuple[pl.Series, list[str]]:
    """A column of names as places in a list of the names."""
    names = symbols.unique().sort().to_list()
    return symbols.cast(pl.Enum(names)).to_physical(), names


def group_symbols(counts: dict[str, int], rows: int) -> list[list[str]]:
    """Names in order, cut into groups of at least `rows` rows (the last may have fewer)."""
    groups: list[list[str]] = [[]]
    height = 0
    for name in sorted(counts):
        if height >= rows:
            groups.append([])
            height = 0
        groups[-1].append(name)
        height += counts[name]
    return groups
