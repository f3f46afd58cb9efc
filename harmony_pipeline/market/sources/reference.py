"""Corporate actions and the universe from CSV files.

The law: these few rows move every adjusted price and every study of who was listed, so one bad row refuses the file and says
where; nothing is skipped. Cash dividends of one ex-date add up (a regular and a special one); splits of one ex-date multiply.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.sources.cells import read_numbers, read_stamps, stripped
from harmony_pipeline.market.sources.columns import plain
from harmony_pipeline.market.sources.tables import TextTable, read_text_tables
from harmony_pipeline.schemas import CORPORATE_ACTIONS, UNIVERSE

KINDS = ("split", "dividend")


def read_corporate_actions(path: Path) -> pl.DataFrame:
    """Splits (new shares per old share) and cash dividends (per share, as paid) by ex-date, in the columns of CORPORATE_ACTIONS."""
    cells = _cells(path, ("symbol", "date", "kind", "value"))
    table = cells.select("row", "symbol", date=_days(cells["date"]), kind=pl.col("kind").str.to_lowercase(), value=read_numbers(cells["value"]))
    _refuse(path.name, cells, table["symbol"].is_null(), "symbol", "a symbol")
    _refuse(path.name, cells, table["date"].is_null(), "date", "an ex-date like 2024-01-31")
    _refuse(path.name, cells, ~table["kind"].is_in(KINDS).fill_null(False), "kind", "split or dividend")
    _refuse(path.name, cells, ~(table["value"] > 0.0).fill_null(False), "value", "a number above 0")
    merged = (
        table.unique(["symbol", "date", "kind", "value"], keep="first", maintain_order=True)
        .group_by("symbol", "date", "kind", maintain_order=True)
        .agg(pl.when(pl.col("kind").first() == "split").then(pl.col("value").product()).otherwise(pl.col("value").sum()).alias("value"))
    )
    return CORPORATE_ACTIONS.conform(merged)


def read_universe(path: Path) -> pl.DataFrame:
    """Who was listed, as known on each date, in the columns of UNIVERSE; columns other than date and symbol may be absent."""
    cells = _cells(path, ("date", "symbol"))
    columns = {name: _typed(cells[name], dtype) for name, dtype in UNIVERSE.dtypes.items() if name in cells.columns}
    for name, values in columns.items():
        required = name in {"date", "symbol"}
        unread = values.is_null() if required else values.is_null() & cells[name].is_not_null()
        expected = {pl.Date(): "a date like 2024-01-31", pl.Float64(): "a number"}.get(UNIVERSE.dtypes[name], "a text")
        _refuse(path.name, cells, unread, name, expected)
    table = UNIVERSE.conform(pl.DataFrame(columns))
    twice = pl.DataFrame({"twice": table.select("date", "symbol").is_duplicated()})["twice"].arg_true()
    if len(twice):
        day, symbol = table.row(int(twice[0]))[:2]
        raise DataError(f"{path.name} names {symbol} more than once on {day}: keep one row a date and symbol")
    return table


def _cells(path: Path, required: Sequence[str]) -> pl.DataFrame:
    """The file's text under plain column names, with `row`."""
    tables: list[TextTable] = list(read_text_tables(path, path.name))
    if len(tables) != 1:
        raise DataError(f"{path.name} holds {len(tables)} files, expected one table: name the CSV file itself")
    table = tables[0]
    if not table.cells.width:
        raise DataError(f"{path.name} is empty, expected the columns {', '.join(required)}: fetch it again, or take the setting out")
    if table.bent.null_count() < len(table.bent):
        at = int(table.bent.is_not_null().arg_true()[0])
        raise DataError(f"{path.name} row {table.rows[at]}: {table.bent[at]}")
    names = {plain(name): name for name in reversed(table.cells.columns)}
    known = {name: plain(name) for name in dict.fromkeys((*required, *UNIVERSE.dtypes))} | ({"symbol": "ticker"} if "symbol" not in names else {})
    missing = [name for name in required if known[name] not in names]
    if missing:
        raise DataError(f"{path.name} has no column '{missing[0]}'; its columns are {', '.join(table.cells.columns)}; expected {', '.join(required)}")
    return pl.DataFrame({"row": table.rows, **{name: stripped(table.cells[names[theirs]]) for name, theirs in known.items() if theirs in names}})


def _days(cells: pl.Series) -> pl.Series:
    return read_stamps(cells, "UTC", None).written.dt.date()


def _typed(cells: pl.Series, dtype: pl.DataType) -> pl.Series:
    if dtype == pl.Date:
        return _days(cells)
    return read_numbers(cells) if dtype == pl.Float64 else cells


def _refuse(name: str, cells: pl.DataFrame, bad: pl.Series, column: str, expected: str) -> None:
    if bad.any():
        at = int(bad.arg_true()[0])
        found = "empty" if cells[column][at] is None else f"'{cells[column][at]}'"
        more = f" ({int(bad.sum()) - 1} more rows like it)" if int(bad.sum()) > 1 else ""
        raise DataError(f"{name} row {cells['row'][at]}: {column} is {found}, expected {expected}{more}: correct the row")
