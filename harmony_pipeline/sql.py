"""DuckDB over the lake: every public table is a view in `sql/views/`, read-only and empty when the table is.

A connection belongs to one thread (`con.cursor()` for another). No extension is ever fetched. `views_script` prints the same views
for any other DuckDB client: `harmony sql --views > views.sql; duckdb -init views.sql`.
"""

from collections.abc import Mapping
from pathlib import Path

import duckdb
import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.lake import Lake

SQL_FOLDER = Path(__file__).resolve().parent.parent / "sql"


def connect(lake: Lake, live: Mapping[str, pl.DataFrame] | None = None) -> duckdb.DuckDBPyConnection:
    """A private in-memory database with every view; `live` frames stand in for the views of the same name."""
    connection = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    connection.execute("set timezone = 'UTC'")
    connection.execute(views_script(lake))
    for name, frame in (live or {}).items():
        connection.execute(f"drop view if exists {name}")
        connection.register(name, frame.to_arrow())
    return connection


def views_script(lake: Lake) -> str:
    """The text that creates every view over this lake."""
    root = lake.open().root.as_posix().replace("'", "''")
    return "\n".join(path.read_text(encoding="utf-8").replace("{lake}", root) for path in sorted((SQL_FOLDER / "views").glob("*.sql")))


def query(lake: Lake, text: str, parameters: list[object] | None = None, live: Mapping[str, pl.DataFrame] | None = None) -> pl.DataFrame:
    """Rows of one SQL query. Raises DataError with DuckDB's own explanation and the views that exist."""
    with connect(lake, live) as connection:
        try:
            relation = connection.sql(text, params=parameters) if parameters else connection.sql(text)
        except duckdb.Error as error:
            names = ", ".join(sorted(lake.tables))
            raise DataError(f"the query was not understood: {error}\nviews: {names}") from None
        rows: pl.DataFrame = relation.pl() if relation is not None else pl.DataFrame()
        return rows


def named_query(name: str) -> str:
    """Text of `sql/queries/NAME.sql`; raises DataError listing those that exist."""
    path = SQL_FOLDER / "queries" / f"{name}.sql"
    if not path.exists():
        known = ", ".join(sorted(found.stem for found in path.parent.glob("*.sql")))
        raise DataError(f"no query named '{name}'; there are: {known}")
    return path.read_text(encoding="utf-8")
