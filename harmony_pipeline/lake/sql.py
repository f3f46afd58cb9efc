"""DuckDB over the lake: every public table is a view in `sql/views/`, read-only and empty when the
table is.

A connection belongs to one thread (`con.cursor()` for another). No extension is ever fetched.
`connect` makes a database of its own, which takes longer than most queries. So the queries of a
process that only select share one empty database: each has a connection of its own, and its views
are temporary, so that no other query sees them.
`views_script` prints the same views for any other DuckDB client: `harmony sql --views > views.sql;
duckdb -init views.sql`. Beside each view stands `NAME_as_of(moment)`, the same table as it was
known then, and `lake_versions` lists every version that the lake keeps. Over a lake that is open
`as_of`, the views themselves show the past.
"""

import atexit
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress

import duckdb
import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.frames import streamed
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.lake.manifest import BEGINNING, FOOTER_KEY, iso
from harmony_pipeline.lake.views import present, quoted, select, view
from harmony_pipeline.project_paths import SQL_FOLDER
from harmony_pipeline.schemas import Table
from harmony_pipeline.suggestions import unknown_name
from harmony_pipeline.text import one_line, printable

# DuckDB opens a file more than once; when a writer replaces it in between, the read fails (never:
# gives other rows), and asking again helps.
_ATTEMPTS = 8
# a read over a network takes many requests, so a busy writer comes between them more often
_REMOTE_ATTEMPTS = 25
_NOT_UNDERSTOOD = (
    duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException,
    duckdb.InvalidTypeException, duckdb.DataError, duckdb.NotSupportedError,
)  # fmt: skip
_PLAIN = {
    "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT",
    "UINTEGER", "UBIGINT", "FLOAT", "DOUBLE", "VARCHAR", "DATE", "TIME", "TIMESTAMP",
    "TIMESTAMP WITH TIME ZONE", "BLOB", "UUID",
}  # fmt: skip
_Answer = Callable[[Collection[str] | None], pl.DataFrame]
_WORD = re.compile(r"\w+")
_CREATE = re.compile(r"^create or replace (?=view|macro)", re.MULTILINE)
_NO_EXTENSIONS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_SHARED: dict[int, duckdb.DuckDBPyConnection] = {}
"""The database of the queries of each process, by its number: none lives on in a fork."""
VERSIONS = "lake_versions"
_CATALOGUE = {
    "show",
    "pragma",
    "information_schema",
    "pg_catalog",
    "duckdb_views",
    "duckdb_tables",
    "duckdb_columns",
    "duckdb_functions",
    "sqlite_master",
}


def connect(
    lake: Lake, live: Mapping[str, pl.DataFrame] | None = None, names: Collection[str] | None = None
) -> duckdb.DuckDBPyConnection:
    """A private in-memory database with every view and macro, or those `names` only; `live` frames
    stand in for the views of the same name.
    """
    connection = duckdb.connect(config=_NO_EXTENSIONS)
    files = lake.store.file_system()
    if files is not None:
        connection.register_filesystem(files)
    _fill(connection, _script(lake, names), live)
    return connection


def _script(lake: Lake, names: Collection[str] | None) -> str:
    """`views_script`; a lake of which nothing is read need not even be there."""
    return views_script(lake, names) if names is None or names else ""


def _fill(
    connection: duckdb.DuckDBPyConnection, script: str, live: Mapping[str, pl.DataFrame] | None
) -> None:
    """Give a connection its views and macros, and frames in place of some."""
    connection.execute("set timezone = 'UTC'")
    if script:
        connection.execute(script)
    for name, frame in (live or {}).items():
        connection.execute(f"drop view if exists {name}")
        connection.register(name, frame.to_arrow())


