"""DuckDB over the lake: every public table is a view in `sql/views/`, read-only and empty when the table is.

A connection belongs to one thread (`con.cursor()` for another). No extension is ever fetched. `views_script` prints the same views
for any other DuckDB client: `harmony sql --views > views.sql; duckdb -init views.sql`. Beside each view stands `NAME_as_of(moment)`, the same table as it was
known then, and `lake_versions` lists every version that the lake keeps. Over a lake that is open `as_of`, the views themselves show the past.
"""

import re
import time
from collections.abc import Collection, Mapping

import duckdb
import polars as pl

from harmony_pipeline.choices import unknown
from harmony_pipeline.errors import DataError
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.lake.manifest import BEGINNING, FOOTER_KEY, iso
from harmony_pipeline.lake.sql_sorts import drop_unseen_sorts
from harmony_pipeline.layout import SQL_FOLDER
from harmony_pipeline.text import one_line, printable

# DuckDB opens a file more than once; when a writer replaces it in between, the read fails (never: gives other rows), and asking again helps.
_ATTEMPTS = 5
_ATTEMPTS_AFAR = 15  # over a network a read takes many requests, and a writer that never rests comes between them more often
_NOT_UNDERSTOOD = (
    duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, duckdb.InvalidTypeException, duckdb.DataError, duckdb.NotSupportedError,
)  # fmt: skip
_WORD = re.compile(r"\w+")
VERSIONS = "lake_versions"
_CATALOGUE = {"show", "pragma", "information_schema", "pg_catalog", "duckdb_views", "duckdb_tables", "duckdb_columns", "duckdb_functions", "sqlite_master"}


def connect(lake: Lake, live: Mapping[str, pl.DataFrame] | None = None, names: Collection[str] | None = None) -> duckdb.DuckDBPyConnection:
    """A private in-memory database with every view and macro, or those `names` only; `live` frames stand in for the views of the same name."""
    connection = duckdb.connect(config={"autoinstall_known_extensions": False, "autoload_known_extensions": False})
    connection.execute("set timezone = 'UTC'")
    files = lake.store.file_system()
    if files is not None:
        connection.register_filesystem(files)
    connection.execute(views_script(lake, names))
    for name, frame in (live or {}).items():
        connection.execute(f"drop view if exists {name}")
        connection.register(name, frame.to_arrow())
    return connection


def views_script(lake: Lake, names: Collection[str] | None = None) -> str:
    """The text that creates every view over this lake, `lake_versions`, the macros `NAME_as_of(moment)` and those of `sql/macros`; or those `names` only."""
    lake.ready()
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted((SQL_FOLDER / "views").glob("*.sql"))}
    views = [_view(lake, name, text) for name, text in texts.items() if names is None or name in names]
    if (names is None and not lake.without_schema) or VERSIONS in (names or ()):
        views.append(f"create or replace view {VERSIONS} as\n{_versions(lake, *texts)}\norder by all;")
    macros = [_macro(lake, name, text) for name, text in texts.items() if names is None or f"{name}_as_of" in names]
    macros += [text for name, text in house_macros().items() if names is None or name in names]
    return "\n".join([*views, *macros])


def house_macros() -> dict[str, str]:
    """The table macros of `sql/macros`, which read the views: name to text."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted((SQL_FOLDER / "macros").glob("*.sql"))}


def _view(lake: Lake, name: str, text: str) -> str:
    """The view file, over the present files or over those of the lake's `as_of`."""
    if name in lake.without_schema and not lake.partitions(name):
        return _over(name, text, _no_rows(lake, name))
    if lake.as_of is None:
        return text.replace("{lake}", _quoted(lake.store.root))
    return _over(name, text, _with_overlay(lake, name, _past(lake, name, f"timestamptz '{iso(lake.as_of)}'")))


def _no_rows(lake: Lake, name: str) -> str:
    """A select with a table's columns and no row, for a lake that could not be given a schema file."""
    with duckdb.connect() as connection:
        empty = connection.from_arrow(lake.tables[name].empty().to_arrow())
        columns = ", ".join(f'null::{kind} as "{column}"' for column, kind in zip(empty.columns, empty.types, strict=True))
    return f"(select {columns}, null::varchar as partition where false)"


def _view_names() -> set[str]:
    return {path.stem for path in (SQL_FOLDER / "views").glob("*.sql")}


