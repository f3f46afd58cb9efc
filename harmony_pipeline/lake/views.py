"""SQL text of the views, made from `schemas/`; `python -m harmony_pipeline.lake.views` writes it
to `sql/views/`.

A view names its columns and reads a table's files. It promises no order: files are sorted by the
table's key, and DuckDB gives the rows of a bare `from bars limit 5` in the order of the files, but
a query that needs an order says so.
"""

from harmony_pipeline.project_paths import SQL_FOLDER
from harmony_pipeline.schemas import TABLES, Table

_PARTITION = "the lake's partition key, for pruning"


def view(table: Table, source: str) -> str:
    """The statement that creates the view of a table over `source`, a SQL source of its rows."""
    return f"create or replace view {table.name} as\n{select(table, source)};\n"


def select(table: Table, source: str) -> str:
    """The columns of a table and its partition key, from `source`."""
    names = [f'"{name}"' for name in table.columns]
    chosen = "*" if table.more_columns else ",\n    ".join([*names, "partition"])
    return f"select\n    {chosen}\nfrom {source}"


def present(root: str, name: str) -> str:
    """The present files of a table below `root` as a SQL source."""
    pattern = f"{quoted(root)}/{name}/partition=*/{name}.parquet"
    options = "hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true"
    return f"read_parquet('{pattern}', {options})"


def quoted(text: str) -> str:
    """A text for use between single quotes."""
    return text.replace("'", "''")


def documented_view(table: Table) -> str:
    """The view of a table over the lake `{lake}`, with a head that tells its grain, columns and
    units.
    """
    key = ", ".join(table.key)
    grain = f"grain: one row per ({key})" if table.unique_key else "grain: rows as they came"
    lines = [
        f"{table.name}: {table.note}",
        f"{grain}; a file is sorted by ({key})",
        "columns:",
        *(
            _line(name, column.note, nullable=column.nullable)
            for name, column in table.columns.items()
        ),
        *([f"  {table.more_columns}"] if table.more_columns else []),
        _line("partition", _PARTITION, nullable=False),
    ]
    return "".join(f"-- {line}\n" for line in lines) + view(table, present("{lake}", table.name))


def _line(name: str, note: str, *, nullable: bool) -> str:
    return f"  {name}{f': {note}' if note else ''}{' (nullable)' if nullable else ''}"


def main() -> None:
    """Write every view to `sql/views/`."""
    for table in TABLES.values():
        (SQL_FOLDER / "views" / f"{table.name}.sql").write_text(documented_view(table))


if __name__ == "__main__":
    main()