def views_script(lake: Lake, names: Collection[str] | None = None) -> str:
    """The text that creates every view over this lake, `lake_versions`, the macros
    `NAME_as_of(moment)` and those of `sql/macros`; or those `names` only.
    """
    lake.ready()
    every = sorted(lake.tables)
    shown = {name for name in every if names is None or name in names}
    past = {
        name
        for name in every
        if names is None or f"{name}_as_of" in names or (name in shown and lake.as_of is not None)
    }
    lake.prepare_past(every if VERSIONS in (names or ()) else sorted(past))
    statements = []
    for name, table in sorted(lake.tables.items()):
        if name in past:
            statements.append(_as_of_macro(lake, table))
        if name in shown:
            statements.append(view(table, _source(lake, table)))
    if (names is None and not lake.without_schema) or VERSIONS in (names or ()):
        statements.append(
            f"create or replace view {VERSIONS} as\n{_versions(lake, *sorted(lake.tables))};\n"
        )
    statements += [text for name, text in table_macros().items() if names is None or name in names]
    return "\n".join(statements)


def table_macros() -> dict[str, str]:
    """The table macros of `sql/macros`, which read the views: name to text."""
    return {
        path.stem: path.read_text(encoding="utf-8")
        for path in sorted((SQL_FOLDER / "macros").glob("*.sql"))
    }


def _source(lake: Lake, table: Table) -> str:
    """The rows of a view: the present files, or those of the lake's `as_of`."""
    name = table.name
    if name in lake.without_schema and not lake.partitions(name):
        return _no_rows(table)
    if lake.as_of is None:
        return present(lake.store.root, name)
    past = f"{name}_as_of(timestamptz '{iso(lake.as_of)}')"
    return past if lake.above is None else _with_overlay(lake.above, name, past)


def _no_rows(table: Table) -> str:
    """A select with a table's columns and no row, for a lake that could not be given a schema
    file.
    """
    with duckdb.connect() as connection:
        empty = connection.from_arrow(table.empty().to_arrow())
        columns = ", ".join(
            f'null::{kind} as "{column}"'
            for column, kind in zip(empty.columns, empty.types, strict=True)
        )
    return f"(select {columns}, null::varchar as partition where false)"


def _as_of_macro(lake: Lake, table: Table) -> str:
    """`NAME_as_of(moment)`: the rows of a table that were known at `moment`.

    DuckDB chooses the files by their footers when it runs the query, so the text stays right
    whatever is written later.
    """
    name, when = table.name, "moment::timestamptz"
    if lake.as_of is not None:
        when = f"least({when}, timestamptz '{iso(lake.as_of)}')"
    pruned = lake.history.pruned_before(name)
    # the error is raised where a version is compared with the moment, so no answer is wrong
    if pruned is not None:
        refusal = (
            f"error('{name} can be told from {iso(pruned)} on: earlier versions were"
            " removed')::timestamptz"
        )
        when = f"(case when {when} < timestamptz '{iso(pruned)}' then {refusal} else {when} end)"
    learned = f" and {table.known_by} <= {when}" if table.known_by else ""
    source = (
        "(select * exclude (filename), regexp_extract(filename, 'partition=([^/]*)/', 1) as"
        f" partition\nfrom read_parquet({_files(lake, name)}, filename = true, hive_partitioning ="
        " false, union_by_name = true)\nwhere filename in (select u.path from"
        f" ({_versions(lake, name)}) as u\nwhere u.known_since <= {when} and (u.known_until is null"
        f" or u.known_until > {when})){learned})"
    )
    return f"create or replace macro {name}_as_of(moment) as table\n{select(table, source)};\n"


def _with_overlay(above: Lake, name: str, past: str) -> str:
    """The past, except partitions that were written into the overlay."""
    over = f"{quoted(above.store.root)}/{name}/partition=*/{name}.parquet"
    return (
        f"(from {past} where partition not in (select regexp_extract(file, 'partition=([^/]*)/', 1)"
        f" from glob('{over}'))\nunion all by name from {present(above.store.root, name)})"
    )