def _twins(lake: Lake, name: str) -> tuple[str, str]:
    """A view without its sort, and with it."""
    script = _view(lake, name, (SQL_FOLDER / "views" / f"{name}.sql").read_text(encoding="utf-8"))
    return script[: script.rindex("order by")].rstrip() + ";", script


def _macro(lake: Lake, name: str, text: str) -> str:
    """`NAME_as_of(moment)`: the view's own select over the versions that were known at `moment`."""
    when = "moment::timestamptz" if lake.as_of is None else f"least(moment::timestamptz, timestamptz '{iso(lake.as_of)}')"
    view = _over(name, text, _past(lake, name, when))
    return f"create or replace macro {name}_as_of(moment) as table" + view.split(f"create or replace view {name} as", 1)[1]


def _over(name: str, text: str, source: str) -> str:
    present = (
        f"read_parquet('{{lake}}/{name}/partition=*/{name}.parquet', hive_partitioning = true, hive_types = {{'partition': varchar}}, union_by_name = true)"
    )
    if present not in text:
        raise DataError(f"sql/views/{name}.sql does not read from {present}, so its past cannot be shown")
    return text.replace(present, source)


def _past(lake: Lake, name: str, when: str) -> str:
    """Rows of a table known at the SQL expression `when`. The files are chosen at query time, by their footers: the text stays right whatever is written later."""
    pruned = lake.history.pruned_before(name)
    if pruned is not None:  # refused for each version that the moment is compared with, so never answered wrongly
        refusal = f"error('{name} can be told from {iso(pruned)} on: earlier versions were removed')::timestamptz"
        when = f"(case when {when} < timestamptz '{iso(pruned)}' then {refusal} else {when} end)"
    known_by = lake.tables[name].known_by if name in lake.tables else None
    learned = f" and {known_by} <= {when}" if known_by else ""
    return (
        f"(select * exclude (filename), regexp_extract(filename, 'partition=([^/]*)/', 1) as partition\n"
        f"from read_parquet({_files(lake, name)}, filename = true, hive_partitioning = false, union_by_name = true)\n"
        f"where filename in (select u.path from ({_versions(lake, name)}) as u where u.known_since <= {when} and (u.known_until is null or u.known_until > {when})){learned})"
    )


def _with_overlay(lake: Lake, name: str, past: str) -> str:
    """The past, but for partitions that were written into the overlay."""
    if lake.above is None:
        return past
    over = f"{_quoted(lake.above.store.root)}/{name}/partition=*/{name}.parquet"
    return (
        f"(from {past} where partition not in (select regexp_extract(file, 'partition=([^/]*)/', 1) from glob('{over}'))\n"
        f"union all by name from read_parquet('{over}', hive_partitioning = true, hive_types = {{'partition': varchar}}, union_by_name = true))"
    )


def _versions(lake: Lake, *names: str) -> str:
    """Select of every version of these tables, from the footers of their files; a version under two names is told once."""
    until = "" if lake.as_of is None else f" and v.known_since <= timestamptz '{iso(lake.as_of)}'"
    return f"""select v."table", v.partition, v.known_since, lead(v.known_since) over (partition by v."table", v.partition order by v.known_since) as known_until,
    v.rows, v.content_hash, v.path
from (
    select f.*, row_number() over (partition by f."table", f.partition, f.known_since order by f.path like '%/known_since=%') as telling
    from (
        select
            regexp_extract(k.file_name, '([^/]*)/partition=', 1) as "table",
            regexp_extract(k.file_name, 'partition=([^/]*)/', 1) as partition,
            coalesce((try_cast(decode(k.value) as json) ->> 'known_since')::timestamptz, timestamptz '{iso(BEGINNING)}') as known_since,
            (try_cast(decode(k.value) as json) ->> 'rows')::bigint as rows,
            try_cast(decode(k.value) as json) ->> 'content_hash' as content_hash,
            k.file_name as path
        from parquet_kv_metadata({_files(lake, *names)}) as k
        where decode(k.key) = '{FOOTER_KEY}' and k.file_name not like '%/partition=_schema/%'
    ) as f
) as v
where v.telling = 1{until}"""


def _files(lake: Lake, *names: str) -> str:
    """A SQL list of patterns: present and earlier files of the tables."""
    root = _quoted(lake.store.root)
    return (
        "["
        + ", ".join(f"'{root}/{name}/partition=*/{name}.parquet', '{root}/_history/{name}/partition=*/known_since=*/{name}.parquet'" for name in names)
        + "]"
    )


