"""Corporate actions, listings and the universe from CSV files.

These few rows move every adjusted price and every study of who was listed, so one bad row refuses
the file and says where; nothing is skipped. Cash dividends of one ex-date add up (a regular and a
special one); two different splits of one ex-date contradict each other.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.listings import (
    CHANGE,
    DELISTING,
    apply_events,
    listings_from_snapshots,
    listings_from_universe,
    new_rows,
)
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.cell_parsing import read_stamps, strip_names, strip_texts
from harmony_pipeline.market.sources.columns import doubled_names, plain
from harmony_pipeline.market.sources.file_discovery import expand_path, obstacle, reference_paths
from harmony_pipeline.market.sources.number_parsing import read_numbers
from harmony_pipeline.market.sources.text_forms import TextTable
from harmony_pipeline.market.sources.text_tables import read_text_tables
from harmony_pipeline.schemas import CORPORATE_ACTIONS, LISTINGS, UNIVERSE
from harmony_pipeline.text import NAME, excerpt, listing

KINDS = ("split", "dividend")
_NAMES = ("symbol", "security_id", "successor")
_BEFORE_ALL = date(1900, 1, 1)  # known since ever, where a file does not say since when


class ReferenceFiles:
    """The reference data that the settings of a file source name; relative paths start from
    `base`.
    """

    def __init__(
        self, settings: FileSourceSettings, calendar: Calendar, base: Path, source: str
    ) -> None:
        self.settings, self.calendar, self.base, self.source = settings, calendar, base, source

    def paths(self) -> set[Path]:
        """Every file of reference data: none of them holds bars."""
        settings = self.settings
        texts = {
            "corporate_actions": settings.corporate_actions,
            "universe": settings.universe,
            "listings": settings.listings,
        }
        return {
            path.resolve()
            for key, text in texts.items()
            if text
            for path in reference_paths(text, self.base, f"market.files.{key}")
        }

    def corporate_actions(self) -> pl.DataFrame:
        """The file that `corporate_actions` names; no rows when it names none."""
        path = self._file("corporate_actions", self.settings.corporate_actions)
        return CORPORATE_ACTIONS.empty() if path is None else read_corporate_actions(path)

    def universe(self) -> pl.DataFrame:
        """The files that `universe` names; no rows when it names none. Of snapshots only what is
        new is kept, from the next session on.
        """
        rows = self._universe_rows()
        return new_rows(rows, self.calendar) if self.settings.universe_snapshots else rows

    def listings(self) -> pl.DataFrame:
        """Symbols through time: from the listings file, from the universe, and symbol changes and
        delistings among the corporate actions.
        """
        path = self._file("listings", self.settings.listings)
        actions = self._file("corporate_actions", self.settings.corporate_actions)
        rows = self._universe_rows()
        stated = (
            listings_from_snapshots(rows, self.calendar, self.source)
            if self.settings.universe_snapshots
            else listings_from_universe(rows, self.source)
        )
        if path is not None:
            stated = (
                pl.concat([stated, read_listings(path)])
                .unique(list(LISTINGS.key), keep="last", maintain_order=True)
                .sort(LISTINGS.key)
            )
        return (
            stated
            if actions is None
            else apply_events(stated, read_listing_events(actions), self.source)
        )

    def _file(self, key: str, text: str | None) -> Path | None:
        """The one file that a setting names. Raises DataError when it cannot be read."""
        if text is None:
            return None
        path = expand_path(text, self.base, f"market.files.{key}")
        hindrance = obstacle(path) or ("a folder, expected a file" if path.is_dir() else None)
        if hindrance == "not there":
            raise DataError(
                f"market.files.{key} is '{excerpt(text)}', which does not exist (looked for"
                f" {path}): correct the path, or take the setting out"
            )
        if hindrance is not None:
            raise DataError(
                f"market.files.{key} is '{excerpt(text)}', which is {hindrance}: name a file that"
                " can be read, or take the setting out"
            )
        return path

    def _universe_rows(self) -> pl.DataFrame:
        text = self.settings.universe
        if text is None:
            return UNIVERSE.empty()
        paths = reference_paths(text, self.base, "market.files.universe")
        if not paths:
            raise DataError(
                f"market.files.universe is '{text}', which does not exist: correct the path, or"
                " take the setting out"
            )
        return UNIVERSE.conform(
            pl.concat(
                [
                    read_universe(path, self.settings.universe_columns, self.settings.universe_date)
                    for path in paths
                ]
            )
        )


def read_corporate_actions(path: Path) -> pl.DataFrame:
    """Splits (new shares per old share) and cash dividends (per share, as paid) by ex-date, in the
    columns of CORPORATE_ACTIONS.
    """
    cells = _action_cells(path)
    cells = cells.filter(pl.col("kind").is_in(KINDS))
    table = cells.select(
        "row", "symbol", date=_days(cells["date"]), kind="kind", value=read_numbers(cells["value"])
    )
    _refuse(path.name, cells, ~(table["value"] > 0.0).fill_null(False), "value", "a number above 0")
    distinct = table.unique(["symbol", "date", "kind", "value"], keep="first", maintain_order=True)
    _refuse_contradictions(path.name, distinct)
    merged = distinct.group_by("symbol", "date", "kind", maintain_order=True).agg(
        pl.col("value").sum()
    )
    return CORPORATE_ACTIONS.conform(merged)


def _refuse_contradictions(name: str, actions: pl.DataFrame) -> None:
    """Refuse two splits of one symbol (in whatever letters) and date that say different ratios; the
    places of both are named.
    """
    splits = actions.filter(pl.col("kind") == "split").with_columns(
        letters=pl.col("symbol").str.to_uppercase()
    )
    several = splits.filter(pl.col("value").n_unique().over("letters", "date") > 1)
    if several.height:
        first = several.row(0, named=True)
        same = (
            (pl.col("letters") == first["letters"])
            & (pl.col("date") == first["date"])
            & (pl.col("value") != first["value"])
        )
        other = several.filter(same).row(0, named=True)
        raise DataError(
            f"{name} rows {first['row']} and {other['row']}: two splits of {first['symbol']} on"
            f" {first['date']}, {first['value']:g} and {other['value']:g}: keep the one that is"
            " right"
        )


def read_listing_events(path: Path) -> pl.DataFrame:
    """Symbol changes and delistings of a file of corporate actions, in the columns of
    `listings.EVENTS`.

    `value` is the new symbol of a change; of a delisting the cash paid per share, empty where it is
    not known.
    """
    cells = _action_cells(path)
    cells = cells.filter(pl.col("kind").is_in((CHANGE, DELISTING)))
    changed = pl.col("kind") == CHANGE
    _refuse(
        path.name,
        cells,
        cells.select(changed & pl.col("value").is_null())["kind"],
        "value",
        "the new symbol",
    )
    _refuse(
        path.name,
        cells,
        cells.select((changed & (pl.col("value") == pl.col("symbol"))).fill_null(value=False))[
            "kind"
        ],
        "value",
        "another symbol than before",
    )
    paid = read_numbers(cells.select(pl.when(~changed).then("value"))["value"])
    stated = cells.select(~changed & pl.col("value").is_not_null())["kind"]
    _refuse(
        path.name,
        cells,
        stated & ~(paid >= 0.0).fill_null(value=False),
        "value",
        "the cash paid per share, 0 or more, or nothing",
    )
    return cells.select(
        "symbol",
        date=_days(cells["date"]),
        kind="kind",
        successor=pl.when(changed).then("value"),
        recovery=paid,
    ).unique(maintain_order=True)


def read_listings(path: Path) -> pl.DataFrame:
    """Listings from a CSV with symbol and any other column of LISTINGS; a row with an end becomes
    two versions, the open one and the closed one.

    What is not said: security_id is the symbol, the beginning is known when it comes, and so is the
    end.
    """
    cells = _cells(path, ("symbol",), LISTINGS.dtypes)
    given = {
        name: _parse(cells[name], dtype)
        for name, dtype in LISTINGS.dtypes.items()
        if name in cells.columns
    }
    for name, typed in given.items():
        _refuse(
            path.name,
            cells,
            typed.is_null() & (cells[name].is_not_null() | (name == "symbol")),
            name,
            _expected(LISTINGS.dtypes[name]),
        )
    table = pl.DataFrame(
        {
            name: given.get(name, pl.Series([None], dtype=dtype).new_from_index(0, cells.height))
            for name, dtype in LISTINGS.dtypes.items()
        }
    )
    begin, end = pl.coalesce("valid_from", "listed"), pl.coalesce("valid_to", "delisted")
    table = table.with_columns(
        valid_from=begin,
        valid_to=end,
        security_id=pl.coalesce("security_id", "symbol"),
        source=pl.coalesce("source", pl.lit(path.name)),
    )
    backwards = table.select(
        (pl.col("valid_to") <= pl.col("valid_from")).fill_null(value=False)
    ).to_series()
    if backwards.any():
        at = int(backwards.arg_true()[0])
        raise DataError(
            f"{path.name} row {cells['row'][at]}: it ends on {table['valid_to'][at]}, which is not"
            f" after its beginning {table['valid_from'][at]}: correct the row"
        )
    nothing = pl.lit(None, pl.Date())
    opened = table.with_columns(
        valid_to=nothing,
        delisted=nothing,
        successor=pl.lit(None, pl.String()),
        reason=pl.lit("listed"),
        known=pl.coalesce("valid_from", pl.lit(_BEFORE_ALL)),
    )
    why = (
        pl.when(pl.col("successor").is_not_null()).then(pl.lit(CHANGE)).otherwise(pl.lit(DELISTING))
    )
    closed = table.filter(pl.col("valid_to").is_not_null()).with_columns(
        reason=pl.coalesce("reason", why), known=pl.coalesce("known", "valid_to")
    )
    return LISTINGS.conform(pl.concat([opened, closed])).unique(
        list(LISTINGS.key), keep="last", maintain_order=True
    )


def read_universe(
    path: Path, columns: Mapping[str, str] | None = None, day: date | None = None
) -> pl.DataFrame:
    """Who was listed, as known on each date, in the columns of UNIVERSE; columns other than date
    and symbol may be absent.

    `columns` says which column of the file is which of ours; `day` dates the rows of a file without
    dates.
    """
    cells = _cells(path, ("symbol",) if day else ("date", "symbol"), columns=columns)
    if day and "date" not in cells.columns:
        cells = cells.with_columns(date=pl.lit(day.isoformat()))
    typed = {
        name: _parse(cells[name], dtype)
        for name, dtype in UNIVERSE.dtypes.items()
        if name in cells.columns
    }
    for name, values in typed.items():
        required = name in {"date", "symbol"}
        unread = values.is_null() if required else values.is_null() & cells[name].is_not_null()
        _refuse(path.name, cells, unread, name, _expected(UNIVERSE.dtypes[name]))
    table = UNIVERSE.conform(pl.DataFrame(typed))
    twice = pl.DataFrame({"twice": table.select(UNIVERSE.key).is_duplicated()})["twice"].arg_true()
    if len(twice):
        day, symbol = table.row(int(twice[0]))[:2]
        raise DataError(
            f"{path.name} names {symbol} more than once on {day}: keep one row a date and symbol,"
            " or give a security_id"
        )
    return table


def _action_cells(path: Path) -> pl.DataFrame:
    """The cells of a file of corporate actions, whose symbols, dates and kinds are sound; kinds in
    small letters.
    """
    cells = _cells(path, ("symbol", "date", "kind", "value")).with_columns(
        pl.col("kind").str.to_lowercase()
    )
    _refuse(path.name, cells, cells["symbol"].is_null(), "symbol", "a symbol")
    _refuse(path.name, cells, _days(cells["date"]).is_null(), "date", "an ex-date like 2024-01-31")
    _refuse(
        path.name,
        cells,
        ~cells["kind"].is_in((*KINDS, CHANGE, DELISTING)).fill_null(value=False),
        "kind",
        f"split, dividend, {CHANGE} or {DELISTING}",
    )
    return cells


def _cells(
    path: Path,
    required: Sequence[str],
    dtypes: Mapping[str, Any] = UNIVERSE.dtypes,
    columns: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """The file's text under plain column names, with `row`; `columns` names columns of the file
    that are spelt otherwise.
    """
    chosen = dict(columns or {})
    strange = sorted(set(chosen) - set(dtypes))
    if strange:
        raise ConfigError(
            f"[market.files.universe_columns] names '{strange[0]}', which is no column of universe:"
            f" use {', '.join(dtypes)}"
        )
    table = _only_table(path, required)
    names = {plain(name): name for name in reversed(table.cells.columns)}
    known = {name: plain(name) for name in dict.fromkeys((*required, *dtypes))} | (
        {"symbol": "ticker"} if "symbol" not in names else {}
    )
    known |= {ours: plain(theirs) for ours, theirs in chosen.items()}
    _refuse_columns(path.name, table, known, required, chosen)
    found = {name: table.cells[names[theirs]] for name, theirs in known.items() if theirs in names}
    return pl.DataFrame(
        {
            "row": table.rows,
            **{
                name: strip_names(cells) if name in _NAMES else strip_texts(cells)
                for name, cells in found.items()
            },
        }
    )


def _only_table(path: Path, required: Sequence[str]) -> TextTable:
    """The one table of the file. Raises DataError for several, none, or a row of another width."""
    tables: list[TextTable] = list(read_text_tables(path, path.name))
    if len(tables) != 1:
        raise DataError(
            f"{path.name} holds {len(tables)} files, expected one table: name the CSV file itself"
        )
    table = tables[0]
    if not table.cells.width:
        raise DataError(
            f"{path.name} is empty, expected the columns {', '.join(required)}: fetch it again, or"
            " take the setting out"
        )
    if table.bent.null_count() < len(table.bent):
        at = int(table.bent.is_not_null().arg_true()[0])
        raise DataError(f"{path.name} row {table.rows[at]}: {table.bent[at]}")
    return table


def _refuse_columns(
    file: str,
    table: TextTable,
    known: Mapping[str, str],
    required: Sequence[str],
    chosen: Mapping[str, str],
) -> None:
    """Raises DataError for a column that is absent, or there more than once. `known` has the plain
    name in the file of each of our columns, `chosen` those that the settings name.
    """
    names = {plain(name) for name in table.cells.columns}
    absent = [theirs for theirs in chosen.values() if plain(theirs) not in names]
    if absent:
        raise DataError(
            f"{file} has no column '{absent[0]}', which [market.files.universe_columns] names;"
            f" its columns are {listing(table.header)}"
        )
    twice = [name for name in doubled_names(table.header) if plain(name) in known.values()]
    if twice:
        raise DataError(
            f"{file} has more than one column '{excerpt(twice[0], NAME)}': give each column"
            " its own name"
        )
    missing = [name for name in required if known[name] not in names]
    if missing:
        raise DataError(
            f"{file} has no column '{missing[0]}'; its columns are {listing(table.header)};"
            f" expected {', '.join(required)}"
        )


def _days(cells: pl.Series) -> pl.Series:
    return read_stamps(cells, "UTC", None).written.dt.date()


def _expected(dtype: Any) -> str:
    return {pl.Date(): "a date like 2024-01-31", pl.Float64(): "a number"}.get(dtype, "a text")


def _parse(cells: pl.Series, dtype: pl.DataType) -> pl.Series:
    if dtype == pl.Date:
        return _days(cells)
    return read_numbers(cells) if dtype == pl.Float64 else cells


def _refuse(name: str, cells: pl.DataFrame, bad: pl.Series, column: str, expected: str) -> None:
    if bad.any():
        at = int(bad.arg_true()[0])
        found = "empty" if cells[column][at] is None else f"'{excerpt(cells[column][at])}'"
        more = f" ({int(bad.sum()) - 1} more rows like it)" if int(bad.sum()) > 1 else ""
        raise DataError(
            f"{name} row {cells['row'][at]}: {column} is {found}, expected {expected}{more}:"
            " correct the row"
        )