def _versions(lake: Lake, *names: str) -> str:
    """Select of every version of these tables, from the footers of their files; a version under two
    names is listed once.
    """
    until = "" if lake.as_of is None else f" and v.known_since <= timestamptz '{iso(lake.as_of)}'"
    return f"""select v."table", v.partition, v.known_since, lead(v.known_since) over (partition by v."table", v.partition order by v.known_since) as known_until,
    v.rows, v.content_hash, v.path
from (
    select f.*, row_number() over (partition by f."table", f.partition, f.known_since order by f.path like '%/known_since=%') as place
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
where v.place = 1{until}"""


def _files(lake: Lake, *names: str) -> str:
    """A SQL list of patterns: present and earlier files of the tables."""
    root = quoted(lake.store.root)
    patterns = [f"'{root}/{name}/partition=*/{name}.parquet'" for name in names]
    patterns += [
        f"'{root}/_history/{name}/partition=*/known_since=*/{name}.parquet'"
        for name in names
        if name not in lake.without_past
    ]
    return f"[{', '.join(patterns)}]"


def query(
    lake: Lake,
    text: str,
    parameters: list[object] | None = None,
    live: Mapping[str, pl.DataFrame] | None = None,
    variables: Mapping[str, object] | None = None,
) -> pl.DataFrame:
    """Rows of one SQL query; `variables` are what `getvariable('name')` gives in it. Raises
    DataError with DuckDB's own explanation and the views that exist.
    """
    names = _names_in(lake, text)

    def answer(names: Collection[str] | None) -> pl.DataFrame:
        with _connection(lake, live, names, text) as connection:
            _set(connection, variables or {})
            relation = (
                connection.sql(text, params=parameters) if parameters else connection.sql(text)
            )
            return _rows(relation) if relation is not None else pl.DataFrame()

    try:
        try:
            return _reading(lake, answer, names)
        except _NOT_UNDERSTOOD:
            if names is None:
                raise
            # it may ask the catalogue, or deserve a better hint
            return _reading(lake, answer, None)
    except _NOT_UNDERSTOOD as error:
        raise DataError(_not_understood(str(error), lake)) from None
    except duckdb.Error as error:
        raise DataError(f"the query failed: {printable(one_line(str(error)), 600)}") from error


@contextmanager
def _connection(
    lake: Lake, live: Mapping[str, pl.DataFrame] | None, names: Collection[str] | None, text: str
) -> Iterator[duckdb.DuckDBPyConnection]:
    """`connect`, or a connection to the shared database where the text leaves nothing behind: it
    only selects, by known names, from files of this machine.
    """
    selects = False
    if names is not None and lake.store.file_system() is None:
        shared = _shared()
        with suppress(duckdb.Error):  # a text that nobody understands
            kinds = {statement.type for statement in shared.extract_statements(text)}
            selects = kinds == {duckdb.StatementType.SELECT}
    if not selects:
        with connect(lake, live, names) as connection:
            yield connection
        return
    with shared.cursor() as connection:
        try:
            _fill(connection, _CREATE.sub("create or replace temp ", _script(lake, names)), live)
            yield connection
        except _NOT_UNDERSTOOD:
            raise
        except duckdb.Error:  # after some errors a database answers nothing more
            _SHARED.pop(os.getpid(), None)
            raise


def _shared() -> duckdb.DuckDBPyConnection:
    """The shared database of this process. It keeps nothing of the files that it has read."""
    process = os.getpid()
    if process not in _SHARED:
        _SHARED[process] = duckdb.connect(
            config=_NO_EXTENSIONS | {"enable_external_file_cache": False}
        )
    return _SHARED[process]


@atexit.register
def _close_shared() -> None:
    """DuckDB complains of a database that is open when Python ends."""
    found = _SHARED.pop(os.getpid(), None)
    if found is not None:
        found.close()