def _quoted(root: str) -> str:
    return root.replace("'", "''")


def query(
    lake: Lake,
    text: str,
    parameters: list[object] | None = None,
    live: Mapping[str, pl.DataFrame] | None = None,
    variables: Mapping[str, object] | None = None,
) -> pl.DataFrame:
    """Rows of one SQL query; `variables` are what `getvariable('name')` gives in it. Raises DataError with DuckDB's own explanation and the views that exist."""
    spoken = _spoken_of(lake, text)
    attempts = _ATTEMPTS if lake.store.file_system() is None else _ATTEMPTS_AFAR
    for attempt in range(attempts):
        try:
            with connect(lake, live, spoken) as connection:
                _set(connection, variables or {})
                if spoken is not None and lake.store.file_system() is None:  # over a network, planning twice costs more than a sort
                    drop_unseen_sorts(connection, text, parameters, {name: _twins(lake, name) for name in sorted(spoken & _view_names() - set(live or {}))})
                relation = connection.sql(text, params=parameters) if parameters else connection.sql(text)
                rows: pl.DataFrame = relation.pl() if relation is not None else pl.DataFrame()
                return rows
        except _NOT_UNDERSTOOD as error:
            if spoken is None or attempt == attempts - 1:
                raise DataError(_not_understood(str(error), lake)) from None
            spoken = None  # it may ask the catalogue, or deserve a better hint
        except duckdb.Error as error:
            if attempt == attempts - 1:
                raise DataError(f"the query failed: {printable(one_line(str(error)), 600)}") from error
            time.sleep(min(0.01 * 2**attempt, 0.2))
    raise AssertionError


def _not_understood(error: str, lake: Lake) -> str:
    """DuckDB's explanation on one line; for a table or function that is not there, the nearest one that is."""
    missing = re.search(r"(Table|Table Function|View|Scalar Function) with name \"?([^ \"!]+)\"? (?:is not in|does not exist)", error)
    if missing is None:
        place = re.search(r"LINE (\d+): ", error)
        return f"the query was not understood: {printable(error.splitlines()[0], 400)}{f' (line {place[1]})' if place else ''}"
    known = [*sorted(lake.tables), VERSIONS, *sorted(house_macros())]
    return f"the query was not understood: {unknown(missing[1].lower(), missing[2], known, 'views:')}"


def _spoken_of(lake: Lake, text: str) -> set[str] | None:
    """Views and macros that a query speaks of; None: all of them. Creating all takes ten times as long as most queries."""
    words, macros = set(_WORD.findall(text.lower())), house_macros()
    words |= {word for name in words & set(macros) for word in _WORD.findall(macros[name].lower())}  # a macro speaks of views of its own
    known = {VERSIONS, *macros, *lake.tables, *(f"{name}_as_of" for name in lake.tables)}
    return words & known if words & known and not words & _CATALOGUE else None


def _set(connection: duckdb.DuckDBPyConnection, variables: Mapping[str, object]) -> None:
    for name, value in variables.items():
        if not name.isidentifier():
            raise DataError(f"'{name}' is no name of a variable: use letters, digits and _")
        connection.execute(f"set variable {name} = ?", [value])


def named_queries() -> dict[str, str]:
    """Every query in `sql/queries` with its first comment line."""
    paths = sorted((SQL_FOLDER / "queries").glob("*.sql"))
    return {path.stem: path.read_text(encoding="utf-8").splitlines()[0].removeprefix("-- ") for path in paths}


def named_query(name: str) -> str:
    """Text of `sql/queries/NAME.sql`; raises DataError listing those that exist."""
    known = sorted(found.stem for found in (SQL_FOLDER / "queries").glob("*.sql"))
    if name not in known:
        raise DataError(unknown("query named", name, known))
    return (SQL_FOLDER / "queries" / f"{name}.sql").read_text(encoding="utf-8")


def macros_in(text: str) -> str:
    """Text of the house macros that a query calls, and of those that they call."""
    macros = house_macros()
    found: dict[str, str] = {}
    open_words = set(_WORD.findall(text.lower()))
    while names := (open_words & set(macros)) - set(found):
        found |= {name: macros[name] for name in names}
        open_words = {word for name in names for word in _WORD.findall(macros[name].lower())}
    return "\n".join(found.values())