def _rows(relation: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    """The rows. Polars takes plain columns by Arrow's C stream, the same rows without the import of
    pyarrow, which takes longer than most queries.
    """
    kinds = [str(kind).removesuffix("[]") for kind in relation.types]
    if "INTERVAL" in kinds:
        column = relation.columns[kinds.index("INTERVAL")]
        raise DataError(
            f"column {column!r} is an interval, which a table of rows cannot hold: cast it to"
            " varchar, or count its seconds with epoch(...)"
        )
    named = len(set(relation.columns)) == len(relation.columns)  # Polars panics at a name twice
    if named and all(kind in _PLAIN or kind.startswith("DECIMAL(") for kind in kinds):
        # an error in the middle of the rows, which Polars would tell: below DuckDB tells it
        with suppress(pl.exceptions.ComputeError):
            return streamed(relation)
    rows: pl.DataFrame = relation.pl()
    return rows


def _reading(lake: Lake, answer: _Answer, names: Collection[str] | None) -> pl.DataFrame:
    """The answer, asked for again where files changed while they were read."""
    try:
        return answer(names)
    except _NOT_UNDERSTOOD:
        raise
    except duckdb.Error:
        import tenacity

    attempts = _ATTEMPTS if lake.store.file_system() is None else _REMOTE_ATTEMPTS
    reading = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(duckdb.Error)
        & tenacity.retry_if_not_exception_type(_NOT_UNDERSTOOD),
        stop=tenacity.stop_after_attempt(attempts - 1),
        wait=tenacity.wait_exponential(0.01, max=0.2),
        reraise=True,
    )
    return reading(answer, names)


def _not_understood(error: str, lake: Lake) -> str:
    """DuckDB's explanation on one line; for a table or function that is not there, the nearest one
    that is.
    """
    missing = re.search(
        r"(Table|Table Function|View|Scalar Function) with name \"?([^ \"!]+)\"? (?:is not in|does"
        r" not exist)",
        error,
    )
    if missing is None:
        place = re.search(r"LINE (\d+): ", error)
        return (
            "the query was not understood:"
            f" {printable(error.splitlines()[0], 400)}{f' (line {place[1]})' if place else ''}"
        )
    known = [*sorted(lake.tables), VERSIONS, *sorted(table_macros())]
    return (
        "the query was not understood:"
        f" {unknown_name(missing[1].lower(), missing[2], known, 'views:')}"
    )


def _names_in(lake: Lake, text: str) -> set[str] | None:
    """Views and macros that a query names; None: all of them, where it asks the catalogue. Creating
    all takes ten times as long as most queries.
    """
    words, macros = set(_WORD.findall(text.lower())), table_macros()
    # a macro names views of its own
    words |= {word for name in words & set(macros) for word in _WORD.findall(macros[name].lower())}
    known = {VERSIONS, *macros, *lake.tables, *(f"{name}_as_of" for name in lake.tables)}
    return None if words & _CATALOGUE else words & known


def _set(connection: duckdb.DuckDBPyConnection, variables: Mapping[str, object]) -> None:
    for name, value in variables.items():
        if not name.isidentifier():
            raise DataError(f"'{name}' is no name of a variable: use letters, digits and _")
        connection.execute(f"set variable {name} = ?", [value])


def named_queries() -> dict[str, str]:
    """Every query in `sql/queries` with its first comment line."""
    paths = sorted((SQL_FOLDER / "queries").glob("*.sql"))
    return {
        path.stem: path.read_text(encoding="utf-8").splitlines()[0].removeprefix("-- ")
        for path in paths
    }


def named_query(name: str) -> str:
    """Text of `sql/queries/NAME.sql`; raises DataError listing those that exist."""
    known = sorted(found.stem for found in (SQL_FOLDER / "queries").glob("*.sql"))
    if name not in known:
        raise DataError(unknown_name("query named", name, known))
    return (SQL_FOLDER / "queries" / f"{name}.sql").read_text(encoding="utf-8")


def macros_in(text: str) -> str:
    """Text of the macros that a query calls, and of those that they call."""
    macros = table_macros()
    found: dict[str, str] = {}
    open_words = set(_WORD.findall(text.lower()))
    while names := (open_words & set(macros)) - set(found):
        found |= {name: macros[name] for name in names}
        open_words = {word for name in names for word in _WORD.findall(macros[name].lower())}
    return "\n".join(found.values())
